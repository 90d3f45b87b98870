"""The table of helper functions: by number, a Python function, and for hot ones BPF assembly.

A helper in Python is written once, in a module of this room::

    @helper("ktime_get_ns")
    def ktime_get_ns(machine: Host) -> int:
        return machine.now_ns()

It takes the machine and as many of r1 to r5 as it names (unsigned 64-bit numbers), and gives r0, which may
be negative. It looks at memory through `machine.memory.regions` first (`machine.readable`, `machine.writable`),
raises HelperFault for an argument that no verifier would let through, and gives an error number as the kernel does
for what may happen.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from cygnet.facts.helpers import helper_id, helper_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Function = Callable[..., int]

_table: dict[int, Helper] = {}
_loaded = False


class Helper:
    """One helper: `function` takes the machine and `arity` arguments."""

    __slots__ = ("arity", "function", "name", "number")

    def __init__(self, number: int, name: str, function: Function) -> None:
        self.number = number
        self.name = name
        self.function = function
        self.arity: int = function.__code__.co_argcount - 1

    def __repr__(self) -> str:
        return f"<Helper {self.name}#{self.number}>"


def helper(name: str | int) -> Callable[[Function], Function]:
    """Enter the decorated function as helper `name` (without ``bpf_``), or under a number of one's own."""

    def enter(function: Function) -> Function:
        number = name if isinstance(name, int) else helper_id(name)
        if number is None:
            raise LookupError(f"there is no helper {name!r}")
        shown = helper_name(number) if isinstance(name, str) else None
        _table[number] = Helper(number, shown or f"helper#{number}", function)
        return function

    return enter


def table() -> dict[int, Helper]:
    """Every helper by number; the modules of this room are imported on the first call."""
    global _loaded
    if not _loaded:
        package = import_module("cygnet.vm.helpers")
        for module in iter_modules(package.__path__):
            import_module(f"cygnet.vm.helpers.{module.name}")
        _loaded = True
    return _table
