"""Scenes of sockets: real ones on the loopback interface, which test runs of tc and sk_lookup programs find."""

from __future__ import annotations

import socket
import struct
from typing import Any

from tests.vmcases.helpers import TC, call, store
from tests.vmcases.scenes import Place, Scene, flag, keep, result, storage
from tests.vmcases.tasks import EINVAL, ENOENT, packet

from cygnet.spec.objects import MapSpec
from cygnet.uapi import bpf
from cygnet.vm.sockets import TCP, UDP, Socket

EOPNOTSUPP, EEXIST, EPROTOTYPE, EAFNOSUPPORT, ESOCKTNOSUPPORT = -95, -17, -91, -97, -94
SK_LOOKUP = bpf.BPF_PROG_TYPE_SK_LOOKUP
HOME = "127.0.0.1"
SO_NETNS_COOKIE, SO_COOKIE = 71, 57


def cookie(of: socket.socket) -> int:
    return int.from_bytes(of.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), "little")


def opened(place: Place, kind: int, address: str = HOME, *, family: int = socket.AF_INET) -> socket.socket:
    made = place.stack.enter_context(socket.socket(family, kind))
    made.bind((address, 0))
    return made


def sockets(place: Place) -> None:
    """A TCP listener, a connection to it, a UDP socket; IPv6 ones of each kind."""
    listener = opened(place, socket.SOCK_STREAM)
    listener.listen()
    client = place.stack.enter_context(socket.create_connection(listener.getsockname()))
    server = place.stack.enter_context(listener.accept()[0])
    udp = opened(place, socket.SOCK_DGRAM)
    six = opened(place, socket.SOCK_STREAM, "::1", family=socket.AF_INET6)
    six.listen()
    udp6 = opened(place, socket.SOCK_DGRAM, "::1", family=socket.AF_INET6)
    place["sockets"] = {"listener": listener, "client": client, "server": server, "udp": udp, "tcp6": six, "udp6": udp6}
    packet(place)
    tuples = [
        _tuple((HOME, 1), listener.getsockname()),
        _tuple(client.getsockname(), server.getsockname()),
        _tuple((HOME, 1), udp.getsockname()),
        _tuple(("::1", 1), six.getsockname()[:2]),
        _tuple(("::1", 1), udp6.getsockname()[:2]),
        _tuple((HOME, 1), (HOME, 1)),  # nobody
    ]
    place.words = [int.from_bytes(t[at : at + 8], "little") for t in tuples for at in range(0, 40, 8)]


LISTENER, CONNECTED, UDP4, TCP6, UDP6, NOBODY = range(6)
_SHORT, _LONG = 12, 36


def _tuple(source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    """struct bpf_sock_tuple of a packet's way, padded to five words."""
    family = socket.AF_INET6 if ":" in source[0] else socket.AF_INET
    data = b"".join(socket.inet_pton(family, address) for address, _ in (source, destination))
    return (data + struct.pack(">HH", source[1], destination[1])).ljust(40, b"\0")


def own_sockets(machine: Any, place: Place) -> None:
    have = place["sockets"]
    protocols = {"udp": UDP, "udp6": UDP}
    for name, one in have.items():
        local = one.getsockname()[:2]
        remote = one.getpeername()[:2] if name in ("client", "server") else ("", 0)
        made = Socket(local, remote, protocol=protocols.get(name, TCP), cookie=cookie(one))
        place[f"simulated {name}"] = made
        machine.world.sockets.append(made)
    machine.world.netns_cookie = int.from_bytes(
        have["listener"].getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), "little"
    )


# ── look-ups, of a tc program ────────────────────────────────────────────────────────────────────────────


def look(helper: str, which: int, size: int, netns: int = -1, flags: int = 0, found: str = "") -> str:
    """Look a socket up; `found` runs with it in r7, and then it is released."""
    text = f"r1 = r6\nr2 = map[fd:1][0]+{40 * which}\nr3 = {size}\nr4 = {netns}\nr5 = {flags}\ncall bpf_{helper}\n"
    return text + f"r7 = r0\n{flag(0)}if r7 == 0 goto out\n{found}r1 = r7\ncall bpf_sk_release\nout:\n"


