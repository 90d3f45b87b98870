"""The BPF machine in user space: interpreter, translator to Python, machine code, and helper functions."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.vm.machine import Machine, VmProgram
    from cygnet.vm.program import Program
    from cygnet.vm.testrun import TestResult
    from cygnet.vm.world import World

ENGINES = ("jit", "python", "interpreter")

__all__ = ["ENGINES", "Machine", "Program", "TestResult", "VmProgram", "World", "run"]

_HOMES = {"Machine": "machine", "VmProgram": "machine", "Program": "program", "TestResult": "testrun", "World": "world"}


def __getattr__(name: str) -> Any:
    """The public classes, imported when they are first asked for."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cygnet.lazy import module

    return getattr(module(f"{__name__}.{home}"), name)


def run(
    code: bytes | Program,
    memory: bytes | bytearray = b"",
    *,
    engine: str = "jit",
    unsafe: bool = False,
    budget: int | None = None,
) -> int:
    """Run a program once: r1 is the address of `memory` (0 when it is empty), r2 its length; gives r0, unsigned.

    `code` is encoded instructions, little-endian. A `bytearray` as `memory` is given back what the program
    wrote. `unsafe` makes the machine code without its checks: a wrong program then ends the process.
    `budget` is how many instructions it may take; each engine has a default of some seconds' work.
    Raises RuntimeFault for a malformed program and for what it does wrong; ValueError for an unknown engine.
    """
    from cygnet.vm.engines import run_once
    from cygnet.vm.program import Program

    program = code if isinstance(code, Program) else Program(code)
    return run_once(program, memory, engine, unsafe, budget)
