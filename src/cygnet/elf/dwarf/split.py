"""Debug information that the compiler left in files of its own (``-gsplit-dwarf``): .dwo files, or one .dwp of all.

The binary has a skeleton of each unit: its addresses, and where the rest is (DWARF 5, sections 3.1.2 and 7.3.5).
"""

from __future__ import annotations

import os

from cygnet.elf.dwarf import numbers as n
from cygnet.elf.dwarf.info import Dwarf
from cygnet.errors import ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.elf import Elf
    from cygnet.elf.dwarf.cursor import Buffer
    from cygnet.elf.dwarf.info import Unit

#: the columns of a package's index that are used (DWARF 5, table 7.1)
_COLUMNS = {1: ".debug_info", 3: ".debug_abbrev", 6: ".debug_str_offsets", 8: ".debug_rnglists"}
_MOST_UNITS = 1 << 20


class SplitDwarf(Dwarf):
    """What belongs to one skeleton. Addresses are looked up in the binary, the rest in the other file; `parts` says
    which bytes of a section are this unit's (of a package)."""

    __slots__ = ("addr_base", "parts", "skeleton")

    def __init__(self, elf: Elf, skeleton: Unit, parts: dict[str, tuple[int, int]]) -> None:
        super().__init__(elf)
        self.skeleton = skeleton
        self.addr_base = skeleton.addr_base
        self.parts = parts

    def section(self, name: str) -> Buffer:
        if name == ".debug_addr":
            return self.skeleton.dwarf.section(name)
        if name not in self._sections:
            section = self.elf.section(f"{name}.dwo")
            view = b"" if section is None else self.elf.view(section)
            start, size = self.parts.get(name, (0, len(view)))
            self._sections[name] = view[start : start + size]
        return self._sections[name]


def whole_unit(skeleton: Unit) -> Unit | None:
    """The unit that a skeleton stands for; None when its file is not found, or is another compilation's."""
    name, identity = dwo_name(skeleton), skeleton.identity
    if not name:
        return None
    for path in _places(skeleton, name):
        unit = _unit_in(path, skeleton, identity)
        if unit is not None:
            return unit
    return None


def dwo_name(unit: Unit) -> str:
    """The file that has the rest of a unit; empty for a unit that is whole."""
    return str(unit.root().get(n.AT_DWO_NAME) or "")


def _places(skeleton: Unit, name: str) -> Iterator[str]:
    """Where the compiler wrote it; beside the binary; and the package that was made of all of them."""
    binary = skeleton.dwarf.elf.path
    yield os.path.join(skeleton.root().get(n.AT_COMP_DIR) or "", name)
    if binary:
        yield os.path.join(os.path.dirname(binary), os.path.basename(name))
        yield f"{binary}.dwp"


def _unit_in(path: str, skeleton: Unit, identity: int) -> Unit | None:
    from cygnet.elf.reader import Elf

    try:
        elf = Elf.open(path)
        packed = elf.section(".debug_cu_index")
        parts = {} if packed is None else _parts(elf, identity)
        if parts is None:
            return None
        units = SplitDwarf(elf, skeleton, parts).units()
        return next((unit for unit in units if unit.identity == identity), None)
    except (ElfError, OSError):  # without it there are no types; the functions' names still serve
        return None


def _parts(elf: Elf, identity: int) -> dict[str, tuple[int, int]] | None:
    """Section → (start, size) of a unit in a package, by the hash table of its index; None when it is not there."""
    cursor = Dwarf(elf).cursor(".debug_cu_index", 0)
    version = cursor.uint(2)
    cursor.at = 4
    columns, units, slots = cursor.uint(4), cursor.uint(4), cursor.uint(4)
    if version != 5 or units > _MOST_UNITS or slots > 2 * _MOST_UNITS or columns > 16:
        return None
    row = 0
    for slot in range(slots):
        cursor.at = 16 + 8 * slot
        if cursor.uint(8) == identity:
            cursor.at = 16 + 8 * slots + 4 * slot
            row = cursor.uint(4)
    if not 0 < row <= units:
        return None
    names = 16 + 12 * slots
    parts = {}
    for column in range(columns):
        numbers = []
        for at in (column, columns * row + column, columns * (units + row) + column):
            cursor.at = names + 4 * at
            numbers.append(cursor.uint(4))
        if numbers[0] in _COLUMNS:
            parts[_COLUMNS[numbers[0]]] = (numbers[1], numbers[2])
    return parts
