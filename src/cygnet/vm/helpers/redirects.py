"""Where packets go: recorded verdicts, routes, MTUs."""

from __future__ import annotations

from errno import EAFNOSUPPORT, EINVAL, ENODEV
from struct import pack_into, unpack_from

from cygnet.maps.memory import SPACE, fill, load32, read, store32
from cygnet.uapi import bpf_flags
from cygnet.vm.helpers.checksums import packet_of
from cygnet.vm.helpers.common import MASK32, map_of, s32
from cygnet.vm.helpers.registry import helper
from cygnet.vm.packets import ETHERNET
from cygnet.vm.world import Redirect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.vm.host import Host
    from cygnet.vm.world import Route

_TC_SHOT, _TC_REDIRECT = 2, 7
_XDP_FALLBACK = 3  # bits of the verdict when the map has nothing: up to XDP_TX
_AF_INET, _AF_INET6 = 2, 10
_FIB_BYTES = 64
_FIB_FLAGS = 0x3F
_SK_DROP, _SK_PASS = 0, 1


def _record(machine: Host, how: str, target: int | None, flags: int, **more: Any) -> None:
    packet = machine.world.packet
    more.setdefault("packet", packet.payload() if packet is not None else b"")
    machine.world.redirects.append(Redirect(how, target, flags, **more))


@helper("redirect")
def redirect(machine: Host, interface: int, flags: int) -> int:
    xdp = machine.world.program_type == "xdp"
    if flags if xdp else flags & ~bpf_flags.BPF_F_INGRESS:
        return bpf_flags.XDP_ABORTED if xdp else _TC_SHOT
    _record(machine, "redirect", interface & MASK32, flags)
    return bpf_flags.XDP_REDIRECT if xdp else _TC_REDIRECT


@helper("redirect_peer")
def redirect_peer(machine: Host, interface: int, flags: int) -> int:
    if flags:
        return _TC_SHOT
    _record(machine, "redirect_peer", interface & MASK32, flags)
    return _TC_REDIRECT


@helper("redirect_neigh")
def redirect_neigh(machine: Host, interface: int, neighbour: int, size: int, flags: int) -> int:
    size &= MASK32
    if flags or 0 < size < 20:
        return _TC_SHOT
    hop = machine.readable(neighbour, size, "struct bpf_redir_neigh") if size else b""
    _record(machine, "redirect_neigh", interface & MASK32, flags, key=hop)
    return _TC_REDIRECT


@helper("clone_redirect")
def clone_redirect(machine: Host, context: int, interface: int, flags: int) -> int:
    """The packet as it is now is recorded; the program goes on with its own."""
    interface &= MASK32
    if flags & ~bpf_flags.BPF_F_INGRESS or machine.world.interface(interface) is None:
        return -EINVAL
    _record(machine, "clone_redirect", interface, flags)
    return 0


@helper("redirect_map")
def redirect_map(machine: Host, map: int, key: int, flags: int) -> int:
    """XDP_REDIRECT, or the low bits of flags when the map has nothing there (__bpf_xdp_redirect_map)."""
    of = map_of(machine, map, "target")
    devices = hasattr(of, "_targets") and of.type in (14, 25)
    masks = bpf_flags.BPF_F_BROADCAST | bpf_flags.BPF_F_EXCLUDE_INGRESS if devices else 0
    if flags & ~(_XDP_FALLBACK | masks):
        return bpf_flags.XDP_ABORTED
    found = of.target(key & MASK32)
    if found is None and not flags & bpf_flags.BPF_F_BROADCAST:
        return flags & _XDP_FALLBACK
    target = found[0] if isinstance(found, tuple) else found
    _record(machine, "redirect_map", target, flags, map=of.name, key=key & MASK32)
    return bpf_flags.XDP_REDIRECT


# ── sockets ──────────────────────────────────────────────────────────────────────────────────────────────


def _to_socket(machine: Host, how: str, map: int, key: bytes, flags: int) -> int:
    of = map_of(machine, map, "set_socket")
    if flags & ~bpf_flags.BPF_F_INGRESS:
        return _SK_DROP
    target = of.target(key)
    if target is None:
        return _SK_DROP
    _record(machine, how, target, flags, map=of.name, key=key)
    return _SK_PASS


