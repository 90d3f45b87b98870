"""What the maps of one machine share: memory, CPUs, and the things whose descriptors maps hold."""

from __future__ import annotations

import os
from errno import EBADF
from typing import NamedTuple

from cygnet.maps import header
from cygnet.maps.memory import Mapping, Memory, load64, store64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.maps.base import UserMap

_HEADERS_BYTES = 1 << 16


class Thing(NamedTuple):
    """A simulated object. `kind` is program, map, perf_event, socket, xsk, task, inode or cgroup.

    `id` is both its descriptor and the id that a map shows for it; a socket's is its cookie too.
    """

    id: int
    kind: str
    what: object


class MapHost:
    """Where maps live. `cpu` is the CPU that programs run on now; `cpus` is how many there are.

    `release` is called with (map, address of a value) when a value goes whose timers or kernel pointers
    have to be given back.
    """

    __slots__ = ("_cells", "_headers", "_next_header", "_next_id", "_owns_memory", "cpu_address", "cpus", "maps",
                 "maps_by_id", "memory", "pins", "release", "things")  # fmt: skip

    def __init__(self, memory: Memory | None = None, cpus: int = 0) -> None:
        self._owns_memory = memory is None
        self.memory = memory or Memory()
        self.cpus = cpus or os.cpu_count() or 1
        self._cells = Mapping(64)
        self.cpu_address = self._cells.address
        self._headers: list[Mapping] = []
        self._next_header = 0
        self._next_id = 1
        self.maps: dict[int, UserMap] = {}
        self.maps_by_id: dict[int, UserMap] = {}
        self.things: dict[int, Thing] = {}
        self.pins: dict[str, UserMap] = {}  # by path; `cygnet.maps.pinning`
        self.release: Callable[[UserMap, int], None] | None = None

    @property
    def cpu(self) -> int:
        return load64(self.cpu_address)

    @cpu.setter
    def cpu(self, number: int) -> None:
        if not 0 <= number < self.cpus:
            raise ValueError(f"there are {self.cpus} CPUs; {number} is none of them")
        store64(self.cpu_address, number)

    def map_at(self, handle: int) -> UserMap | None:
        """The map whose header is at this address: what a program's pointer to a map means."""
        return self.maps.get(handle)

    def add(self, kind: str, what: object) -> int:
        """Give a simulated object a descriptor, which a map can hold."""
        number = self._next_id
        self._next_id += 1
        self.things[number] = Thing(number, kind, what)
        return number

    def remove(self, number: int) -> None:
        self.things.pop(number, None)

    def thing(self, number: int, kind: str, otherwise: int) -> Thing | int:
        """The object of a descriptor; -EBADF when there is none, -`otherwise` when it is of another kind."""
        found = self.things.get(number)
        if found is None:
            return -EBADF
        return found if found.kind == kind else -otherwise

    def enter(self, made: UserMap) -> tuple[int, int]:
        """The header's address and the id of a new map."""
        if not self._headers or self._next_header + header.SIZE > _HEADERS_BYTES:
            self._headers.append(Mapping(_HEADERS_BYTES))
            self._next_header = 0
        handle = self._headers[-1].address + self._next_header
        self._next_header += header.SIZE
        number = self.add("map", made)
        self.maps[handle] = self.maps_by_id[number] = made
        return handle, number

    def leave(self, gone: UserMap) -> None:
        self.maps.pop(gone.handle, None)
        self.maps_by_id.pop(gone.id, None)
        self.things.pop(gone.id, None)

    def close(self) -> None:
        """Write pinned maps to their files, close every map and give the memory back."""
        if self.pins:
            from cygnet.maps.pinning import sync

            sync(self)
            self.pins.clear()
        for made in list(self.maps.values()):
            made.close(for_all=True)
        for mapping in self._headers:
            mapping.close()
        self._headers.clear()
        if self.cpu_address:
            self.cpu_address = 0
            self._cells.close()
        if self._owns_memory:
            self.memory.close()

    def __enter__(self) -> MapHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
