"""Scenes of time, tasks, memory and the like: through BPF_PROG_TEST_RUN, with the world told what the system is."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import time
from functools import cache
from pathlib import Path
from typing import Any

from tests.vmcases.helpers import RAW, SYSCALL, TC, call, store
from tests.vmcases.scenes import (
    MASK32,
    VARIABLE,
    Place,
    Scene,
    constant,
    flag,
    keep,
    locked,
    pointing,
    result,
    storage,
    take,
    timed,
    typed,
)

from cygnet.btf.layout import find_member
from cygnet.btf.reader import Btf
from cygnet.errors import CygnetError, KernelVerifierError, NotSupported
from cygnet.facts.helpers import helper_id
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.maps.kinds.events import PerfEvent
from cygnet.spec.objects import MapSpec
from cygnet.uapi import bpf

EINVAL, ENOENT, EFAULT, E2BIG, EBUSY, EPERM, EAGAIN, ENAMETOOLONG = -22, -2, -14, -7, -16, -1, -11, -36
FRAME = bytes.fromhex("000000000000020000000001080045000014abcd4000400611c30a0000010a000002") + bytes(30)


def packet(place: Place) -> None:
    place.data = FRAME


# ── clocks: at least what was read before, and not the time of another clock ──────────────────────────────

_CLOCKS = {
    "ktime_get_ns": (RAW, time.CLOCK_MONOTONIC, 0),
    "ktime_get_boot_ns": (RAW, time.CLOCK_BOOTTIME, 0),
    "ktime_get_tai_ns": (RAW, time.CLOCK_TAI, 0),
    "ktime_get_coarse_ns": (TC, time.CLOCK_MONOTONIC, 1_000_000_000),
}
_DAY = 86_400_000_000_000


def _clock(name: str, window: str, expect: int) -> Scene:
    """1 inside of the window, 0 before it, 2 after it."""
    kind, clock, slack = _CLOCKS[name]

    def setup(place: Place) -> None:
        place.data = FRAME if kind == TC else b""
        now = time.clock_gettime_ns(clock) - slack
        place.words = {"now": [now, now + _DAY], "later": [now + _DAY, now + 2 * _DAY], "past": [0, now - slack]}[
            window
        ]

    text = call(name) + take("r2", 0) + take("r3", 1) + "r8 = 1\nif r0 >= r2 goto +1\nr8 = 0\n"
    text += "if r0 < r3 goto +1\nr8 = 2\n" + keep(0, "r8") + "r0 = 0\nexit\n"
    return Scene(f"{name} {window}", kind, text, (expect,), setup=setup)


def _jiffies(place: Place) -> None:
    # counted from five minutes before 32 bits are full, at CONFIG_HZ
    place.words = [(1 << 32) - 300 * 250 + time.monotonic_ns() * 250 // 1_000_000_000]


CLOCKS = [
    *(_clock(name, window, expect) for name in _CLOCKS for window, expect in (("now", 1), ("later", 0), ("past", 2))),
    Scene("jiffies64", RAW, call("jiffies64") + take("r2", 0) + "r0 -= r2\nr0 += 250\nr8 = 0\nif r0 > 25000 goto +1\nr8 = 1\n"
          + keep(0, "r8") + "r0 = 0\nexit\n", (1,), setup=_jiffies),
    Scene("get_prandom_u32 high half", RAW, "r7 = 0\n" + 4 * (call("get_prandom_u32") + "r0 >>= 32\nr7 |= r0\n")
          + keep(0, "r7") + "r0 = 0\nexit\n", (0,)),
    Scene("get_prandom_u32 changes", RAW, call("get_prandom_u32") + "r7 = r0\nr9 = 0\n"
          + 4 * (call("get_prandom_u32") + "r0 ^= r7\nr9 |= r0\n") + "r0 = r9\n" + flag(0) + "r0 = 0\nexit\n", (1,)),
    *(Scene(f"get_smp_processor_id {cpu}", RAW, result(0, call("get_smp_processor_id")) + "r0 = 0\nexit\n", (cpu,), cpu=cpu)
      for cpu in sorted(os.sched_getaffinity(0))[:2]),
    Scene("get_numa_node_id", RAW, result(0, call("get_numa_node_id")) + "r0 = 0\nexit\n", (0,)),
]  # fmt: skip


# ── the task ─────────────────────────────────────────────────────────────────────────────────────────────


def own_task(machine: Any, place: Place) -> None:
    """The machine's task is this process."""
    task = machine.world.task
    task.pid, task.tgid, task.uid, task.gid = os.getpid(), os.getpid(), os.getuid(), os.getgid()
    task.ns_pid = task.ns_tgid = os.getpid()
    task.comm = Path("/proc/self/comm").read_text().strip()
    here = os.stat("/proc/self/ns/pid")
    machine.world.pid_namespace = here.st_dev, here.st_ino


