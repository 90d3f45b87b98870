"""Scenes of programs that are attached to a cgroup of our own: addresses, options, sysctls, devices, packets, TCP's events."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from typing import Any

from tests.vmcases.helpers import call, store
from tests.vmcases.scenes import Place, Scene, flag, keep, result, storage
from tests.vmcases.sockets import EAFNOSUPPORT, HOME, cookie
from tests.vmcases.tasks import E2BIG, EINVAL, ENOENT, FRAME

from cygnet.facts.contexts import fields
from cygnet.spec.objects import MapSpec
from cygnet.uapi import bpf
from cygnet.vm import contexts
from cygnet.vm.sockets import Socket

SYSCTL = "net/ipv4/ip_forward"
ALLOW = "r0 = 1\nexit\n"


def read(structure: str, *names: str, first: int = 0) -> str:
    """Fields of the context into words of `out`."""
    text = ""
    for word, name in enumerate(names, first):
        field = fields(structure)[name]
        text += f"r0 = *(u{8 * field.size} *)(r6 +{field.offset})\n{keep(word)}"
    return text


def in_cgroup(attach_type: int, act: Callable[[Place], None]) -> Callable[[Any, Place], None]:
    """A `drive`: with this process in a cgroup of its own that the program is attached to."""

    def drive(runtime: Any, place: Place) -> None:
        from tests.kernel.stage import in_cgroup

        with in_cgroup(runtime.program("scene"), attach_type):
            act(place)

    return drive


# ── sysctl ───────────────────────────────────────────────────────────────────────────────────────────────


def _read_it(place: Place) -> None:
    fd = os.open(f"/proc/sys/{SYSCTL}", os.O_RDONLY)
    try:
        os.read(fd, 100)
    finally:
        os.close(fd)


def _write_it(place: Place) -> None:
    try:
        with open(f"/proc/sys/{SYSCTL}", "w") as file:
            file.write("600")
    except PermissionError:
        return
    raise AssertionError("the program was to refuse this")


def _sysctl(name: str, text: str, expect: tuple[int | None, ...], new: str | None = None) -> Scene:
    """Reads are allowed; writes are refused, so nothing changes."""

    def setup(place: Place) -> None:
        with open(f"/proc/sys/{SYSCTL}") as file:
            place["value"] = file.read()

    return Scene(name, bpf.BPF_PROG_TYPE_CGROUP_SYSCTL, text + f"r0 = {int(new is None)}\nexit\n", expect,
                 attach_type=bpf.BPF_CGROUP_SYSCTL, setup=setup,
                 drive=in_cgroup(bpf.BPF_CGROUP_SYSCTL, _read_it if new is None else _write_it),
                 context=lambda place: contexts.sysctl(SYSCTL, place["value"], new))  # fmt: skip


def _text(helper: str, size: int, *more: int, word: int = 0, count: int = 1) -> str:
    """A text of `size` bytes at r10 - 64, and its first words."""
    text = store(-64, bytes(48)) + call(helper, "ctx", "fp-64", size, *more) + keep(word)
    return text + "".join(f"r0 = *(u64 *)(r10 {-64 + 8 * n})\n{keep(word + 1 + n)}" for n in range(count))


def _set(word: int, value: bytes, size: int) -> str:
    return store(-16, value) + call("sysctl_set_new_value", "ctx", "fp-16", size) + keep(word)


def word(text: bytes) -> int:
    return int.from_bytes(text[:8].ljust(8, b"\0"), "little")


SYSCTLS = [
    _sysctl("sysctl_get_name whole", _text("sysctl_get_name", 40, 0, count=3),
            (19, word(b"net/ipv4"), word(b"/ip_forw"), word(b"ard"))),
    _sysctl("sysctl_get_name base", _text("sysctl_get_name", 40, 1, count=2), (10, word(b"ip_forwa"), word(b"rd"))),
    _sysctl("sysctl_get_name short", _text("sysctl_get_name", 7, 0) + _text("sysctl_get_name", 4, 1, word=2),
            (E2BIG, None, E2BIG, word(b"ip_"))),
    _sysctl("sysctl_get_name flags", _text("sysctl_get_name", 40, 6) + _text("sysctl_get_name", 40, 7, word=2),
            (19, word(b"net/ipv4"), 10, word(b"ip_forwa"))),
    _sysctl("sysctl_get_current_value", _text("sysctl_get_current_value", 16), (2, None)),
    _sysctl("sysctl_get_current_value short", _text("sysctl_get_current_value", 2), (E2BIG, None)),
    _sysctl("sysctl_get_new_value of a read", _text("sysctl_get_new_value", 16), (EINVAL, 0)),
    _sysctl("sysctl_get_new_value of a write", _text("sysctl_get_new_value", 16), (3, word(b"600")), "600"),
    _sysctl("sysctl_get_new_value short", _text("sysctl_get_new_value", 3) + _text("sysctl_get_new_value", 4, word=2),
            (E2BIG, word(b"60"), 3, word(b"600")), "600"),
    _sysctl("sysctl_set_new_value of a read", _set(0, b"1", 1), (EINVAL,)),
    _sysctl("sysctl_set_new_value", _set(0, b"1234", 4) + _text("sysctl_get_new_value", 16, word=1), (0, None, None), "600"),
    _sysctl("sysctl_get_name fields", read("bpf_sysctl", "write", "file_pos"), (0, 0)),
    _sysctl("sysctl_get_name fields of a write", read("bpf_sysctl", "write", "file_pos"), (1, 0), "600"),
]  # fmt: skip


# ── devices ──────────────────────────────────────────────────────────────────────────────────────────────


def _device(name: str, flags: int, access: tuple[str, ...], minor: int) -> Scene:
    def act(place: Place) -> None:
        os.close(os.open(f"/dev/{name}", flags))

    text = read("bpf_cgroup_dev_ctx", "access_type", "major", "minor")
    return Scene(f"device {name} {'+'.join(access)}", bpf.BPF_PROG_TYPE_CGROUP_DEVICE, text + ALLOW, (None, 1, minor),
                 attach_type=bpf.BPF_CGROUP_DEVICE, drive=in_cgroup(bpf.BPF_CGROUP_DEVICE, act),
                 context=lambda place: contexts.device(access, "char", 1, minor))  # fmt: skip


DEVICES = [
    _device("null", os.O_RDONLY, ("read",), 3), _device("null", os.O_WRONLY, ("write",), 3),
    _device("zero", os.O_RDWR, ("read", "write"), 5),
]  # fmt: skip


# ── options ──────────────────────────────────────────────────────────────────────────────────────────────

_OPTION = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def _option(name: str, text: str, expect: tuple[int | None, ...], get: bool) -> Scene:
    kind = bpf.BPF_CGROUP_GETSOCKOPT if get else bpf.BPF_CGROUP_SETSOCKOPT

    def act(place: Place) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
            try:
                if get:
                    one.getsockopt(*_OPTION)
                else:
                    one.setsockopt(*_OPTION, 1)
            except OSError as error:
                place["errno"] = error.errno

    def world(machine: Any, place: Place) -> None:
        machine.world.socket = Socket(("0.0.0.0", 0), cookie=1)

    return Scene(f"{name} of {'get' if get else 'set'}sockopt", bpf.BPF_PROG_TYPE_CGROUP_SOCKOPT, text + ALLOW, expect,
                 attach_type=kind, drive=in_cgroup(kind, act), world=world,
                 context=lambda place: contexts.sockopt(*_OPTION, struct.pack("<I", 0 if get else 1)))  # fmt: skip


_FIELDS = read("bpf_sockopt", "level", "optname", "optlen")
_VALUE = (
    "r7 = *(u64 *)(r6 +8)\nr8 = *(u64 *)(r6 +16)\nr9 = r7\nr9 += 4\nr0 = 99\nif r9 > r8 goto +1\nr0 = *(u32 *)(r7 +0)\n" + keep(3)
)  # fmt: skip
_RETVAL = result(0, call("get_retval")) + result(1, call("set_retval", -13)) + result(2, call("get_retval"))

OPTIONS = [
    _option("sockopt fields", _FIELDS + _VALUE, (*_OPTION, 4, 1), False),
    _option("sockopt fields", _FIELDS + _VALUE + read("bpf_sockopt", "retval", first=4), (*_OPTION, 4, 0, 0), True),
    _option("get_retval", _RETVAL, (0, 0, -13), False), _option("get_retval", _RETVAL, (0, 0, -13), True),
    _option("set_retval", result(0, call("set_retval", -5000)) + result(1, call("get_retval"))
            + result(2, call("set_retval", 0)) + result(3, call("get_retval")), (0, -5000, 0, 0), True),
    _option("set_retval positive", result(0, call("set_retval", 7)) + result(1, call("get_retval")), (None, None), True),
]  # fmt: skip


# ── addresses ────────────────────────────────────────────────────────────────────────────────────────────


def _connect(place: Place) -> None:
    """To a listener of our own, made outside of the cgroup."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        place["cookie"] = cookie(one)
        try:
            one.connect(place["address"])
        except OSError:
            pass


