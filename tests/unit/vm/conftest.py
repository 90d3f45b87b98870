"""Engines to run programs with, each in a host of its own that its tests share."""

import pytest

from cygnet.vm.engines import engine_of
from cygnet.vm.host import Host
from cygnet.vm.program import Program

ENGINES = {
    "interpreter": ("interpreter", False),
    "python": ("python", False),
    "jit": ("jit", False),
    "unchecked": ("jit", True),
}


class Bench:
    """Runs programs over bytes, as `cygnet.vm.run` does."""

    def __init__(self, name, unsafe):
        self.name = "unchecked" if unsafe else name
        self.host = Host(seed=1)
        self.engine = engine_of(name, self.host, unsafe)

    def run(self, program, memory=b""):
        if not isinstance(program, Program):
            program = Program(program)
        block = self.host.memory.block(max(len(memory), 1), "memory") if memory else None
        try:
            if block is not None:
                block.view[:] = memory
            address = block.address if block else 0
            self.host.packet = (address, len(memory))
            return self.engine.run(program, address, len(memory))
        finally:
            if block is not None:
                self.host.memory.free(block)


@pytest.fixture(scope="module", params=ENGINES)
def bench(request):
    made = Bench(*ENGINES[request.param])
    yield made
    made.host.close()


@pytest.fixture(scope="module", params=["interpreter", "python", "jit"])
def careful(request):
    """The engines that check what programs do."""
    made = Bench(request.param, False)
    yield made
    made.host.close()
