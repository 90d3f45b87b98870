"""Tail calls, callbacks of helpers into programs, and budgets that they share, by every engine."""

import pytest

from cygnet.errors import BudgetExceeded, HelperFault, RuntimeFault
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.maps.making import create
from cygnet.uapi import bpf
from cygnet.vm.program import Program


def program(text):
    return Program(encode(assemble(text)))


@pytest.fixture
def array(bench):
    made = create(bench.host.map_host, bpf.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 4, 0, "programs")
    bench.host.budget = None
    yield made
    made.close()


def tail(array, index, before="", after=""):
    return program(f"{before}\nr2 = {array.handle} ll\nr3 = {index}\ncall 12\n{after}\nexit")


def test_another_program_goes_on(bench, array):
    array.set_program(1, program("r0 = *(u8 *)(r1 +0)\nr0 += 40\nexit"))
    assert bench.run(tail(array, 1, after="r0 = 1"), b"\2") == 42


def test_an_empty_slot_falls_through(bench, array):
    made = tail(array, 2, before="r0 = 5\nr6 = 3", after="r0 += r6")
    assert bench.run(made) == 8
    assert bench.run(tail(array, 77, before="r0 = 5")) == 5


def test_33_times_and_no_more(bench, array):
    """Each round counts in the memory, which r1 still points to."""
    again = tail(array, 0, before="r6 = *(u8 *)(r1 +0)\nr6 += 1\n*(u8 *)(r1 +0) = r6", after="r0 = r6")
    array.set_program(0, again)
    assert bench.run(again, b"\0") == 34
    assert bench.run(again, b"\0") == 34


def test_from_a_function(bench, array):
    """The other program takes the place of the function: its result is the function's, and r6 of the caller is kept."""
    array.set_program(3, program("r6 = 99\nr7 = 99\nr0 = 7\nexit"))
    made = program(f"r6 = 5\ncall f\nr0 += r6\nexit\nf: r2 = {array.handle} ll\nr3 = 3\ncall 12\nr0 = 1000\nexit")
    assert bench.run(made, b"x") == 12


def test_a_tail_call_inside_a_function_of_the_other_program(bench, array):
    array.set_program(0, program(f"call g\nr0 += 1\nexit\ng: r2 = {array.handle} ll\nr3 = 1\ncall 12\nr0 = 0\nexit"))
    array.set_program(1, program("r0 = 20\nexit"))
    made = program(f"call f\nr0 <<= 1\nexit\nf: r2 = {array.handle} ll\nr3 = 0\ncall 12\nr0 = 0\nexit")
    assert bench.run(made) == 42


def test_a_fault_in_the_other_program_is_its_own(careful):
    array = create(careful.host.map_host, bpf.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 4, 0, "programs")
    array.set_program(1, program("r5 = 1\nr0 = *(u8 *)(r5 +0)\nexit"))
    with pytest.raises(RuntimeFault) as caught:
        careful.run(tail(array, 1, before="r4 = 4\nr5 = 5\nr6 = 6"))
    assert caught.value.pc == 1 and caught.value.insn.code == 0x71
    array.close()


def test_what_is_no_program_array(bench):
    with pytest.raises(HelperFault, match="no program array"):
        bench.run(program("r2 = r10\nr3 = 0\ncall 12\nexit"))
    assert bench.run(program("r0 = 3\nexit")) == 3


NESTED = """
	r6 = 0
	r1 = {outer}
	r2 = subprog[one]
	r3 = r10
	r3 += -8
	*(u64 *)(r10 -8) = 0
	r4 = 0
	call 181
	r0 = *(u64 *)(r10 -8)
	exit
one:	r6 = r2
	r1 = {inner}
	r2 = subprog[two]
	r3 = r6
	r4 = 0
	call 181
	r0 = 0
	exit
two:	r0 = *(u64 *)(r2 +0)
	r0 += 1
	*(u64 *)(r2 +0) = r0
	r0 = 0
	exit
"""


def test_callbacks_in_callbacks(bench):
    bench.host.budget = None
    assert bench.run(program(NESTED.format(outer=5, inner=7))) == 35


def test_callbacks_share_the_budget(careful):
    careful.host.budget = 20_000
    with pytest.raises(BudgetExceeded):
        careful.run(program(NESTED.format(outer=1000, inner=1000)))
    careful.host.budget = None


def test_callbacks_count_as_frames(careful):
    """A callback that starts a loop of callbacks, and so on."""
    again = "r1 = 1\nr2 = subprog[f]\nr3 = 0\nr4 = 0\ncall 181\nr0 = 0\nexit\n"
    text = f"{again}f: {again}"
    with pytest.raises(RuntimeFault, match="8 calls deep"):
        careful.run(program(text))


def test_a_run_inside_a_run(bench):
    """A helper may run another program in the same host."""
    from cygnet.vm.helpers.registry import Helper

    inner = program("r6 = 1\nr7 = 2\n*(u64 *)(r10 -8) = 5\nr0 = *(u64 *)(r10 -8)\nr0 += r1\nexit")
    bench.host.helpers[7800] = Helper(7800, "again", lambda machine, value: bench.engine.run(inner, value))
    assert bench.run(program("r6 = 100\nr1 = 2\ncall 7800\nr0 += r6\nexit")) == 107


@pytest.mark.parametrize("engine", ["jit", "python", "interpreter"])
def test_batches_of_a_machine(engine):
    from cygnet.spec.objects import ObjectSpec, ProgramSpec
    from cygnet.vm import Machine

    code = encode(assemble("r0 = *(u64 *)(r1 +0)\nr0 += r2\nexit"))
    spec = ObjectSpec(programs=(ProgramSpec("p", bpf.BPF_PROG_TYPE_RAW_TRACEPOINT, code),))
    contexts = b"".join(number.to_bytes(8, "little") for number in range(50))
    with Machine(spec, engine=engine) as machine:
        assert list(machine.run_batch("p", contexts, 8)) == [number + 8 for number in range(50)]
        assert machine.prepare("p")(contexts[8:16]) == 9
