"""Bytes that are no program get a verdict, or a UsageError: nothing else is raised, and nothing takes long."""

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.verifier import random_programs, runnable

from cygnet.errors import UsageError
from cygnet.facts.progtypes import program_types
from cygnet.isa.opcodes import rows
from cygnet.spec.objects import MapSpec
from cygnet.verifier.explaining.listing import states_text
from cygnet.verifier.explaining.page import page
from cygnet.verifier.explaining.record import record
from cygnet.verifier.program import ProgramSpec
from cygnet.verifier.verify import Verdict, verify

TYPES = [row.name for row in program_types()]
CODES = sorted({row.code for row in rows()})
KERNELS = ("6.1", "6.12", "6.18")
BUDGET = 3000
EXIT = b"\xb7" + bytes(7) + b"\x95" + bytes(7)
MAP = MapSpec("m", 1, 4, 16, 8)


def insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return struct.pack("<BBhi", code, src << 4 | dst, off, imm)


def judge(spec: ProgramSpec, kernel: str = "6.18") -> Verdict | None:
    try:
        verdict = verify(spec, kernel=kernel, budget=BUDGET)
    except UsageError:
        return None
    assert verdict.accepted == (verdict.error is None)
    if verdict.error is not None:
        assert verdict.error.message
        assert verdict.error.insn is None or 0 <= verdict.error.insn <= max(1, len(spec.insns) // 8)
        assert verdict.error.explanation is not None and verdict.error.explanation.title
    if len(spec.insns) < 400:
        recorder = record(spec, kernel, BUDGET)
        assert states_text(spec, recorder, None) or len(spec.insns) < 8
        assert page("swan", spec, verdict, recorder).endswith("</html>\n")
    assert verdict.insns_processed <= BUDGET + 1
    return verdict


near = st.tuples(
    st.sampled_from(CODES), st.integers(0, 10), st.integers(0, 10), st.integers(-20, 20), st.integers(-600, 600)
).map(lambda fields: insn(*fields))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(TYPES), st.sampled_from(KERNELS), st.integers(0, 255))
def test_any_bytes(code: bytes, type: str, kernel: str, flags: int) -> None:
    judge(ProgramSpec(type, code, flags=flags), kernel)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(near, max_size=30),
    st.sampled_from(TYPES),
    st.sampled_from(KERNELS),
    st.dictionaries(st.integers(0, 9), st.just(MAP)),
)
def test_instructions_of_the_table(insns: list[bytes], type: str, kernel: str, maps: dict[int | str, MapSpec]) -> None:
    judge(ProgramSpec(type, b"".join(insns) + EXIT, maps=maps), kernel)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120), st.binary(max_size=40), st.sampled_from(("xdp", "tracing", "struct_ops", "ext", "lsm")))
def test_types_that_are_none(btf: bytes, func_info: bytes, type: str) -> None:
    judge(ProgramSpec(type, EXIT, btf=btf, func_info=func_info, attach_to="tcp_sendmsg"))
    judge(ProgramSpec(type, EXIT, btf=b"\x9f\xeb\x01\0" + btf, func_info=func_info))


@pytest.mark.parametrize("seed", range(150))
def test_damaged_programs(seed: int) -> None:
    """Nearly valid programs with some bytes changed, cut off, or doubled."""
    rng = random.Random(seed)
    spec = runnable.program(seed) if seed % 2 else random_programs.program(seed, 0.97, seed % 4 == 0)
    for _ in range(5):
        code = bytearray(spec.insns)
        for _ in range(rng.randrange(1, 5)):
            code[rng.randrange(len(code))] = rng.randrange(256)
        pick = rng.randrange(4)
        if pick == 0:
            del code[rng.randrange(len(code)) :]
        elif pick == 1:
            at = 8 * rng.randrange(len(code) // 8)
            code[at:at] = code[: 8 * rng.randrange(1, 5)]
        damaged = ProgramSpec(spec.type, bytes(code), maps=spec.maps)
        judge(damaged)


def refused(code: bytes, **more: object) -> str:
    verdict = judge(ProgramSpec("socket_filter", code, **more))  # type: ignore[arg-type]
    assert verdict is not None
    assert verdict.error is not None
    return verdict.error.message


def test_sizes_that_are_absurd() -> None:
    assert "at least one instruction" in refused(b"")
    assert "whole number" in refused(bytes(15))
    assert "1310720 instructions are more" in refused(bytes(10 << 20))
    assert "more than the 1000000" in refused(insn(0x95) * 1_000_001)


def test_calls_in_a_circle() -> None:
    assert "too deep" in refused(insn(0x85, 0, 1, 0, -1) + insn(0x95))
    there_and_back = insn(0x85, 0, 1, 0, 1) + insn(0x95) + insn(0x85, 0, 1, 0, -3) + insn(0x95)
    assert "too deep" in refused(there_and_back)
    assert "too many subprograms" in refused((insn(0x85, 0, 1, 0, 1) + insn(0x95)) * 3000 + EXIT)


def test_jumps_to_nowhere() -> None:
    for code in (insn(0x05, 0, 0, 32767), insn(0x05, 0, 0, -2), insn(0x06, 0, 0, 0, 0x7FFFFFFF), insn(0x15, 0, 0, -2)):
        assert "jump out of range" in refused(code + EXIT)
    for offset in (0x7FFFFFFF, -0x80000000, 5):
        assert "call to invalid destination" in refused(insn(0x85, 0, 1, 0, offset) + EXIT)


def test_maps_without_number() -> None:
    specs = {2 * at: MapSpec(f"m{at}", 2, 4, 4, 1) for at in range(500)}
    assert "limit of 64" in refused((insn(0x18, 1, 1) + insn(0)) * 500 + EXIT, maps=specs)


@pytest.mark.parametrize(
    "spec",
    [
        ProgramSpec("no such type", EXIT),
        ProgramSpec(4711, EXIT),
        ProgramSpec("xdp", EXIT, expected_attach_type=4711),
        ProgramSpec("xdp", EXIT, expected_attach_type="no such place"),
        ProgramSpec("xdp", EXIT, flags=1 << 70),
        ProgramSpec("xdp", insn(0x18, 1, 1) + insn(0) + EXIT, maps={0: MapSpec("m", 2, 4, -8, 1)}),
        ProgramSpec("xdp", insn(0x18, 1, 1) + insn(0) + EXIT, maps={0: MapSpec("m", 4711, 4, 8, 1)}),
        ProgramSpec("xdp", insn(0x18, 1, 1) + insn(0) + EXIT, maps={0: MapSpec("m", 2, 4, 1 << 60, 1)}),
    ],
)
def test_what_no_system_call_could_say(spec: ProgramSpec) -> None:
    with pytest.raises(UsageError):
        verify(spec)


@pytest.mark.parametrize("budget", [0, -1, "many"])
def test_a_budget_is_a_positive_number(budget: int) -> None:
    with pytest.raises(UsageError):
        verify(ProgramSpec("xdp", EXIT), budget=budget)


def test_the_budget_ends_an_endless_count() -> None:
    counting = insn(0xB7, 1) + insn(0x07, 1, 0, 0, 1) + insn(0xA5, 1, 0, -2, 0x7FFFFFFF) + EXIT
    verdict = verify(ProgramSpec("xdp", counting), budget=500)
    assert verdict.error is not None
    assert "too large" in verdict.error.message
    assert verdict.insns_processed == 501
