"""Scenes of sockets in maps: messages that are sent, streams that are received, datagrams for a group of sockets."""

from __future__ import annotations

import socket
import struct
from typing import Any

from tests.vmcases.helpers import call, store
from tests.vmcases.scenes import Place, Scene, keep, result
from tests.vmcases.sockets import HOME
from tests.vmcases.tasks import EINVAL, ENOENT

from cygnet.facts.contexts import fields
from cygnet.spec.objects import MapSpec
from cygnet.uapi import bpf
from cygnet.vm import contexts
from cygnet.vm.helpers.storage import owner_number
from cygnet.vm.sockets import Socket

DATA = b"abcdefghijklmnopqrstuvwxyz"
_PASS = "r0 = 1\nexit\n"
_MAP = MapSpec("sockets", bpf.BPF_MAP_TYPE_SOCKMAP, 4, 8, 4)
_HASH = MapSpec("others", bpf.BPF_MAP_TYPE_SOCKHASH, 4, 8, 4)


def connections(place: Place) -> None:
    """Two connections over the loopback interface: one to write to, and one to send things on to."""
    listener = place.stack.enter_context(socket.create_server((HOME, 0)))
    for name in ("one", "two"):
        client = place.stack.enter_context(socket.create_connection(listener.getsockname()))
        server = place.stack.enter_context(listener.accept()[0])
        client.settimeout(10)
        server.settimeout(10)
        place[name] = client, server


def simulated(machine: Any, place: Place) -> None:
    for name in ("one", "two"):
        client, server = place[name]
        place[f"simulated {name}"] = [
            Socket(one.getsockname(), one.getpeername(), cookie=n) for n, one in enumerate((client, server), 1)
        ]
        machine.world.sockets += place[f"simulated {name}"]


def _descriptor(runtime: Any, place: Place, name: str, side: int, kernel: bool) -> bytes:
    if kernel:
        return struct.pack("=Q", place[name][side].fileno())
    one = place[f"simulated {name}"][side]
    return struct.pack("=Q", owner_number(runtime.host, "socket", one.address(runtime.host)))


# ── messages ─────────────────────────────────────────────────────────────────────────────────────────────


def _enter_clients(runtime: Any, place: Place, kernel: bool) -> None:
    """Slot 0: what is written to. Slot 1 of both maps: the other connection."""
    if not kernel:
        runtime.map("sockets").update(struct.pack("=I", 0), _descriptor(runtime, place, "one", 0, kernel))
    for name in ("sockets", "others"):
        runtime.map(name).update(struct.pack("=I", 1), _descriptor(runtime, place, "two", 0, kernel))


def _message(
    name: str, text: str, expect: tuple[int | None, ...] = (), data: bytes | None = DATA, end: str = _PASS
) -> Scene:
    """`data` is what must arrive; None: nothing does."""

    def drive(runtime: Any, place: Place) -> None:
        from tests.kernel.stage import attached_to_map

        client, server = place["one"]
        store = runtime.map("sockets")
        with attached_to_map(runtime.program("scene"), store.fd, bpf.BPF_SK_MSG_VERDICT):
            store.update(struct.pack("=I", 0), _descriptor(runtime, place, "one", 0, True))
            try:
                client.send(DATA)
            except PermissionError:
                assert data is None
            if data is not None:
                got = b""
                while len(got) < len(data):
                    got += server.recv(100)
                assert got == data
            for key in (0, 1):
                store.delete(struct.pack("=I", key))
            runtime.map("others").delete(struct.pack("=I", 1))

    return Scene(name, bpf.BPF_PROG_TYPE_SK_MSG, text + end, expect, (_MAP, _HASH), attach_type=bpf.BPF_SK_MSG_VERDICT,
                 setup=connections, world=simulated, fill=_enter_clients, drive=drive,
                 context=lambda place: contexts.sk_msg(DATA, family=2), machine_drive=_send(data))  # fmt: skip