def cgroups(machine: Any, place: Place) -> None:
    from tests.kernel.stage import cgroup_ids, own_cgroup

    machine.world.task.cgroups = cgroup_ids(own_cgroup())


def _namespace(place: Place) -> None:
    here = os.stat("/proc/self/ns/pid")
    # what the helper takes is the device as the kernel numbers it: twelve bits and twenty
    place.words = [os.major(here.st_dev) << 20 | os.minor(here.st_dev), here.st_ino]


_NS = take("r1", 0) + take("r2", 1)
TASK = [
    Scene("get_current_pid_tgid", RAW, result(0, call("get_current_pid_tgid")) + "r0 = 0\nexit\n",
          (os.getpid() << 32 | os.getpid(),), world=own_task),
    Scene("get_current_uid_gid", RAW, result(0, call("get_current_uid_gid")) + "r0 = 0\nexit\n",
          (os.getgid() << 32 | os.getuid(),), world=own_task),
    Scene("get_current_comm whole and cut", RAW, store(-32, bytes(32)) + call("get_current_comm", "fp-16", 16)
          + call("get_current_comm", "fp-32", 3) + "r0 = *(u64 *)(r10 -16)\n" + keep(0) + "r0 = *(u64 *)(r10 -8)\n" + keep(1)
          + "r0 = *(u64 *)(r10 -32)\n" + keep(2) + "r0 = 0\nexit\n", (None, None, None), world=own_task),
    Scene("get_ns_current_pid_tgid own", RAW, store(-8, bytes(8)) + _NS + "r3 = r10\nr3 += -8\nr4 = 8\n"
          "call bpf_get_ns_current_pid_tgid\n" + keep(0) + "r0 = *(u64 *)(r10 -8)\n" + keep(1) + "r0 = 0\nexit\n",
          (0, os.getpid() << 32 | os.getpid()), setup=_namespace, world=own_task),
    Scene("get_ns_current_pid_tgid size", RAW, store(-16, b"abcdefgh") + _NS + "r3 = r10\nr3 += -16\nr4 = 12\n"
          "call bpf_get_ns_current_pid_tgid\n" + keep(0) + "r0 = *(u64 *)(r10 -16)\n" + keep(1) + "r0 = 0\nexit\n",
          (EINVAL, 0), setup=_namespace, world=own_task),
    Scene("get_current_cgroup_id", RAW, result(0, call("get_current_cgroup_id")) + "r0 = 0\nexit\n", world=cgroups),
    Scene("get_current_ancestor_cgroup_id", RAW, "".join(
        result(n, call("get_current_ancestor_cgroup_id", level)) for n, level in enumerate((0, 1, 2, -1, 99)))
        + "r0 = 0\nexit\n", (None, None, None, 0, 0), world=cgroups),
    Scene("get_cgroup_classid", TC, result(0, call("get_cgroup_classid", "ctx")) + "r0 = 0\nexit\n", (0,), setup=packet),
    Scene("skb_cgroup_classid", TC, result(0, call("skb_cgroup_classid", "ctx")) + "r0 = 0\nexit\n", (0,), setup=packet),
    Scene("get_current_task twice", RAW, call("get_current_task") + "r7 = r0\n" + flag(0) + call("get_current_task_btf")
          + "r8 = 0\nif r7 == r0 goto +1\nr8 = 1\n" + keep(1, "r8") + "r0 = 0\nexit\n", (1, 0)),
    Scene("get_current_task_btf twice", RAW, call("get_current_task_btf") + "r7 = r0\n" + call("get_current_task_btf")
          + "r8 = 0\nif r7 == r0 goto +1\nr8 = 1\n" + keep(0, "r8") + "r0 = 0\nexit\n", (0,)),
    Scene("task_pt_regs twice", RAW, call("get_current_task_btf") + "r7 = r0\n" + call("task_pt_regs", "r7") + "r9 = r0\n"
          + flag(0)
          + call("task_pt_regs", "r7") + "r8 = 0\nif r9 == r0 goto +1\nr8 = 1\n" + keep(1, "r8") + "r0 = 0\nexit\n", (1, 0)),
    Scene("current_task_under_cgroup", RAW, result(0, call("current_task_under_cgroup", "map2", 4))
          + result(1, call("current_task_under_cgroup", "map2", 3)) + "r0 = 0\nexit\n", (E2BIG, EAGAIN),
          (MapSpec("groups", 8, 4, 4, 4),), instead={8: 2}),
]  # fmt: skip


