"""One file that processes have mapped: its functions by address, and the source they were made from."""

from __future__ import annotations

import os

from cygnet.elf.numbers import SHT_NOBITS
from cygnet.elf.reader import Elf
from cygnet.errors import ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.elf.dwarf.framerules import Row
    from cygnet.elf.dwarf.frames import Frames
    from cygnet.elf.dwarf.places import Places
    from cygnet.elf.symbols import AddressIndex
    from cygnet.session.symbols.maps import Mapping


class MappedObject:
    """Names for file offsets of one ELF file: its own symbols, and those of its separate debug file."""

    __slots__ = (
        "_debug",
        "_debug_sought",
        "_demangle",
        "_demangled",
        "_elf",
        "_found",
        "_frames",
        "_frames_sought",
        "_indexes",
        "_places",
        "_places_sought",
        "_root",
    )

    def __init__(self, elf: Elf | None, root: str, demangle: bool) -> None:
        self._elf = elf
        self._root = root
        self._demangle = demangle
        self._indexes: list[AddressIndex] | None = None
        self._found: dict[int, tuple[str, int] | None] = {}
        self._demangled: dict[str, str] = {}
        self._debug: Elf | None = None
        self._places: Places | None = None
        self._frames: Frames | None = None
        self._debug_sought = self._places_sought = self._frames_sought = False

    def find(self, offset: int) -> tuple[str, int] | None:
        """(name, distance from its start) of the function at a file offset."""
        try:
            return self._found[offset]
        except KeyError:
            found = self._found[offset] = self._search(offset)
            return found

    def source(self, offset: int) -> tuple[tuple[str, str], ...]:
        """(function, ``file:line``) of what was inlined at a file offset, the innermost first, and of the function
        there, last. A part that is not known is empty; all is, without debug information or with a damaged one.
        """
        if self._elf is None:
            return ()
        if not self._places_sought:
            self._places_sought = True
            self._places = self._open_places(self._elf)
        if self._places is None:
            return ()
        try:
            address = self._elf.address_at(offset)
        except ElfError:
            return ()
        return tuple(
            (self._readable(name), f"{path}:{line}" if path and line else "")
            for name, path, line in (self._places.find(address) if address is not None else ())
        )

    def frame(self, offset: int) -> Row | None:
        """How to get to the caller from a file offset (`elf.dwarf.frames`); None where nothing says so."""
        elf = self._elf
        if elf is None:
            return None
        try:
            address = elf.address_at(offset)
            if not self._frames_sought:
                self._frames_sought = True
                self._frames = self._open_frames(elf)
            return None if self._frames is None or address is None else self._frames.row(address)
        except ElfError:
            return None

    def _open_frames(self, elf: Elf) -> Frames | None:
        from cygnet.elf.dwarf.frames import Frames

        frames = Frames(elf)
        if not frames.present and (debug := self._debug_elf(elf)) is not None:
            frames = Frames(debug)
        return frames if frames.present else None

    def _open_places(self, elf: Elf) -> Places | None:
        """The debug information of the file, or else of its separate debug file."""
        try:
            found: Elf | None = elf if _has_debug_info(elf) else self._debug_elf(elf)
            if found is None or (found is not elf and not _has_debug_info(found)):
                return None
            from cygnet.elf.dwarf.info import Dwarf
            from cygnet.elf.dwarf.places import Places

            return Places(Dwarf(found))
        except ElfError:
            return None

    def _search(self, offset: int) -> tuple[str, int] | None:
        if self._elf is None:
            return None
        try:
            address = self._elf.address_at(offset)
            if address is None:
                return None
            if self._indexes is None:
                self._indexes = self._open_indexes(self._elf)
        except ElfError:
            self._elf = None
            return None
        return self._name(address)

    def _name(self, address: int) -> tuple[str, int] | None:
        for index in self._indexes or ():
            try:
                found = index.find(address)
            except ElfError:
                continue
            if found is not None:
                return (self._readable(found[0]), found[1])
        return None

    def _readable(self, name: str) -> str:
        name = name.partition("@")[0] or name
        if self._demangle and name.startswith("_"):
            text = self._demangled.get(name)
            if text is None:
                from cygnet.elf.demangle import demangle

                text = self._demangled[name] = demangle(name)
            return text
        return name

    def _open_indexes(self, elf: Elf) -> list[AddressIndex]:
        indexes = [elf.addresses()]
        if elf.section(".symtab") is None:
            extra = self._debug_index(elf)
            if extra is not None:
                indexes.insert(0, extra)
        return indexes

    def _debug_index(self, elf: Elf) -> AddressIndex | None:
        try:
            debug = self._debug_elf(elf)
            if debug is not None:
                return debug.addresses()
        except ElfError:
            pass
        from cygnet.elf.lookup import mini_debug_info

        try:
            mini = mini_debug_info(elf)
            return None if mini is None else mini.addresses()
        except ElfError:
            return None

    def _debug_elf(self, elf: Elf) -> Elf | None:
        """The separate debug file, looked for once."""
        if not self._debug_sought:
            self._debug_sought = True
            from cygnet.elf.lookup import debug_file

            for root in (self._root, "/"):
                try:
                    path = debug_file(elf, root)
                    if path is not None:
                        self._debug = Elf.open(path)
                        break
                except (ElfError, OSError):
                    continue
        return self._debug


def _has_debug_info(elf: Elf) -> bool:
    section = elf.section(".debug_info")
    return section is not None and section.type != SHT_NOBITS and section.size > 0


def open_mapped(pid: int, mapping: Mapping) -> Elf | None:
    """The file behind a mapping, or None: through /proc/PID, so that containers and deleted files work."""
    link = f"/proc/{pid}/map_files/{mapping.start:x}-{mapping.end:x}"
    inside = f"/proc/{pid}/root{mapping.path}"
    for path in (link, inside, mapping.path):
        try:
            if path is not link and os.stat(path).st_ino != mapping.inode:
                continue  # another file has taken the name
            elf = Elf.open(path)
        except (OSError, ElfError):
            continue
        if path is link:
            elf.path = mapping.path
        return elf
    return None


def open_vdso(pid: int, mapping: Mapping) -> Elf | None:
    """The kernel's library in every process, copied out of that process's memory."""
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
            file.seek(mapping.start)
            return Elf(file.read(mapping.end - mapping.start) or b"", mapping.path)
    except (OSError, ElfError, ValueError):
        return None
