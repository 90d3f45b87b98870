"""What programs do wrong, told alike by every engine that checks: kind, place, registers."""

import pytest

from cygnet.errors import BudgetExceeded, HelperFault, MemoryFault, RuntimeFault
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.isa.insn import Insn
from cygnet.spec.objects import LineInfo
from cygnet.vm.helpers.registry import Helper
from cygnet.vm.program import Program

# assembly, kind, slot, part of the message; the memory has 16 bytes
FAULTS = [
    ("r0 = *(u64 *)(r1 +9)\nexit", MemoryFault, 0, "read of 8 bytes"),
    ("r0 = *(u8 *)(r1 +16)\nexit", MemoryFault, 0, "no memory"),
    ("r0 = *(u8 *)(r1 -1)\nexit", MemoryFault, 0, "no memory"),
    ("r0 = *(u16 *)(r1 +15)\nexit", MemoryFault, 0, "offset 15"),
    ("r0 = 0\nr0 = *(u32 *)(r0 +0)\nexit", MemoryFault, 1, "null pointer"),
    ("r0 = -4\nr0 = *(u64 *)(r0 +0)\nexit", MemoryFault, 1, "no memory"),
    ("r0 = -4\nr0 = *(u64 *)(r0 +8)\nexit", MemoryFault, 1, "null pointer"),
    ("r2 = 1\n*(u32 *)(r1 +13) = 5\nexit", MemoryFault, 1, "write of 4 bytes"),
    ("r0 = *(u64 *)(r10 -520)\nexit", MemoryFault, 0, "stack"),
    ("r0 = *(u64 *)(r10 +0)\nexit", MemoryFault, 0, "no memory"),
    ("r0 = *(u64 *)(r10 -4)\nexit", MemoryFault, 0, ""),
    ("r2 = r10\nr2 += -513\n*(u8 *)(r2 +0) = 1\nexit", MemoryFault, 2, "stack"),
    ("r2 = r10\nr2 &= -2\nr0 = *(u64 *)(r2 -520)\nexit", MemoryFault, 2, "stack"),
    # the third of four accesses that are checked together
    ("r0 = *(u8 *)(r1 +0)\nr2 = *(u8 *)(r1 +1)\nr3 = *(u64 *)(r1 +12)\nr4 = *(u8 *)(r1 +2)\nexit", MemoryFault, 2, "8 bytes"),
    ("*(u8 *)(r1 +15) = 1\n*(u8 *)(r1 +16) = 2\nexit", MemoryFault, 1, "write of 1 byte"),
    ("r2 = 1\nlock *(u64 *)(r1 +4) += r2\nexit", MemoryFault, 1, "not aligned"),
    ("r2 = 1\nlock *(u32 *)(r10 -6) += r2\nexit", MemoryFault, 1, "not aligned"),
    ("r0 = load_acquire((u16 *)(r1 +1))\nexit", MemoryFault, 0, "not aligned"),
    ("r2 = 1\nlock *(u64 *)(r1 +16) += r2\nexit", MemoryFault, 1, "no memory"),
    ("start: goto start", BudgetExceeded, 0, "instructions"),
    ("start: r0 += 1\nif r0 != 0 goto start\nexit", BudgetExceeded, None, "instructions"),
    ("f: call f\nexit", RuntimeFault, 0, "8 calls deep"),
    ("call a\nexit\na: r2 = 5\ncall a\nexit", RuntimeFault, 3, "8 calls deep"),
    ("call 9999\nexit", HelperFault, 0, "no helper 9999"),
    ("call kfunc x#12\nexit", HelperFault, 0, "kernel function number 12 is not simulated"),
    ("r2 = 0x7777\ncallx r2\nexit", HelperFault, 1, ""),
    ("r2 = r10\ncallx r2\nexit", HelperFault, 1, ""),
    ("r2 = subprog[f]\nr2 += 1\ncallx r2\nexit\nf: r0 = 0\nexit", HelperFault, 3, ""),
    ("r1 = 1\nr2 = 77\nr3 = 0\nr4 = 0\ncall 181\nexit", HelperFault, 4, "no function"),
    ("r1 = 3\nr2 = subprog[f]\nr3 = 0\nr4 = 0\ncall 181\nexit\nf: r0 = *(u8 *)(r2 +0)\nexit", MemoryFault, 7, "null pointer"),
    ("call f\nexit\nf: r0 = *(u8 *)(r1 +99)\nexit", MemoryFault, 2, ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "pc", "message"), FAULTS)