def _listener(place: Place) -> None:
    made = place.stack.enter_context(socket.create_server((HOME, 0)))
    place["address"] = made.getsockname()


def _connecting(machine: Any, place: Place) -> None:
    machine.world.socket = Socket(("0.0.0.0", 0), cookie=place.have.get("cookie", 0))
    machine.world.netns_cookie = int.from_bytes(
        place.stack.enter_context(socket.socket()).getsockopt(socket.SOL_SOCKET, 71, 8), "little"
    )


def connecting(name: str, text: str, expect: tuple[int | None, ...] = (), maps: tuple[MapSpec, ...] = ()) -> Scene:
    kind = bpf.BPF_CGROUP_INET4_CONNECT
    return Scene(name, bpf.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, text + ALLOW, expect, maps, attach_type=kind, setup=_listener,
                 world=_connecting, drive=in_cgroup(kind, _connect),
                 context=lambda place: contexts.sock_addr(*place["address"]))  # fmt: skip


SOL_IP, SOL_TCP, SOL_SOCKET = 0, 6, socket.SOL_SOCKET


def option(level: int, name: int, value: bytes, size: int, at: int, room: int = 4) -> str:
    """Set an option, and get it: three words."""
    text = store(-16, value) + call("setsockopt", "ctx", level, name, "fp-16", size) + keep(at)
    text += store(-32, b"x" * 16) + call("getsockopt", "ctx", level, name, "fp-32", room) + keep(at + 1)
    return text + "r0 = *(u64 *)(r10 -32)\n" + keep(at + 2)


