"""Scenes of tracing programs: user functions, perf events, iterators, tracepoints with types; storage of tasks and cgroups."""

from __future__ import annotations

import ctypes
import os
import re
import socket
import struct
from pathlib import Path
from typing import Any

from tests.vmcases.helpers import RAW, call, store
from tests.vmcases.scenes import Place, Scene, flag, keep, result, storage, take
from tests.vmcases.sockets import HOME
from tests.vmcases.tasks import E2BIG, EFAULT, EINVAL, ENAMETOOLONG, ENOENT, cgroups, own_task

from cygnet.btf.layout import find_member
from cygnet.btf.reader import Btf
from cygnet.errors import CygnetError
from cygnet.spec.objects import MapSpec
from cygnet.uapi import bpf
from cygnet.vm import contexts
from cygnet.vm.contexts import Context

_END = "out:\nr0 = 0\nexit\n"
#: only what this process does
_OWN = "call bpf_get_current_pid_tgid\nr0 >>= 32\n" + take("r2", 0) + "if r0 != r2 goto out\n"


def mine(place: Place) -> None:
    place.words = [os.getpid()]


def attach(runtime: Any, kind: str, target: dict[str, Any]) -> Any:
    from cygnet.kernel import links

    return links.attach(kind, runtime.program("scene").fd, target)


def offset(type: str, member: str) -> int:
    """Where a member of a kernel structure lies; 0 on a kernel without types, which cannot load these programs."""
    try:
        of = Btf.kernel().find(type)
    except CygnetError:
        return 0
    found = find_member(of, member) if of else None
    assert found is not None, (type, member)
    return found.bit_offset // 8


# ── user functions ───────────────────────────────────────────────────────────────────────────────────────


def _function(place: Place) -> None:
    """getppid of the C library: its address, the file it is in, and its offset there."""
    mine(place)
    libc = ctypes.CDLL(None)
    address = place["address"] = ctypes.cast(libc.getppid, ctypes.c_void_p).value or 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end, at, path = re.match(r"(\w+)-(\w+) \S+ (\w+) \S+ \S+\s*(.*)", line).groups()  # type: ignore[union-attr]
        if int(start, 16) <= address < int(end, 16):
            place["path"], place["offset"] = path, address - int(start, 16) + int(at, 16)


def _call_it(runtime: Any, place: Place) -> None:
    target = {"path": place["path"], "offset": place["offset"], "pid": os.getpid(), "cookie": 0x1234}
    with attach(runtime, "uprobe", target):
        os.getppid()


def _at_function(machine: Any, place: Place) -> None:
    own_task(machine, place)
    machine.world.function_ip, machine.world.cookie = place["address"], 0x1234


def _uprobe(name: str, text: str, expect: tuple[int | None, ...]) -> Scene:
    return Scene(name, bpf.BPF_PROG_TYPE_KPROBE, _OWN + text + _END, expect, setup=_function, world=_at_function, drive=_call_it,
                 context=lambda place: contexts.registers())  # fmt: skip


FUNCTIONS = [
    _uprobe("get_func_ip", result(0, call("get_func_ip", "ctx")), (None,)),
    _uprobe("get_attach_cookie", result(0, call("get_attach_cookie", "ctx")), (0x1234,)),
    Scene("get_attach_cookie of a test run", RAW, result(0, call("get_attach_cookie", "ctx")) + "r0 = 0\nexit\n", (0,)),
]


# ── perf events ──────────────────────────────────────────────────────────────────────────────────────────


def _faults(runtime: Any, place: Place) -> None:
    import mmap

    from cygnet.uapi import perf

    target = {"event": perf.PERF_COUNT_SW_PAGE_FAULTS, "count": 1, "pid": os.getpid()}
    with attach(runtime, "software", target), mmap.mmap(-1, 8 * mmap.PAGESIZE) as memory:
        for at in range(0, 8 * mmap.PAGESIZE, mmap.PAGESIZE):
            memory[at] = 1


def _counted(machine: Any, place: Place) -> None:
    own_task(machine, place)
    machine.world.counter = 3, 2000, 1000


def _perf(name: str, text: str, expect: tuple[int | None, ...]) -> Scene:
    return Scene(name, bpf.BPF_PROG_TYPE_PERF_EVENT, _OWN + text + _END, expect, setup=mine, world=_counted, drive=_faults,
                 context=lambda place: contexts.perf_event(1))  # fmt: skip