def test_faults(careful, text, kind, pc, message):
    careful.host.budget = 100_000
    program = Program(encode(assemble(text)))
    with pytest.raises(RuntimeFault) as caught:
        careful.run(program, bytes(16))
    assert type(caught.value) is kind
    assert message in str(caught.value)
    assert pc is None or caught.value.pc == pc
    assert caught.value.insn == program.insns[caught.value.pc]
    assert len(caught.value.registers) == 11 and caught.value.registers[10] <= careful.host.stack_top


def test_what_was_done_before_a_fault_is_done(careful):
    """The first of two accesses takes place, and registers are those before the second."""
    host = careful.host
    block = host.memory.block(8, "memory")
    text = "r2 = 7\n*(u32 *)(r1 +4) = 5\nr2 = 8\n*(u32 *)(r1 +8) = 6\nexit"
    with pytest.raises(MemoryFault) as caught:
        careful.engine.run(Program(encode(assemble(text))), block.address, 8)
    assert caught.value.pc == 3 and caught.value.registers[2] == 8
    assert bytes(block.view) == b"\0\0\0\0\5\0\0\0"
    host.memory.free(block)


def test_a_fault_tells_the_source_line(careful):
    lines = (LineInfo(0, 3, 1, "x = 1", 0, 5), LineInfo(1, 4, 1, "y = *p", 6, 12))
    program = Program(encode(assemble("r0 = 1\nr0 = *(u8 *)(r0 +0)\nexit")), lines=lines)
    with pytest.raises(MemoryFault, match="line 4") as caught:
        careful.run(program)
    assert caught.value.line.text == "y = *p"


def test_read_only_memory(careful):
    host = careful.host
    block = host.memory.block(8, "fixed", writable=False)
    read, write = (Program(encode(assemble(f"{text}\nexit"))) for text in ("r0 = *(u8 *)(r1 +0)", "*(u8 *)(r1 +0) = 1"))
    both = Program(encode(assemble("r0 = *(u8 *)(r1 +0)\n*(u8 *)(r1 +1) = 1\nexit")))
    assert careful.engine.run(read, block.address) == 0
    with pytest.raises(MemoryFault, match="fixed is read-only"):
        careful.engine.run(write, block.address)
    with pytest.raises(MemoryFault, match="fixed is read-only") as caught:
        careful.engine.run(both, block.address)
    assert caught.value.pc == 1
    host.memory.free(block)


def test_items_are_apart(careful):
    arena = careful.host.memory.arena("values", item=12)
    first = arena.alloc()
    arena.alloc()
    good, bad = (Program(encode(assemble(f"r0 = *(u32 *)(r1 +{off})\nexit"))) for off in (8, 12))
    assert careful.engine.run(good, first) == 0
    with pytest.raises(MemoryFault):
        careful.engine.run(bad, first)


def test_memory_that_is_gone(careful):
    host = careful.host
    block = host.memory.block(4096, "memory")
    program = Program(encode(assemble("r0 = *(u8 *)(r1 +0)\nexit")))
    assert careful.engine.run(program, block.address) == 0
    address = block.address
    host.memory.free(block)
    with pytest.raises(MemoryFault):
        careful.engine.run(program, address)


def test_a_helper_may_take_memory_away(careful):
    host = careful.host
    block = host.memory.block(4096, "memory")
    address = block.address

    def take(machine):
        machine.memory.free(block)
        return 0

    host.helpers[7777] = Helper(7777, "take", take)
    text = "r6 = r1\nr0 = *(u8 *)(r6 +0)\ncall 7777\nr0 = *(u8 *)(r6 +0)\nexit"
    with pytest.raises(MemoryFault) as caught:
        careful.engine.run(Program(encode(assemble(text))), address)
    assert caught.value.pc == 3


