"""Scenes of what came last: TCP header options, the user ring buffer, mappings and types."""

from __future__ import annotations

import ctypes
import mmap
import socket
import struct
from pathlib import Path
from typing import Any

from tests.vmcases.attached import in_cgroup
from tests.vmcases.helpers import RAW, SYSCALL, call, store
from tests.vmcases.scenes import Place, Scene, keep, result, take
from tests.vmcases.sockets import HOME
from tests.vmcases.tasks import EINVAL, ENOENT, EPERM, own_task

from cygnet.btf import STRUCT
from cygnet.btf.reader import Btf
from cygnet.spec.objects import MapSpec
from cygnet.uapi import bpf
from cygnet.vm import contexts

EEXIST, ENOSPC, ENOMSG = -17, -28, -42

# ── TCP header options: of a connection that a program writes an option into ──────────────────────────────

_CONNECT, _ESTABLISHED, _LENGTH, _WRITE = 3, 4, 14, 15  # BPF_SOCK_OPS_*
_WRITES = 1 << 6  # BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG
_MAGIC = b"\xfd\x04\xeb\x9f"
_MSS = b"\x02\x04\xff\xd7"  # what the loopback interface's 65536 bytes make of it: 65495


def _load(word: int, asked: bytes, length: int, flags: int = 0, *, shown: bool = False) -> str:
    text = store(-16, asked.ljust(16, b"\0")) + call("load_hdr_opt", "ctx", "fp-16", length, flags) + keep(word)
    return text + ("r0 = *(u64 *)(r10 -16)\n" + keep(word + 1) if shown else "")


def _store(word: int, option: bytes, length: int, flags: int = 0) -> str:
    return store(-16, option.ljust(16, b"\0")) + result(word, call("store_hdr_opt", "ctx", "fp-16", length, flags))


def _reserve(word: int, length: int, flags: int = 0) -> str:
    return result(word, call("reserve_hdr_opt", "ctx", length, flags))


def _connect(place: Place) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.connect(place["address"])
        place["name"] = one.getsockname()


def _listener(place: Place) -> None:
    place["address"] = place.stack.enter_context(socket.create_server((HOME, 0))).getsockname()


def _simulated(machine: Any, place: Place) -> None:
    """The same events: the header of the SYN that goes out, and of the answer that came."""
    world = machine.world
    header = bytes(20)
    machine.run("scene", contexts.sock_ops(_CONNECT))
    world.tcp_room = 40 - 20  # a SYN has 20 bytes of options of its own
    machine.run("scene", contexts.sock_ops(_LENGTH, header=header + _MSS))
    world.tcp_room = 4
    machine.run("scene", contexts.sock_ops(_WRITE, header=header + _MSS))
    machine.run("scene", contexts.sock_ops(_ESTABLISHED, header=header + _MSS))


def _headers(name: str, at: int, text: str, expect: tuple[int | None, ...]) -> Scene:
    """`text` runs at one event; at the others what makes it come."""
    other = f"if r7 != {_LENGTH} goto out\n" + call("reserve_hdr_opt", "ctx", 4, 0) if at != _LENGTH else ""
    body = (
        f"r7 = *(u32 *)(r6 +0)\nif r7 != {_CONNECT} goto +4\n"
        + call("sock_ops_cb_flags_set", "ctx", _WRITES)
        + "goto out\n"
    )
    body += f"if r7 != {at} goto other\n{text}goto out\nother:\n{other}out:\nr0 = 1\nexit\n"
    kind = bpf.BPF_CGROUP_SOCK_OPS
    return Scene(name, bpf.BPF_PROG_TYPE_SOCK_OPS, body, expect, attach_type=kind, setup=_listener,
                 drive=in_cgroup(kind, _connect), machine_drive=_simulated)  # fmt: skip


_FIRST = (
    "r1 = map[fd:0][0]+120\nr2 = *(u64 *)(r1 +0)\nif r2 != 0 goto out\nr2 = 1\n*(u64 *)(r1 +0) = r2\n"  # the SYN only
)
HEADERS = [
    _headers("reserve_hdr_opt", _LENGTH, _FIRST + _reserve(0, 4) + _reserve(1, 1) + _reserve(2, 4, 1) + _reserve(3, 17)
             + _reserve(4, 16) + _reserve(5, 2), (0, EINVAL, EINVAL, ENOSPC, 0, ENOSPC)),
    _headers("reserve_hdr_opt elsewhere", _ESTABLISHED, _reserve(0, 4), (EPERM,)),
    _headers("store_hdr_opt", _WRITE, _FIRST + _store(0, _MAGIC, 5 - 1, 1) + _store(1, _MAGIC, 3) + _store(2, b"\1\4ab", 4)
             + _store(3, b"\2\4ab", 4) + _store(4, _MAGIC, 4) + _store(5, b"\x22\4ab", 4)
             + _load(6, _MAGIC, 4),
             (EINVAL, EINVAL, EINVAL, EEXIST, 0, ENOSPC, 4)),
    _headers("store_hdr_opt elsewhere", _LENGTH, _FIRST + _store(0, _MAGIC, 4) + _load(1, b"\2", 4), (EPERM, EPERM)),
    _headers("load_hdr_opt", _ESTABLISHED, _load(0, b"\2", 4, shown=True) + _load(2, b"\x55", 4) + _load(3, b"\2", 3)
             + _load(4, b"\2", 4, 2)
             + _load(5, b"\2", 4, 1) + _load(6, b"\1", 4) + _load(7, b"\2\4", 4) + _load(8, b"\xfd\3", 4),
             (4, int.from_bytes(_MSS, "little"), ENOMSG, ENOSPC, EINVAL, ENOENT, EINVAL, EINVAL, EINVAL)),
]  # fmt: skip