# ── signals: to this process, of a kind that nobody minds ─────────────────────────────────────────────────


def _signal(name: str, number: int, expect: int) -> Scene:
    """The program looks whose process it is before it sends anything."""
    text = call("get_current_pid_tgid") + "r0 >>= 32\n" + take("r2", 0) + "if r0 != r2 goto none\n"
    text += result(0, call(name, number)) + "none:\nr0 = 0\nexit\n"

    def setup(place: Place) -> None:
        place.words = [os.getpid()]
        got: list[int] = []
        before = signal.signal(signal.SIGURG, lambda number, frame: got.append(number))
        place.stack.callback(signal.signal, signal.SIGURG, before)
        place["got"] = got

    def after(machine: Any) -> list[tuple[int, bool]]:
        return list(machine.world.signals)

    seen = [(number, name.endswith("thread"))] if not expect else []
    return Scene(f"{name} {number}", RAW, text, (expect,), setup=setup, world=own_task, after=after, expect_after=seen)


SIGNALS = [_signal(name, number, expect) for name in ("send_signal", "send_signal_thread")
           for number, expect in ((signal.SIGURG, 0), (0, 0), (65, EINVAL), (-1, EINVAL))]  # fmt: skip


# ── memory of this process ───────────────────────────────────────────────────────────────────────────────

_TEXT = b"hello, world\0rest"


def _buffer(place: Place) -> None:
    made = place["buffer"] = ctypes.create_string_buffer(_TEXT, 64)
    place.words = [ctypes.addressof(made)]


def _user_memory(machine: Any, place: Place) -> None:
    machine.world.user.add(place.words[0], _TEXT.ljust(64, b"\0"))
    own_task(machine, place)


def _user(name: str, size: int, expect: tuple[int | None, ...], sleepable: bool = False, *more: str) -> Scene:
    body = store(-32, b"x" * 32) + take("r3", 0) + f"r1 = r10\nr1 += -32\nr2 = {size}\n"
    if name == "copy_from_user_task":
        body = store(-32, b"x" * 32) + call("get_current_task_btf") + "r4 = r0\n" + take("r3", 0)
        body += f"r1 = r10\nr1 += -32\nr2 = {size}\nr5 = {more[0] if more else 0}\n"
    body += f"call bpf_{name}\n" + keep(0) + "r0 = *(u64 *)(r10 -32)\n" + keep(1) + "r0 = *(u64 *)(r10 -24)\n" + keep(2)
    kind = SYSCALL if sleepable else RAW
    label = f"{name} {size}{' flags ' + more[0] if more else ''} of this process"
    return Scene(label, kind, body + "r0 = 0\nexit\n", expect, setup=_buffer, world=_user_memory, sleepable=sleepable)


def _word(text: bytes) -> int:
    return int.from_bytes(text[:8].ljust(8, b"\0"), "little")


_WRITE = (
    take("r1", 0) + store(-8, b"HELLO") + take("r1", 0) + "r2 = r10\nr2 += -8\nr3 = 5\ncall bpf_probe_write_user\n" + keep(0)
    + "r1 = 16\nr2 = r10\nr2 += -8\nr3 = 5\ncall bpf_probe_write_user\n" + keep(1)
    + store(-24, bytes(16)) + take("r3", 0) + "r1 = r10\nr1 += -24\nr2 = 16\ncall bpf_probe_read_user\n"
    + "r0 = *(u64 *)(r10 -24)\n" + keep(2) + "r0 = 0\nexit\n"
)  # fmt: skip


def _unlocked() -> None:
    """bpf_tracing_func_proto gives the helper only where the kernel is not locked down."""
    from cygnet.kernel import progs

    code = encode(assemble(call("probe_write_user", 0, "fp-8", 1) + "exit\n", helper_id))
    try:
        progs.load(code, RAW).close()
    except KernelVerifierError as error:
        if "cannot use helper" in str(error):
            raise NotSupported("bpf_probe_write_user", "a kernel that is not locked down") from error


