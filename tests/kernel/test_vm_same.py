"""The kernel gives what the case files say, and what our engines give for random programs, where it takes them."""

import random
import struct

import pytest
from tests.opcases import files
from tests.prop.randomvm import MEMORY_BYTES, build

from cygnet.errors import KernelVerifierError
from cygnet.isa.encode import encode
from cygnet.isa.insn import Insn, ld_imm64
from cygnet.kernel import progs
from cygnet.kernel.maps import KernelMap
from cygnet.kernel.rlimit import kernel_version
from cygnet.uapi import bpf
from cygnet.vm import run

VALUE_BYTES = 512
KEY = bytes(4)


@pytest.fixture(scope="module")
def cell():
    """A map of one value: the result in 8 bytes, then the program's memory."""
    with KernelMap.create(bpf.BPF_MAP_TYPE_ARRAY, 4, VALUE_BYTES, 1, name="vm_same") as made:
        yield made


def wrapped(insns, cell, size):
    """Call `insns` with the memory and its size, and keep r0 in the value's first 8 bytes."""
    call = [*ld_imm64(1, cell.fd | 8 << 32, 2), Insn(0xB7, 2, 0, 0, size), Insn(0x85, 0, 1, 0, 5)]
    keep = [*ld_imm64(1, cell.fd, 2), Insn(0x7B, 1, 0), Insn(0xB7, 0), Insn(0x95)]
    return encode([*call, *keep, *insns])


def kernel_run(code, cell, memory):
    """(r0, memory afterwards), or None when the kernel does not take the program."""
    try:
        program = progs.load(code, bpf.BPF_PROG_TYPE_SOCKET_FILTER, name="vm_same")
    except KernelVerifierError:
        return None
    with program:
        cell.update(KEY, (bytes(8) + memory).ljust(VALUE_BYTES, b"\0"))
        program.test_run(bytes(64))
        value = cell.lookup(KEY)
    return struct.unpack_from("=Q", value)[0], value[8 : 8 + len(memory)]


# how many cases of a file the kernel does not take: indirect calls, callbacks without types, dead code,
# loops that it cannot follow
REFUSED = {"lddw": 1, "call": 8, "jump": 3, "shapes": 1}
if kernel_version() < (6, 15):  # without loads that acquire and stores that release
    REFUSED |= {"ldx": 4, "st": 4}


@pytest.mark.parametrize("name", [name for name in files() if name != "packet"])
def test_cases(name, cell):
    taken, wrong = 0, []
    for case in files()[name]:
        result = kernel_run(wrapped(case.insns, cell, len(case.memory)), cell, case.memory)
        taken += result is not None
        if result is not None and result[0] != case.result:
            wrong.append(f"{case.title}: {result[0]:#x}, not {case.result:#x}")
    assert not wrong
    assert taken >= len(files()[name]) - REFUSED.get(name, 0)


def test_packet_cases():
    """Packet loads are of programs, not of functions in them; a filter sees what follows the Ethernet header."""
    taken = 0
    for case in files()["packet"]:
        try:
            program = progs.load(encode(case.insns), bpf.BPF_PROG_TYPE_SOCKET_FILTER)
        except KernelVerifierError:
            continue
        with program:
            taken += 1
            assert program.test_run(bytes(14) + case.memory).retval == case.result & 0xFFFFFFFF, case.title
    assert taken >= 7


def test_random_programs(cell):
    taken = 0
    for number in range(150):
        pick = random.Random(number)
        insns = build(pick.randint, [Insn(0xBF, 9, 1)], kernel=True)
        memory = pick.randbytes(MEMORY_BYTES)
        theirs = kernel_run(wrapped(insns, cell, MEMORY_BYTES), cell, memory)
        if theirs is not None:
            taken += 1
            block = bytearray(memory)
            ours = run(encode(insns), block, engine=("interpreter", "python", "jit")[number % 3])
            assert (hex(ours), block) == (hex(theirs[0]), theirs[1]), number
    assert taken > 30