def _send(expected: bytes | None) -> Any:
    """The machine's run of it, and whether the same is left of the message."""

    def drive(machine: Any, place: Place) -> None:
        from cygnet.vm.machine import Placed

        with Placed(machine, machine.program("scene"), contexts.sk_msg(DATA, family=2)) as placed:
            verdict = placed.run()
            assert placed.packet is not None
            assert (placed.packet.payload() if verdict == 1 else None) == expected

    return drive


def _size(word: int) -> str:
    return f"r0 = *(u32 *)(r6 +{fields('sk_msg_md')['size'].offset})\n{keep(word)}"


def _pull(word: int, start: int, end: int, flags: int = 0) -> str:
    return result(word, call("msg_pull_data", "ctx", start, end, flags))


def _push(word: int, start: int, size: int, flags: int = 0) -> str:
    return result(word, call("msg_push_data", "ctx", start, size, flags))


def _pop(word: int, start: int, size: int, flags: int = 0) -> str:
    return result(word, call("msg_pop_data", "ctx", start, size, flags))


_BYTES = "r7 = *(u64 *)(r6 +0)\nr8 = *(u64 *)(r6 +8)\nr9 = r7\nr9 += 4\nif r9 > r8 goto none{n}\n"
_BYTES += "r0 = *(u32 *)(r7 +0)\n{keep}none{n}:\n"


def _bytes(n: int) -> str:
    return _BYTES.format(n=n, keep=keep(n))


def _fill(at: int) -> str:
    """Write four bytes into what was pushed, so that what arrives is known."""
    text = f"r7 = *(u64 *)(r6 +0)\nr8 = *(u64 *)(r6 +8)\nr9 = r7\nr9 += {at + 4}\nif r9 > r8 goto full\n"
    return text + f"r1 = 0x21212121\n*(u32 *)(r7 +{at}) = r1\nfull:\n"


MESSAGES = [
    _message("msg_pull_data", _pull(0, 0, 4) + _bytes(1) + _pull(2, 4, 8) + _size(3),
             (0, int.from_bytes(b"abcd", "little"), 0, len(DATA))),
    _message("msg_pull_data wrong", _pull(0, 0, 4, 1) + _pull(1, 4, 4) + _pull(2, 8, 4) + _pull(3, 0, 27) + _pull(4, 27, 28),
             (EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)),
    _message("msg_push_data at the start", _push(0, 0, 4) + _size(1) + _pull(2, 0, 8) + _fill(0), (0, len(DATA) + 4, 0),
             b"!!!!" + DATA),
    _message("msg_push_data inside", _push(0, 3, 4) + _pull(1, 0, 10) + _fill(3), (0, 0), DATA[:3] + b"!!!!" + DATA[3:]),
    _message("msg_push_data wrong", _push(0, 0, 4, 1) + _push(1, 27, 4) + _push(2, 0, 0) + _size(3),
             (EINVAL, EINVAL, 0, len(DATA))),
    _message("msg_pop_data at the start", _pop(0, 0, 4) + _size(1), (0, len(DATA) - 4), DATA[4:]),
    _message("msg_pop_data at the end", _pop(0, 20, 6) + _size(1), (0, 20), DATA[:20]),
    _message("msg_pop_data inside", _pop(0, 3, 4) + _size(1), (0, len(DATA) - 4), DATA[:3] + DATA[7:]),
    _message("msg_pop_data wrong", _pop(0, 0, 4, 1) + _pop(1, 20, 7) + _pop(2, 30, 1) + _pop(3, 3, 0) + _size(4),
             (EINVAL, EINVAL, EINVAL, None, len(DATA))),
    _message("msg_apply_bytes", result(0, call("msg_apply_bytes", "ctx", 8)), (0,)),
    _message("msg_cork_bytes", result(0, call("msg_cork_bytes", "ctx", len(DATA))), (0,)),
    _message("msg_redirect_map dropped", result(0, call("msg_redirect_map", "ctx", "map2", 1, 2))
             + result(1, call("msg_redirect_map", "ctx", "map2", 3, 0))
             + result(2, call("msg_redirect_map", "ctx", "map2", 9, 0)),
             (0, 0, 0), None, "r0 = 0\nexit\n"),
    _message("msg_redirect_hash dropped", "".join(
        store(-8, bytes((key,))) + result(n, call("msg_redirect_hash", "ctx", "map3", "fp-8", flags))
        for n, (key, flags) in enumerate(((1, 2), (3, 0)))), (0, 0), None, "r0 = 0\nexit\n"),
    _message("msg_pull_data fields", "".join(f"r0 = *(u{8 * f.size} *)(r6 +{f.offset})\n{keep(n)}" for n, f in enumerate(
        fields("sk_msg_md")[name] for name in ("family", "size"))), (2, len(DATA))),
]  # fmt: skip