def test_what_a_helper_raises_comes_through(careful):
    def fail(machine, value):
        raise ZeroDivisionError(str(value))

    careful.host.helpers[7778] = Helper(7778, "fail", fail)
    with pytest.raises(ZeroDivisionError, match="5"):
        careful.run(encode(assemble("r1 = 5\ncall 7778\nexit")))
    assert careful.run(encode(assemble("r0 = 1\nexit"))) == 1


MALFORMED = [
    ([], "between 1 and"),
    ([Insn(0xB7)], "last instruction"),
    ([Insn(0x05, 0, 0, 5)], "where no instruction begins"),
    ([Insn(0x05, 0, 0, -2)], "where no instruction begins"),
    ([Insn(0x18), Insn(0), Insn(0x05, 0, 0, -2)], "where no instruction begins"),
    ([Insn(0x85, 0, 1, 0, 7), Insn(0x95)], "where no instruction begins"),
    ([Insn(0xFF), Insn(0x95)], "unknown opcode"),
    ([Insn(0xB7, 0, 1), Insn(0x95)], "unknown opcode"),
    ([Insn(0xBF, 0, 1, 0, 1), Insn(0x95)], "unknown opcode"),
    ([Insn(0xB7, 0, 0, 4), Insn(0x95)], "unknown opcode"),
    ([Insn(0x95, 1)], "unknown opcode"),
    ([Insn(0x95, 0, 0, 0, 1)], "unknown opcode"),
    ([Insn(0x0F, 11, 0), Insn(0x95)], "no such register"),
    ([Insn(0x0F, 0, 12), Insn(0x95)], "register|unknown"),
    ([Insn(0xB7, 10), Insn(0x95)], "frame pointer"),
    ([Insn(0x79, 10, 1), Insn(0x95)], "frame pointer"),
    ([Insn(0xD4, 1, 0, 0, 17), Insn(0x95)], "unknown opcode"),
    ([Insn(0xDB, 1, 2, 0, 0x77), Insn(0x95)], "unknown opcode"),
    ([Insn(0x61, 1, 2, 0, 1), Insn(0x95)], "unknown opcode"),
    ([Insn(0x18, 1)], "ends inside|last"),
    ([Insn(0x18, 1), Insn(0x95)], "second slot"),
    ([Insn(0x18, 1, 7), Insn(0), Insn(0x95)], "unknown opcode"),
    ([Insn(0x18, 1, 1, 0, 5), Insn(0), Insn(0x95)], "does not have"),
    ([Insn(0x85, 0, 1, 0, 1), Insn(0x05, 0, 0, 0), Insn(0x05, 0, 0, -3)], "another function"),
    ([Insn(0x85, 0, 1, 0, 1), Insn(0x95), Insn(0xB7)], "last instruction"),
]


@pytest.mark.parametrize(("insns", "message"), MALFORMED)
def test_malformed(bench, insns, message):
    with pytest.raises(RuntimeFault, match=message):
        bench.run(encode(insns))


def test_a_piece_of_an_instruction(bench):
    with pytest.raises(RuntimeFault, match="whole number"):
        bench.run(b"\xb7\0\0")


def test_callx_reaches_no_kernel_function(careful):
    """Whatever the register holds: numbers of kernel functions are those of calls that say so."""
    number = careful.host.kfuncs.number("bpf_rcu_read_lock")
    for value in (1 << 63 | number, 1 << 62 | number, 1 << 32 | number):
        with pytest.raises(HelperFault) as caught:
            careful.run(encode(assemble(f"r1 = {value:#x} ll\ncallx r1\nexit")))
        assert caught.value.pc == 2 and caught.value.registers[1] == value


def test_callx_as_older_clangs_encode_it(careful):
    """The register's number in imm instead of dst."""
    code = encode(assemble("r1 = -1\nr8 = 5\nr0 = 0\n")) + bytes((0x8D, 0, 0, 0, 8, 0, 0, 0))
    assert careful.run(code + encode(assemble("r0 = 2\nexit"))) == 2
    wide = encode(assemble("r0 = 0x8 ll\nexit"))
    assert careful.run(wide) == 8  # the second half of a wide load is no instruction


def test_a_program_has_a_million_slots_at_most(careful):
    with pytest.raises(RuntimeFault, match="1,000,000 slots"):
        careful.run(b"\x07\0\0\0\1\0\0\0" * 1_000_000 + b"\x95" + bytes(7))
