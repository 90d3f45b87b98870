"""One run of one program, by the engine that is asked for."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.vm.host import Host
    from cygnet.vm.program import Program

    Run = Callable[[Host, Program, int, int], int]


def run_once(program: Program, memory: bytes | bytearray, engine: str, unsafe: bool, budget: int | None) -> int:
    """A machine of its own for one run; the memory is its packet too."""
    from cygnet.vm.host import Host

    run = engine_of(engine, unsafe)
    with Host(budget=budget) as host:
        address = 0
        if memory:
            block = host.memory.block(len(memory), "memory")
            block.view[:] = memory
            address = block.address
            host.packet = (address, len(memory))
        result = run(host, program, address, len(memory))
        if memory and isinstance(memory, bytearray):
            memory[:] = block.view
    return result


def engine_of(name: str, unsafe: bool = False) -> Run:
    """The function that runs a program in a host: (host, program, r1, r2) → r0."""
    if name == "interpreter":
        return _interpret
    raise ValueError(f"there is no engine {name!r}: jit, python or interpreter")


def _interpret(host: Host, program: Program, r1: int, r2: int) -> int:
    from cygnet.vm.interpreter import Execution

    return Execution(host, program, r1, r2).run()
