"""Bytes that are no sensible program never bring Python down, whatever engine takes them; and engines agree."""

import os
import subprocess
import sys

import pytest

PROGRAMS = int(os.environ.get("CYGNET_FUZZ", "500"))

CHILD = r"""
import random, sys
from cygnet.errors import RuntimeFault
from cygnet.isa.encode import encode
from cygnet.isa.insn import Insn
from cygnet.isa.opcodes import rows
from cygnet.vm.engines import engine_of
from cygnet.vm.host import Host
from cygnet.vm.program import Program
from tests.prop.randomvm import program

rng = random.Random(int(sys.argv[1]))
ROWS = [row for row in rows() if row.group != "kernel"]

def nearly(rng):
    "Instructions of the table with random fields, whatever they mean together."
    out = []
    for _ in range(rng.randint(1, 30)):
        row = rng.choice(ROWS)
        imm = rng.choice((0, 1, 8, 12, -1, 64, rng.randint(-20, 20)))
        near = (rng.randint(0, 10), rng.randint(0, 10), rng.randint(-12, 12), imm)
        if rng.randint(0, 3) == 0:
            near = (rng.randint(0, 10), rng.choice((1, 10)), rng.randint(-520, 80), rng.randint(-2**31, 2**31 - 1))
        fields = [want if want is not None else value for want, value in zip(row.fixed, near)]
        out.append(Insn(row.code, *fields))
        if row.wide:
            out.append(Insn(0, 0, 0, 0, rng.randint(-5, 5)))
    return encode([*out, Insn(0x95)])

def damaged(rng):
    "A good program with some bytes changed."
    code = bytearray(program(rng.randint))
    for _ in range(rng.randint(1, 4)):
        code[rng.randrange(len(code))] = rng.randrange(256)
    return bytes(code)

def anything(rng):
    return rng.randbytes(8 * rng.randint(1, 12))

hosts = [Host(seed=1, budget=20_000) for _ in range(3)]
engines = [engine_of(name, host) for name, host in zip(("interpreter", "python", "jit"), hosts)]
blocks = [host.memory.block(64, "memory") for host in hosts]
for host, block in zip(hosts, blocks):
    host.packet = (block.address, 64)
ran = agreed = 0
for number in range(int(sys.argv[2])):
    code = (nearly, damaged, anything)[number % 3](rng)
    memory = rng.randbytes(64)
    kinds = []
    for engine, host, block in zip(engines, hosts, blocks):
        block.view[:] = memory
        try:
            engine.run(Program(code), block.address, 64)
            kinds.append("ended")
        except RuntimeFault as fault:
            kinds.append((type(fault).__name__, fault.pc if type(fault).__name__ != "BudgetExceeded" else 0))
    ran += 1
    # programs may look at addresses, which differ; where those decide, engines may too
    agreed += len(set(kinds)) == 1
print(ran, agreed)
"""


@pytest.mark.parametrize("part", range(4))
def test_python_survives(part):
    count = PROGRAMS // 2
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", CHILD, str(part), str(count)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ran, agreed = map(int, done.stdout.split())
    assert ran == count and agreed >= ran * 0.97