def _redirected(name: str, text: str, expect: tuple[int | None, ...]) -> Scene:
    """A message that goes out of the other connection."""

    def drive(runtime: Any, place: Place) -> None:
        from tests.kernel.stage import attached_to_map

        store_, client = runtime.map("sockets"), place["one"][0]
        with attached_to_map(runtime.program("scene"), store_.fd, bpf.BPF_SK_MSG_VERDICT):
            store_.update(struct.pack("=I", 0), _descriptor(runtime, place, "one", 0, True))
            client.send(DATA)
            assert place["two"][1].recv(100) == DATA
            for key in (0, 1):
                store_.delete(struct.pack("=I", key))
            runtime.map("others").delete(struct.pack("=I", 1))

    def after(machine: Any) -> list[tuple[str, int]]:
        return [(one.how, one.flags) for one in machine.world.redirects]

    return Scene(name, bpf.BPF_PROG_TYPE_SK_MSG, text + _PASS, expect, (_MAP, _HASH), attach_type=bpf.BPF_SK_MSG_VERDICT,
                 setup=connections, world=simulated, fill=_enter_clients, drive=drive,
                 context=lambda place: contexts.sk_msg(DATA, family=2), after=after,
                 expect_after=[(name.split()[0], 0)])  # fmt: skip


REDIRECTED = [
    _redirected("msg_redirect_map", result(0, call("msg_redirect_map", "ctx", "map2", 1, 0)), (1,)),
    _redirected("msg_redirect_hash", store(-8, b"\1") + result(0, call("msg_redirect_hash", "ctx", "map3", "fp-8", 0)), (1,)),
]  # fmt: skip


# ── streams ──────────────────────────────────────────────────────────────────────────────────────────────


def _stream(name: str, text: str, expect: tuple[int | None, ...]) -> Scene:
    """What comes in for one connection is read from the other."""

    def drive(runtime: Any, place: Place) -> None:
        from tests.kernel.stage import attached_to_map

        store_ = runtime.map("sockets")
        with attached_to_map(runtime.program("scene"), store_.fd, bpf.BPF_SK_SKB_STREAM_VERDICT):
            store_.update(struct.pack("=I", 0), _descriptor(runtime, place, "one", 1, True))
            place["one"][0].send(DATA)
            assert place["two"][0].recv(100) == DATA
            for key in (0, 1):
                store_.delete(struct.pack("=I", key))
            runtime.map("others").delete(struct.pack("=I", 1))

    return Scene(name, bpf.BPF_PROG_TYPE_SK_SKB, text + _PASS, expect, (_MAP, _HASH), attach_type=bpf.BPF_SK_SKB_STREAM_VERDICT,
                 setup=connections, world=simulated, fill=_enter_clients, drive=drive,
                 context=lambda place: contexts.skb(bytes(14) + DATA, program_type="sk_skb"))  # fmt: skip


_INGRESS = 1
STREAMS = [
    _stream("sk_redirect_map", result(0, call("sk_redirect_map", "ctx", "map2", 3, 0))
            + result(1, call("sk_redirect_map", "ctx", "map2", 1, 2))
            + result(2, call("sk_redirect_map", "ctx", "map2", 1, _INGRESS)), (0, 0, 1)),
    _stream("sk_redirect_hash", store(-8, b"\3") + result(0, call("sk_redirect_hash", "ctx", "map3", "fp-8", 0))
            + store(-8, b"\1")
            + result(1, call("sk_redirect_hash", "ctx", "map3", "fp-8", 4))
            + result(2, call("sk_redirect_hash", "ctx", "map3", "fp-8", _INGRESS)), (0, 0, 1)),
]  # fmt: skip


