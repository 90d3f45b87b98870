"""The memory that programs of the user-space machine can reach: native, at its real address.

Stack frames, map values, packets and contexts all lie in `Block`s and `Arena`s, so interpreter,
translated Python and machine code use the same pointers, and a map's value can be handed out by address.

::

    memory = Memory()
    packet = memory.block(1500, "packet")            one contiguous piece, a region of its own
    packet.view[:4] = b"abcd"
    slab = memory.arena("map counts", item=24)       many items of one size, each a region of its own
    address = slab.alloc()                           zeroed, aligned to 8 bytes
    store64(address, 7)                              unchecked access to native memory by address
    memory.regions.find(address, 8, write=True)      may a program do this? the region, or None

`read`, `write`, `load64` … do not check anything: an address that is not mapped ends the process. They are
for maps and helpers that know their own memory; what a program gave is first looked up in the `Regions`.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import sys
from bisect import bisect_right
from contextlib import suppress
from typing import NamedTuple

from cygnet.errors import MapError, MapFull

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# The whole user half of the address space as one buffer, indexed by address. Nothing is mapped by this.
_SPACE_BYTES = (1 << 47) - 4096
SPACE = memoryview((ctypes.c_ubyte * _SPACE_BYTES).from_address(0)).cast("B")

_U16, _U32, _U64 = struct.Struct("=H"), struct.Struct("=I"), struct.Struct("=Q")
PAGE = mmap.PAGESIZE
ALIGN = 8
_HUGE_BYTES = 1 << 22
_MAP_32BIT = 0x40  # <asm/mman.h> of x86


def read(address: int, size: int) -> bytes:
    """`size` bytes at a native address."""
    return bytes(SPACE[address : address + size])


def write(address: int, data: bytes | bytearray | memoryview) -> None:
    SPACE[address : address + len(data)] = data


def view(address: int, size: int) -> memoryview:
    """The memory itself, writable; it must not outlive the block it lies in."""
    return SPACE[address : address + size]


def fill(address: int, size: int, byte: int = 0) -> None:
    ctypes.memset(address, byte, size)


def copy(target: int, source: int, size: int) -> None:
    ctypes.memmove(target, source, size)


def load8(address: int) -> int:
    return SPACE[address]


def load16(address: int) -> int:
    value: int = _U16.unpack_from(SPACE, address)[0]
    return value


def load32(address: int) -> int:
    value: int = _U32.unpack_from(SPACE, address)[0]
    return value


def load64(address: int) -> int:
    value: int = _U64.unpack_from(SPACE, address)[0]
    return value


def store8(address: int, value: int) -> None:
    SPACE[address] = value & 0xFF


def store16(address: int, value: int) -> None:
    _U16.pack_into(SPACE, address, value & 0xFFFF)


def store32(address: int, value: int) -> None:
    _U32.pack_into(SPACE, address, value & 0xFFFFFFFF)


def store64(address: int, value: int) -> None:
    _U64.pack_into(SPACE, address, value & 0xFFFFFFFFFFFFFFFF)


class Region(NamedTuple):
    """Bytes [start, end) that a program may read, and write when `writable`.

    With `stride`, the region is a row of items, each `item` bytes long and `stride` bytes apart: an
    access must stay inside one item. `stride` 0 is one undivided piece.
    """

    start: int
    end: int
    writable: bool = True
    name: str = ""
    item: int = 0
    stride: int = 0

    def allows(self, address: int, size: int, write: bool = False) -> bool:
        if address < self.start or address + size > self.end or (write and not self.writable):
            return False
        return not self.stride or (address - self.start) % self.stride + size <= self.item

    def bounds(self, address: int) -> tuple[int, int]:
        """[start, end) of the piece around `address`: the item, or the whole region."""
        if not self.stride:
            return self.start, self.end
        first = address - (address - self.start) % self.stride
        return first, first + self.item


# What machine code reads: the header {entries u64, count u64, generation u64 that changes with every region},
# and in an entry {start, end u64, writable u64, item u32, stride u32}, sorted by start.
ENTRY = struct.Struct("=QQQII")
_HEADER = struct.Struct("=QQQ")


class Mapping:
    """Anonymous pages, zeroed, at `address`; a multiple of the page size. `low` is below 2 GiB."""

    __slots__ = ("_pages", "address", "size")

    def __init__(self, size: int, low: bool = False) -> None:
        self.size = max(-(-size // PAGE), 1) * PAGE
        self._pages = _low_pages(self.size) if low else _lazy_pages(self.size)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._pages))

    def close(self) -> None:
        self._pages.close()


def _lazy_pages(size: int) -> mmap.mmap:
    """Pages that cost nothing until they are touched, so that a map can take the room of all its entries at once."""
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size)
    lazy: int = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)
    pages = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | lazy)
    if size >= _HUGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
        # a large table is walked at random: fewer pages are fewer faults and fewer misses of the TLB
        with suppress(OSError):
            pages.madvise(mmap.MADV_HUGEPAGE)
    return pages


def _low_pages(size: int) -> mmap.mmap:
    """Pages whose address fits 32 bits."""
    import platform
    import sys

    if sys.platform != "linux" or platform.machine() != "x86_64":
        from cygnet.errors import NotSupported

        raise NotSupported("memory with 32-bit addresses", "Linux on x86-64")
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_32BIT)


class Regions:
    """What a program may touch: regions that do not overlap, found by address.

    `table` is the address of the same table for machine code; it stays where it is, the entries may move.
    """

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._regions: list[Region] = []
        self._header = Mapping(_HEADER.size)
        self._entries = Mapping(64 * ENTRY.size)
        self._last = Region(0, 0)
        self._closed = False
        self.table = self._header.address
        self.generation = 0
        self._publish()

    def __iter__(self) -> Iterator[Region]:
        return iter(self._regions)

    def __len__(self) -> int:
        return len(self._regions)

    def add(
        self, start: int, size: int, *, writable: bool = True, name: str = "", item: int = 0, stride: int = 0
    ) -> Region:
        """Allow [start, start + size). MapError when it overlaps a region that is there."""
        region = Region(start, start + size, writable, name, item, stride)
        if self._closed:
            raise MapError("the machine is closed: it has no memory any more")
        at = bisect_right(self._starts, start)
        if (at and self._regions[at - 1].end > start) or (at < len(self) and self._starts[at] < region.end):
            raise MapError(f"region {name!r} overlaps another")
        if (len(self) + 1) * ENTRY.size > self._entries.size:
            self._grow()
        place = self._entries.address + at * ENTRY.size
        ctypes.memmove(place + ENTRY.size, place, (len(self) - at) * ENTRY.size)
        ENTRY.pack_into(SPACE, place, start, region.end, writable, item, stride)
        self._starts.insert(at, start)
        self._regions.insert(at, region)
        self._publish()
        return region

    def remove(self, region: Region) -> None:
        """Take `region` away; it may be gone already."""
        at = bisect_right(self._starts, region.start) - 1
        if at < 0 or self._regions[at] is not region:
            return
        del self._starts[at], self._regions[at]
        place = self._entries.address + at * ENTRY.size
        ctypes.memmove(place, place + ENTRY.size, (len(self) - at) * ENTRY.size)
        self._last = Region(0, 0)
        self._publish()

    def resize(self, region: Region, start: int, size: int) -> Region:
        """Give a region other bounds; where it overlaps no neighbour, that is all that changes."""
        at = bisect_right(self._starts, region.start) - 1
        end = start + size
        known = at >= 0 and self._regions[at] is region
        free = known and (not at or self._regions[at - 1].end <= start)
        if not free or (at + 1 < len(self) and self._starts[at + 1] < end) or not size:
            self.remove(region)
            return self.add(start, size, **{name: getattr(region, name) for name in Region._fields[2:]})
        changed = Region(start, end, *region[2:])
        self._starts[at], self._regions[at], self._last = start, changed, changed
        ENTRY.pack_into(SPACE, self._entries.address + at * ENTRY.size, start, end, *changed[2:3], *changed[4:])
        self._publish()
        return changed

    def find(self, address: int, size: int, write: bool = False) -> Region | None:
        """The region that allows this access, or None."""
        last = self._last
        if last.start <= address and address + size <= last.end and last.allows(address, size, write):
            return last
        at = bisect_right(self._starts, address) - 1
        if at < 0 or not self._regions[at].allows(address, size, write):
            return None
        self._last = self._regions[at]
        return self._last

    def around(self, address: int) -> Region | None:
        """The region that `address` lies in, whatever it allows: for messages."""
        at = bisect_right(self._starts, address) - 1
        return self._regions[at] if at >= 0 and address < self._regions[at].end else None

    def close(self) -> None:
        self._closed, self._last = True, Region(0, 0)
        self._starts.clear()
        self._regions.clear()
        self._entries.close()
        self._header.close()

    def _grow(self) -> None:
        bigger = Mapping(self._entries.size * 2)
        ctypes.memmove(bigger.address, self._entries.address, self._entries.size)
        self._entries.close()
        self._entries = bigger

    def _publish(self) -> None:
        self.generation += 1
        _HEADER.pack_into(SPACE, self.table, self._entries.address, len(self), self.generation)


class Block:
    """One contiguous piece of memory, and its region. `address` does not change."""

    __slots__ = ("_mapping", "_regions", "address", "region", "size")

    def __init__(
        self,
        regions: Regions,
        size: int,
        name: str,
        writable: bool = True,
        item: int = 0,
        stride: int = 0,
        low: bool = False,
    ) -> None:
        self.size = size
        self._regions = regions
        self._mapping = Mapping(size, low)
        self.address = self._mapping.address
        self.region = regions.add(self.address, size, writable=writable, name=name, item=item, stride=stride)

    @property
    def capacity(self) -> int:
        """How large `resize` can make it."""
        return self._mapping.size

    @property
    def view(self) -> memoryview:
        """The bytes, writable from here even when the program may only read them."""
        return SPACE[self.address : self.address + self.size]

    def resize(self, size: int) -> None:
        """Let the program see another size, up to what was allocated in whole pages (MapError beyond)."""
        if size > self._mapping.size:
            raise MapError(f"{size} bytes do not fit a block of {self._mapping.size}")
        self.size = size
        self.region = self._regions.resize(self.region, self.address, size)

    def close(self) -> None:
        """Give it back; a second time does nothing. No view of it may be used afterwards."""
        if self.address:
            self._regions.remove(self.region)
            self.address = 0
            self._mapping.close()


_FIRST_ITEMS = 64
_CHUNK_BYTES = 1 << 22


class Arena:
    """Items of one size, given out by address and taken back; it grows as needed, and never moves an item.

    An item's bytes stay readable after `free`, as those of a preallocated kernel map do: a program that
    still holds the pointer sees what the next owner writes. Chunks double from 64 items up to 4 MiB each.
    `max_items` 0 is no limit.
    """

    __slots__ = (
        "_blocks",
        "_end",
        "_free",
        "_next",
        "_regions",
        "item",
        "max_items",
        "name",
        "stride",
        "used",
        "writable",
    )

    def __init__(self, regions: Regions, item: int, name: str, writable: bool, max_items: int) -> None:
        self._regions = regions
        self.item, self.stride = item, max(-(-item // ALIGN), 1) * ALIGN
        self.name, self.writable, self.max_items = name, writable, max_items
        self._blocks: list[Block] = []
        self._free: list[int] = []
        self._next = self._end = 0
        self.used = 0

    def alloc(self) -> int:
        """The address of an item, zeroed, aligned to 8 bytes; MapFull past `max_items`."""
        if self.max_items and self.used >= self.max_items:
            raise MapFull(f"{self.name} is full: {self.max_items} items")
        self.used += 1
        if self._free:
            address = self._free.pop()
            ctypes.memset(address, 0, self.item)
            return address
        if self._next == self._end:
            self._grow()
        address = self._next
        self._next += self.stride
        return address

    def free(self, address: int) -> None:
        """Take back what `alloc` gave."""
        self.used -= 1
        self._free.append(address)

    def close(self) -> None:
        for block in self._blocks:
            block.close()
        self._blocks.clear()
        self._free.clear()
        self._next = self._end = self.used = 0

    def _grow(self) -> None:
        items = min(_FIRST_ITEMS << len(self._blocks), max(_CHUNK_BYTES // self.stride, 1))
        if self.max_items:
            items = min(items, self.max_items)
        size = items * self.stride
        block = Block(self._regions, size, self.name, self.writable, self.item, self.stride)
        self._blocks.append(block)
        self._next, self._end = block.address, block.address + size


class Memory:
    """All memory of one machine: what was made by it is given back by `close`."""

    def __init__(self) -> None:
        self.regions = Regions()
        self._owned: list[Block | Arena] = []

    def block(
        self, size: int, name: str = "", *, writable: bool = True, item: int = 0, stride: int = 0, low: bool = False
    ) -> Block:
        """A zeroed piece of `size` bytes, one region; `writable` is about the program.

        `low`: at an address that fits 32 bits, as the pointers in xdp_md and __sk_buff want it (their
        data, data_end and data_meta are u32 fields). NotSupported where there is no such memory.
        """
        made = Block(self.regions, size, name, writable, item, stride, low)
        self._owned.append(made)
        return made

    def arena(self, name: str, *, item: int, writable: bool = True, max_items: int = 0) -> Arena:
        """A place for any number of items of `item` bytes."""
        made = Arena(self.regions, item, name, writable, max_items)
        self._owned.append(made)
        return made

    def free(self, owned: Block | Arena) -> None:
        """Give one piece back before the rest."""
        owned.close()
        self._owned = [other for other in self._owned if other is not owned]

    def close(self) -> None:
        for owned in self._owned:
            owned.close()
        self._owned.clear()
        self.regions.close()

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