MEMORY = [
    _user("probe_read_user", 8, (0, _word(_TEXT), _word(b"x" * 8))),
    _user("probe_read_user", 13, (0, _word(_TEXT), _word(b"orld\0xxx"))),
    _user("probe_read_user_str", 32, (13, _word(_TEXT), None)),
    _user("probe_read_user_str", 6, (6, _word(b"hello\0xx"), None)),
    _user("copy_from_user", 8, (0, _word(_TEXT), _word(b"x" * 8)), True),
    _user("copy_from_user_task", 8, (0, _word(_TEXT), _word(b"x" * 8)), True),
    _user("copy_from_user_task", 8, (EINVAL, None, None), True, "1"),
    Scene("copy_from_user_task nowhere", SYSCALL, store(-8, b"abcdefgh") + call("get_current_task_btf") + "r4 = r0\nr3 = 16\n"
          "r1 = r10\nr1 += -8\nr2 = 8\nr5 = 0\ncall bpf_copy_from_user_task\n" + keep(0) + "r0 = *(u64 *)(r10 -8)\n" + keep(1)
          + "r0 = 0\nexit\n", (EFAULT, 0), world=own_task, sleepable=True),
    Scene("probe_write_user", RAW, _WRITE, (0, EFAULT, _word(b"HELLO, w")), setup=_buffer, world=_user_memory,
          needs=_unlocked),
]  # fmt: skip


# ── names, per-CPU variables ─────────────────────────────────────────────────────────────────────────────


@cache
def kernel_symbol(name: str) -> int:
    for line in Path("/proc/kallsyms").read_text().splitlines():
        part = line.split()
        if part[2] == name:
            return int(part[0], 16)
    raise LookupError(name)


def _symbols(machine: Any, place: Place) -> None:
    machine.world.symbols["vfs_read"] = place["address"]


def _address(place: Place) -> None:
    place["address"] = kernel_symbol("vfs_read")


def _kallsyms(what: str, name: bytes, size: int, flags: int, expect: int) -> Scene:
    text = store(-32, name) + store(-8, b"x" * 8) + call("kallsyms_lookup_name", "fp-32", size, flags, "fp-8") + keep(0)
    text += "r0 = *(u64 *)(r10 -8)\n" + keep(1) + "r0 = 0\nexit\n"
    return Scene(f"kallsyms_lookup_name {what}", SYSCALL, text, (expect, None if not expect else 0), setup=_address,
                 world=_symbols, sleepable=True)  # fmt: skip


def cpu_offset() -> int:
    """Of struct rq's `cpu`; 0 on a kernel without types."""
    try:
        rq = Btf.kernel().find("rq")
    except CygnetError:
        return 0
    found = find_member(rq, "cpu") if rq else None
    assert found is not None
    return found.bit_offset // 8


def _has_variables() -> None:
    try:
        kernel_symbol("runqueues")
    except LookupError:
        raise NotSupported("per-CPU variables in programs", "CONFIG_KALLSYMS_ALL") from None


def _variables(machine: Any, place: Place) -> None:
    at = cpu_offset()
    machine.world.variables["runqueues"] = [
        bytes(at) + cpu.to_bytes(4, "little") for cpu in range(machine.host.map_host.cpus)
    ]


def _per_cpu(cpu: int, expect: tuple[int, ...]) -> Scene:
    text = f"r1 = {VARIABLE:#x} ll\nr2 = {cpu}\ncall bpf_per_cpu_ptr\nr7 = r0\n" + flag(0) + "r8 = 77\n"
    text += f"if r7 == 0 goto +1\nr8 = *(u32 *)(r7 +{cpu_offset()})\n" + keep(1, "r8") + "r0 = 0\nexit\n"
    return Scene(f"per_cpu_ptr {cpu}", RAW, text, expect, world=_variables, variable="runqueues", needs=_has_variables)