def _prog_value(size: int, word: int) -> str:
    text = store(-32, b"x" * 32) + call("perf_prog_read_value", "ctx", "fp-32", size) + keep(word)
    return text + "r7 = *(u64 *)(r10 -32)\nr0 = r7\n" + flag(word + 1)


EVENTS = [
    _perf("perf_prog_read_value", _prog_value(24, 0), (0, 1)),
    _perf("perf_prog_read_value size", _prog_value(16, 0) + _prog_value(32, 2), (EINVAL, 0, EINVAL, 0)),
    _perf("read_branch_records", result(0, call("read_branch_records", "ctx", "fp-32", 24, 0))
          + result(1, call("read_branch_records", "ctx", "fp-32", 24, 2))
          + result(2, call("read_branch_records", "ctx", 0, 0, 1)), (None, EINVAL, None)),
]  # fmt: skip


# ── iterators ────────────────────────────────────────────────────────────────────────────────────────────

_ELEMENTS = MapSpec("elements", bpf.BPF_MAP_TYPE_ARRAY, 4, 8, 3)


def _fill(runtime: Any, place: Place, kernel: bool) -> None:
    for n in range(3):
        runtime.map("elements").update(struct.pack("=I", n), struct.pack("=Q", 100 * n + 7))


def _iterate(runtime: Any, place: Place) -> None:
    from cygnet.kernel.attach import iter as bpf_iter

    with attach(runtime, "iter", {"name": "bpf_map_elem", "map_fd": runtime.map("elements").fd}) as link:
        place["written"] = bpf_iter.read(link)


class _Blocks:
    """Kernel objects of the machine's making."""

    def __init__(self, machine: Any) -> None:
        self.machine = machine

    def make(self, data: bytes) -> int:
        block = self.machine.host.memory.block(max(len(data), 8), "object")
        block.view[: len(data)] = data
        return int(block.address)

    def words(self, *numbers: int) -> int:
        return self.make(struct.pack(f"<{len(numbers)}Q", *numbers))


def _simulated_walk(machine: Any, place: Place) -> None:
    """struct bpf_iter__bpf_map_elem: {meta, map, key, value}; the last call has no key."""
    blocks = _Blocks(machine)
    meta = blocks.words(machine.world.object_address("seq_file", 0), 1, 0)
    store_ = machine.map("elements")
    for n in range(3):
        key = struct.pack("=I", n)
        places = meta, store_.handle, blocks.make(key), blocks.make(store_.lookup(key))
        machine.run("scene", Context("iter", struct.pack("<4Q", *places)))
    machine.run("scene", Context("iter", struct.pack("<4Q", meta, store_.handle, 0, 0)))
    assert bytes(machine.world.seq) == place["written"]


_ITEM = "r7 = *(u64 *)(r6 +0)\nr7 = *(u64 *)(r7 +0)\nr8 = *(u64 *)(r6 +16)\nr9 = *(u64 *)(r6 +24)\n"
_ITEM += "if r8 == 0 goto out\nif r9 == 0 goto out\n"
_ITEM += "r8 = *(u32 *)(r8 +0)\nr9 = *(u64 *)(r9 +0)\n*(u64 *)(r10 -16) = r8\n*(u64 *)(r10 -8) = r9\n"


def _walk(name: str, text: str, expect: tuple[int | None, ...]) -> Scene:
    return Scene(name, bpf.BPF_PROG_TYPE_TRACING, _ITEM + text + _END, expect, (_ELEMENTS,), bpf.BPF_TRACE_ITER, "bpf_map_elem",
                 fill=_fill, drive=_iterate, machine_drive=_simulated_walk)  # fmt: skip


def _print(fmt: bytes, size: int, word: int, length: int = 16) -> str:
    return store(-48, fmt) + call("seq_printf", "r7", "fp-48", size, "fp-16", length) + keep(word)


WALKS = [
    _walk("seq_printf", _print(b"%d: %5llu|\n\0", 12, 0), (0,)),
    _walk("seq_printf wrong", _print(b"%d\0", 3, 0, 12) + _print(b"%d %d %d\0", 9, 1) + _print(b"%d  ", 4, 2)
          + _print(b"%q\0", 3, 3),
          (EINVAL, EINVAL, EINVAL, EINVAL)),
    _walk("seq_write", result(0, call("seq_write", "r7", "fp-16", 12)) + result(1, call("seq_write", "r7", "fp-16", 0)), (0, 0)),
]  # fmt: skip