_FIELDS = {"family": (4, 4), "type": (8, 4), "protocol": (12, 4), "src_ip4": (24, 4), "src_port": (44, 4),
           "dst_port": (48, 2), "dst_ip4": (52, 4), "state": (72, 4)}  # fmt: skip
_READ = "".join(
    f"r0 = *(u{8 * size} *)(r7 +{at})\n{keep(1 + n)}" for n, (at, size) in enumerate(_FIELDS.values())
)  # fmt: skip


def tc(name: str, text: str, expect: tuple[int | None, ...] = (), maps: tuple[MapSpec, ...] = ()) -> Scene:
    return Scene(name, TC, text + "r0 = 0\nexit\n", expect, maps, setup=sockets, world=own_sockets)


def cast(helper: str, which: int, expect: int) -> Scene:
    lookup, size = ("sk_lookup_udp", _SHORT) if which == UDP4 else ("sk_lookup_tcp", _SHORT)
    if which in (TCP6, UDP6):
        lookup, size = ("sk_lookup_tcp" if which == TCP6 else "sk_lookup_udp"), _LONG
    names = {LISTENER: "listener", CONNECTED: "connected", UDP4: "udp", TCP6: "tcp6", UDP6: "udp6"}
    return tc(
        f"{helper} of {names[which]}",
        look(lookup, which, size, found=f"r1 = r7\ncall bpf_{helper}\n{flag(1)}"),
        (1, expect),
    )


LOOKUPS = [
    tc("sk_lookup_tcp listener", look("sk_lookup_tcp", LISTENER, _SHORT, found=_READ), (1, 2, 1, 6, None, None, 0, 0, 10)),
    tc("sk_lookup_tcp connected", look("sk_lookup_tcp", CONNECTED, _SHORT, found=_READ),
       (1, 2, 1, 6, None, None, None, None, 1)),
    tc("sk_lookup_udp", look("sk_lookup_udp", UDP4, _SHORT, found=_READ), (1, 2, 2, 17, None, None, 0, 0, 7)),
    tc("sk_lookup_tcp udp's", look("sk_lookup_tcp", UDP4, _SHORT), (0,)),
    tc("sk_lookup_udp tcp's", look("sk_lookup_udp", LISTENER, _SHORT), (0,)),
    tc("sk_lookup_tcp v6", look("sk_lookup_tcp", TCP6, _LONG), (1,)),
    tc("sk_lookup_udp v6", look("sk_lookup_udp", UDP6, _LONG), (1,)),
    tc("sk_lookup_tcp flags", look("sk_lookup_tcp", LISTENER, _SHORT, flags=1), (0,)),
    tc("sk_lookup_tcp size", look("sk_lookup_tcp", LISTENER, 16), (0,)),
    tc("sk_lookup_tcp no such namespace", look("sk_lookup_tcp", LISTENER, _SHORT, netns=0x7FFFFFF0), (0,)),
    tc("sk_lookup_udp nobody", look("sk_lookup_udp", NOBODY, _SHORT), (0,)),
    tc("skc_lookup_tcp listener", look("skc_lookup_tcp", LISTENER, _SHORT), (1,)),
    tc("skc_lookup_tcp nobody", look("skc_lookup_tcp", NOBODY, _SHORT), (0,)),
    tc("sk_release gives", look("sk_lookup_tcp", LISTENER, _SHORT).replace("out:\n", keep(1) + "out:\n"), (1, 0)),
    *(cast(helper, which, int(which in fits)) for helper, fits in (
        ("tcp_sock", (LISTENER, CONNECTED)), ("get_listener_sock", (LISTENER,)),
        ("sk_fullsock", (LISTENER, CONNECTED, UDP4)),
        ("skc_to_tcp_sock", (LISTENER, CONNECTED)), ("skc_to_unix_sock", ()), ("skc_to_mptcp_sock", ()),
        ("skc_to_tcp_timewait_sock", ()), ("skc_to_tcp_request_sock", ())) for which in (LISTENER, CONNECTED, UDP4)),
    *(cast(helper, which, int(which == fits)) for helper, fits in (("skc_to_tcp6_sock", TCP6), ("skc_to_udp6_sock", UDP6))
      for which in (LISTENER, UDP4, TCP6, UDP6)),
    tc("get_netns_cookie", result(0, call("get_netns_cookie", "ctx")) + result(1, call("get_netns_cookie", 0))),
    tc("sk_assign flags", look("sk_lookup_tcp", LISTENER, _SHORT,
       found="r1 = r6\nr2 = r7\nr3 = 1\ncall bpf_sk_assign\n" + keep(1)),
       (1, EINVAL)),
    tc("sk_assign not at ingress",
       look("sk_lookup_tcp", LISTENER, _SHORT, found="r1 = r6\nr2 = r7\nr3 = 0\ncall bpf_sk_assign\n" + keep(1)),
       (1, EOPNOTSUPP)),
]  # fmt: skip