# ── groups ───────────────────────────────────────────────────────────────────────────────────────────────

_SO_ATTACH_REUSEPORT_EBPF = 52
_GROUP = (MapSpec("group", bpf.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 4, 8, 3),)


def _group(place: Place) -> None:
    made = []
    for _ in range(2):
        one = place.stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.settimeout(10)
        one.bind((HOME, 0) if not made else made[0].getsockname())
        made.append(one)
    place["group"] = made


def _enter_group(runtime: Any, place: Place, kernel: bool) -> None:
    for index, one in enumerate(place["group"]):
        if kernel:
            number = one.fileno()
        else:
            simulated_one = Socket(one.getsockname(), protocol=17)
            runtime.world.sockets.append(simulated_one)
            number = owner_number(runtime.host, "socket", simulated_one.address(runtime.host))
        runtime.map("group").update(struct.pack("=I", index), struct.pack("=Q", number))


def _selecting(name: str, text: str, expect: tuple[int | None, ...], chosen: int) -> Scene:
    def drive(runtime: Any, place: Place) -> None:
        first = place["group"][0]
        first.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_EBPF, struct.pack("=I", runtime.program("scene").fd))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(DATA, first.getsockname())
        assert place["group"][chosen].recv(100) == DATA
        for index in (0, 1):
            runtime.map("group").delete(struct.pack("=I", index))

    udp = struct.pack(">HHHH", 1, 2, 8 + len(DATA), 0) + DATA
    return Scene(name, bpf.BPF_PROG_TYPE_SK_REUSEPORT, text + _PASS, expect, _GROUP, attach_type=bpf.BPF_SK_REUSEPORT_SELECT,
                 setup=_group, fill=_enter_group, drive=drive,
                 instead={bpf.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY: bpf.BPF_MAP_TYPE_SOCKMAP},
                 context=lambda place: contexts.sk_reuseport(udp, eth_protocol=8, ip_protocol=17))  # fmt: skip


def _select(word: int, key: int, flags: int) -> str:
    return f"r1 = {key}\n*(u32 *)(r10 -4) = r1\n" + result(
        word, call("sk_select_reuseport", "ctx", "map2", "fp-4", flags)
    )


_LOADED = (
    store(-16, b"x" * 8) + call("skb_load_bytes", "ctx", 8, "fp-16", 8) + keep(1) + "r0 = *(u64 *)(r10 -16)\n" + keep(2)
)
GROUPS = [
    _selecting("sk_select_reuseport second", _select(0, 1, 0), (0,), 1),
    _selecting("sk_select_reuseport first", _select(0, 0, 0), (0,), 0),
    _selecting("sk_select_reuseport wrong", _select(0, 2, 0) + _select(1, 9, 0) + _select(2, 0, 1) + _select(3, 1, 0),
               (ENOENT, ENOENT, 0, 0), 1),
    _selecting("skb_load_bytes of a group", _select(0, 1, 0) + _LOADED
               + call("skb_load_bytes", "ctx", 30, "fp-16", 8) + keep(3),
               (0, 0, int.from_bytes(DATA[:8], "little"), -14), 1),
    _selecting("sk_select_reuseport fields", _select(0, 1, 0) + "".join(
        f"r0 = *(u32 *)(r6 +{fields('sk_reuseport_md')[name].offset})\n{keep(n)}"
        for n, name in enumerate(("len", "eth_protocol", "ip_protocol", "bind_inany"), 1)), (0, 8 + len(DATA), 8, 17, 0), 1),
]  # fmt: skip

SCENES = [*MESSAGES, *REDIRECTED, *STREAMS, *GROUPS]
