"""The limits of a verification, one under and one over: our verifier against the live kernel's."""

from __future__ import annotations

import pytest
from tests.verifier.judge import Judge
from tests.verifier.sides import Pair, pair

from cygnet.isa.encode import encode
from cygnet.spec.objects import MapSpec
from cygnet.verifier.program import ProgramSpec

EXIT = (0x95, 0, 0, 0, 0)
ZERO = (0xB7, 0, 0, 0, 0)


def judged(spec: ProgramSpec) -> Pair:
    with Judge() as judge:
        found = pair(judge, spec)
    assert found is not None
    return found


def branches(count: int) -> ProgramSpec:
    """So many branches wait at once: each goes to the end, and the path goes on beside it."""
    insns = [(0x85, 0, 0, 0, 7), (0xBF, 6, 0, 0, 0)]
    for number in range(count):
        insns.append((0x15, 6, 0, count - number - 1, number + 1))
    return ProgramSpec("socket_filter", encode([*insns, ZERO, EXIT]), f"{count} branches")


@pytest.mark.parametrize("count", [100, 8190, 8192, 8193, 8200])
def test_branches_that_wait(count: int) -> None:
    spec = branches(count)
    found = judged(spec)
    assert not found.kind and found.kernel.accepted == (count <= 8192)


def maps(count: int) -> ProgramSpec:
    insns: list[tuple[int, int, int, int, int]] = []
    used: dict[int | str, MapSpec] = {}
    for number in range(count):
        used[len(insns)] = MapSpec(f"m{number}", 2, 4, 8, 1)
        insns += [(0x18, 1, 1, 0, 0), (0, 0, 0, 0, 0)]
    return ProgramSpec("socket_filter", encode([*insns, ZERO, EXIT]), f"{count} maps", maps=used)


@pytest.mark.parametrize("count", [1, 64, 65])
def test_maps(count: int) -> None:
    found = judged(maps(count))
    assert not found.kind and found.kernel.accepted == (count <= 64)


def functions(count: int) -> ProgramSpec:
    """A program of so many functions, each called by the main one."""
    calls = [(0x85, 0, 1, 0, (count - 1 - at) + 2 * at + 1) for at in range(count - 1)]
    return ProgramSpec(
        "socket_filter", encode([*calls, ZERO, EXIT, *([ZERO, EXIT] * (count - 1))]), f"{count} functions"
    )


@pytest.mark.parametrize("count", [2, 256, 257])
def test_functions(count: int) -> None:
    found = judged(functions(count))
    assert not found.kind and found.kernel.accepted == (count <= 256)


def test_a_long_program() -> None:
    found = judged(ProgramSpec("socket_filter", encode([ZERO] * 60_000 + [EXIT]), "long"))
    assert not found.kind and found.kernel.accepted