# ── the dummy socket of a test run ───────────────────────────────────────────────────────────────────────

_SK = "r7 = *(u64 *)(r6 +168)\nif r7 == 0 goto out\n"
DUMMY = [
    tc("get_socket_uid", result(0, call("get_socket_uid", "ctx")), (0,)),
    tc("get_socket_cookie twice", call("get_socket_cookie", "ctx") + "r7 = r0\n" + flag(0) + call("get_socket_cookie", "ctx")
       + "r7 -= r0\n" + keep(1, "r7"), (1, 0)),
    tc("sk_fullsock of a packet", _SK + "r1 = r7\ncall bpf_sk_fullsock\nr7 = r0\n" + flag(0)
       + "if r7 == 0 goto out\n" + _READ + "out:\n",
       (1, 2, 0, 0, 0x0100000A, 0, 0, 0x0200000A, 7)),
    tc("tcp_sock of a packet", _SK + "r1 = r7\ncall bpf_tcp_sock\n" + flag(0) + "out:\n", (0,)),
]  # fmt: skip


# ── storage of sockets ───────────────────────────────────────────────────────────────────────────────────

_STORE = (storage("store", bpf.BPF_MAP_TYPE_SK_STORAGE),)


def _get(word: int, flags: int, value: str = "0", add: int = 0) -> str:
    text = "r1 = map[fd:2]\nr2 = r7\n" + (f"r3 = r10\nr3 += {value}\n" if value != "0" else "r3 = 0\n")
    text += f"r4 = {flags}\ncall bpf_sk_storage_get\nr8 = 0\nif r0 == 0 goto +3\nr8 = *(u64 *)(r0 +0)\n"
    return text + f"r8 += {add}\n*(u64 *)(r0 +0) = r8\n" + keep(word, "r8")


_DELETE = "r1 = map[fd:2]\nr2 = r7\ncall bpf_sk_storage_delete\n"
STORAGE = [
    tc("sk_storage_get create", look("sk_lookup_tcp", LISTENER, _SHORT, found=store(-8, b"\x2a") + _get(1, 0)
       + _get(2, 1, "-8", 1)      + _get(3, 0) + _get(4, 1, "-8") + _get(5, 2) + _get(6, 3)), (1, 0, 43, 43, 43, 0, 0), _STORE),
    tc("sk_storage_get zeros", look("sk_lookup_tcp", LISTENER, _SHORT, found=_get(1, 1, add=7) + _get(2, 0)), (1, 7, 7), _STORE),
    tc("sk_storage_delete", look("sk_lookup_tcp", LISTENER, _SHORT, found=
       _DELETE + keep(1) + _get(2, 1, add=5) + _DELETE + keep(3)
       + _get(4, 0)), (1, ENOENT, 5, 0, 0), _STORE),
]  # fmt: skip


# ── what a packet carries beside its bytes ───────────────────────────────────────────────────────────────

_KEY = store(-48, struct.pack("<I16sBBHI16s", 7, b"\1\0\0\x0a", 3, 64, 0, 0, b"\2\0\0\x0a"))


