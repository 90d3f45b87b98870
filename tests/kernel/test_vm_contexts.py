"""Contexts that are built are what programs find in the live kernel; what test runs refuse, both refuse."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.kernel.conftest import existing, left_behind, own_descriptors
from tests.kernel.stage import play
from tests.vmcases.fields import SCENES
from tests.vmcases.helpers import PACKET
from tests.vmcases.scenes import Scene
from tests.vmcases.sockets import lookup_context

from cygnet.errors import SystemCallError
from cygnet.loader.runtime import kernel_runtime
from cygnet.testing import assemble_object
from cygnet.vm.machine import Machine


@pytest.fixture(scope="module", autouse=True)
def nothing_left() -> Iterator[None]:
    """Once for all: see test_scenes_same.py."""
    before, descriptors = existing(), own_descriptors()
    yield
    assert [d for d in own_descriptors() if d not in descriptors] == []
    assert left_behind(before) == {}


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_same(scene: Scene) -> None:
    play(scene)


REFUSED = [
    ("xdp", "r0 = 2\nexit\n", PACKET, b"".join(n.to_bytes(4, "little") for n in words), {})
    for words in ((0, len(PACKET), 0, 0, 1, 0), (0, len(PACKET), 0, 1, 99, 0), (0, len(PACKET), 0, 999999, 0, 0),
                  (0, len(PACKET), 1, 0, 0, 0), (0, len(PACKET) + 1, 0, 0, 0, 0), (3, len(PACKET), 0, 0, 0, 0),
                  (0, len(PACKET), 0, 0, 0, 1))
] + [
    ("sk_lookup", "r0 = 1\nexit\n", b"", b"", {}), ("sk_lookup", "r0 = 1\nexit\n", b"x" * 20, lookup_context(), {}),
    ("sk_lookup", "r0 = 1\nexit\n", b"", lookup_context(3), {}),
    ("sk_lookup", "r0 = 1\nexit\n", b"", lookup_context(port=1 << 16), {}),
    ("sk_lookup", "r0 = 1\nexit\n", b"", b"\1" + lookup_context()[1:], {}),
    ("sk_lookup", "r0 = 1\nexit\n", b"", lookup_context() + b"\1\0\0\0", {}),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[0]} {case[3][:24].hex()} {case[4]}")
def test_refused(case: tuple[str, str, bytes, bytes, dict[str, int]]) -> None:
    kind, text, data, ctx, options = case
    spec = assemble_object(text, kind)
    if kind == "sk_lookup":
        spec = spec._replace(programs=(spec.programs[0]._replace(attach_type=36),))
    errors = []
    with Machine(spec) as machine, kernel_runtime(spec) as kernel:
        for program in (machine.program("program"), kernel.program("program")):
            with pytest.raises(SystemCallError) as caught:
                program.test_run(data, ctx, **options)
            errors.append(caught.value.errno)
    assert errors[0] == errors[1]
