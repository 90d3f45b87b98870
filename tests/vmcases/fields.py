"""Scenes of contexts: what a builder makes is what a program finds in the live kernel, field by field."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

from tests.vmcases.attached import ALLOW, in_cgroup
from tests.vmcases.helpers import PACKET, RAW, SYSCALL, XDP
from tests.vmcases.scenes import Place, Scene, keep, take
from tests.vmcases.tasks import own_task
from tests.vmcases.traced import attach

from cygnet.facts.contexts import fields
from cygnet.uapi import bpf
from cygnet.vm import contexts

_END = "out:\nr0 = 0\nexit\n"
_OWN = "call bpf_get_current_pid_tgid\nr0 >>= 32\n" + take("r2", 0) + "if r0 != r2 goto out\n"


def _every(structure: str, skipped: tuple[str, ...] = (), most: int = 14) -> Iterator[tuple[str, str]]:
    """(names, text): all fields, as many at once as `out` has words."""
    todo = [(name, n) for name, field in fields(structure).items() if name not in skipped for n in range(field.count)]
    for start in range(0, len(todo), most):
        text, names = "", []
        for word, (name, index) in enumerate(todo[start : start + most]):
            field = fields(structure)[name]
            text += f"r0 = *(u{8 * field.size} *)(r6 +{field.offset + index * field.size})\n{keep(word)}"
            names.append(f"{name}{index if index else ''}")
        yield f"{names[0]} to {names[-1]}", text


# ── sk_lookup ────────────────────────────────────────────────────────────────────────────────────────────

_WAYS = {
    "tcp": {"local": ("10.0.0.2", 80), "remote": ("10.0.0.1", 4660), "protocol": 6},
    "udp": {"local": ("10.0.0.2", 53), "remote": ("10.0.0.1", 0x1234), "protocol": 17},
    "v6": {"local": ("fd00::2", 443), "remote": ("fd00::1", 7), "protocol": 6},
}


def _lookup(way: str, names: str, text: str) -> Scene:
    made = contexts.sk_lookup(**_WAYS[way])  # type: ignore[arg-type]

    def setup(place: Place) -> None:
        place.ctx = bytes(made.data)

    def context(place: Place) -> contexts.Context:
        return contexts.sk_lookup(**_WAYS[way])  # type: ignore[arg-type]

    return Scene(f"sk_lookup {way} {names}", bpf.BPF_PROG_TYPE_SK_LOOKUP, text + ALLOW, (), attach_type=bpf.BPF_SK_LOOKUP,
                 setup=setup, context=context)  # fmt: skip


LOOKUPS = [_lookup(way, names, text) for way in _WAYS for names, text in _every("bpf_sk_lookup", ("sk", "cookie"))]


# ── xdp_md ───────────────────────────────────────────────────────────────────────────────────────────────

_XDP_TEXT = (
    "r2 = *(u32 *)(r6 +0)\nr3 = *(u32 *)(r6 +4)\nr4 = *(u32 *)(r6 +8)\nr0 = r3\nr0 -= r2\n" + keep(0)
    + "r2 = *(u32 *)(r6 +0)\nr4 = *(u32 *)(r6 +8)\nr0 = r2\nr0 -= r4\n" + keep(1)
    + "r0 = *(u32 *)(r6 +12)\n" + keep(2) + "r0 = *(u32 *)(r6 +16)\n" + keep(3) + "r0 = 2\nexit\n"
)  # fmt: skip


def _xdp(name: str, ctx: bytes, meta: int = 0) -> Scene:
    def setup(place: Place) -> None:
        place.data = bytes(meta) + PACKET
        place.ctx, place.ctx_out = ctx, 24 if ctx else 0

    return Scene(f"xdp {name}", XDP, _XDP_TEXT, (len(PACKET), meta, None, 0), setup=setup)


def _md(meta: int, ifindex: int, queue: int) -> bytes:
    return struct.pack("<6I", meta, len(PACKET) + meta, 0, ifindex, queue, 0)


XDPS = [
    _xdp("without a context", b""), _xdp("with a context", _md(0, 0, 0)), _xdp("with metadata", _md(8, 0, 0), 8),
    _xdp("of an interface", _md(0, 1, 0)), _xdp("of an interface with metadata", _md(12, 1, 0), 12),
]  # fmt: skip


# ── arguments of raw tracepoints, and of syscall programs ────────────────────────────────────────────────


def _arguments(count: int) -> Scene:
    numbers = [(n + 1) * 0x0123456789ABCDEF & (1 << 64) - 1 for n in range(count)]

    def setup(place: Place) -> None:
        place.ctx = struct.pack(f"<{count}Q", *numbers)

    text = "".join(f"r0 = *(u64 *)(r6 +{8 * n})\n{keep(n)}" for n in range(count))
    return Scene(f"raw_tracepoint {count} arguments", RAW, text + "r0 = 77\nexit\n", tuple(numbers), setup=setup)


def _syscall(size: int) -> Scene:
    def setup(place: Place) -> None:
        place.ctx = bytes(range(size))

    text = f"r0 = *(u32 *)(r6 +{size - 4})\n{keep(0)}r1 = 0x99\n*(u8 *)(r6 +0) = r1\n"
    text += f"*(u32 *)(r6 +{size - 4}) = r1\nr0 = 5\nexit\n"
    return Scene(f"syscall {size} bytes", SYSCALL, text, (), setup=setup, sleepable=True)


ARGUMENTS = [*(_arguments(count) for count in (1, 5, 12)), *(_syscall(size) for size in (8, 24, 200))]


# ── flow dissectors ──────────────────────────────────────────────────────────────────────────────────────

_KEYS = "r7 = *(u64 *)(r6 +144)\n"
_KEY_FIELDS = {"nhoff": (0, 2), "thoff": (2, 2), "addr_proto": (4, 2), "ip_proto": (9, 1), "n_proto": (10, 2), "sport": (12, 2),
               "flags": (48, 4), "flow_label": (52, 4)}  # fmt: skip


def _flow(name: str, text: str, verdict: int = 0, packet: bytes = PACKET) -> Scene:
    def setup(place: Place) -> None:
        place.data = packet

    read = "".join(f"r0 = *(u{8 * size} *)(r7 +{at})\n{keep(n)}" for n, (at, size) in enumerate(_KEY_FIELDS.values()))
    return Scene(f"flow_dissector {name}", bpf.BPF_PROG_TYPE_FLOW_DISSECTOR, _KEYS + read + text + f"r0 = {verdict}\nexit\n", (),
                 setup=setup)  # fmt: skip


def _put(at: int, size: int, value: int) -> str:
    return f"r1 = {value}\n*(u{8 * size} *)(r7 +{at}) = r1\n"


_LOAD = (
    "r1 = r6\nr2 = {at}\nr3 = r10\nr3 += -8\nr4 = 2\ncall bpf_skb_load_bytes\n"
    + keep(9)
    + "r0 = *(u16 *)(r10 -8)\n"
    + keep(10)
)
FLOWS = [
    _flow("nothing", ""), _flow("dropped", "", 2), _flow("continued", "", 129),
    _flow("keys", _put(2, 2, 34) + _put(4, 2, 8) + _put(9, 1, 6) + _put(12, 4, 0x50003412) + _put(52, 4, 77)),
    _flow("offsets too large", _put(0, 2, 5000) + _put(2, 2, 6000)), _flow("offsets too small", _put(0, 2, 3) + _put(2, 2, 1)),
    _flow("transport before network", _put(0, 2, 20) + _put(2, 2, 18)), _flow("short", "", 0, PACKET[:14]),
    _flow("bytes", _LOAD.format(at=36)), _flow("bytes outside", _LOAD.format(at=70)),
    _flow("pointers", "r8 = *(u32 *)(r6 +76)\nr9 = *(u32 *)(r6 +80)\nr9 -= r8\n" + keep(9, "r9")),
]  # fmt: skip


# ── attached ones ────────────────────────────────────────────────────────────────────────────────────────


def _create(family: int, kind: int) -> Scene:
    def act(place: Place) -> None:
        socket.socket(family, kind).close()

    def context(place: Place) -> contexts.Context:
        protocol = 6 if kind == socket.SOCK_STREAM else 17
        return contexts.sock(family=int(family), type=int(kind), protocol=protocol)

    text = "".join(
        f"r0 = *(u32 *)(r6 +{fields('bpf_sock')[name].offset})\n{keep(n)}"
        for n, name in enumerate(("family", "type", "protocol", "bound_dev_if", "mark", "priority"))
    )
    attach_type = bpf.BPF_CGROUP_INET_SOCK_CREATE
    return Scene(f"sock {family.name} {kind.name}", bpf.BPF_PROG_TYPE_CGROUP_SOCK, text + ALLOW, (), attach_type=attach_type,  # type: ignore[attr-defined]
                 drive=in_cgroup(attach_type, act), context=context)  # fmt: skip


def _bind(six: bool) -> Scene:
    family, address = (socket.AF_INET6, "::1") if six else (socket.AF_INET, "127.0.0.1")
    attach_type = bpf.BPF_CGROUP_INET6_BIND if six else bpf.BPF_CGROUP_INET4_BIND

    def act(place: Place) -> None:
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            one.bind((address, 0))

    names = ["user_family", "user_port", "family", "type", "protocol"] + ["user_ip4"] * (not six)
    text = "".join(
        f"r0 = *(u32 *)(r6 +{fields('bpf_sock_addr')[name].offset})\n{keep(n)}" for n, name in enumerate(names)
    )
    if six:
        at = fields("bpf_sock_addr")["user_ip6"].offset
        text += "".join(f"r0 = *(u32 *)(r6 +{at + 4 * n})\n{keep(8 + n)}" for n in range(4))
    return Scene(f"sock_addr bind {family.name}", bpf.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, text + ALLOW, (), attach_type=attach_type,
                 drive=in_cgroup(attach_type, act),
                 context=lambda place: contexts.sock_addr(address, 0, type=2, protocol=17))  # fmt: skip


def _labs(place: Place) -> None:
    """labs of the C library, which is given -4242."""
    from tests.vmcases.traced import _function

    _function(place)
    libc = ctypes.CDLL(None)
    address = ctypes.cast(libc.labs, ctypes.c_void_p).value or 0
    place["offset"] += address - place["address"]
    place["call"] = lambda: libc.labs(ctypes.c_long(-4242))


def _registers(runtime: Any, place: Place) -> None:
    with attach(runtime, "uprobe", {"path": place["path"], "offset": place["offset"], "pid": os.getpid()}):
        place["call"]()


REGISTERS = [
    Scene("registers of a function", bpf.BPF_PROG_TYPE_KPROBE, _OWN + f"r0 = *(u64 *)(r6 +{fields('pt_regs')['di'].offset})\n"
          + keep(0) + _END, (-4242,), setup=_labs, world=own_task, drive=_registers,
          context=lambda place: contexts.registers(di=-4242)),
]  # fmt: skip


def _record(place: Place) -> None:
    from cygnet.kernel import tracefs
    from cygnet.kernel.target import LiveTarget

    tracefs.find()
    place.words = [os.getpid()]
    place["record"] = LiveTarget().tracepoint_format("syscalls", "sys_enter_getpgid").fields


def _ask(runtime: Any, place: Place) -> None:
    with attach(runtime, "tracepoint", {"subsys": "syscalls", "event": "sys_enter_getpgid"}):
        os.getpgid(os.getpid())


_NR, _PID = 8, 16  # of every record of a system call's beginning
RECORDS = [
    Scene("tracepoint sys_enter_getpgid", bpf.BPF_PROG_TYPE_TRACEPOINT, _OWN + f"r0 = *(u32 *)(r6 +{_NR})\n" + keep(0)
          + f"r0 = *(u64 *)(r6 +{_PID})\n" + keep(1) + _END, (121, os.getpid()), setup=_record, world=own_task, drive=_ask,
          context=lambda place: contexts.tracepoint(place["record"], __syscall_nr=121, pid=os.getpid())),
]  # fmt: skip


def _faults(runtime: Any, place: Place) -> None:
    from tests.vmcases.traced import _faults as faults

    faults(runtime, place)


PERF = [
    Scene("perf_event sample_period", bpf.BPF_PROG_TYPE_PERF_EVENT, _OWN +
          f"r0 = *(u64 *)(r6 +{fields('bpf_perf_event_data')['sample_period'].offset})\n"
          + keep(0) + _END, (1,), setup=lambda place: place.words.append(os.getpid()), world=own_task, drive=_faults,
          context=lambda place: contexts.perf_event(1)),
]  # fmt: skip

ATTACHED = [
    *(_create(family, kind) for family in (socket.AF_INET, socket.AF_INET6) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)),
    _bind(False), _bind(True), *REGISTERS, *RECORDS, *PERF,
]  # fmt: skip

SCENES = [*LOOKUPS, *XDPS, *ARGUMENTS, *FLOWS, *ATTACHED]