def number(value: int) -> bytes:
    return value.to_bytes(4, "little", signed=value < 0)


_OPTIONS = {
    "SO_PRIORITY": (SOL_SOCKET, socket.SO_PRIORITY, 5), "SO_MARK": (SOL_SOCKET, 36, 0x77), "SO_KEEPALIVE": (SOL_SOCKET, 9, 7),
    "SO_SNDBUF": (SOL_SOCKET, 7, 30000), "SO_RCVBUF": (SOL_SOCKET, 8, 1), "SO_RCVLOWAT": (SOL_SOCKET, 18, 3),
    "SO_REUSEADDR": (SOL_SOCKET, 2, 1), "SO_TYPE": (SOL_SOCKET, 3, 1), "SO_LINGER": (SOL_SOCKET, 13, 1),
    "TCP_NODELAY": (SOL_TCP, 1, 9), "TCP_KEEPIDLE": (SOL_TCP, 4, 33), "TCP_KEEPIDLE 0": (SOL_TCP, 4, 0),
    "TCP_SYNCNT": (SOL_TCP, 7, 3), "TCP_INFO": (SOL_TCP, 11, 1), "IP_TOS": (SOL_IP, 1, 0x10), "IP_TTL": (SOL_IP, 2, 9),
    "IPV6_TCLASS": (41, 67, 8), "no such level": (999, 1, 1),
}  # fmt: skip


def sockaddr(family: int, port: int = 0, address: str = HOME) -> bytes:
    return struct.pack("=H", family) + struct.pack(">H", port) + socket.inet_aton(address) + bytes(8)


def _bind(at: int, address: bytes, size: int) -> str:
    return store(-32, address.ljust(32, b"\0")) + call("bind", "ctx", "fp-32", size) + keep(at)


