"""Sockets: looked up among the world's, released, told apart, assigned; what sock_ops and sk_msg programs do."""

from __future__ import annotations

from errno import EAFNOSUPPORT, EEXIST, EINVAL, ENOENT, EOPNOTSUPP, EPROTOTYPE, ESOCKTNOSUPPORT
from struct import pack_into

from cygnet.errors import HelperFault
from cygnet.maps.memory import SPACE, load64, read
from cygnet.vm.helpers.common import MASK32, map_of, s32
from cygnet.vm.helpers.registry import helper
from cygnet.vm.helpers.storage import owner_number
from cygnet.vm.sockets import AF_INET6, ESTABLISHED, LISTEN, TCP, UDP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.vm.host import Host
    from cygnet.vm.sockets import Socket

_NO_UID = 65534  # overflowuid
_TUPLES = {12: 4, 36: 16}  # bytes of bpf_sock_tuple → of an address


def _socket_at(machine: Host, address: int) -> Socket | None:
    world = machine.world
    for one in (*world.sockets, world.socket):
        if one is not None and one.address(machine) == address:
            return one
    return None


def _known(machine: Host, address: int) -> Socket:
    found = _socket_at(machine, address)
    if found is None:
        raise HelperFault(f"{address:#x} is no socket")
    return found


def socket_in(machine: Host, of: Any, key: int) -> int:
    """bpf_map_lookup_elem of a sockmap: the socket, taken a reference of."""
    number = of.target(read(key, of.key_size))
    for (kind, address), known in machine.world.descriptors.items():
        if kind == "socket" and known == number:
            return _take(machine, address)
    thing = machine.map_host.things.get(number) if number is not None else None
    place = getattr(thing.what, "address", None) if thing is not None else None
    return _take(machine, int(place(machine))) if callable(place) else 0


def _take(machine: Host, address: int) -> int:
    taken = machine.world.references
    taken[address] = taken.get(address, 0) + 1
    return address


def _lookup(machine: Host, tuple_: int, size: int, netns: int, flags: int, protocol: int) -> int:
    """struct bpf_sock_tuple {saddr, daddr, sport, dport}: a packet's way, so the source is the remote end."""
    data = machine.readable(tuple_, size & MASK32, "struct bpf_sock_tuple")
    width = _TUPLES.get(len(data))
    if width is None or flags or s32(netns) >= 0:  # there is one namespace, the current one
        return 0
    source, destination = data[:width], data[width : 2 * width]
    sport, dport = (int.from_bytes(data[at : at + 2], "big") for at in (2 * width, 2 * width + 2))
    ranked = [(s.matches(protocol, (source, sport), (destination, dport)), s) for s in machine.world.sockets]
    best = max(ranked, key=lambda pair: pair[0], default=(0, None))
    return _take(machine, best[1].address(machine)) if best[0] and best[1] else 0


@helper("sk_lookup_tcp")
def sk_lookup_tcp(machine: Host, context: int, tuple_: int, size: int, netns: int, flags: int) -> int:
    return _lookup(machine, tuple_, size, netns, flags, TCP)


@helper("sk_lookup_udp")
def sk_lookup_udp(machine: Host, context: int, tuple_: int, size: int, netns: int, flags: int) -> int:
    return _lookup(machine, tuple_, size, netns, flags, UDP)


@helper("skc_lookup_tcp")
def skc_lookup_tcp(machine: Host, context: int, tuple_: int, size: int, netns: int, flags: int) -> int:
    return _lookup(machine, tuple_, size, netns, flags, TCP)


@helper("sk_release")
def sk_release(machine: Host, socket: int) -> int:
    taken = machine.world.references
    if taken.get(socket, 0) < 1:
        raise HelperFault(f"{socket:#x} was not looked up, or was released already")
    taken[socket] -= 1
    return 0


@helper("sk_fullsock")
def sk_fullsock(machine: Host, socket: int) -> int:
    return socket if socket and _socket_at(machine, socket) else 0


@helper("tcp_sock")
def tcp_sock(machine: Host, socket: int) -> int:
    return _known(machine, socket).tcp_address(machine) if socket else 0


@helper("get_listener_sock")
def get_listener_sock(machine: Host, socket: int) -> int:
    return socket if socket and _known(machine, socket).state == LISTEN else 0


def _cast(name: str, protocol: int, family: int = 0) -> None:
    """skc_to_NAME: the same pointer when it is such a socket."""

    def cast(machine: Host, socket: int) -> int:
        found = _socket_at(machine, socket) if socket else None
        fits = found is not None and found.protocol == protocol and family in (0, found.family)
        return socket if fits else 0

    helper(f"skc_to_{name}")(cast)


_cast("tcp_sock", TCP)
_cast("tcp6_sock", TCP, 10)
_cast("udp6_sock", UDP, 10)
_cast("unix_sock", -1)
_cast("mptcp_sock", 262)
_cast("tcp_timewait_sock", -1)  # no socket here is a timewait or request one
_cast("tcp_request_sock", -1)


