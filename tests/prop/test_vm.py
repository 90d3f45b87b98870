"""Every engine of the user-space machine gives the same for random programs: r0 and the memory."""

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.prop.randomvm import MEMORY_BYTES, program

from cygnet.isa.disasm import listing
from cygnet.isa.encode import decode
from cygnet.vm import run

ENGINES = [("interpreter", False), ("python", False), ("jit", False), ("jit", True)]
EXAMPLES = int(os.environ.get("CYGNET_FUZZ", "500"))


def results(code, memory):
    found = {}
    for engine, unsafe in ENGINES:
        block = bytearray(memory)
        r0 = run(code, block, engine=engine, unsafe=unsafe)
        found[f"{engine}{' unsafe' if unsafe else ''}"] = (hex(r0), block.hex())
    return found


def agree(code, memory):
    found = results(code, memory)
    assert len(set(found.values())) == 1, f"{found}\n{listing(decode(code))}"


@st.composite
def programs(draw):
    return program(lambda low, high: draw(st.integers(low, high)))


@settings(max_examples=min(EXAMPLES, 500) // 5, deadline=None)
@given(programs(), st.binary(min_size=MEMORY_BYTES, max_size=MEMORY_BYTES))
def test_engines_agree(code, memory):
    agree(code, memory)


@pytest.mark.parametrize("part", range(10))
def test_engines_agree_on_many(part):
    for number in range(EXAMPLES // 10):
        rng = random.Random(part * 1_000_000 + number)
        agree(program(rng.randint), rng.randbytes(MEMORY_BYTES))
