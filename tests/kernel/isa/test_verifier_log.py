"""The verifier's own print of every instruction of the table, against ours.

The verifier prints an instruction before it judges it, so a program it refuses will do.
"""

import random
import re
import subprocess
from pathlib import Path

from cygnet.isa.asm import assemble
from cygnet.isa.disasm import insn_text, listing
from cygnet.isa.encode import encode
from cygnet.isa.insn import Insn
from cygnet.isa.opcodes import illegal, rows

# refused before the verifier walks the program, hence never printed
UNPRINTED = {"nospec", "callx"}


def instance(row, rng):
    """An instruction of `row` with random operands; jumps and branches skip one slot."""
    branch = row.form in ("jump", "goto")
    values = {
        "dst": rng.randrange(10),
        "src": rng.randrange(10),
        "off": 1 if branch else rng.randrange(-0x8000, 0x8000),
        "imm": 1 if row.form == "goto" else rng.choice([1, 31, -7]),
    }
    fields = ("dst", "src", "off", "imm")
    return Insn(row.code, *(values[field] if fixed is None else fixed for field, fixed in zip(fields, row.fixed)))


def printed(rawbpf, slots):
    # what follows a goto or an exit must be reachable all the same
    program = [*slots, Insn(0xB7, 0), Insn(0x95)]
    if slots[0].code in (0x05, 0x06, 0x95):
        program = [Insn(0x15, 1, 0, 1, 0), *program]
    _, log = rawbpf.load(encode(program))
    at = len(program) - len(slots) - 2
    found = re.search(rf"^{at}: \((..)\) (.*?)(?: +; .*)?$", log, re.M)
    return (int(found[1], 16), found[2]) if found else log


def helper_name(number):
    return {1: "bpf_map_lookup_elem", 31: "bpf_skb_change_proto"}.get(number)


def test_every_row_reads_as_the_verifier_prints_it(rawbpf):
    rng = random.Random(9669)
    missed = {}
    for row in rows():
        if row.form == "call" or (row.wide and row.fixed[1] != 0):  # these need a function or an object
            continue
        first = instance(row, rng)
        slots = [first, Insn(0, 0, 0, 0, 5)] if row.wide else [first]
        ours = insn_text(*slots, helper_name=helper_name, kernel=True)
        theirs = printed(rawbpf, slots)
        if theirs != (row.code, ours):
            missed[row.name] = (ours, theirs)
    assert set(missed) == UNPRINTED, missed


def test_calls_read_as_the_verifier_prints_them(rawbpf):
    from cygnet.btf.reader import Btf

    kfunc = "bpf_rdonly_cast"
    number = Btf.kernel().find(kfunc).id
    for insn, names in ((Insn(0x85, 0, 0, 0, 1), helper_name), (Insn(0x85, 0, 2, 0, number), {number: kfunc}.get)):
        assert printed(rawbpf, [insn]) == (0x85, insn_text(insn, helper_name=names, kfunc_name=names, kernel=True))
    program = assemble("call f\nexit\nf: r0 = 1\nexit")
    _, log = rawbpf.load(encode(program))
    assert "0: (85) call pc+1\n" in log
    assert insn_text(program[0], kernel=True) == "call pc+1"


def test_a_whole_program_reads_as_the_log_and_as_bpftool(rawbpf):
    text = """
        r6 = r1
        r2 = 0
        *(u64 *)(r10 -8) = r2
        r1 = 0x123456789a ll
        lock *(u64 *)(r10 -8) += r1
        r1 = atomic64_fetch_or((u64 *)(r10 -8), r1)
        r1 = load_acquire((u64 *)(r10 -8))
        w3 = (s8)w1
        if w3 s< 5 goto done
        r1 = bswap32 r1
        r1 s/= 7
        r1 <<= 3
        may_goto done
        gotol done
    done:
        call f
        call bpf_ktime_get_ns#5
        r0 = 0
        exit
    f:  r0 = 2
        r0 = 1
        exit
    """
    insns = assemble(text)
    fd, log = rawbpf.load(encode(insns))
    assert fd >= 0, log
    printed = dict(re.findall(r"^(\d+): (\(..\) .*?)(?: +; .*)?$", log, re.M))
    ours = dict(
        line.strip().split(": ", 1)
        for line in listing(insns, helper_name={5: "bpf_ktime_get_ns"}.get, kernel=True).splitlines()
    )
    assert printed.items() <= ours.items()
    assert len(printed) > 12
    # the log reads back: what the verifier visited assembles to what was given
    for slot, line in printed.items():
        if "(18)" not in line and "(85)" not in line:
            assert assemble(line.split(") ", 1)[1]) == [insns[int(slot)]]


def test_bpftool_prints_the_loaded_program_alike(rawbpf):
    """bpftool prints with the kernel's disassembler; its xlated dump comes from the running kernel."""
    text = "r1 = 5\nr2 = r1\nr2 s>>= 3\nw2 *= w1\nr2 = be32 r2\n*(u32 *)(r10 -4) = r2\n"
    text += "r0 = *(u32 *)(r10 -4)\nlock *(u32 *)(r10 -4) += r0\nif r0 == 0x7 goto pc+1\nr0 = 0\nexit\n"
    insns = assemble(text)
    fd, log = rawbpf.load(encode(insns))
    assert fd >= 0, log
    info = Path(f"/proc/self/fdinfo/{fd}").read_text()
    prog_id = re.search(r"prog_id:\s*(\d+)", info)[1]
    shown = subprocess.run(
        ["bpftool", "prog", "dump", "xlated", "id", prog_id], capture_output=True, text=True, check=True
    )
    theirs = [line.strip() for line in shown.stdout.splitlines()]
    assert theirs == [line.strip() for line in listing(insns, kernel=True).splitlines()]
    assert assemble(shown.stdout) == insns


def test_legality_agrees_with_the_verifier(rawbpf):
    """`illegal` refuses nothing the kernel accepts, and everything it refuses for the instruction alone."""
    cases = {
        "r1 = 1\nr1 <<= 63": True,
        "r1 = 1\nr1 <<= 64": False,
        "r1 = 1\nw1 >>= 32": False,
        "r1 = 1\nr1 s>>= -1": False,
        "r1 = 1\nr1 /= 0": False,
        "r1 = 1\nr1 s%= 0": False,
        "r1 = 1\nw1 %= 5": True,
        "r10 = 1": False,
        ".insn 0xb7, 11, 0, 0, 1": False,
        "r1 = 1\n.insn 0xb7, 1, 1, 0, 0": False,
        "r1 = 1\n.insn 0xb7, 1, 0, 3, 0": False,
        "r1 = 1\n.insn 0xbf, 2, 1, 24, 0": False,
        "r1 = 1\n.insn 0x3f, 1, 1, 2, 0": False,
        "r1 = 1\n.insn 0xd7, 1, 0, 0, 8": False,
        "r1 = 1\n.insn 0xdb, 10, 1, -8, 0x20": False,
        "r1 = 1\n.insn 0x8d, 1, 0, 0, 0": False,
        "r1 = 1\n.insn 0xff, 1, 0, 0, 0": False,
        "r1 = r10\nr1 += -8": True,
    }
    for text, good in cases.items():
        insns = assemble(text + "\nr0 = 0\nexit")
        fd, log = rawbpf.load(encode(insns))
        assert (fd >= 0) is good, (text, log)
        assert all(illegal(insn) is None for insn in insns) is good, text