# ── files of this process ────────────────────────────────────────────────────────────────────────────────


def _files(place: Place) -> None:
    """A regular file and a socket."""
    path = Path("/tmp") / f"cygnet-scene-{os.getpid()}"
    file = place.stack.enter_context(path.open("w"))
    place.stack.callback(path.unlink)
    one = place.stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    place["path"] = str(path)
    place.words = [file.fileno(), one.fileno()]


def _walk_files(runtime: Any, place: Place) -> None:
    from cygnet.kernel import sys
    from cygnet.kernel.attach import iter as bpf_iter
    from cygnet.kernel.links import Attachment, link_create
    from cygnet.uapi import layouts

    info = bytearray(struct.pack("=IIII", 0, os.getpid(), 0, 0))  # struct {tid, pid, pid_fd}
    tail = sys.pack(layouts.LINK_CREATE_ITER, iter_info=sys.address(info), iter_info_len=len(info))
    fd = link_create(runtime.program("scene").fd, bpf.BPF_TRACE_ITER, tail)
    assert fd >= 0, fd
    with Attachment([fd]) as link:
        bpf_iter.read(link)


def _simulated_files(machine: Any, place: Place) -> None:
    """struct bpf_iter__task_file: {meta, task, u32 fd, file}."""
    blocks, world = _Blocks(machine), machine.world
    meta = blocks.words(0, 1, 0)
    for fd in place.words[:2]:
        file = blocks.make(bytes(256))
        if fd == place.words[0]:
            world.paths[file + offset("file", "f_path")] = place["path"]
        else:
            world.files[file] = object()
        machine.run("scene", Context("iter", struct.pack("<4Q", meta, world.task_address, fd, file)))


_FILE = "r7 = *(u32 *)(r6 +16)\nr8 = *(u64 *)(r6 +24)\nif r8 == 0 goto out\n" + take("r2", 0) + take("r3", 1)
_PATH = "if r7 != r2 goto out\nr9 = r8\nr9 += {at}\n"


def _of_files(name: str, text: str, expect: tuple[int | None, ...]) -> Scene:
    return Scene(name, bpf.BPF_PROG_TYPE_TRACING, _FILE + text + _END, expect, (), bpf.BPF_TRACE_ITER, "task_file",
                 setup=_files, drive=_walk_files, machine_drive=_simulated_files)  # fmt: skip


def _path(word: int, size: int) -> str:
    text = store(-64, bytes(48)) + f"r1 = r9\nr2 = r10\nr2 += -64\nr3 = {size}\ncall bpf_d_path\n" + keep(word)
    return text + "r0 = *(u64 *)(r10 -64)\n" + keep(word + 1) + "r0 = *(u64 *)(r10 -56)\n" + keep(word + 2)


FILES = [
    _of_files("d_path", _PATH.format(at=offset("file", "f_path")) + _path(0, 48) + _path(3, 4) + _path(6, 0),
              (len(f"/tmp/cygnet-scene-{os.getpid()}") + 1, int.from_bytes(b"/tmp/cyg", "little"), None, ENAMETOOLONG, None,
               None, 0)),
    _of_files("sock_from_file", "if r7 == r2 goto +1\nif r7 != r3 goto out\nr7 -= r3\nr1 = r8\ncall bpf_sock_from_file\nr8 = r0\n"
              "if r7 != 0 goto file\nr0 = r8\n" + flag(0) + "goto out\nfile:\nr0 = r8\n" + flag(1), (1, 0)),
]  # fmt: skip


# ── a packet that a tracepoint shows ─────────────────────────────────────────────────────────────────────


