"""One run of one program, by the engine that is asked for."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.calls import Engine
    from cygnet.vm.host import Host
    from cygnet.vm.program import Program


def run_once(program: Program, memory: bytes | bytearray, engine: str, unsafe: bool, budget: int | None) -> int:
    """A machine of its own for one run; the memory is its packet too."""
    from cygnet.vm.host import Host

    with Host(budget=budget) as host:
        run = engine_of(engine, host, unsafe).run
        address = 0
        if memory:
            block = host.memory.block(len(memory), "memory")
            block.view[:] = memory
            address = block.address
            host.packet = (address, len(memory))
        result = run(program, address, len(memory))
        if memory and isinstance(memory, bytearray):
            memory[:] = block.view
    return result


def engine_of(name: str, host: Host, unsafe: bool = False) -> Engine:
    """What runs programs in a host, by its name: jit, python or interpreter. ValueError for any other; NotSupported
    where there is no machine code for this processor. `unsafe` is for machine code."""
    if name == "jit":
        from cygnet.vm.jit.engine import Jit

        jit = Jit(host, unsafe)
        host.closing.append(jit.close)
        return jit
    if name == "python":
        from cygnet.vm.translate.engine import Translator

        translator = Translator(host)
        host.closing.append(translator.close)
        return translator
    if name == "interpreter":
        from cygnet.vm.interpreter import Interpreter

        return Interpreter(host)
    raise ValueError(f"there is no engine {name!r}: jit, python or interpreter")
