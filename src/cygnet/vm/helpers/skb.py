"""Packets as sk_buffs: bytes, room, VLAN tags, type, hash (net/core/filter.c)."""

from __future__ import annotations

from errno import EFAULT, EINVAL, ENOMEM
from struct import pack_into, unpack_from

from cygnet.maps.memory import SPACE, fill, load32, store32, write
from cygnet.uapi import bpf_flags
from cygnet.vm.helpers.checksums import packet_of
from cygnet.vm.helpers.common import ENOTSUPP, MASK32, s32
from cygnet.vm.helpers.registry import helper
from cygnet.vm.packets import ETHERNET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host
    from cygnet.vm.packets import Packet

_INT_MAX = 0x7FFFFFFF
_CONTEXT = 192  # bytes of struct __sk_buff: what a verifier would have made sure of
_LEN, _PKT_TYPE, _PROTOCOL, _VLAN, _HASH, _TSTAMP, _TSTAMP_TYPE = 0, 4, 16, 20, 68, 152, 180
_IP, _IPV6, _VLAN_8021Q, _VLAN_8021AD = 0x0800, 0x86DD, 0x8100, 0x88A8
_HEADER = {_IP: 20, _IPV6: 40}
_OTHERHOST = 3


def swap16(number: int) -> int:
    return (number & 0xFF) << 8 | number >> 8 & 0xFF


def _protocol(context: int) -> int:
    """The packet's EtherType; the context has it in network order."""
    return swap16(load32(context + _PROTOCOL))


# ── bytes ────────────────────────────────────────────────────────────────────────────────────────────────


@helper("skb_load_bytes")
def skb_load_bytes(machine: Host, context: int, offset: int, to: int, size: int) -> int:
    offset, size = offset & MASK32, size & MASK32
    machine.check(to, size, write=True, what="buffer")
    world = machine.world
    # a test run of a flow dissector has the bytes, and no sk_buff to load from (bpf_flow_dissector_load_bytes)
    none = world.is_test_run and world.program_type == "flow_dissector"
    data = packet_of(machine).load(offset, size) if offset <= _INT_MAX and not none else None
    if data is None:
        fill(to, size)
        return -EFAULT
    write(to, data)
    return 0


@helper("skb_load_bytes_relative")
def skb_load_bytes_relative(machine: Host, context: int, offset: int, to: int, size: int, header: int) -> int:
    """From where the link or network header begins."""
    offset, size, packet = offset & MASK32, size & MASK32, packet_of(machine)
    machine.check(to, size, write=True, what="buffer")
    start = {0: packet.mac, 1: packet.network}.get(header & MASK32)
    if start is None or offset > 0xFFFF or start + offset + size > packet.end:
        fill(to, size)
        return -EFAULT
    write(to, bytes(SPACE[start + offset : start + offset + size]))
    return 0


@helper("skb_store_bytes")
def skb_store_bytes(machine: Host, context: int, offset: int, source: int, size: int, flags: int) -> int:
    machine.check(context, _CONTEXT, write=True, what="context")
    offset = offset & MASK32
    data = machine.readable(source, size & MASK32, "data")
    if flags & ~(bpf_flags.BPF_F_RECOMPUTE_CSUM | bpf_flags.BPF_F_INVALIDATE_HASH):
        return -EINVAL
    if offset > _INT_MAX or not packet_of(machine).store(offset, data):
        return -EFAULT
    if flags & bpf_flags.BPF_F_INVALIDATE_HASH:
        store32(context + _HASH, 0)
    return 0


@helper("skb_pull_data")
def skb_pull_data(machine: Host, context: int, length: int) -> int:
    """All of a packet can be reached here; -ENOMEM when it is shorter than that."""
    return 0 if length & MASK32 <= packet_of(machine).length else -ENOMEM


# ── room ─────────────────────────────────────────────────────────────────────────────────────────────────


def _max_length(machine: Host) -> int:
    return (machine.world.interface(1) or 65536) + ETHERNET


@helper("skb_change_tail")
def skb_change_tail(machine: Host, context: int, length: int, flags: int) -> int:
    packet, length = packet_of(machine), length & MASK32
    if flags or length > _max_length(machine) or length < max(packet.network - packet.data, 0):
        return -EINVAL
    packet.resize(length)
    return 0


