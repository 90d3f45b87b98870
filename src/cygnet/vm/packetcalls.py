"""Prepared programs that have packets: a packet's bytes in, r0 out, with as little as possible done in between.

The packet and its context keep their places from call to call. What is written each time is the packet, and the
context's bytes, which are known by the packet's length and, of an skb, by its headers.
"""

from __future__ import annotations

from cygnet.maps.memory import SPACE, Mapping, store64, write
from cygnet.vm.calls import Room, direct_of, runner
from cygnet.vm.contexts import for_program
from cygnet.vm.packets import ETHERNET, Packet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.calls import Prepared
    from cygnet.vm.machine import Machine, VmProgram

_HEADERS = 54  # bytes that fields of __sk_buff tell about: Ethernet and IPv6
_HEAD_ROOM = 64
_MOST_HEADERS = 4096  # contexts that are kept
_SOCKET_AT = 168  # offset of sk in __sk_buff
_HELPER_CALLS = (0x85, 0x8D)
SKB = "__sk_buff"
#: structures whose programs are given a packet's bytes
STRUCTURES = frozenset(("xdp_md", SKB, "sk_msg_md"))


class Place:
    """Where one program's packets and contexts lie.

    `view` is the packet, `head` as much of it as its context tells about, `templates` are contexts by that; `where` is
    what legacy packet loads read.
    """

    __slots__ = (
        "_contexts",
        "_home",
        "_host",
        "_kind",
        "context",
        "head",
        "kept",
        "packet",
        "room",
        "start",
        "templates",
        "view",
        "where",
    )

    def __init__(self, machine: Machine, kind: str) -> None:
        self._host, self._kind = machine.host, kind
        self.room = Room(machine.host)
        self.packet = Packet(machine.host, b"")
        self._contexts: dict[int, dict[bytes, bytes]] = {}
        self.templates: dict[bytes, bytes] = {}
        self.view = self.context = self.head = memoryview(b"")
        self.kept = Mapping(4096)  # a beginning and its context for machine code
        self.start = 0
        self.where = (0, 0)
        self._home: tuple[int, ...] = ()
        machine.host.closing.append(self._close)

    def fit(self, size: int) -> None:
        """Everything as it is before a packet of `size` bytes has come."""
        packet, given = self.packet, for_program(self._kind, bytes(size))
        if packet.fits(size) and packet.start in self._home[:1]:
            packet.reset(bytes(size))
        else:
            packet.close()
            self.packet = packet = Packet(self._host, bytes(size))
            self._contexts.clear()
        start = packet.data
        if given.skip:
            packet.move(start + given.skip, packet.end)
        if given.structure == SKB:
            packet.network = start + ETHERNET
        if self.room.size != len(given.data):
            self.room.fit(len(given.data))
        packet.on_move = lambda: given.refresh(self.room.view, packet)
        self.view, self.context = SPACE[start : start + size], self.room.view
        self.head = self.view[: _HEADERS if given.structure == SKB else 0]
        self.where = self._host.packet
        self.start = start
        self.templates = self._contexts.setdefault(size, {})
        self._home = self._bounds()

    def _bounds(self) -> tuple[int, ...]:
        packet = self.packet
        return packet.start, packet.data, packet.end, packet.meta, packet.mac, packet.network

    def tidy(self) -> bool:
        """Forget what helpers did to the last packet; False when it is no longer where it was."""
        packet = self.packet
        packet.vlan, packet.unnecessary, packet.csum_level = None, False, 0
        return self._bounds() == self._home

    def learn(self, head: bytes) -> bytes:
        """The context of a packet that begins so."""
        if len(self.templates) > _MOST_HEADERS:
            self.templates.clear()
        given = for_program(self._kind, head.ljust(len(self.view), b"\0"))
        view = memoryview(given.data)
        given.refresh(view, self.packet)
        made = self.templates[head] = bytes(view)
        return made

    def keep(self, head: bytes) -> tuple[tuple[int, int, int], tuple[int, int]]:
        """The context of packets that begin so, where machine code finds it: (from, bytes, to); and that beginning."""
        write(self.kept.address, head.ljust(_HEAD_ROOM, b"\0") + self.templates[head])
        return (self.kept.address + _HEAD_ROOM, self.room.size, self.room.address), (self.kept.address, len(head))

    def _close(self) -> None:
        """The machine ends: nothing may be written any more."""
        self.packet.close()
        self.view.release()


def prepared_packet(machine: Machine, program: VmProgram) -> Prepared:
    """A function of the packet that runs the program."""
    place, run = Place(machine, program.type_name), runner(machine.engine, program.code)
    host, world, empty = machine.host, machine.world, for_program(program.type_name, b"")
    helped = any(code in program.code.code[::8] for code in _HELPER_CALLS)
    size, view, head, context, templates, where, address, length = -1, *[place.view] * 3, place.templates, (0, 0), 0, 0

    last: bytes | None = None

    def call(packet: bytes | bytearray | memoryview) -> int:
        nonlocal size, view, head, context, templates, where, address, length, last
        if host._callback is not None or len(packet) < empty.skip:
            return machine.run_apart(program, packet)
        if len(packet) != size:
            place.fit(len(packet))
            view, head, context, templates, where = place.view, place.head, place.context, place.templates, place.where
            size, address, length = len(packet), place.room.address, place.room.size
            last = None
            if direct is not None:
                direct.stop()
        view[:] = packet
        key = bytes(head)
        context[:] = templates.get(key) or place.learn(key)
        if world.socket is not None and empty.structure == SKB:
            store64(address + _SOCKET_AT, world.socket.address(host))
            if direct is not None:
                direct.stop()
        elif direct is not None:
            if key == last:  # headers that come again
                direct.place(size, place.start, address, length, *place.keep(key))
            last = key
        if host._packet is not where:
            host.packet = where
        if not helped:
            return run(address, length)
        world.packet, world.program_type, world.attach_type = place.packet, program.type_name, program.spec.attach_type
        try:
            return run(address, length)
        finally:
            world.packet = None
            if not place.tidy():
                size = -1

    direct = direct_of(machine.engine, program.code, call)
    return call if direct is None else direct.function()