@helper("sk_redirect_map")
def sk_redirect_map(machine: Host, context: int, map: int, key: int, flags: int) -> int:
    return _to_socket(machine, "sk_redirect_map", map, (key & MASK32).to_bytes(4, "little"), flags)


@helper("msg_redirect_map")
def msg_redirect_map(machine: Host, context: int, map: int, key: int, flags: int) -> int:
    return _to_socket(machine, "msg_redirect_map", map, (key & MASK32).to_bytes(4, "little"), flags)


@helper("sk_redirect_hash")
def sk_redirect_hash(machine: Host, context: int, map: int, key: int, flags: int) -> int:
    return _to_socket(machine, "sk_redirect_hash", map, _key(machine, map, key), flags)


@helper("msg_redirect_hash")
def msg_redirect_hash(machine: Host, context: int, map: int, key: int, flags: int) -> int:
    return _to_socket(machine, "msg_redirect_hash", map, _key(machine, map, key), flags)


def _key(machine: Host, map: int, key: int) -> bytes:
    return machine.readable(key, map_of(machine, map).key_size, "key")


# ── routes ───────────────────────────────────────────────────────────────────────────────────────────────


def _route(machine: Host, destination: bytes) -> Route | None:
    """The longest prefix of the world's routes."""
    from ipaddress import ip_address

    address = ip_address(destination)
    fitting = [r for r in machine.world.routes if r.network.version == address.version and address in r.network]
    return max(fitting, key=lambda route: route.network.prefixlen, default=None)


@helper("fib_lookup")
def fib_lookup(machine: Host, context: int, parameters: int, size: int, flags: int) -> int:
    """struct bpf_fib_lookup, answered from `world.routes`: 0 and the neighbour, or BPF_FIB_LKUP_RET_*."""
    size = s32(size)
    machine.check(parameters, size & MASK32, write=True, what="struct bpf_fib_lookup")
    if size < _FIB_BYTES or flags & MASK32 & ~_FIB_FLAGS:
        return -EINVAL
    family, length = SPACE[parameters], unpack_from("<H", SPACE, parameters + 6)[0]
    if family not in (_AF_INET, _AF_INET6):
        return -EAFNOSUPPORT
    width = 4 if family == _AF_INET else 16
    route = _route(machine, read(parameters + 32, width))
    if route is None:
        return bpf_flags.BPF_FIB_LKUP_RET_NOT_FWDED
    if length and length > route.mtu:
        pack_into("<H", SPACE, parameters + 6, route.mtu)
        return bpf_flags.BPF_FIB_LKUP_RET_FRAG_NEEDED
    pack_into("<H", SPACE, parameters + 6, route.mtu)  # mtu_result shares tot_len's place
    store32(parameters + 8, route.ifindex)
    if route.next_hop:
        SPACE[parameters + 32 : parameters + 32 + len(route.next_hop)] = route.next_hop
    if not flags & bpf_flags.BPF_FIB_LOOKUP_SKIP_NEIGH:
        fill(parameters + 48, 4)
        SPACE[parameters + 52 : parameters + 58] = route.source_mac
        SPACE[parameters + 58 : parameters + 64] = route.destination_mac
    return 0


@helper("check_mtu")
def check_mtu(machine: Host, context: int, interface: int, length: int, delta: int, flags: int) -> int:
    """Whether the packet, `delta` bytes longer, fits; the MTU goes where `length` points to."""
    machine.check(length, 4, write=True, what="length")
    xdp = machine.world.program_type == "xdp"
    given, interface, delta = load32(length), interface & MASK32, s32(delta)
    if flags & ~(0 if xdp else bpf_flags.BPF_MTU_CHK_SEGS):
        return -EINVAL
    machine.check(context, 24 if xdp else 192, what="context")
    mtu = machine.world.interface(interface or (load32(context + (12 if xdp else 40))))
    if mtu is None:
        return -ENODEV
    size = given + ETHERNET if given else packet_of(machine).length
    size += delta
    store32(length, mtu)
    return 0 if size <= mtu + ETHERNET else bpf_flags.BPF_MTU_CHK_RET_FRAG_NEEDED