@helper("skb_change_head")
def skb_change_head(machine: Host, context: int, room: int, flags: int) -> int:
    packet, room = packet_of(machine), room & MASK32
    length = packet.length + room
    if flags or length > _max_length(machine) or length < packet.length:
        return -EINVAL
    packet.insert(0, room)
    packet.mac = packet.data
    return 0


@helper("skb_adjust_room")
def skb_adjust_room(machine: Host, context: int, delta: int, mode: int, flags: int) -> int:
    """Room after the link header (BPF_ADJ_ROOM_MAC) or after the network header (BPF_ADJ_ROOM_NET)."""
    machine.check(context, _CONTEXT, write=True, what="context")
    packet, delta, mode = packet_of(machine), s32(delta), mode & MASK32
    known = 0x1FF | bpf_flags.BPF_ADJ_ROOM_ENCAP_L2_MASK << bpf_flags.BPF_ADJ_ROOM_ENCAP_L2_SHIFT
    if flags & ~known:
        return -EINVAL
    if abs(delta) > 0xFFF:
        return -EFAULT
    base = _HEADER.get(_protocol(context))
    if base is None or mode > bpf_flags.BPF_ADJ_ROOM_MAC:
        return -ENOTSUPP
    at = packet.network - packet.mac + (base if mode == bpf_flags.BPF_ADJ_ROOM_NET else 0)
    current = packet.end - packet.network
    if delta < 0 and (-delta >= current or current + delta < base):
        return -ENOTSUPP
    if delta > 0 and packet.length + delta > _max_length(machine):
        return -ENOTSUPP
    header = packet.network - packet.mac
    if delta < 0:
        packet.remove(packet.mac - packet.data + at, -delta)
    elif delta:
        packet.insert(packet.mac - packet.data + at, delta)
    packet.network = packet.mac + header
    return 0


@helper("skb_change_proto")
def skb_change_proto(machine: Host, context: int, protocol: int, flags: int) -> int:
    """Between IPv4 and IPv6: 20 bytes more or less of network header, which the program fills in."""
    machine.check(context, _CONTEXT, write=True, what="context")
    packet, wanted, now = packet_of(machine), swap16(protocol), _protocol(context)
    if flags:
        return -EINVAL
    if {wanted, now} != {_IP, _IPV6}:
        return -ENOTSUPP
    header = packet.network - packet.data
    if wanted == _IPV6:
        packet.insert(header, 20)
    else:
        packet.remove(header, 20)
    packet.network = packet.data + header
    store32(context + _PROTOCOL, swap16(wanted))
    store32(context + _HASH, 0)
    return 0


# ── VLAN tags: the outer one is beside the data, as network cards give it ─────────────────────────────────


def _show_vlan(context: int, packet: Packet) -> None:
    protocol, tci = packet.vlan or (0, 0)
    pack_into("<3I", SPACE, context + _VLAN, int(packet.vlan is not None), tci, swap16(protocol))


@helper("skb_vlan_push")
def skb_vlan_push(machine: Host, context: int, protocol: int, tci: int) -> int:
    machine.check(context, _CONTEXT, write=True, what="context")
    packet, kind = packet_of(machine), swap16(protocol)
    if packet.length < packet.mac - packet.data + ETHERNET:
        return -ENOMEM
    if kind not in (_VLAN_8021Q, _VLAN_8021AD):
        kind = _VLAN_8021Q
    if packet.vlan is not None:
        inner_kind, inner = packet.vlan
        header = packet.mac - packet.data
        packet.insert(header + 12, 4)
        packet.store(header + 12, inner_kind.to_bytes(2, "big") + inner.to_bytes(2, "big"))
        store32(context + _PROTOCOL, swap16(inner_kind))
        packet.network = packet.mac + ETHERNET
    packet.vlan = kind, tci & 0xFFFF
    _show_vlan(context, packet)
    return 0


@helper("skb_vlan_pop")
def skb_vlan_pop(machine: Host, context: int) -> int:
    machine.check(context, _CONTEXT, write=True, what="context")
    packet = packet_of(machine)
    header = packet.mac - packet.data
    if packet.length < header + ETHERNET + 4 and packet.vlan is None:
        return 0 if packet.length >= header + ETHERNET else -ENOMEM
    if packet.vlan is None:
        if _protocol(context) in (_VLAN_8021Q, _VLAN_8021AD):
            _take_tag(context, packet, header)
        return 0
    packet.vlan = None
    if packet.length >= header + ETHERNET + 4 and _protocol(context) in (_VLAN_8021Q, _VLAN_8021AD):
        packet.vlan = _take_tag(context, packet, header)
    _show_vlan(context, packet)
    return 0