def _tunnel(size: int, flags: int, text: str = "") -> str:
    return _KEY + call("skb_set_tunnel_key", "ctx", "fp-48", size, flags) + keep(0) + text


def _got(size: int, flags: int, first: int) -> str:
    read = store(-96, b"x" * 48) + call("skb_get_tunnel_key", "ctx", "fp-96", size, flags) + keep(first)
    return read + "".join(
        f"r0 = *(u64 *)(r10 {at})\n{keep(first + 1 + n)}" for n, at in enumerate((-96, -88, -80, -72, -64, -56))
    )


def _options(word: int, size: int) -> str:
    return store(-24, b"abcdefghijkl") + call("skb_set_tunnel_opt", "ctx", "fp-24", size) + keep(word)


def _options_got(word: int, size: int) -> str:
    text = store(-24, b"y" * 16) + call("skb_get_tunnel_opt", "ctx", "fp-24", size) + keep(word)
    return text + "r0 = *(u64 *)(r10 -24)\n" + keep(word + 1) + "r0 = *(u64 *)(r10 -16)\n" + keep(word + 2)


CARRIED = [
    tc("skb_set_tunnel_key whole", _tunnel(44, 0, _got(44, 0, 1)), (0, 0)),
    *(tc(f"skb_set_tunnel_key {size} bytes", _tunnel(size, 0, _got(44, 0, 1)), (expect,)) for size, expect in
      ((28, 0), (24, 0), (22, 0), (20, EINVAL), (8, 0), (12, EINVAL), (40, EINVAL))),
    *(tc(f"skb_set_tunnel_key flags {flags:#x}", _tunnel(44, flags, _got(44, 0, 1))) for flags in (1, 2, 4, 8, 16, 32, 64)),
    *(tc(f"skb_get_tunnel_key {size} bytes flags {flags}", _tunnel(44, 0, _got(size, flags, 1))) for size, flags in
      ((28, 0), (24, 0), (22, 0), (8, 0), (12, 0), (44, 16), (44, 1), (44, 2), (28, 16))),
    tc("skb_set_tunnel_key v6", _tunnel(44, 1, _got(44, 1, 1) + "r0 = *(u64 *)(r10 -56)\n" + keep(8)), (0, 0)),
    tc("skb_get_tunnel_key v6 8 bytes", _tunnel(44, 1, _got(8, 1, 1)), (0, EINVAL)),
    tc("skb_set_tunnel_key label", _KEY + "r1 = 5\n*(u32 *)(r10 -24) = r1\n" + "".join(
        result(n, call("skb_set_tunnel_key", "ctx", "fp-48", 44, flags)) for n, flags in enumerate((0, 1))), (EINVAL, 0)),
    tc("skb_set_tunnel_opt without a key", _options(0, 8), (EINVAL,)),
    *(tc(f"skb_set_tunnel_opt {size}", _tunnel(44, 0, _options(1, size) + _options_got(2, 12))) for size in (4, 8, 12, 6)),
    *(tc(f"skb_get_tunnel_opt {size}", _tunnel(44, 0, _options(1, 8) + _options_got(2, size))) for size in (4, 8, 12)),
    tc("skb_get_tunnel_opt none", _tunnel(44, 0, _options_got(1, 8)), (0, None)),
    tc("get_route_realm", result(0, call("get_route_realm", "ctx")), (0,)),
    tc("get_hash_recalc after set_hash", call("set_hash", "ctx", 0x1234) + result(0, call("get_hash_recalc", "ctx")), (0x1234,)),
    tc("get_hash_recalc after invalidation", call("set_hash", "ctx", 0x1234) + call("set_hash_invalid", "ctx")
       + call("get_hash_recalc", "ctx") + "r8 = 0\nif r0 == 4660 goto +2\nif r0 == 0 goto +1\nr8 = 1\n" + keep(0, "r8"), (1,)),
]  # fmt: skip


# ── sk_lookup ────────────────────────────────────────────────────────────────────────────────────────────

_SOCKETS = (MapSpec("sockets", bpf.BPF_MAP_TYPE_SOCKMAP, 4, 8, 8),)
_ORDER = ("listener", "udp", "tcp6", "server")