ADDRESSES = [
    connecting("sock_addr fields", read("bpf_sock_addr", "user_family", "user_ip4", "user_port", "family", "type", "protocol"),
               (2, 0x0100007F, None, 2, 1, 6)),
    connecting("get_socket_cookie of a connection", call("get_socket_cookie", "ctx") + "r7 = r0\n" + flag(0)
               + call("get_socket_cookie", "ctx") + "r7 -= r0\n" + keep(1, "r7"), (1, 0)),
    connecting("get_netns_cookie of a connection",
               result(0, call("get_netns_cookie", "ctx")) + result(1, call("get_netns_cookie", 0))),
    *(connecting(f"setsockopt {name}", option(level, which, number(value), 4, 0))
      for name, (level, which, value) in _OPTIONS.items()),
    connecting("getsockopt defaults", store(-16, b"x" * 16) + "".join(
        call("getsockopt", "ctx", level, which, "fp-16", 4) + "r0 <<= 32\nr1 = *(u32 *)(r10 -16)\nr0 |= r1\n" + keep(n)
        for n, (level, which) in enumerate(((1, 18), (6, 4), (6, 5), (6, 6), (6, 7), (1, 36), (1, 2), (6, 1), (0, 1))))),
    connecting("setsockopt size", option(SOL_SOCKET, socket.SO_PRIORITY, number(5), 2, 0), (EINVAL, 0, None)),
    connecting("setsockopt longer", option(SOL_SOCKET, socket.SO_PRIORITY, bytes(8), 8, 0), (EINVAL,)),
    connecting("getsockopt size", option(SOL_SOCKET, socket.SO_PRIORITY, number(5), 4, 0, 2)),
    connecting("getsockopt longer", option(SOL_SOCKET, socket.SO_PRIORITY, number(5), 4, 0, 8)),
    connecting("getsockopt longer of tcp", option(SOL_TCP, 1, number(1), 4, 0, 8)),
    connecting("bind families", _bind(0, sockaddr(1), 16) + _bind(1, sockaddr(2), 16), (EAFNOSUPPORT, 0)),
    connecting("bind sizes", _bind(0, sockaddr(2), 15) + _bind(1, sockaddr(2), 1) + _bind(2, sockaddr(2), 2)
               + _bind(3, sockaddr(10), 20), (EINVAL, EINVAL, EINVAL, EINVAL)),
    connecting("set_retval of a connection", _RETVAL, (0, 0, -13)),
]  # fmt: skip


# ── packets that leave ───────────────────────────────────────────────────────────────────────────────────

_UID = 54321


def _send(place: Place) -> None:
    """One datagram, from a socket that another user made."""
    from tests.kernel.stage import cgroup_ids, own_cgroup

    place["cgroups"] = cgroup_ids(own_cgroup())
    os.seteuid(_UID)
    try:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    finally:
        os.seteuid(0)
    with one:
        place["cookie"] = cookie(one)
        one.sendto(b"hello", place["address"])


def _receiver(place: Place) -> None:
    made = place.stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    made.bind((HOME, 0))
    place["address"] = made.getsockname()


def _sender(machine: Any, place: Place) -> None:
    made = machine.world.socket = Socket(
        (HOME, 1), place["address"], protocol=17, cookie=place["cookie"], uid=_UID, state=7
    )
    made.cgroups = place["cgroups"]


def leaving(name: str, text: str, expect: tuple[int | None, ...] = ()) -> Scene:
    kind = bpf.BPF_CGROUP_INET_EGRESS
    return Scene(name, bpf.BPF_PROG_TYPE_CGROUP_SKB, text + ALLOW, expect, attach_type=kind, setup=_receiver, world=_sender,
                 drive=in_cgroup(kind, _send), context=lambda place: contexts.skb(FRAME, program_type="cgroup_skb"))  # fmt: skip


_SK = "r7 = *(u64 *)(r6 +168)\nif r7 == 0 goto out\nr1 = r7\ncall bpf_sk_fullsock\nr7 = r0\nif r7 == 0 goto out\n"


def _levels(helper: str, what: str) -> str:
    return "".join(
        result(n, f"r1 = {what}\nr2 = {level}\ncall bpf_{helper}\n") for n, level in enumerate((0, 1, 2, 9, -1))
    )


PACKETS = [
    leaving("get_socket_uid of another user", result(0, call("get_socket_uid", "ctx")), (_UID,)),
    leaving("get_socket_cookie of a datagram", result(0, call("get_socket_cookie", "ctx"))),
    leaving("skb_cgroup_id", result(0, call("skb_cgroup_id", "ctx"))),
    leaving("skb_ancestor_cgroup_id", _levels("skb_ancestor_cgroup_id", "r6"), (None, None, 0, 0, 0)),
    leaving("sk_cgroup_id", _SK + "r1 = r7\ncall bpf_sk_cgroup_id\n" + keep(0) + "out:\n"),
    leaving("sk_ancestor_cgroup_id", _SK + _levels("sk_ancestor_cgroup_id", "r7") + "out:\n", (None, None, 0, 0, 0)),
]  # fmt: skip


# ── storage of the cgroup ────────────────────────────────────────────────────────────────────────────────


def _frame(place: Place) -> None:
    place.data = FRAME


def _local(kind: int) -> Scene:
    add = call("get_local_storage", "map2", 0) + "r7 = *(u64 *)(r0 +0)\nr7 += {0}\n*(u64 *)(r0 +0) = r7\n"
    text = add.format(5) + keep(0, "r7") + add.format(6) + keep(1, "r7")
    name = "get_local_storage" + (" per CPU" if kind == bpf.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE else "")
    return Scene(name, bpf.BPF_PROG_TYPE_CGROUP_SKB, text + ALLOW, (5, 11), (MapSpec("local", kind, 16, 8, 0),),
                 attach_type=bpf.BPF_CGROUP_INET_EGRESS, setup=_frame)  # fmt: skip


