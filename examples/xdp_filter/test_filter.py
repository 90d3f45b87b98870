"""A small XDP program, tested in user space and, where that is allowed, in the live kernel.

pytest examples/xdp_filter --bpf-coverage /tmp/coverage
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cygnet.errors import NotSupported, PermissionDenied
from cygnet.maps.facade import Map
from cygnet.spec.objects import MapSpec, ObjectSpec
from cygnet.testing import assemble_object, assert_same

SOURCE = Path(__file__).with_name("filter.s")
ARRAY = 2
PORT = MapSpec("port", ARRAY, 4, 4, 1)
VERDICTS = MapSpec("verdicts", ARRAY, 4, 8, 5)


def blocking(port: int) -> ObjectSpec:
    maps = (PORT._replace(data=port.to_bytes(4, "little")), VERDICTS)
    return assemble_object(SOURCE.read_text(), "xdp", maps, name="filter", path=str(SOURCE))


@pytest.mark.parametrize(
    ("packet", "verdict"),
    [
        ("tcp", "XDP_DROP"),
        ("other port", "XDP_PASS"),
        ("udp", "XDP_PASS"),
        ("ipv6", "XDP_PASS"),
        ("short", "XDP_PASS"),
        ("options", "XDP_PASS"),
    ],
)
def test_verdicts(bpf: Any, packets: Any, packet: str, verdict: str) -> None:
    frames = {
        "tcp": packets.tcp(dport=8080),
        "other port": packets.tcp(dport=8081),
        "udp": packets.udp(bytes(20), dport=8080),
        "ipv6": packets.tcp(source="fd00::1", destination="fd00::2", dport=8080),
        "short": packets.ethernet(bytes(6)),
        "options": packets.ethernet(packets.ipv4(bytes(24), packets.TCP, options=bytes(4))),
    }
    machine = bpf.machine(blocking(8080))
    program = machine.program("filter")
    result = program.test_run(frames[packet])
    assert result.name == verdict
    counts = Map(machine.map("verdicts"), "I", "Q")
    assert counts[result.retval] == 1 and sum(counts.values()) == 1
    try:
        kernel = bpf.kernel(blocking(8080)).program("filter")
    except (NotSupported, PermissionDenied):
        return  # no kernel to ask here; the machine has answered
    assert_same(program, kernel, frames[packet])
