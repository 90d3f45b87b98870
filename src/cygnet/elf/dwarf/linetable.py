"""The line program of one unit, made a table from addresses to places in source files."""

from __future__ import annotations

from bisect import bisect_right

from cygnet.elf.dwarf.lines import Program
from cygnet.errors import ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.elf.dwarf.info import Dwarf

    Line = tuple[int, int, int]  # address, number of the file, line (from 1; 0: unknown)
    Sequence = list[Line]

_NO_FILE = -1  # the file of a line that marks where the code of a sequence ends


class LineTable:
    """`find(address)`. `folder` is where the unit was compiled: what its relative paths begin at."""

    __slots__ = ("_files", "_folder", "_lines", "_starts")

    def __init__(self, dwarf: Dwarf, offset: int, folder: str) -> None:
        program = Program(dwarf, offset)
        self._files = program.files
        self._folder = folder if program.version < 5 else ""  # from 5 on the table's own first folder is that
        # What the linker dropped is left at address 0.
        sequences = sorted([one for one in _sequences(program) if one[0][0]], key=lambda one: one[0][0])
        self._lines = [line for one in sequences for line in one]
        self._starts = [line[0] for line in self._lines]

    def find(self, address: int) -> tuple[str, int] | None:
        """(path, line) of the code at an address; None when the table has none there."""
        at = bisect_right(self._starts, address) - 1
        if at < 0:
            return None
        _, file, line = self._lines[at]
        return None if file < 0 or not line else (self.path(file), line)

    def path(self, number: int) -> str:
        """The path of a file by its number; empty when there is no such number."""
        name = self._files[number] if 0 <= number < len(self._files) else ""
        return f"{self._folder}/{name}" if name and self._folder and not name.startswith("/") else name


def _sequences(program: Program) -> list[Sequence]:
    """Runs of lines with rising addresses, each closed by one of file _NO_FILE.

    As `Program.rows` (DWARF 5, section 6.2.5), but for whole tables: a third of its time.
    """
    code, opcode_base, lengths = program.code(), program.opcode_base, program.lengths
    min_bytes, little = program.min_bytes, program.little
    # What a special opcode adds to the address and to the line.
    steps = [
        (special // program.line_range * min_bytes, program.line_base + special % program.line_range)
        for special in range(256 - opcode_base)
    ]
    leap = steps[255 - opcode_base][0] if opcode_base <= 255 else 0
    found: list[Sequence] = []
    run: Sequence = []
    address, file, line, at, size = 0, 1, 1, 0, len(code)
    while at < size:
        op = code[at]
        at += 1
        if op >= opcode_base:
            more, down = steps[op - opcode_base]
            address += more
            line += down
            run.append((address, file, line))
        elif op == 1:  # copy
            run.append((address, file, line))
        elif op == 8:  # const_add_pc
            address += leap
        elif op == 0:
            length, at = _uleb(code, at)
            kind = code[at] if length else 0
            if kind == 1:  # end_sequence
                run.append((address, _NO_FILE, 0))
                found.append(run)
                run = []
                address, file, line = 0, 1, 1
            elif kind == 2:  # set_address
                address = int.from_bytes(code[at + 1 : at + length], "little" if little else "big")
            at += length
        elif op == 9:  # fixed_advance_pc
            address += int.from_bytes(code[at : at + 2], "little" if little else "big")
            at += 2
        else:
            for _ in range(lengths[op - 1]):
                start = at
                operand, at = _uleb(code, at)
                if op == 2:
                    address += operand * min_bytes
                elif op == 3:
                    bits = 7 * (at - start)
                    line += operand - (1 << bits) if operand >> (bits - 1) & 1 else operand
                elif op == 4:
                    file = operand
    return found


def _uleb(code: bytes, at: int) -> tuple[int, int]:
    """(number, where the next byte is)."""
    byte = code[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = code[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
        if shift > 70:
            raise ElfError("a number of debug information is too long", at)