def _take_tag(context: int, packet: Packet, header: int) -> tuple[int, int]:
    """Take the tag out of the data."""
    kind, tci, inner = unpack_from(">3H", packet.payload(), header + 12)
    packet.remove(header + 12, 4)
    packet.network = packet.mac + ETHERNET
    store32(context + _PROTOCOL, swap16(inner))
    return kind, tci


# ── what is known of a packet ────────────────────────────────────────────────────────────────────────────


@helper("skb_change_type")
def skb_change_type(machine: Host, context: int, kind: int) -> int:
    machine.check(context, _CONTEXT, write=True, what="context")
    kind &= MASK32
    if load32(context + _PKT_TYPE) > _OTHERHOST or kind > _OTHERHOST:
        return -EINVAL
    store32(context + _PKT_TYPE, kind)
    return 0


@helper("get_hash_recalc")
def get_hash_recalc(machine: Host, context: int) -> int:
    """The hash of the addresses and ports; the kernel's has a secret key, this one has none."""
    machine.check(context, _CONTEXT, write=True, what="context")
    if not load32(context + _HASH):
        from cygnet.maps.kinds.jhash import jhash

        packet = packet_of(machine)
        store32(context + _HASH, jhash(bytes(SPACE[packet.network : packet.end])[9:40]) or 1)
    return load32(context + _HASH)


@helper("set_hash")
def set_hash(machine: Host, context: int, value: int) -> int:
    machine.check(context, _CONTEXT, write=True, what="context")
    store32(context + _HASH, value)
    return 0


@helper("set_hash_invalid")
def set_hash_invalid(machine: Host, context: int) -> int:
    machine.check(context, _CONTEXT, write=True, what="context")
    store32(context + _HASH, 0)
    return 0


@helper("skb_set_tstamp")
def skb_set_tstamp(machine: Host, context: int, stamp: int, kind: int) -> int:
    """Only packets of IP have time stamps of the sender's clocks."""
    machine.check(context, _CONTEXT, write=True, what="context")
    if _protocol(context) not in _HEADER:
        return -95  # EOPNOTSUPP
    kind &= MASK32
    if kind > bpf_flags.BPF_SKB_CLOCK_TAI or (kind and not stamp):
        return -EINVAL
    pack_into("<Q", SPACE, context + _TSTAMP, stamp)
    SPACE[context + _TSTAMP_TYPE] = kind
    return 0


@helper("skb_ecn_set_ce")
def skb_ecn_set_ce(machine: Host, context: int) -> int:
    """1 when the packet says now that there is congestion, 0 when it cannot."""
    machine.check(context, _CONTEXT, write=True, what="context")
    packet = packet_of(machine)
    header, at = packet.network, packet.network - packet.data
    if _protocol(context) == _IP and header + 20 <= packet.end:
        tos = SPACE[header + 1]
        if not tos & 3:
            return 0
        if tos & 3 != 3:
            check = int.from_bytes(SPACE[header + 10 : header + 12], "little")
            added = check + ((tos | 3) - tos ^ 0xFFFF) * 256 % 0xFFFF
            packet.store(at + 1, bytes((tos | 3,)))
            packet.store(at + 10, (added % 0xFFFF).to_bytes(2, "little"))
        return 1
    if _protocol(context) == _IPV6 and header + 40 <= packet.end:
        if not SPACE[header + 1] & 0x30:
            return 0
        SPACE[header + 1] |= 0x30
        return 1
    return 0


@helper("get_route_realm")
def get_route_realm(machine: Host, context: int) -> int:
    return machine.world.route_realm


@helper("skb_cgroup_id")
def skb_cgroup_id(machine: Host, context: int) -> int:
    socket = machine.world.socket
    return socket.cgroups[-1] if socket and socket.cgroups else 0


@helper("skb_ancestor_cgroup_id")
def skb_ancestor_cgroup_id(machine: Host, context: int, level: int) -> int:
    from cygnet.vm.helpers.task import ancestor

    socket = machine.world.socket
    return ancestor(socket.cgroups, level) if socket else 0