NAMES = [
    _kallsyms("found", b"vfs_read\0", 9, 0, 0), _kallsyms("missing", b"no_such_name\0", 13, 0, ENOENT),
    _kallsyms("flags", b"vfs_read\0", 9, 1, EINVAL), _kallsyms("short", b"\0", 1, 0, EINVAL),
    _kallsyms("no end", b"vfs_read\0", 8, 0, EINVAL),
    _per_cpu(0, (1, 0)), _per_cpu(max(os.sched_getaffinity(0)), (1, max(os.sched_getaffinity(0)))), _per_cpu(99999, (0, 77)),
    *(Scene(f"this_cpu_ptr {cpu}", RAW, f"r1 = {VARIABLE:#x} ll\ncall bpf_this_cpu_ptr\nr0 = *(u32 *)(r0 +{cpu_offset()})\n"
            + keep(0) + "r0 = 0\nexit\n", (cpu,), world=_variables, variable="runqueues", needs=_has_variables, cpu=cpu)
      for cpu in sorted(os.sched_getaffinity(0))[:2]),
]  # fmt: skip


# ── events and stacks ────────────────────────────────────────────────────────────────────────────────────

_EVENTS = (MapSpec("events", bpf.BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 2),)


def _counter(runtime: Any, place: Place, kernel: bool) -> None:
    """Index 0: an event that never happens."""
    key = bytes(4)
    if not kernel:
        runtime.map("events").update(key, struct.pack("=I", runtime.host.map_host.add("perf_event", PerfEvent())))
        return
    from cygnet.kernel import perf
    from cygnet.uapi import perf as uapi

    attr = perf.event_attr(uapi.PERF_TYPE_SOFTWARE, uapi.PERF_COUNT_SW_DUMMY)
    fd = perf.open_event(attr, os.getpid(), -1, "count")
    place.stack.callback(os.close, fd)
    runtime.map("events").update(key, struct.pack("=I", fd))


def _value(what: str, flags: int, size: int, expect: tuple[int | None, ...], fill: bool = True) -> Scene:
    text = store(-32, b"x" * 32) + call("perf_event_read_value", "map2", flags, "fp-32", size) + keep(0)
    text += "r0 = *(u64 *)(r10 -32)\n" + keep(1) + "r0 = 0\nexit\n"
    return Scene(f"perf_event_read_value {what}", RAW, text, expect, _EVENTS, fill=_counter if fill else None)


def _stack(name: str, what: str, size: int, flags: int, expect: int) -> Scene:
    text = store(-16, b"x" * 16)
    if name == "get_task_stack":
        text += call("get_current_task_btf") + "r7 = r0\n" + call(name, "r7", "fp-16", size, flags)
    else:
        text += call(name, "ctx", "map2", flags)
    stacks = (MapSpec("stacks", bpf.BPF_MAP_TYPE_STACK_TRACE, 4, 16, 8),) if name == "get_stackid" else ()
    return Scene(f"{name} {what}", RAW, text + keep(0) + "r0 = 0\nexit\n", (expect,), stacks, world=_stacks)


def _stacks(machine: Any, place: Place) -> None:
    machine.world.task.kernel_stack = tuple(range(0xFFFFFFFF81000000, 0xFFFFFFFF81000005))


EVENTS = [
    _value("counter", 0, 24, (0, 0)), _value("size", 0, 16, (EINVAL, 0)), _value("flags", 1 << 40, 24, (EINVAL, 0)),
    _value("outside", 2, 24, (E2BIG, 0)), _value("nobody", 1, 24, (ENOENT, 0)),
    Scene("perf_event_read counter", RAW, result(0, call("perf_event_read", "map2", 0)) + "r0 = 0\nexit\n", (0,), _EVENTS,
          fill=_counter),
    _stack("get_task_stack", "size", 12, 0, EINVAL), _stack("get_task_stack", "flags", 16, 1 << 16, EINVAL),
    _stack("get_task_stack", "two frames", 16, 0, 16), _stack("get_task_stack", "too many skipped", 16, 250, EFAULT),
    _stack("get_stackid", "flags", 0, 1 << 16, EINVAL), _stack("get_stackid", "build ids", 0, 1 << 11, EINVAL),
    Scene("get_stackid found", RAW, call("get_stackid", "ctx", "map2", 0x200) + "r7 = r0\nr7 s>>= 63\n"
          + keep(0, "r7") + "r0 = 0\nexit\n", (0,),
          (MapSpec("stacks", bpf.BPF_MAP_TYPE_STACK_TRACE, 4, 16, 8),), world=_stacks),
    Scene("get_branch_snapshot flags", RAW, result(0, call("get_branch_snapshot", "fp-24", 24, 1)) + "r0 = 0\nexit\n",
          (EINVAL,)),
    Scene("get_branch_snapshot none", RAW, result(0, call("get_branch_snapshot", "fp-24", 24, 0)) + "r0 = 0\nexit\n",
          (ENOENT,)),
]  # fmt: skip


