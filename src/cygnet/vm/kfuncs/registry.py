"""The table of kernel functions: by name, a Python function of the machine and as many of r1 to r5 as it names.

A program calls a kernel function by a number that the machine gives to its name when the program is loaded. One that
is not simulated has a number too: only the call of it is a fault, since programs ask whether a function is there.
Functions that give an int give its 32 bits, as compiled C does; the rules for arguments are those of helpers.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from cygnet.errors import HelperFault
from cygnet.vm.helpers.registry import Helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.maps.memory import Arena

    Function = Callable[..., int]

_table: dict[str, Helper] = {}
_loaded = False


def kfunc(*names: str) -> Callable[[Function], Function]:
    """Enter the decorated function as the kernel functions of these names (without ``bpf_``)."""

    def enter(function: Function) -> Function:
        for name in names:
            _table[f"bpf_{name}"] = Helper(len(_table), f"bpf_{name}", function)
        return function

    return enter


def table() -> dict[str, Helper]:
    """Every kernel function by name; the modules of this room are imported on the first call."""
    global _loaded
    if not _loaded:
        package = import_module("cygnet.vm.kfuncs")
        for module in iter_modules(package.__path__):
            import_module(f"cygnet.vm.kfuncs.{module.name}")
        _loaded = True
    return _table


class Kfuncs:
    """The kernel functions that one machine's programs name, by number, and what they keep.

    bits       what iterators over bits have copied, by the iterator's address
    objects    of bpf_obj_new: address → [references, bytes]; `arenas` are where those of a size lie
    btf        of the object that the machine runs; it knows the sizes of objects
    """

    __slots__ = ("_known", "_numbers", "_sizes", "arenas", "bits", "btf", "objects")

    def __init__(self) -> None:
        self.bits: dict[int, int] = {}
        self.objects: dict[int, list[int]] = {}
        self.arenas: dict[int, Arena] = {}
        self.btf: bytes | None = None
        self._sizes: dict[int, int] = {}
        self._numbers: dict[str, int] = {}
        self._known: list[Helper | str] = []

    def number(self, name: str) -> int:
        """The number that a call has in its immediate."""
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self._known) + 1
            self._known.append(table().get(name, name))
        return number

    def type_size(self, number: int) -> int:
        """The bytes of a type of the object's BTF; 0 when there is none."""
        if number not in self._sizes:
            from cygnet.btf.reader import Btf

            found = Btf(self.btf).type(number) if self.btf else None
            self._sizes[number] = getattr(found, "size", 0) or 0
        return self._sizes[number]

    def find(self, number: int) -> Helper:
        """HelperFault, which names it, for one that is not simulated."""
        found = self._known[number - 1] if 0 < number <= len(self._known) else f"number {number}"
        if isinstance(found, str):
            raise HelperFault(f"kernel function {found} is not simulated")
        return found