# ── samples of user space ────────────────────────────────────────────────────────────────────────────────

_USER_RING = (MapSpec("samples", bpf.BPF_MAP_TYPE_USER_RINGBUF, 0, 0, 4096),)
_DISCARD = 1 << 30


_Samples = tuple[tuple[bytes, int], ...]


def _put(samples: _Samples) -> Any:
    """Write samples, each with its marks, into the ring."""

    def fill(runtime: Any, place: Place, kernel: bool) -> None:
        ring = b"".join(struct.pack("<II", len(s) | mark, 0) + s.ljust((len(s) + 7) & ~7, b"\0") for s, mark in samples)
        if not kernel:
            store_ = runtime.map("samples")
            for sample, mark in samples:
                store_.submit(sample, discard=bool(mark & _DISCARD))
            return
        fd = runtime.map("samples").fd
        with mmap.mmap(fd, 4096, offset=4096) as producer, mmap.mmap(fd, 8192, offset=8192) as data:
            data[: len(ring)] = ring
            producer[:8] = struct.pack("<Q", len(ring))

    return fill


_DRAIN = (
    "*(u64 *)(r10 -8) = 0\n*(u64 *)(r10 -16) = {stop}\nr1 = map[fd:2]\nr2 = subprog[each]\nr3 = r10\nr3 += -16\nr4 = {flags}\n"
    "call bpf_user_ringbuf_drain\n" + keep(0) + "r0 = *(u64 *)(r10 -8)\n" + keep(1)
    + "r1 = map[fd:2]\nr2 = subprog[each]\nr3 = r10\nr3 += -16\nr4 = 0\ncall bpf_user_ringbuf_drain\n" + keep(2)
    + "r0 = 0\nexit\neach:\nr7 = r2\nr6 = r1\n*(u64 *)(r10 -8) = 0\nr1 = r10\nr1 += -8\nr2 = 1\nr3 = r6\nr4 = 0\nr5 = 0\n"
    "call bpf_dynptr_read\nr8 = *(u64 *)(r10 -8)\nr1 = *(u64 *)(r7 +8)\nr1 <<= 8\nr1 |= r8\n*(u64 *)(r7 +8) = r1\n"
    "r0 = 0\nr1 = *(u64 *)(r7 +0)\nif r8 != r1 goto done\nr0 = 1\ndone:\nexit\n"
)  # fmt: skip


def _drain(
    name: str, samples: tuple[tuple[bytes, int], ...], expect: tuple[int | None, ...], stop: int = 0, flags: int = 0
) -> Scene:
    text = _DRAIN.format(stop=stop, flags=flags)
    return Scene(f"user_ringbuf_drain {name}", RAW, text, expect, _USER_RING, fill=_put(samples))


_THREE = (b"\1abc", 0), (b"\2" * 20, 0), (b"\3", 0)
DRAINS = [
    _drain("nothing", (), (0, 0, 0)), _drain("three", _THREE, (3, 0x010203, 0)), _drain("until two", _THREE, (2, 0x0102, 1), 2),
    _drain("flags", _THREE, (EINVAL, 0, 3), flags=4), _drain("no wakeup", _THREE, (3, 0x010203, 0), flags=1),
    _drain("discarded", ((b"\1", 0), (b"\2", _DISCARD), (b"\3", 0)), (2, 0x0103, 0)),
]  # fmt: skip


# ── mappings and types ───────────────────────────────────────────────────────────────────────────────────


def _mapping(place: Place) -> None:
    buffer = place["buffer"] = ctypes.create_string_buffer(64)
    place.words = [ctypes.addressof(buffer), 16]


def _mapped(machine: Any, place: Place) -> None:
    own_task(machine, place)
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        machine.world.mappings.append((start, end, 0))


def _find(name: str, word: int, flags: int, expect: tuple[int | None, ...]) -> Scene:
    text = call("get_current_task_btf") + "r7 = r0\n*(u64 *)(r10 -8) = 0\n" + take("r2", word)
    text += f"r1 = r7\nr3 = subprog[found]\nr4 = r10\nr4 += -8\nr5 = {flags}\ncall bpf_find_vma\n" + keep(0)
    text += "r0 = *(u64 *)(r10 -8)\n" + keep(1) + "r0 = 0\nexit\n"
    text += "found:\nr1 = *(u64 *)(r3 +0)\nr1 += 5\n*(u64 *)(r3 +0) = r1\nr0 = 0\nexit\n"
    return Scene(f"find_vma {name}", RAW, text, expect, setup=_mapping, world=_mapped)


def _types(machine: Any, place: Place) -> None:
    machine.world.btf = Btf.kernel()


def _named(what: str, name: bytes, size: int, kind: int, flags: int, expect: int | None) -> Scene:
    text = store(-16, name) + call("btf_find_by_name_kind", "fp-16", size, kind, flags) + keep(0) + "r0 = 0\nexit\n"
    return Scene(f"btf_find_by_name_kind {what}", SYSCALL, text, (expect,), world=_types, sleepable=True)


PLACES = [
    _find("of a buffer", 0, 0, (0, 5)), _find("of nothing", 1, 0, (ENOENT, 0)), _find("flags", 0, 1, (EINVAL, 0)),
    _named("struct", b"sock", 5, STRUCT, 0, None), _named("missing", b"no_such_type", 13, STRUCT, 0, ENOENT),
    _named("flags", b"sock", 5, STRUCT, 1, EINVAL), _named("no end", b"sock", 4, STRUCT, 0, EINVAL),
    _named("other kind", b"sock", 5, 1, 0, ENOENT),
]  # fmt: skip

SCENES = [*HEADERS, *DRAINS, *PLACES]