# ── callbacks, locks, timers ─────────────────────────────────────────────────────────────────────────────

_ARRAY = MapSpec("values", bpf.BPF_MAP_TYPE_ARRAY, 4, 8, 5)
_EACH = (
    "*(u64 *)(r10 -8) = 0\n*(u64 *)(r10 -16) = {stop}\nr1 = map[fd:2]\nr2 = subprog[each]\nr3 = r10\nr3 += -16\nr4 = {flags}\n"
    "call bpf_for_each_map_elem\n" + keep(0) + "r0 = *(u64 *)(r10 -8)\n" + keep(1) + "r0 = 0\nexit\n"
    "each:\nr1 = *(u32 *)(r2 +0)\nr2 = *(u64 *)(r4 +8)\nr2 <<= 4\nr2 += r1\nr2 += 1\n*(u64 *)(r4 +8) = r2\n"
    "r0 = 0\nr3 = *(u64 *)(r4 +0)\nif r1 != r3 goto done\nr0 = 1\ndone:\nexit\n"
)  # fmt: skip
_LOOP = (
    "*(u64 *)(r10 -8) = 0\nr1 = {count}\nr2 = subprog[each]\nr3 = r10\nr3 += -8\nr4 = {flags}\ncall bpf_loop\n" + keep(0)
    + "r0 = *(u64 *)(r10 -8)\n" + keep(1) + "r0 = 0\nexit\n"
    "each:\nr3 = *(u64 *)(r2 +0)\nr3 += r1\n*(u64 *)(r2 +0) = r3\nr0 = 0\nif r1 < {stop} goto done\nr0 = 1\ndone:\nexit\n"
)  # fmt: skip
_LOCKS = (typed("locks", bpf.BPF_MAP_TYPE_ARRAY, 16, 2, locked),)
_LOCK = (
    store(-8, b"\1") + call("map_lookup_elem", "map2", "fp-8") + "if r0 == 0 goto out\nr7 = r0\n"
    + "r1 = r7\nr1 += 8\ncall bpf_spin_lock\nr8 = *(u64 *)(r7 +0)\nr8 += 5\n*(u64 *)(r7 +0) = r8\n"
    + "r1 = r7\nr1 += 8\ncall bpf_spin_unlock\n"
)  # fmt: skip
_TIMERS = (typed("timers", bpf.BPF_MAP_TYPE_ARRAY, 24, 1, timed),)
_TIMER = (
    store(-8, bytes(8)) + call("map_lookup_elem", "map2", "fp-8") + "if r0 == 0 goto out\nr7 = r0\nr9 = r7\nr9 += 8\n"
)
_TIMER_END = "out:\nr0 = 0\nexit\nfired:\nr1 = *(u64 *)(r3 +0)\nr1 += 1\n*(u64 *)(r3 +0) = r1\nr0 = 0\nexit\n"


def _init(flags: int = 1) -> str:
    return f"r1 = r9\nr2 = map[fd:2]\nr3 = {flags}\ncall bpf_timer_init\n"


_SET = "r1 = r9\nr2 = subprog[fired]\ncall bpf_timer_set_callback\n"


def _start(after: int, flags: int = 0) -> str:
    return f"r1 = r9\nr2 = {after & (1 << 64) - 1:#x} ll\nr3 = {flags}\ncall bpf_timer_start\n"


_CANCEL = "r1 = r9\ncall bpf_timer_cancel\n"
_HOUR = 3_600_000_000_000


def _timer(name: str, expect: tuple[int | None, ...], *calls: str) -> Scene:
    text = _TIMER + "".join(result(n, one) for n, one in enumerate(calls)) + _SET * (_SET not in calls) + _TIMER_END
    return Scene(f"timer_{name}", TC, text, expect, _TIMERS, setup=packet)