# ── what is known of a socket ────────────────────────────────────────────────────────────────────────────


@helper("get_socket_cookie")
def get_socket_cookie(machine: Host, context: int) -> int:
    """Of the context's socket (`world.socket`), or of the socket that is given itself."""
    found = _socket_at(machine, context) or machine.world.socket
    return machine.world.cookie_of(found) if found else 0


@helper("get_socket_uid")
def get_socket_uid(machine: Host, context: int) -> int:
    socket = machine.world.socket
    return socket.uid if socket else _NO_UID


@helper("get_netns_cookie")
def get_netns_cookie(machine: Host, context: int) -> int:
    return machine.world.netns_cookie


@helper("sk_cgroup_id")
def sk_cgroup_id(machine: Host, socket: int) -> int:
    cgroups = _known(machine, socket).cgroups
    return cgroups[-1] if cgroups else 0


@helper("sk_ancestor_cgroup_id")
def sk_ancestor_cgroup_id(machine: Host, socket: int, level: int) -> int:
    from cygnet.vm.helpers.task import ancestor

    return ancestor(_known(machine, socket).cgroups, level)


@helper("sock_from_file")
def sock_from_file(machine: Host, file: int) -> int:
    """Not null for what is in `world.files`."""
    return machine.world.object_address("socket of a file", file) if file in machine.world.files else 0


# ── decisions ────────────────────────────────────────────────────────────────────────────────────────────


def _did(machine: Host, name: str, *arguments: Any) -> int:
    machine.world.did.append((name, arguments))
    return 0


@helper("sk_assign")
def sk_assign(machine: Host, context: int, socket: int, flags: int) -> int:
    """Recorded in `world.did`. Of an sk_lookup program, the context's `sk` is set."""
    lookup = machine.world.program_type == "sk_lookup"
    if flags & ~(3 if lookup else 0):
        return -EINVAL
    if not socket and not lookup:
        return -EINVAL
    found = _known(machine, socket) if socket else None
    error = _unselectable(machine, context, found, flags) if lookup else 0 if machine.world.at_ingress else -EOPNOTSUPP
    if error:
        return error
    if lookup:
        pack_into("<Q", SPACE, context, socket)
    return _did(machine, "sk_assign", found)


def _unselectable(machine: Host, context: int, found: Socket | None, flags: int) -> int:
    """bpf_sk_lookup_assign: why the socket cannot be selected, a negative errno or 0."""
    machine.check(context, 64, write=True, what="context")
    family, protocol = (int.from_bytes(SPACE[context + at : context + at + 4], "little") for at in (8, 12))
    if found is not None and found.state == ESTABLISHED:
        return -ESOCKTNOSUPPORT
    if found is not None and found.protocol != protocol:
        return -EPROTOTYPE
    # an IPv6 socket that is bound to no address takes IPv4 too
    if found is not None and found.family != family and (found.family, found.local[0]) != (AF_INET6, "::"):
        return -EAFNOSUPPORT
    return -EEXIST if load64(context) and not flags & 1 else 0


@helper("sk_select_reuseport")
def sk_select_reuseport(machine: Host, context: int, map: int, key: int, flags: int) -> int:
    """Recorded in `world.did`; flags are not looked at."""
    of = map_of(machine, map, "target")
    target = of.target(machine.readable(key, of.key_size, "key"))
    return -ENOENT if target is None else _did(machine, "sk_select_reuseport", target)


def _enter(machine: Host, context: int, map: int, key: int, flags: int) -> int:
    of, socket = map_of(machine, map, "set_socket"), machine.world.socket
    if socket is None:
        return -EINVAL
    data = machine.readable(key, of.key_size, "key")
    return int(of.set_socket(data, owner_number(machine, "socket", socket.address(machine)), flags))


@helper("sock_map_update")
def sock_map_update(machine: Host, context: int, map: int, key: int, flags: int) -> int:
    return _enter(machine, context, map, key, flags)


@helper("sock_hash_update")
def sock_hash_update(machine: Host, context: int, map: int, key: int, flags: int) -> int:
    return _enter(machine, context, map, key, flags)


@helper("sock_ops_cb_flags_set")
def sock_ops_cb_flags_set(machine: Host, context: int, flags: int) -> int:
    """The flags that are unknown; the others are set in the context."""
    machine.check(context, 224, write=True, what="context")
    flags &= MASK32
    SPACE[context + 84 : context + 88] = (flags & 0x7F).to_bytes(4, "little")
    return flags & ~0x7F


@helper("bind")
def bind(machine: Host, context: int, address: int, size: int) -> int:
    data = machine.readable(address, size & MASK32, "struct sockaddr")
    family = int.from_bytes(data[:2], "little")
    if len(data) < 2 or (family == 2 and len(data) < 16) or (family == 10 and len(data) < 24):
        return -EINVAL
    if family not in (2, 10):
        return -EAFNOSUPPORT
    return _did(machine, "bind", data)
