"""A packet in memory, with room before and after it, as programs see it through data, data_end and data_meta.

The program's region is what it may touch: from the metadata to the end of the data. Every change of the bounds
goes through `move`, which tells the context too.
"""

from __future__ import annotations

from cygnet.maps.memory import Mapping, copy, fill, read, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.maps.memory import Region
    from cygnet.vm.host import Host

HEADROOM = 256  # XDP_PACKET_HEADROOM; what skbs have differs by driver
TAILROOM = 320  # struct skb_shared_info, which is behind every packet
PAGE = 4096
FRAME_HEADER = 40  # struct xdp_frame at the start of the room
ETHERNET = 14


class Packet:
    """`data` and `end` are addresses, `meta` where the metadata begins (`data` when there is none).

    `mac` and `network` are where the headers begin, of an skb. `on_move` is called when the bounds have changed.
    """

    __slots__ = ("_host", "_mapping", "_region", "csum_level", "data", "end", "limit", "mac", "meta", "network",
                 "on_move", "start", "unnecessary", "vlan")  # fmt: skip

    def __init__(self, host: Host, data: bytes, meta: bytes = b"") -> None:
        self._host = host
        self._mapping = Mapping(max(PAGE, HEADROOM + len(data) + TAILROOM), low=True)
        self.start = self._mapping.address
        self._region: Region | None = None
        self.reset(data, meta)

    def fits(self, length: int) -> bool:
        """Another packet of so many bytes can be put in this one's place."""
        return HEADROOM + length + TAILROOM <= self._mapping.size

    def reset(self, data: bytes, meta: bytes = b"") -> None:
        """Be another packet, of which nothing has happened yet."""
        fill(self.start, self._mapping.size)
        self.limit = self.start + self._mapping.size - TAILROOM
        self.mac = self.network = self.start + HEADROOM
        self.on_move: Callable[[], None] | None = None
        self.vlan: tuple[int, int] | None = None  # (protocol, tci) of a tag that is not in the data
        self.unnecessary = False  # ip_summed is CHECKSUM_UNNECESSARY
        self.csum_level = 0
        write(self.mac - len(meta), meta + data)
        self.move(self.mac, self.mac + len(data), self.mac - len(meta))

    @property
    def length(self) -> int:
        return self.end - self.data

    def payload(self) -> bytes:
        return read(self.data, self.length)

    def metadata(self) -> bytes:
        return read(self.meta, self.data - self.meta)

    def move(self, data: int, end: int, meta: int | None = None) -> None:
        """Set the bounds, which must lie inside the room."""
        self.data, self.end = data, end
        self.meta = data if meta is None else meta
        self._show()
        self._host.packet = (data, end - data)
        if self.on_move is not None:
            self.on_move()

    def _show(self) -> None:
        """Make the region what the bounds say."""
        old, regions = self._region, self._host.regions
        if old is None:
            self._region = regions.add(self.meta, self.end - self.meta, name="packet")
        elif (old.start, old.end) != (self.meta, self.end):
            self._region = regions.resize(old, self.meta, self.end - self.meta)

    def load(self, offset: int, size: int) -> bytes | None:
        """`size` bytes of the data at `offset`, or None."""
        if offset < 0 or offset + size > self.length:
            return None
        return read(self.data + offset, size)

    def store(self, offset: int, data: bytes) -> bool:
        if offset < 0 or offset + len(data) > self.length:
            return False
        write(self.data + offset, data)
        return True

    def room(self, head: int = 0, tail: int = 0) -> None:
        """Make sure of so much room before and behind, as an skb grows: it may move to other memory."""
        if self.data - self.start >= head and self.limit - self.end >= tail:
            return
        before, after = max(self.data - self.start, head), max(self.limit - self.end, tail)
        old, offsets = self._mapping, (self.mac - self.data, self.network - self.data)
        kept, meta = self.payload(), self.metadata()
        if self._region is not None:
            self._host.regions.remove(self._region)
            self._region = None
        self._mapping = Mapping(before + len(kept) + after + TAILROOM, low=True)
        self.start = self._mapping.address
        data = self.start + before
        self.limit = data + len(kept) + after
        write(data - len(meta), meta + kept)
        self.move(data, data + len(kept), data - len(meta))
        self.mac, self.network = (data + offset for offset in offsets)
        old.close()

    def insert(self, offset: int, size: int) -> None:
        """Room of zeros at `offset`: what is before it moves down (skb_push)."""
        self.room(head=size)
        meta = self.data - self.meta
        copy(self.data - size, self.data, offset)
        self.move(self.data - size, self.end, self.data - size if not meta else None)
        fill(self.data + offset, size)
        self.mac -= size

    def remove(self, offset: int, size: int) -> None:
        """Take out bytes at `offset`: what is before them moves up (skb_pull)."""
        copy(self.data + size, self.data, offset)
        self.move(self.data + size, self.end)
        self.mac += size

    def resize(self, length: int) -> None:
        """Cut the end, or add zeros."""
        self.room(tail=max(length - self.length, 0))
        old = self.end
        if self.data + length > old:
            fill(old, self.data + length - old)
        self.move(self.data, self.data + length, self.meta)

    def close(self) -> None:
        if self._region is not None:
            self._host.regions.remove(self._region)
            self._region = None
            self._mapping.close()


def checksum_add(total: int, value: int) -> int:
    """Sum of two 32-bit ones' complement numbers (csum_add)."""
    total += value
    return (total & 0xFFFFFFFF) + (total >> 32)


def checksum_fold(total: int) -> int:
    """The 16-bit checksum, inverted (csum_fold)."""
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def checksum_partial(data: bytes, start: int = 0) -> int:
    """The 32-bit ones' complement sum of bytes in the order of memory (csum_partial)."""
    if len(data) % 4:
        data += bytes(4 - len(data) % 4)
    total = start
    for word in memoryview(data).cast("I"):
        total += word
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


__all__ = ["Packet", "checksum_add", "checksum_fold", "checksum_partial"]
