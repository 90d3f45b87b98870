"""What a builder makes: the bytes of a context, its packet, and how both are seen by the program."""

from __future__ import annotations

from struct import pack_into

from cygnet.facts.contexts import fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cygnet.vm.host import Host
    from cygnet.vm.packets import Packet
    from cygnet.vm.world import World

    Value = int | bytes | list[int] | tuple[int, ...]


class Context:
    """`data` is the structure; `packet` what its pointers lead to, or None; `meta` lies before the packet.

    `pointers` are (offset, size in bytes, which) of the fields that hold addresses: data, end, meta. `skip` bytes of the packet
    come before `data` (an Ethernet header that the program does not see); `setup` puts the rest of what the builder
    was told into the world.
    """

    __slots__ = ("data", "length_at", "meta", "packet", "pointers", "setup", "skip", "structure")

    def __init__(
        self,
        structure: str,
        data: bytes | bytearray,
        *,
        packet: bytes | None = None,
        meta: bytes = b"",
        pointers: tuple[tuple[int, int, str], ...] = (),
        skip: int = 0,
        length_at: int = -1,
        setup: Callable[[World, Host], None] | None = None,
    ) -> None:
        self.structure = structure
        self.data = bytearray(data)
        self.packet, self.meta = packet, meta
        self.pointers = pointers
        self.skip = skip
        self.length_at = length_at
        self.setup = setup

    def refresh(self, view: memoryview, packet: Packet) -> None:
        """Write the packet's bounds into the context at `view`."""
        places = {"data": packet.data, "end": packet.end, "meta": packet.meta}
        for offset, size, which in self.pointers:
            pack_into("<Q" if size == 8 else "<I", view, offset, places[which])
        if self.length_at >= 0:
            pack_into("<I", view, self.length_at, packet.length)

    def __repr__(self) -> str:
        return f"<Context {self.structure} of {len(self.data)} bytes>"


def structure(name: str, values: Mapping[str, Value], size: int = 0, machine: str = "x86_64") -> bytearray:
    """The bytes of a context structure from the table of contexts. KeyError for a field that it has not got."""
    known = fields(name, machine)
    end = max((field.offset + field.size * field.count for field in known.values()), default=0)
    data = bytearray(max(size, (end + 7) & ~7))
    for key, value in values.items():
        if key not in known:
            raise KeyError(f"{name} has no field {key}")
        field = known[key]
        if isinstance(value, bytes):
            data[field.offset : field.offset + len(value)] = value
            continue
        for index, number in enumerate((value,) if isinstance(value, int) else value):
            at = field.offset + index * field.size
            data[at : at + field.size] = (number & (1 << 8 * field.size) - 1).to_bytes(field.size, "little")
    return data


def get(name: str, data: bytes | memoryview, field: str, index: int = 0) -> int:
    """A field's value out of a context's bytes."""
    row = fields(name)[field]
    at = row.offset + index * row.size
    return int.from_bytes(data[at : at + row.size], "little")
