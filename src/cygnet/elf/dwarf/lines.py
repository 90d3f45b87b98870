"""Line programs (.debug_line): the addresses of a source line."""

from __future__ import annotations

from cygnet.elf.dwarf import numbers as n
from cygnet.elf.dwarf.cursor import Cursor, guarded
from cygnet.errors import ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NamedTuple

    from cygnet.elf.dwarf.info import Dwarf
else:
    from cygnet.named import NamedTuple

_PATH, _DIRECTORY = 1, 2  # DW_LNCT_path, DW_LNCT_directory_index


class Row(NamedTuple):
    """From `address` on, the code is of `line` and `column` (from 1; 0: unknown) of file number `file`."""

    address: int
    file: int
    line: int
    column: int
    is_stmt: bool


class Program:
    """One line program. `files` are paths by number, as far as the table gives them."""

    __slots__ = (
        "_cursor",
        "_end",
        "_stmt",
        "_text",
        "files",
        "lengths",
        "line_base",
        "line_range",
        "little",
        "min_bytes",
        "next",
        "offset_bytes",
        "opcode_base",
        "version",
    )  # fmt: skip

    def __init__(self, dwarf: Dwarf, offset: int) -> None:
        cursor = self._cursor = dwarf.cursor(".debug_line", offset)
        self._text = dwarf.text
        self.little = cursor.little
        length, self.offset_bytes = cursor.initial_length()
        self.next = self._end = cursor.at + length
        self.version = cursor.uint(2)
        if not 2 <= self.version <= 5:
            raise ElfError(f"a line table has version {self.version}, which is unknown", offset)
        if self.version >= 5:
            cursor.at += 2  # sizes of addresses and of segment selectors
        header = cursor.uint(self.offset_bytes)
        start = cursor.at + header
        self.min_bytes = cursor.uint(1)
        cursor.at += self.version >= 4  # operations of one instruction: 1, but on machines for which this is not made
        self._stmt = cursor.uint(1) != 0
        self.line_base, self.line_range, self.opcode_base = cursor.sint(1), cursor.uint(1) or 1, cursor.uint(1)
        self.lengths = [cursor.uint(1) for _ in range(self.opcode_base - 1)]
        self.files = self._files5(cursor) if self.version >= 5 else self._files(cursor)
        cursor.at = start

    def _files(self, cursor: Cursor) -> list[str]:
        folders, files = [""], [""]
        while folder := cursor.string():
            folders.append(folder)
        while name := cursor.string():
            at = cursor.uleb()
            cursor.uleb()
            cursor.uleb()
            files.append(_joined(folders[at] if at < len(folders) else "", name))
        return files

    def _files5(self, cursor: Cursor) -> list[str]:
        folders = [str(row.get(_PATH, "")) for row in self._table(cursor)]
        found = []
        for row in self._table(cursor):
            at = row.get(_DIRECTORY, 0)
            folder = folders[at] if at < len(folders) else ""
            if folder and not folder.startswith("/") and at:
                folder = _joined(folders[0], folder)
            found.append(_joined(folder, str(row.get(_PATH, ""))))
        return found

    def _table(self, cursor: Cursor) -> list[dict[int, Any]]:
        formats = [(cursor.uleb(), cursor.uleb()) for _ in range(cursor.uint(1))]
        count = cursor.uleb()
        if not formats:  # nothing is said of any of them
            return []
        return [{kind: self._field(cursor, form) for kind, form in formats} for _ in range(count)]

    def _field(self, cursor: Cursor, form: int) -> Any:
        if form == n.FORM_STRING:
            return cursor.string()
        if form in (n.FORM_LINE_STRP, n.FORM_STRP):
            section = ".debug_line_str" if form == n.FORM_LINE_STRP else ".debug_str"
            return self._text(section, cursor.uint(self.offset_bytes))
        if form == n.FORM_UDATA:
            return cursor.uleb()
        if form == n.FORM_BLOCK:
            return cursor.take(cursor.uleb())
        size = {n.FORM_DATA1: 1, n.FORM_DATA2: 2, n.FORM_DATA4: 4, n.FORM_DATA8: 8, n.FORM_DATA16: 16}.get(form)
        if size is None:
            raise ElfError(f"a line table has a form {form:#x}, which is unknown", cursor.at)
        return cursor.uint(size)

    def code(self) -> bytes:
        """The program itself, behind its header. Ask before `rows`, which moves on in it."""
        cursor = self._cursor
        return bytes(cursor.data[cursor.at : self._end])

    def rows(self) -> Iterator[Row]:
        """The table, row by row (DWARF 5, section 6.2.5). A row with line 0 ends a sequence."""
        cursor, end, min_bytes = self._cursor, self._end, self.min_bytes
        line_base, line_range, opcode_base = self.line_base, self.line_range, self.opcode_base
        address, file, line, column, stmt = 0, 1, 1, 0, self._stmt
        while cursor.at < end:
            op = cursor.uint(1)
            if op >= opcode_base:
                op -= opcode_base
                address += op // line_range * min_bytes
                line += line_base + op % line_range
                yield Row(address, file, line, column, stmt)
            elif op == 0:
                size = cursor.uleb()
                after = cursor.at + size
                kind = cursor.uint(1)
                if kind == 1:  # end_sequence
                    yield Row(address, file, 0, 0, False)
                    address, file, line, column, stmt = 0, 1, 1, 0, self._stmt
                elif kind == 2:  # set_address
                    address = cursor.uint(size - 1)
                cursor.at = after
            elif op == 1:
                yield Row(address, file, line, column, stmt)
            elif op == 2:
                address += cursor.uleb() * min_bytes
            elif op == 3:
                line += cursor.sleb()
            elif op == 4:
                file = cursor.uleb()
            elif op == 5:
                column = cursor.uleb()
            elif op == 6:
                stmt = not stmt
            elif op == 8:
                address += (255 - opcode_base) // line_range * min_bytes
            elif op == 9:
                address += cursor.uint(2)
            else:  # of the others only the operands matter here
                for _ in range(self.lengths[op - 1]):
                    cursor.uleb()


def _joined(folder: str, name: str) -> str:
    return name if not folder or name.startswith("/") else f"{folder}/{name}"


def programs(dwarf: Dwarf) -> Iterator[Program]:
    """Every line program of the file."""
    at, size = 0, len(dwarf.section(".debug_line"))
    while at < size:
        program = Program(dwarf, at)
        yield program
        at = program.next


def same_file(path: str, wanted: str) -> bool:
    """Whether `wanted` is the path or its last parts."""
    return path == wanted or path.endswith("/" + wanted.removeprefix("./"))


@guarded
def line_addresses(dwarf: Dwarf, file: str, line: int, column: int = 0) -> tuple[list[int], set[int], set[str]]:
    """(addresses where code of that line begins, all lines of the file that have code, the files that were meant)."""
    found: list[int] = []
    lines: set[int] = set()
    paths: set[str] = set()
    for program in programs(dwarf):
        numbers = {number for number, path in enumerate(program.files) if same_file(path, file)}
        if not numbers:
            continue
        paths.update(program.files[number] for number in numbers)
        for row in program.rows():
            if row.file not in numbers or not row.line or not row.is_stmt or not row.address:
                continue
            lines.add(row.line)
            if row.line == line and column in (0, row.column):
                found.append(row.address)
    return sorted(set(found)), lines, paths