FLOW = [
    *(Scene(f"for_each_map_elem stop {stop} flags {flags}", RAW, _EACH.format(stop=stop, flags=flags), expect, (_ARRAY,))
      for stop, flags, expect in ((99, 0, (5, 0x12345)), (2, 0, (3, 0x123)), (99, 1, (EINVAL, 0)))),
    *(Scene(f"loop {count} flags {flags} stop {stop}", RAW, _LOOP.format(count=count, flags=flags, stop=stop), expect)
      for count, flags, stop, expect in ((5, 0, 99, (5, 10)), (5, 0, 2, (3, 3)), (0, 0, 1, (0, 0)), (5, 1, 9, (EINVAL, 0)),
                                         ((1 << 23) + 1, 0, 1, (E2BIG & MASK32, 0)))),
    Scene("spin_lock and count", TC, _LOCK + keep(0, "r8") + "out:\nr0 = 0\nexit\n", (5,), _LOCKS, setup=packet),
    Scene("spin_unlock twice", TC, _LOCK + _LOCK.replace("goto out", "goto out", 1) + keep(0, "r8") + "r0 = *(u32 *)(r7 +0)\n"
          + keep(1) + "out:\nr0 = 0\nexit\n", (10, 10), _LOCKS, setup=packet),
    _timer("init clocks", (EINVAL, EINVAL, 0, EBUSY), _init(2), _init(11), _init(7), _init(1)),
    _timer("set_callback before init", (EINVAL, 0, 0), _SET, _init(), _SET),
    _timer("start order", (EINVAL, 0, EINVAL, 0, EINVAL, 0), _start(_HOUR), _init(), _start(_HOUR), _SET, _start(_HOUR, 8),
           _start(_HOUR)),
    _timer("start flags", (0, 0, 0, 0, EINVAL), _init(), _SET, _start(1 << 62, 1), _start(_HOUR, 2), _start(_HOUR, 4)),
    _timer("cancel", (EINVAL, 0, 0, 0, 0, 1, 0), _CANCEL, _init(), _CANCEL, _SET, _start(_HOUR), _CANCEL, _CANCEL),
]  # fmt: skip


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────


def _snprintf(fmt: bytes, size: int, arguments: tuple[int, ...], expect: tuple[int | None, ...]) -> Scene:
    data = struct.pack(f"<{len(arguments)}q", *arguments)
    text = store(-40, data) + store(-72, b"x" * 32) + f"r1 = r10\nr1 += -72\nr2 = {size}\nr3 = map[fd:2][0]+0\n"
    text += f"r4 = r10\nr4 += -40\nr5 = {len(data)}\ncall bpf_snprintf\n" + keep(0)
    text += "r0 = *(u64 *)(r10 -72)\n" + keep(1) + "r0 = 0\nexit\n"
    return Scene(f"snprintf {fmt!r} {size}", RAW, text, expect, (constant("format", fmt),))


def _strncmp(first: bytes, size: int, second: bytes, expect: int) -> Scene:
    text = (
        store(-8, first) + f"r1 = r10\nr1 += -8\nr2 = {size}\nr3 = map[fd:2][0]+0\ncall bpf_strncmp\n" + "r0 s>>= 63\n"
    )
    return Scene(f"strncmp {first!r} {size} {second!r}", RAW, text + keep(0) + "r0 = 0\nexit\n", (expect,),
                 (constant("text", second),))  # fmt: skip


def _vprintk(what: str, fmt: bytes, size: int, arguments: tuple[int, ...], length: int, expect: int | None) -> Scene:
    text = store(-40, struct.pack(f"<{len(arguments)}q", *arguments)) + store(-64, fmt)
    text += call("trace_vprintk", "fp-64", size, "fp-40", length) + keep(0) + "r0 = 0\nexit\n"
    return Scene(f"trace_vprintk {what}", RAW, text, (expect,))


TEXT = [
    _snprintf(b"%d-%x", 32, (-7, 255), (6, _word(b"-7-ff\0xx"))), _snprintf(b"%d-%x", 4, (-7, 255), (6, _word(b"-7-\0xxxx"))),
    _snprintf(b"%5d|", 32, (3,), (7, _word(b"    3|\0x"))),
    _strncmp(b"abc\0", 4, b"abc", 0), _strncmp(b"abb\0", 4, b"abc", -1), _strncmp(b"abd\0", 4, b"abc", 0),
    _strncmp(b"abd\0", 2, b"abc", 0),
    _vprintk("length", b"scene %d %d\0", 12, (1, 22), 16, None), _vprintk("size", b"%d\0", 3, (1,), 4, EINVAL),
    _vprintk("too few", b"%d %d\0", 6, (1,), 8, EINVAL), _vprintk("no end", b"%d  ", 4, (1,), 8, EINVAL),
]  # fmt: skip


