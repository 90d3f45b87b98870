"""Symbols of processes: which file an address lies in, and which function there."""

from __future__ import annotations

import os
from time import monotonic

from cygnet.session.symbols.maps import Mapping, ProcessMaps, read_maps
from cygnet.session.symbols.objects import MappedObject, open_mapped, open_vdso
from cygnet.session.symbols.perfmap import PerfMap, perf_map_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.elf.dwarf.framerules import Row

_RECHECK_S = 1.0  # how long what a process has mapped is taken for unchanged
_LARGEST_CACHE = 1 << 18  # addresses of one process
_MOST_PROCESSES = 1 << 13


class _Process:
    """What is known of one process: kept after it has ended."""

    __slots__ = ("checked_at", "found", "maps", "perf_map", "sources")

    def __init__(self) -> None:
        self.maps = ProcessMaps(b"")
        self.checked_at = float("-inf")
        self.found: dict[int, tuple[str, int, str] | None] = {}
        self.sources: dict[int, tuple[tuple[str, str], ...]] = {}
        self.perf_map: PerfMap | None = None

    def clear(self) -> None:
        self.found.clear()
        self.sources.clear()


class UserSymbols:
    """`resolve(pid, address)`. Files are opened once for all processes that map them.

    A process's mappings are read again when they are a second old; of one that has ended the last reading counts, so
    `remember(pid)` while it lives lets its stacks be named after its end. `layout`, as /proc/PID/maps, is what those
    are taken to have mapped that ended before any reading.
    """

    __slots__ = ("_demangle", "_layout", "_objects", "_processes")

    def __init__(self, demangle: bool = True, layout: bytes = b"") -> None:
        self._demangle = demangle
        self._layout = layout
        self._processes: dict[int, _Process] = {}
        self._objects: dict[tuple[str, int], MappedObject] = {}

    def remember(self, pid: int) -> bool:
        """Take down what a process has mapped and open those files; False when it cannot be looked at."""
        process = self._process(pid)
        self._check(pid, process)
        for mapping in process.maps.mappings:
            if mapping.inode or mapping.path == "[vdso]":
                self._object(pid, mapping)
        return bool(process.maps.mappings)

    def forget(self, pid: int) -> None:
        self._processes.pop(pid, None)

    def resolve(self, pid: int, address: int) -> tuple[str, int, str] | None:
        """(function, distance from its start, path of the mapped file) or None."""
        process = self._process(pid)
        if monotonic() - process.checked_at > _RECHECK_S:
            self._check(pid, process)
        try:
            return process.found[address]
        except KeyError:
            pass
        if len(process.found) >= _LARGEST_CACHE:
            process.found.clear()
        found = process.found[address] = self._search(pid, process, address)
        return found

    def source(self, pid: int, address: int) -> tuple[tuple[str, str], ...]:
        """(function, ``file:line``) of what was inlined at an address, the innermost first, and of the function
        there, last. Empty without debug information; a part that is not known is an empty text.

        For the address of a caller ask about the byte before it: that one belongs to the call.
        """
        process = self._process(pid)
        if monotonic() - process.checked_at > _RECHECK_S:
            self._check(pid, process)
        try:
            return process.sources[address]
        except KeyError:
            pass
        if len(process.sources) >= _LARGEST_CACHE:
            process.sources.clear()
        mapping = process.maps.find(address)
        held = self._object(pid, mapping) if mapping is not None and mapping.inode else None
        found = process.sources[address] = (
            held.source(address - mapping.start + mapping.offset) if held is not None and mapping is not None else ()
        )
        return found

    def frame(self, pid: int, address: int) -> tuple[str, Row | None]:
        """(path of the mapped file, how to get to the caller from an address of a process). The path is empty where
        nothing is mapped, the rules are None where nothing gives any."""
        process = self._process(pid)
        if monotonic() - process.checked_at > _RECHECK_S:
            self._check(pid, process)
        mapping = process.maps.find(address)
        if mapping is None:
            self._check(pid, process)  # a library that came meanwhile
            mapping = process.maps.find(address)
        if mapping is None:
            return "", None
        if not mapping.inode and mapping.path != "[vdso]":
            return mapping.path or "[anon]", None
        return mapping.path, self._object(pid, mapping).frame(address - mapping.start + mapping.offset)

    def module(self, pid: int, address: int) -> str:
        """The path of the file that an address of a process lies in; empty when none is known."""
        process = self._process(pid)
        if monotonic() - process.checked_at > _RECHECK_S:
            self._check(pid, process)
        mapping = process.maps.find(address)
        return "" if mapping is None else mapping.path

    def _process(self, pid: int) -> _Process:
        process = self._processes.get(pid)
        if process is None:
            if len(self._processes) >= _MOST_PROCESSES:
                del self._processes[next(iter(self._processes))]
            process = self._processes[pid] = _Process()
        return process

    def _check(self, pid: int, process: _Process) -> None:
        text = read_maps(pid)
        process.checked_at = monotonic()
        if not text and not process.maps.text:  # gone, or dead and not yet waited for
            text = self._layout
        if text and text != process.maps.text:
            process.maps = ProcessMaps(text)
            process.clear()
        if process.perf_map is not None and process.perf_map.refresh(_owners(pid)):
            process.found.clear()

    def _search(self, pid: int, process: _Process, address: int) -> tuple[str, int, str] | None:
        mapping = process.maps.find(address)
        if mapping is None:
            return None
        if not mapping.inode and mapping.path != "[vdso]":
            return self._jitted(pid, process, mapping, address)
        found = self._object(pid, mapping).find(address - mapping.start + mapping.offset)
        if found is None and "deleted" in mapping.path:  # code in a memory file is a JIT's too
            return self._jitted(pid, process, mapping, address)
        return None if found is None else (found[0], found[1], mapping.path)

    def _jitted(self, pid: int, process: _Process, mapping: Mapping, address: int) -> tuple[str, int, str] | None:
        if process.perf_map is None:
            process.perf_map = PerfMap(perf_map_path(pid))
            process.perf_map.refresh(_owners(pid))
        found = process.perf_map.find(address)
        return None if found is None else (found[0], found[1], mapping.path or "[anon]")

    def _object(self, pid: int, mapping: Mapping) -> MappedObject:
        vdso = mapping.path == "[vdso]"
        key = (mapping.path, mapping.end - mapping.start) if vdso else (mapping.device, mapping.inode)
        held = self._objects.get(key)
        if held is None:
            elf = (open_vdso if vdso else open_mapped)(pid, mapping)
            held = self._objects[key] = MappedObject(elf, f"/proc/{pid}/root", self._demangle)
        return held


def _owners(pid: int) -> tuple[int, ...] | None:
    """Whose perf map is believed: the process's own user's, and root's."""
    try:
        return 0, os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return (0, os.geteuid())
