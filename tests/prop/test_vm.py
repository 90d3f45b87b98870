"""Every engine of the user-space machine gives the same for random programs: r0 and the memory."""

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.prop.randomvm import MEMORY_BYTES, program

from cygnet.isa.disasm import listing
from cygnet.isa.encode import decode
from cygnet.vm.engines import engine_of
from cygnet.vm.host import Host
from cygnet.vm.program import Program

ENGINES = {"interpreter": False, "python": False, "jit": False, "jit unsafe": True}
EXAMPLES = int(os.environ.get("CYGNET_FUZZ", "500"))
LIFE = 250  # programs that a host sees


class Place:
    """An engine in a host of its own, and the memory that programs get."""

    def __init__(self, name):
        self.host = Host(seed=1)
        self.engine = engine_of(name.split()[0], self.host, ENGINES[name])
        self.block = self.host.memory.block(MEMORY_BYTES, "memory")

    def run(self, code, memory):
        self.block.view[:] = memory
        r0 = self.engine.run(Program(code), self.block.address, MEMORY_BYTES)
        return hex(r0), bytes(self.block.view).hex()


class Places:
    """One of each engine, made anew from time to time."""

    def __init__(self):
        self.left, self.places = 0, {}

    def agree(self, code, memory):
        if not self.left:
            self.close()
            self.left, self.places = LIFE, {name: Place(name) for name in ENGINES}
        self.left -= 1
        found = {name: place.run(code, memory) for name, place in self.places.items()}
        assert len(set(found.values())) == 1, f"{found}\n{listing(decode(code))}"

    def close(self):
        for place in self.places.values():
            place.host.close()


@pytest.fixture(scope="module")
def places():
    made = Places()
    yield made
    made.close()


@st.composite
def programs(draw):
    return program(lambda low, high: draw(st.integers(low, high)))


def test_engines_agree(places):
    @settings(max_examples=min(EXAMPLES, 500) // 5, deadline=None)
    @given(programs(), st.binary(min_size=MEMORY_BYTES, max_size=MEMORY_BYTES))
    def agree(code, memory):
        places.agree(code, memory)

    agree()


@pytest.mark.parametrize("part", range(10))
def test_engines_agree_on_many(places, part):
    for number in range(EXAMPLES // 10):
        rng = random.Random(part * 1_000_000 + number)
        places.agree(program(rng.randint), rng.randbytes(MEMORY_BYTES))
