"""Kernel symbols from /proc/kallsyms, read only as far as a question needs.

The kernel prints its own symbols in ascending order, then those of modules and BPF programs in no order. Printing all
takes it about 80 ms, so the text is taken in piece by piece, searched where it lies, and not split into lines.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

KALLSYMS_PATH = "/proc/kallsyms"
_PIECE = 1 << 17
_REREAD_S = 1.0  # a new BPF program or module is looked for at most that often
_LOWEST = 1 << 63  # kernel addresses have the top bit set; lower ones in the list are offsets of per-CPU data
_LARGEST_GAP = 1 << 20  # bytes after the last symbol of a module that still count as its own


class KernelSymbols:
    """`ksym(address)` and `address(name)`. Where the kernel hides addresses (kptr_restrict), both find nothing."""

    __slots__ = ("_at_end", "_core_end", "_data", "_fd", "_found", "_others", "_path", "_read_at", "_starts")

    def __init__(self, path: str = KALLSYMS_PATH) -> None:
        self._path = path
        self._fd = -1
        self._reset()

    def _reset(self) -> None:
        self.close()
        self._data = bytearray()
        self._at_end = False
        self._core_end = -1  # where the first symbol of a module stands, once known
        self._found: dict[int, tuple[str, int, str] | None] = {}
        self._others: list[tuple[int, str, str]] | None = None
        self._starts: list[int] = []
        self._read_at = 0.0

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # -- reading

    def _more(self) -> bool:
        """Read a piece; False at the end."""
        if self._at_end:
            return False
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
                self._read_at = monotonic()
            start = len(self._data)
            while len(self._data) - start < _PIECE and (part := os.read(self._fd, _PIECE)):
                self._data += part
        except OSError:
            self._at_end = True
            return False
        self._mark_modules(start)
        if len(self._data) - start < _PIECE:
            self._at_end = True
            self.close()
        return len(self._data) > start

    def _mark_modules(self, start: int) -> None:
        if self._core_end < 0:
            tab = self._data.find(b"\t", max(start - 1, 0))
            if tab >= 0:
                self._core_end = self._data.rfind(b"\n", 0, tab) + 1

    def load(self) -> None:
        """Read all there is: worth doing when there is time, before the first stack is printed."""
        while self._more():
            pass

    # -- by name

    def address(self, name: str) -> int | None:
        """Where the kernel's symbol of that name is; of several, the first in the list."""
        wanted, at = b" " + name.encode(), 0
        if not name or any(c in name for c in " \t\n"):
            return None
        while True:
            found = self._data.find(wanted, at)
            while found >= 0:
                after = self._data[found + len(wanted) : found + len(wanted) + 1]
                if after == b"\n" or after == b"\t":
                    value = self._parse(self._data.rfind(b"\n", 0, found) + 1)[0]
                    return value or None
                found = self._data.find(wanted, found + 1)
            at = max(len(self._data) - len(wanted) - 1, 0)
            if not self._more():
                return None

    def names(self) -> Iterator[str]:
        """Every name in the list, in its order."""
        self.load()
        for line in bytes(self._data).split(b"\n"):
            fields = line.split(None, 3)
            if len(fields) > 2:
                yield fields[2].decode("utf-8", "replace")

    # -- by address

    def ksym(self, address: int) -> tuple[str, int, str] | None:
        """(name, distance from its start, module or ""); of several names of one address, the first in the list."""
        try:
            return self._found[address]
        except KeyError:
            pass
        found = self._search(address) if address >= _LOWEST else None
        if self._may_be_new(address, found):
            self._reset()
            found = self._search(address)
        self._found[address] = found
        return found

    def _may_be_new(self, address: int, found: tuple[str, int, str] | None) -> bool:
        """Whether the address may lie in a module or program that was loaded after the list was read."""
        if address < _LOWEST or not self._at_end or monotonic() - self._read_at < _REREAD_S:
            return False
        return found is None or found[2] == "bpf" or found[2].startswith("__builtin")

    def _search(self, address: int) -> tuple[str, int, str] | None:
        while not self._covers(address) and self._more():
            pass
        found = self._in_core(address)
        if found is not None:
            return found
        self.load()
        return self._in_others(address)

    def _covers(self, address: int) -> bool:
        """Whether the part that was read goes beyond an address of the kernel proper."""
        if self._core_end >= 0 or self._at_end:
            return True
        last = self._data.rfind(b"\n", 0, max(self._data.rfind(b"\n"), 0)) + 1  # the last whole line
        return last > 0 and self._parse(last)[0] > address

    def _parse(self, at: int) -> tuple[int, int]:
        """The address on the line that starts there, and where its name starts."""
        space = self._data.find(b" ", at)
        try:
            return int(self._data[at:space], 16), space + 3
        except ValueError:
            return 0, len(self._data)

    def _core_limit(self) -> int:
        return self._core_end if self._core_end >= 0 else self._data.rfind(b"\n") + 1

    def _in_core(self, address: int) -> tuple[str, int, str] | None:
        data = self._data
        low, high = 0, self._core_limit()
        end = high
        if not high:
            return None
        while low < high:  # the first line whose address is larger
            middle = data.rfind(b"\n", low, (low + high) // 2)
            middle = low if middle < 0 else middle + 1
            if self._parse(middle)[0] > address:
                high = middle
            else:
                low = data.find(b"\n", middle, end) + 1 or end
        if low in (0, end):
            return None
        return self._core_symbol(low, address)

    def _core_symbol(self, above: int, address: int) -> tuple[str, int, str] | None:
        """The symbol before the line at `above`: the first of those that share its address."""
        data = self._data
        line = data.rfind(b"\n", 0, above - 1) + 1
        start, name = self._parse(line)
        if start < _LOWEST:
            return None
        while line:
            before = data.rfind(b"\n", 0, line - 1) + 1
            value, other = self._parse(before)
            if value != start:
                break
            line, name = before, other
        return data[name : data.find(b"\n", name)].decode("utf-8", "replace"), address - start, ""

    def _in_others(self, address: int) -> tuple[str, int, str] | None:
        others = self._others
        if others is None:
            others = self._others = self._read_others()
            self._starts = [row[0] for row in others]
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address - self._starts[index] >= _LARGEST_GAP:
            return None
        while index and self._starts[index - 1] == self._starts[index]:
            index -= 1
        start, name, module = others[index]
        return name, address - start, module

    def _read_others(self) -> list[tuple[int, str, str]]:
        rows = []
        if self._core_end >= 0:
            for line in self._data[self._core_end :].decode("utf-8", "replace").splitlines():
                fields = line.split()
                if len(fields) >= 3 and (start := int(fields[0], 16)):
                    rows.append((start, fields[2], fields[3].strip("[]") if len(fields) > 3 else ""))
        rows.sort(key=lambda row: row[0])
        return rows