def _send(runtime: Any, place: Place) -> None:
    with (
        attach(runtime, "tp_btf", {"name": "net_dev_queue"}),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind((HOME, 0))
        sender.sendto(b"hello", receiver.getsockname())


def _shown(place: Place) -> Context:
    return Context("function", struct.pack("<Q", 0xFFFF888000100000), packet=bytes(14 + 20 + 8 + 5))


def _output(word: int, flags: int, size: int = 8) -> str:
    text = f"r1 = r9\nr2 = map[fd:2]\nr3 = {flags:#x} ll\nr4 = r10\nr4 += -8\nr5 = {size}\ncall bpf_skb_output\n"
    return store(-8, b"abcdefgh") + text + keep(word)


PACKETS = [
    Scene("skb_output", bpf.BPF_PROG_TYPE_TRACING, _OWN + "r9 = *(u64 *)(r6 +0)\n" + _output(0, 0) + _output(1, 9)
          + _output(2, 1 << 52) + _output(3, 47 << 32) + _output(4, 48 << 32) + _output(5, 5 << 32 | 1) + _END,
          (ENOENT, E2BIG, EINVAL, ENOENT, EFAULT, ENOENT), (MapSpec("events", bpf.BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 2),),
          bpf.BPF_TRACE_RAW_TP, "net_dev_queue", setup=mine, world=own_task, drive=_send, context=_shown),
]  # fmt: skip


# ── storage of tasks and cgroups ─────────────────────────────────────────────────────────────────────────

_TASK, _CGROUP = storage("store", bpf.BPF_MAP_TYPE_TASK_STORAGE), storage("store", bpf.BPF_MAP_TYPE_CGRP_STORAGE)


def _get(helper: str, word: int, flags: int, value: str = "0", add: int = 0) -> str:
    text = "r1 = map[fd:2]\nr2 = r7\n" + (f"r3 = r10\nr3 += {value}\n" if value != "0" else "r3 = 0\n")
    text += f"r4 = {flags}\ncall bpf_{helper}_get\nr8 = 0\nif r0 == 0 goto +3\nr8 = *(u64 *)(r0 +0)\n"
    return text + f"r8 += {add}\n*(u64 *)(r0 +0) = r8\n" + keep(word, "r8")


def _delete(helper: str, word: int) -> str:
    return result(word, f"r1 = map[fd:2]\nr2 = r7\ncall bpf_{helper}_delete\n")


def _objects(machine: Any, place: Place) -> None:
    """The current task as far as its cgroup: task->cgroups->dfl_cgrp."""
    own_task(machine, place)
    blocks = _Blocks(machine)
    group = blocks.make(bytes(64))
    at = offset("css_set", "dfl_cgrp")
    css = blocks.make(bytes(at) + struct.pack("<Q", group))
    at = offset("task_struct", "cgroups")
    machine.world.task.address = blocks.make(bytes(at) + struct.pack("<Q", css))
    cgroups(machine, place)


_OWNER = {
    "task_storage": "call bpf_get_current_task_btf\nr7 = r0\n",
    "cgrp_storage": f"call bpf_get_current_task_btf\nr7 = *(u64 *)(r0 +{offset('task_struct', 'cgroups')})\nif r7 == 0 goto out\n"
    f"r7 = *(u64 *)(r7 +{offset('css_set', 'dfl_cgrp')})\nif r7 == 0 goto out\n",
}


def _storage(helper: str, what: str, text: str, expect: tuple[int | None, ...]) -> Scene:
    name = f"{helper}_{what}"
    maps = (_TASK if helper == "task_storage" else _CGROUP,)
    return Scene(name, RAW, _OWNER[helper] + text + _END, expect, maps, world=_objects)


def _storages(helper: str) -> list[Scene]:
    return [
        _storage(helper, "get create", store(-8, b"\x2a") + _get(helper, 0, 0) + _get(helper, 1, 1, "-8", 1) + _get(helper, 2, 0)
                 + _get(helper, 3, 1, "-8") + _get(helper, 4, 2) + _get(helper, 5, 3), (0, 43, 43, 43, 0, 0)),
        _storage(helper, "get zeros", _get(helper, 0, 1, add=7) + _get(helper, 1, 0), (7, 7)),
        _storage(helper, "delete", _delete(helper, 0) + _get(helper, 1, 1, add=5) + _delete(helper, 2) + _get(helper, 3, 0)
                 + _delete(helper, 4), (ENOENT, 5, 0, 0, ENOENT)),
        _storage(helper, "get of nobody", "r7 = 0\n" + _get(helper, 0, 1) + _delete(helper, 1), (0, EINVAL)),
    ]  # fmt: skip


STORAGE = [*_storages("task_storage"), *_storages("cgrp_storage")]

SCENES = [*FUNCTIONS, *EVENTS, *WALKS, *FILES, *PACKETS, *STORAGE]
