"""For tests of BPF programs: packets, both engines side by side, coverage of source lines; a pytest plugin.

::

    def test_drops_other_ports(bpf):                       # the plugin's fixture
        program = bpf.load(assemble_object(TEXT, "xdp"))
        result = assert_same(*program, packets.tcp(dport=81))
        assert result.name == "XDP_DROP"
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.testing import packets
    from cygnet.testing.compare import Difference, assert_same
    from cygnet.testing.objects import assemble_object

__all__ = ["Difference", "assemble_object", "assert_same", "packets"]

_HOMES = {"assert_same": "compare", "Difference": "compare", "assemble_object": "objects"}


def __getattr__(name: str) -> Any:
    from cygnet.lazy import module

    if name == "packets":
        return module(f"{__name__}.packets")
    if name in _HOMES:
        return getattr(module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