# ── rings and dynptrs ────────────────────────────────────────────────────────────────────────────────────

_RING = (MapSpec("ring", bpf.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096),)


def _ring(name: str, end: str, size: int, expect: tuple[int | None, ...]) -> Scene:
    """Positions after a record of a size was given back."""
    reserve = f"r1 = map[fd:2]\nr2 = {size}\nr3 = 0\ncall bpf_ringbuf_reserve\nif r0 == 0 goto out\nr1 = r0\nr2 = 1\n"
    if "dynptr" in name:
        reserve = f"r1 = map[fd:2]\nr2 = {size}\nr3 = 0\nr4 = r10\nr4 += -16\ncall bpf_ringbuf_reserve_dynptr\n" + keep(
            9
        )
        reserve += "r1 = r10\nr1 += -16\nr2 = 1\n"
    text = (
        reserve
        + f"call bpf_{name}\n"
        + "".join(result(n, call("ringbuf_query", "map2", what)) for n, what in enumerate((0, 2, 3)))
        + "out:\nr0 = 0\nexit\n"
    )
    return Scene(f"{name} {size}{end}", RAW, text, expect, _RING)


def _dynptr(what: str, size: int, flags: int, expect: tuple[int | None, ...]) -> Scene:
    text = store(-8, bytes(8)) + call("map_lookup_elem", "map2", "fp-8") + "if r0 == 0 goto out\nr7 = r0\n"
    text += f"r1 = r7\nr2 = {size}\nr3 = {flags}\nr4 = r10\nr4 += -24\ncall bpf_dynptr_from_mem\n" + keep(0)
    text += (
        store(-8, b"abcdefgh")
        + "r1 = r10\nr1 += -24\nr2 = 2\nr3 = r10\nr3 += -8\nr4 = 4\nr5 = 0\ncall bpf_dynptr_write\n"
    )
    text += keep(1) + "r0 = *(u64 *)(r7 +0)\n" + keep(2) + "r1 = r10\nr1 += -24\nr2 = 4\nr3 = 4\ncall bpf_dynptr_data\n"
    text += flag(3) + "out:\nr0 = 0\nexit\n"
    return Scene(f"dynptr_from_mem {what}", RAW, text, expect, (MapSpec("values", bpf.BPF_MAP_TYPE_ARRAY, 4, 16, 1),))


_KPTR = (typed("pointers", bpf.BPF_MAP_TYPE_ARRAY, 8, 1, pointing),)
_XCHG = (
    store(-8, bytes(8))
    + call("map_lookup_elem", "map2", "fp-8")
    + "if r0 == 0 goto out\nr1 = r0\nr2 = 0\ncall bpf_kptr_xchg\n"
)

RINGS = [
    _ring("ringbuf_submit", "", 20, (32, 0, 32)), _ring("ringbuf_submit", "", 8, (16, 0, 16)),
    _ring("ringbuf_discard", "", 20, (32, 0, 32)),
    _ring("ringbuf_submit_dynptr", "", 40, (48, 0, 48)), _ring("ringbuf_discard_dynptr", "", 40, (48, 0, 48)),
    _ring("ringbuf_submit_dynptr", " too much", 5000, (0, 0, 0)), _ring("ringbuf_discard_dynptr", " too much", 5000, (0, 0, 0)),
    _dynptr("8 bytes", 8, 0, (0, 0, _word(b"\0\0abcd\0\0"), 1)), _dynptr("4 bytes", 4, 0, (0, E2BIG, 0, 0)),
    _dynptr("flags", 8, 1, (EINVAL, EINVAL, 0, 0)),
    Scene("kptr_xchg nothing for nothing", TC, _XCHG + "r7 = r0\n" + flag(0) + "if r7 == 0 goto out\n"
          "r1 = r7\n"           "call kfunc#{bpf_task_release}\nout:\nr0 = 0\nexit\n", (0,), _KPTR, setup=packet,
          in_machine=("call kfunc#{bpf_task_release}", "r0 = r7")),
]  # fmt: skip

SCENES = [*CLOCKS, *TASK, *SIGNALS, *MEMORY, *NAMES, *EVENTS, *FLOW, *TEXT, *RINGS]
del storage