LOCAL = [_local(bpf.BPF_MAP_TYPE_CGROUP_STORAGE), _local(bpf.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE)]


# ── TCP's events ─────────────────────────────────────────────────────────────────────────────────────────

_ESTABLISHED = 4  # BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB
_WHEN = f"r7 = *(u32 *)(r6 +0)\nif r7 != {_ESTABLISHED} goto out\n"


def _client(place: Place) -> None:
    """A connection that stays until the scene is over: a map may hold it."""
    one = place.stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    one.connect(place["address"])
    place["name"] = one.getsockname()


def _connected(machine: Any, place: Place) -> None:
    machine.world.socket = Socket(place["name"], place["address"], cookie=3)


def event(name: str, text: str, expect: tuple[int | None, ...] = (), maps: tuple[MapSpec, ...] = ()) -> Scene:
    kind = bpf.BPF_CGROUP_SOCK_OPS

    def context(place: Place) -> contexts.Context:
        (local, sport), (remote, dport) = place["name"], place["address"]
        return contexts.sock_ops(_ESTABLISHED, local, remote, ports=(sport, dport), state=1)

    return Scene(name, bpf.BPF_PROG_TYPE_SOCK_OPS, _WHEN + text + "out:\n" + ALLOW, expect, maps, attach_type=kind,
                 setup=_listener, world=_connected, drive=in_cgroup(kind, _client), context=context)  # fmt: skip


def _update(name: str, key_size: int, *steps: tuple[int, int]) -> str:
    text = ""
    for n, (key, flags) in enumerate(steps):
        text += store(-8, key.to_bytes(key_size, "little")) + call(name, "ctx", "map2", "fp-8", flags) + keep(n)
    return text


_SOCKMAP = (MapSpec("sockets", bpf.BPF_MAP_TYPE_SOCKMAP, 4, 8, 2),)
_SOCKHASH = (MapSpec("sockets", bpf.BPF_MAP_TYPE_SOCKHASH, 6, 8, 2),)
_BY_OP = (storage("store", bpf.BPF_MAP_TYPE_SK_STORAGE),)
_SK_OF_OP = "r7 = *(u64 *)(r6 +184)\nif r7 == 0 goto out\n"

EVENTS = [
    event("sock_ops fields", read("bpf_sock_ops", "op", "family", "remote_ip4", "local_ip4", "remote_port", "local_port",
                                  "is_fullsock", "state"), (_ESTABLISHED, 2, 0x0100007F, 0x0100007F, None, None, 1, 1)),
    event("sock_ops_cb_flags_set", "".join(result(n, call("sock_ops_cb_flags_set", "ctx", flags))
          for n, flags in enumerate((0, 4, 0x7F, 0x80, 0x1FF))) + read("bpf_sock_ops", "bpf_sock_ops_cb_flags", first=5),
          (0, 0, 0, 0x80, 0x180, 0x7F)),
    event("sock_map_update", _update("sock_map_update", 4, (0, 2), (0, 0), (0, 1), (0, 2), (2, 0), (1, 3)),
          (ENOENT, 0, -17, 0, E2BIG, EINVAL), _SOCKMAP),
    event("sock_hash_update", _update("sock_hash_update", 6, (7, 2), (7, 0), (7, 1), (7, 2), (8, 0), (9, 0), (1, 3)),
          (ENOENT, 0, -17, 0, 0, E2BIG, EINVAL), _SOCKHASH),
    event("sk_storage_get of an event", _SK_OF_OP + "r1 = map[fd:2]\nr2 = r7\nr3 = 0\nr4 = 1\ncall bpf_sk_storage_get\n" + flag(0)
          + "r1 = map[fd:2]\nr2 = r7\ncall bpf_sk_storage_delete\n" + keep(1)
          + "r1 = map[fd:2]\nr2 = r7\ncall bpf_sk_storage_delete\n" + keep(2), (1, 0, ENOENT), _BY_OP),
    event("setsockopt of an event", option(SOL_TCP, 1, number(1), 4, 0) + option(SOL_SOCKET, 36, number(9), 4, 3)
          + option(SOL_TCP, 999, number(1), 4, 6), (0, 0, None, 0, 0, None, EINVAL, EINVAL)),
]  # fmt: skip

SCENES = [*SYSCTLS, *DEVICES, *OPTIONS, *ADDRESSES, *PACKETS, *LOCAL, *EVENTS]
