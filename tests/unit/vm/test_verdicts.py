"""A verdict lets a program run without checks: the program it is about, with the same maps, and no other."""

from __future__ import annotations

import pytest

from cygnet.errors import MemoryFault
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.spec.objects import MapSpec, ObjectSpec, ProgramSpec
from cygnet.spec.relocs import MAP, Reloc
from cygnet.verifier.program import from_object
from cygnet.verifier.verify import Verdict, verify
from cygnet.vm.machine import Machine

SOCKET_FILTER, TRACEPOINT, ARRAY = 1, 5, 2
COUNTS = MapSpec("counts", ARRAY, 4, 64, 1)

# The value's byte that the packet's length says, plus one
TEXT = """
r7 = *(u32 *)(r1 + 0)
*(u32 *)(r10 - 4) = 0
r2 = r10
r2 += -4
r1 = map[fd:0]
call 1
if r0 == 0 goto out
r7 &= 63
r0 += r7
r1 = *(u8 *)(r0 + 0)
r1 += 1
*(u8 *)(r0 + 0) = r1
r0 = r1
goto end
out:
r0 = 0
end:
exit
"""


def program(text: str = TEXT, type: int = SOCKET_FILTER) -> ProgramSpec:
    insns = assemble(text)
    loads = [at for at, insn in enumerate(insns) if insn.code == 0x18]
    return ProgramSpec("p", type, encode(insns), tuple(Reloc(at, MAP, "counts", "imm64") for at in loads))


def judged(spec: ProgramSpec, maps: tuple[MapSpec, ...] = (COUNTS,)) -> Verdict:
    verdict = verify(from_object(spec, maps))
    assert verdict.accepted, verdict.error
    return verdict


def machine(spec: ProgramSpec, verdict: Verdict | None, maps: tuple[MapSpec, ...] = (COUNTS,)) -> Machine:
    return Machine(ObjectSpec((spec,), maps), verdicts={"p": verdict} if verdict is not None else None)


def is_checked(machine: Machine) -> bool:
    """By what the machine code does: the same program compiled without any checks is as long, or it is not."""
    code = machine.program("p").code
    unit = machine.engine.unit(code)  # type: ignore[attr-defined]
    bare = Machine(machine.spec, unsafe=True)
    with bare:
        return len(unit.compiled.code) > len(bare.engine.unit(bare.program("p").code).compiled.code)  # type: ignore[attr-defined]


def test_the_same_results_with_and_without_checks() -> None:
    spec = program()
    with machine(spec, judged(spec)) as free, machine(spec, None) as checked:
        assert not is_checked(free)
        assert is_checked(checked)
        for size in (14, 15, 20, 63, 64, 200, 20, 20):
            packet = bytes(size)
            assert free.run("p", packet) == checked.run("p", packet)
        assert free.map("counts").lookup(bytes(4)) == checked.map("counts").lookup(bytes(4))


def test_another_program_is_not_trusted() -> None:
    unbounded = program(TEXT.replace("r7 &= 63", "r7 &= 255"))
    with machine(unbounded, judged(program())) as made:
        assert is_checked(made)
        with pytest.raises(MemoryFault):
            made.run("p", bytes(200))


def test_the_same_program_with_a_smaller_map_is_not_trusted() -> None:
    smaller = (COUNTS._replace(value_size=32),)
    spec = program()
    with machine(spec, judged(spec), smaller) as made:
        assert is_checked(made)
        with pytest.raises(MemoryFault):
            made.run("p", bytes(60))


def test_the_same_instructions_of_another_type_are_not_trusted() -> None:
    spec = program("r0 = *(u32 *)(r10 - 8)\nexit\n".replace("r10 - 8", "r1 + 0"))
    with machine(spec._replace(type=TRACEPOINT), judged(spec)) as made:
        assert is_checked(made)


def test_a_refusal_is_not_trusted() -> None:
    spec = program(TEXT.replace("r7 &= 63", "r7 &= 255"))
    verdict = verify(from_object(spec, (COUNTS,)))
    assert not verdict.accepted
    assert verdict.identity == ""
    with machine(spec, verdict) as made:
        assert is_checked(made)


def test_what_reads_the_kernel_is_not_trusted() -> None:
    """A kernel catches a bad address behind a typed pointer; machine code of ours would not."""
    spec = program("r0 = *(u64 *)(r1 + 168)\nif r0 == 0 goto out\nr0 = *(u32 *)(r0 + 0)\nout:\nr0 = 0\nexit\n")
    verdict = judged(spec, ())
    assert not verdict.self_contained
    with machine(spec, verdict, ()) as made:
        assert is_checked(made)


def test_a_context_that_is_too_short_is_refused() -> None:
    spec = program("r0 = *(u64 *)(r1 + 24)\nexit\n", TRACEPOINT)
    verdict = judged(spec, ())
    assert verdict.context_bytes == 32
    with machine(spec, verdict, ()) as made:
        assert not is_checked(made)
        prepared = made.prepare("p")
        whole = bytes(24) + (77).to_bytes(8, "little")
        assert made.run("p", whole) == prepared(whole) == made.run_batch("p", whole, 32)[0] == 77
        for run in (
            lambda: made.run("p", whole[:24]),
            lambda: prepared(whole[:31]),
            lambda: made.run_batch("p", bytes(16), 8),
        ):
            with pytest.raises(MemoryFault):
                run()


def test_how_a_load_names_its_map_makes_no_difference() -> None:
    """Maps by slot, as a person gives them, or by name."""
    from cygnet.verifier.program import ProgramSpec as Given

    spec = program()
    loads = [reloc.insn for reloc in spec.relocs]
    given = Given("socket_filter", spec.insns, maps=dict.fromkeys(loads, COUNTS))
    raw = bytearray(spec.insns)
    for at in loads:
        raw[8 * at + 1] |= 1 << 4
    given.insns = bytes(raw)
    verdict = verify(given)
    assert verdict.accepted, verdict.error
    with machine(spec, verdict) as made:
        assert not is_checked(made)
