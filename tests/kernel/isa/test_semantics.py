"""The semantics column, computed here, against the same instructions run by the kernel."""

import random
import struct

from cygnet.isa.encode import encode
from cygnet.isa.insn import Insn, ld_imm64
from cygnet.isa.opcodes import illegal, rows
from cygnet.isa.semantics import NAMESPACE, evaluator

M64 = (1 << 64) - 1
EDGES = (0, 1, 2, 7, 31, 32, 63, 64, 0x7F, 0x80, 0x7FFF, 0x8000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32)
WIDE = (*EDGES, (1 << 63) - 1, 1 << 63, M64, M64 - 6, 0xFFFFFFFF80000000, 0x0123456789ABCDEF, 0xFEDCBA9876543210)
IMMEDIATES = (0, 1, -1, 7, -7, 31, 32, 63, 64, 255, 0x7FFF, 0x7FFFFFFF, -0x80000000)


def cases():
    """(row, instruction on r2 and r3, first value, second value)"""
    rng = random.Random(6)
    for row in rows():
        if row.form not in ("alu", "jump") or row.group in ("linux", "kernel"):
            continue
        for _ in range(12):
            a, b = rng.choice(WIDE), rng.choice(WIDE)
            imm = rng.choice(IMMEDIATES) if row.fixed[3] is None else row.fixed[3]
            src = 3 if row.fixed[1] is None else 0
            off = 1 if row.fixed[2] is None else row.fixed[2]
            insn = Insn(row.code, 2, src, off, imm)
            if illegal(insn) is None:
                yield row, insn, a, b if src else imm & M64


def body(row, insn, cell):
    """r2 and r3 from the cell; the result, or whether the jump was taken, back into it; r6 is the map's value."""
    load = [Insn(0x79, 2, 6, cell), Insn(0x79, 3, 6, cell + 8)]
    if row.form == "alu":
        return [*load, insn, Insn(0x7B, 6, 2, cell)]
    return [*load, Insn(0xB7, 4, 0, 0, 1), insn, Insn(0xB7, 4, 0, 0, 0), Insn(0x7B, 6, 4, cell)]


def test_arithmetic_and_conditions(rawbpf):
    todo = list(cases())
    assert len(todo) > 900
    for begin in range(0, len(todo), 500):
        part = todo[begin : begin + 500]
        fd = rawbpf.array(16 * len(part))
        program = list(ld_imm64(6, fd, 2))
        for index, (row, insn, _, _) in enumerate(part):
            program += body(row, insn, 16 * index)
        program += [Insn(0xB7, 0), Insn(0x95)]
        rawbpf.write(fd, b"".join(struct.pack("=QQ", a, b) for _, _, a, b in part))
        prog, _ = rawbpf.load(encode(program), log_level=0)
        assert prog >= 0, rawbpf.load(encode(program), log_level=1)[1][-2000:]
        rawbpf.run(prog)
        result = rawbpf.read(fd, 16 * len(part))
        for index, (row, insn, a, b) in enumerate(part):
            (theirs,) = struct.unpack_from("=Q", result, 16 * index)
            assert int(evaluator(row)(a, b)) == theirs, (row, insn, hex(a), hex(b))


def test_atomics_and_memory(rawbpf):
    """Old value, operand and r0 of each atomic; the memory afterwards and the register that gets the old value."""
    rng = random.Random(7)
    chosen = [row for row in rows() if row.form in ("atomic", "fetch", "cmpxchg", "load", "store")]
    chosen = [row for row in chosen if row.form != "packet"]
    fd = rawbpf.array(32 * len(chosen))
    program, given = list(ld_imm64(6, fd, 2)), []
    for index, row in enumerate(chosen):
        cell, imm = 32 * index, -5
        given.append((rng.choice(WIDE), rng.choice(WIDE), rng.choice(WIDE), 0))
        if row.form == "cmpxchg" and index % 2:
            given[-1] = (given[-1][0], given[-1][1], given[-1][0], 0)
        program += [Insn(0x79, 3, 6, cell + 8), Insn(0x79, 0, 6, cell + 16)]
        dst, src = (2, 6) if row.form == "load" else (6, 3)
        fixed = row.fixed
        program.append(Insn(row.code, dst, src if fixed[1] is None else 0, cell, imm if fixed[3] is None else fixed[3]))
        saved = {"load": 2, "fetch": 3, "cmpxchg": 0}.get(row.form)
        if saved is not None:
            program.append(Insn(0x7B, 6, saved, cell + 24))
    program += [Insn(0xB7, 0), Insn(0x95)]
    rawbpf.write(fd, b"".join(struct.pack("=QQQQ", *values) for values in given))
    prog, _ = rawbpf.load(encode(program), log_level=0)
    assert prog >= 0, rawbpf.load(encode(program), log_level=1)[1][-2000:]
    rawbpf.run(prog)
    result = rawbpf.read(fd, 32 * len(chosen))
    for index, (row, (memory, operand, r0, _)) in enumerate(zip(chosen, given)):
        mask = (1 << row.bits) - 1
        old, second = memory & mask, operand & mask
        if row.form == "store" and row.fixed[3] is None:
            second = -5
        value = eval(row.semantics.format(m=old, s=second, d=0, r0=r0), dict(NAMESPACE))
        after = memory if row.form == "load" else (memory & ~mask) | value & mask
        register = {"load": value, "fetch": old, "cmpxchg": old}.get(row.form, 0)
        now = struct.unpack_from("=QQQQ", result, 32 * index)
        assert (now[0], now[3]) == (after, register), (row, hex(memory), hex(operand), hex(r0))