def _enter_sockets(runtime: Any, place: Place, kernel: bool) -> None:
    from cygnet.vm.helpers.storage import owner_number

    for index, name in enumerate(_ORDER):
        if kernel:
            number = place["sockets"][name].fileno()
        else:
            number = owner_number(runtime.host, "socket", place[f"simulated {name}"].address(runtime.host))
        runtime.map("sockets").update(struct.pack("=I", index), struct.pack("=Q", number))


def lookup_context(family: int = 2, protocol: int = 6, port: int = 80) -> bytes:
    """struct bpf_sk_lookup for a packet from 10.0.0.1:4660 to 10.0.0.2."""
    six = bytes.fromhex("fd00" + 13 * "00" + "01"), bytes.fromhex("fd00" + 13 * "00" + "02")
    four = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
    remote, local = (
        (four[0] + bytes(16), four[1] + bytes(16)) if family == 2 else (bytes(4) + six[0], bytes(4) + six[1])
    )
    return (
        struct.pack("<QII", 0, family, protocol)
        + remote
        + struct.pack(">HH", 4660, 0)
        + local
        + struct.pack("<II", port, 0)
    )


def _assign(word: int, index: int, flags: int) -> str:
    """Look a socket up in the map, assign it, release it."""
    text = (
        f"r1 = {index}\n*(u32 *)(r10 -4) = r1\n"
        + call("map_lookup_elem", "map2", "fp-4")
        + f"r7 = r0\nif r7 == 0 goto end{word}\n"
    )
    text += f"r1 = r6\nr2 = r7\nr3 = {flags}\ncall bpf_sk_assign\n" + keep(word) + "r1 = r7\ncall bpf_sk_release\n"
    return text + f"end{word}:\n"


def _selecting(name: str, text: str, expect: tuple[int | None, ...], context: bytes, verdict: int = 1) -> Scene:
    def setup(place: Place) -> None:
        sockets(place)
        place.data, place.ctx, place.ctx_out = b"", context, 72

    return Scene(name, SK_LOOKUP, text + f"r0 = {verdict}\nexit\n", expect, _SOCKETS, attach_type=bpf.BPF_SK_LOOKUP,
                 setup=setup, world=own_sockets, fill=_enter_sockets)  # fmt: skip


_TCP4, _UDP4, _TCP6 = lookup_context(), lookup_context(protocol=17), lookup_context(10)
_NONE = "r1 = r6\nr2 = 0\nr3 = {flags}\ncall bpf_sk_assign\n"
ASSIGN = [
    _selecting("sk_assign listener", _assign(0, 0, 0) + _assign(1, 0, 0) + _assign(2, 0, 1), (0, EEXIST, 0), _TCP4),
    _selecting("sk_assign protocol", _assign(0, 1, 0), (EPROTOTYPE,), _TCP4),
    _selecting("sk_assign family", _assign(0, 2, 0), (EAFNOSUPPORT,), _TCP4),
    _selecting("sk_assign connected", _assign(0, 3, 0), (ESOCKTNOSUPPORT,), _TCP4),
    _selecting("sk_assign flags of sk_lookup", _assign(0, 0, 4) + _assign(1, 0, 2), (EINVAL, 0), _TCP4),
    _selecting("sk_assign udp", _assign(0, 1, 0) + _assign(1, 0, 1), (0, EPROTOTYPE), _UDP4),
    _selecting("sk_assign v6", _assign(0, 2, 0) + _assign(1, 0, 1), (0, EAFNOSUPPORT), _TCP6),
    _selecting("sk_assign nothing", _assign(0, 0, 0) + _NONE.format(flags=0) + keep(1) + _NONE.format(flags=1) + keep(2)
               + "r0 = *(u64 *)(r6 +0)\n" + flag(3), (0, EEXIST, 0, 0), _TCP4),
    _selecting("sk_assign dropped", _assign(0, 0, 0), (0,), _TCP4, 0),
]  # fmt: skip

SCENES = [*LOOKUPS, *DUMMY, *STORAGE, *CARRIED, *ASSIGN]
