"""Every kind of place a program is attached to, on the live kernel; bpftool is the witness.

Programs count into a map only what this process did: they compare the process id first.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cygnet.btf import FUNC, TYPEDEF, Btf
from cygnet.errors import NotSupported, ProbeError
from cygnet.kernel import cpus, links, objects, perf, progs
from cygnet.kernel.attach import iter as bpf_iter
from cygnet.kernel.maps import KernelMap
from cygnet.uapi import bpf
from cygnet.uapi import perf as uapi

Asm = Callable[[str], bytes]

COUNT_OWN = """
    call bpf_get_current_pid_tgid
    r0 >>= 32
    if w0 != {pid} goto +4
    r1 = map[fd:{fd}][0]+0x0
    r2 = 1
    lock *(u64 *)(r1 +0) += r2
    r0 = 0
    exit
"""


class Counter:
    """Programs that count this process's hits."""

    def __init__(self, asm: Asm) -> None:
        self.asm = asm
        self.map = KernelMap.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0, "hits")
        self.programs: list[progs.Program] = []

    def program(self, type: int, **options: int) -> progs.Program:
        # The jump lands on `r0 = 0`: the load of an address is two instructions long.
        text = COUNT_OWN.format(pid=os.getpid(), fd=self.map.fd)
        self.programs.append(progs.load(self.asm(text), type, name="count", **options))
        return self.programs[-1]

    def hits(self) -> int:
        return struct.unpack("=Q", self.map.lookup(bytes(4)) or b"")[0]

    def close(self) -> None:
        for program in self.programs:
            program.close()
        self.map.close()


@pytest.fixture
def counter(asm: Asm) -> Iterator[Counter]:
    counter = Counter(asm)
    yield counter
    counter.close()


def touch_pages(count: int) -> None:
    with mmap.mmap(-1, count * mmap.PAGESIZE) as memory:
        for at in range(0, count * mmap.PAGESIZE, mmap.PAGESIZE):
            memory[at] = 1


def spin(seconds: float) -> None:
    """Use the CPU, as long as it takes this process to have used it for `seconds`."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def detail(attachment: links.Attachment) -> dict[str, object]:
    (fd,) = attachment.fds
    return dict(objects.link_info(fd).detail)


def bpftool_link(attachment: links.Attachment) -> dict[str, object]:
    number = str(objects.link_info(attachment.fds[0]).id)
    run = subprocess.run(["bpftool", "-j", "link", "show", "id", number], capture_output=True, check=True)
    shown: dict[str, object] = json.loads(run.stdout)
    return shown


# ── tracepoints ──────────────────────────────────────────────────────────────────────────────────────────


def test_tracepoint(counter: Counter, tracefs_mounted: str) -> None:
    program = counter.program(bpf.BPF_PROG_TYPE_TRACEPOINT)
    target = {"subsys": "syscalls", "event": "sys_enter_getppid"}
    with links.attach("tracepoint", program.fd, target) as attachment:
        for _ in range(10):
            os.getppid()
        assert counter.hits() == 10
        assert detail(attachment)["tp_name"] == "sys_enter_getppid"
        shown = bpftool_link(attachment)
        assert shown["prog_id"] == program.id
    os.getppid()
    assert counter.hits() == 10


def test_cookie_reaches_the_program(asm: Asm, tracefs_mounted: str) -> None:
    with KernelMap.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 8, 1) as store:
        text = f"""
            r6 = r1
            call bpf_get_current_pid_tgid
            r0 >>= 32
            if w0 != {os.getpid()} goto +5
            r1 = r6
            call bpf_get_attach_cookie
            r1 = map[fd:{store.fd}][0]+0x0
            *(u64 *)(r1 +0) = r0
            r0 = 0
            exit
        """
        target = {"subsys": "syscalls", "event": "sys_enter_getppid", "cookie": 0x1234}
        with (
            progs.load(asm(text), bpf.BPF_PROG_TYPE_TRACEPOINT) as program,
            links.attach("tracepoint", program.fd, target) as attachment,
        ):
            os.getppid()
            assert detail(attachment)["cookie"] == 0x1234
        assert store.lookup(bytes(4)) == struct.pack("=Q", 0x1234)


def test_tracepoint_that_does_not_exist(counter: Counter, tracefs_mounted: str) -> None:
    program = counter.program(bpf.BPF_PROG_TYPE_TRACEPOINT)
    with pytest.raises(ProbeError, match="there is no tracepoint syscalls:sys_enter_nothing"):
        links.attach("tracepoint", program.fd, {"subsys": "syscalls", "event": "sys_enter_nothing"})


def test_old_kernels_way_to_attach(counter: Counter, tracefs_mounted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without BPF links on perf events the ioctl does it, and the event's descriptor owns the program."""
    monkeypatch.setattr(links, "_link_works", [False])
    program = counter.program(bpf.BPF_PROG_TYPE_TRACEPOINT)
    target = {"subsys": "syscalls", "event": "sys_enter_getppid"}
    with links.attach("tracepoint", program.fd, target):
        os.getppid()
        assert counter.hits() == 1
    os.getppid()
    assert counter.hits() == 1


def test_raw_tracepoint(counter: Counter) -> None:
    program = counter.program(bpf.BPF_PROG_TYPE_RAW_TRACEPOINT)
    with links.attach("raw_tracepoint", program.fd, {"event": "sys_enter"}) as attachment:
        os.getppid()
        os.getppid()
        assert counter.hits() >= 2
        assert detail(attachment)["tp_name"] == "sys_enter"
        assert bpftool_link(attachment)["tp_name"] == "sys_enter"
    before = counter.hits()
    os.getppid()
    assert counter.hits() == before


def test_raw_tracepoint_that_does_not_exist(counter: Counter) -> None:
    program = counter.program(bpf.BPF_PROG_TYPE_RAW_TRACEPOINT)
    with pytest.raises(ProbeError, match="there is no raw tracepoint nothing"):
        links.attach("raw_tracepoint", program.fd, {"event": "nothing"})


def btf_id(name: str, kind: int) -> int:
    found = Btf.kernel().find(name, kind)
    if found is None:
        raise NotSupported(f"the type {name}", "a kernel that has it")
    return found.id


def test_tp_btf(counter: Counter) -> None:
    number = btf_id("btf_trace_sys_enter", TYPEDEF)
    options = {"expected_attach_type": bpf.BPF_TRACE_RAW_TP, "attach_btf_id": number}
    program = counter.program(bpf.BPF_PROG_TYPE_TRACING, **options)
    with links.attach("tp_btf", program.fd, {"name": "sys_enter"}) as attachment:
        os.getppid()
        assert counter.hits() >= 1
        # The kernel makes a raw tracepoint's link of it (bpf_raw_tp_link_attach).
        assert objects.link_info(attachment.fds[0]).type == bpf.BPF_LINK_TYPE_RAW_TRACEPOINT


def test_iterator(asm: Asm) -> None:
    """An iterator over our own map: it writes each key's first bytes."""
    with KernelMap.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 8, 3) as store:
        text = """
            r6 = *(u64 *)(r1 +0)
            r7 = *(u64 *)(r1 +16)
            if r7 == 0 goto +5
            r1 = *(u64 *)(r6 +0)
            r2 = r7
            r3 = 4
            call bpf_seq_write
            r0 = 0
            r0 = 0
            exit
        """
        program = progs.load(
            asm(text),
            bpf.BPF_PROG_TYPE_TRACING,
            expected_attach_type=bpf.BPF_TRACE_ITER,
            attach_btf_id=btf_id("bpf_iter_bpf_map_elem", FUNC),
        )
        with program, links.attach("iter", program.fd, {"name": "bpf_map_elem", "map_fd": store.fd}) as attachment:
            assert bpf_iter.read(attachment) == struct.pack("=III", 0, 1, 2)


def test_fentry(counter: Counter) -> None:
    from cygnet.errors import PermissionDenied

    options = {"expected_attach_type": bpf.BPF_TRACE_FENTRY, "attach_btf_id": btf_id("do_unlinkat", FUNC)}
    try:
        program = counter.program(bpf.BPF_PROG_TYPE_TRACING, **options)
    except PermissionDenied as error:
        assert error.reason != "privilege"
        raise NotSupported("fentry", "a kernel that allows trampolines") from error
    with links.attach("fentry", program.fd, {"name": "do_unlinkat", "attach_type": bpf.BPF_TRACE_FENTRY}):
        with pytest.raises(FileNotFoundError):
            os.unlink("/nonexistent")
        assert counter.hits() == 1


# ── user functions ───────────────────────────────────────────────────────────────────────────────────────


def libc_function(name: str) -> tuple[str, int]:
    """(path of our libc, offset of a function in the file): readelf tells."""
    with open("/proc/self/maps") as file:
        path = next(line.split()[-1] for line in file if re.search(r"/libc[.-].*so", line))
    run = subprocess.run(["readelf", "-W", "-l", "--dyn-syms", path], text=True, capture_output=True, check=True)
    address = int(next(x for x in run.stdout.splitlines() if f" {name}@" in x).split()[1], 16)
    for line in run.stdout.splitlines():
        part = line.split()
        if part[:1] == ["LOAD"] and int(part[2], 16) <= address < int(part[2], 16) + int(part[4], 16):
            return path, address - int(part[2], 16) + int(part[1], 16)
    raise LookupError(name)


@pytest.mark.parametrize("ret", [False, True], ids=["entry", "return"])
@pytest.mark.parametrize("own", [False, True], ids=["all processes", "one process"])
def test_uprobe(counter: Counter, ret: bool, own: bool) -> None:
    path, offset = libc_function("getppid")
    program = counter.program(bpf.BPF_PROG_TYPE_KPROBE)
    target = {"path": path, "offset": offset, "ret": ret, "pid": os.getpid() if own else -1}
    with links.attach("uprobe", program.fd, target) as attachment:
        for _ in range(5):
            os.getppid()
        assert counter.hits() == 5
        assert detail(attachment)["file_name"] == path
        assert detail(attachment)["offset"] == offset
        assert detail(attachment)["perf_type"] == (bpf.BPF_PERF_EVENT_URETPROBE if ret else bpf.BPF_PERF_EVENT_UPROBE)
    os.getppid()
    assert counter.hits() == 5


def test_uprobe_multi(counter: Counter) -> None:
    places = [libc_function(name) for name in ("getppid", "geteuid")]
    program = counter.program(bpf.BPF_PROG_TYPE_KPROBE, expected_attach_type=bpf.BPF_TRACE_UPROBE_MULTI)
    target = {"path": places[0][0], "offsets": [offset for _, offset in places], "pid": os.getpid()}
    with links.attach("uprobe_multi", program.fd, target) as attachment:
        os.getppid()
        os.geteuid()
        assert counter.hits() == 2
        shown = detail(attachment)
        assert (shown["count"], shown["path"], shown["pid"]) == (2, places[0][0], os.getpid())


@pytest.mark.parametrize("kind", ["uprobe", "uprobe_multi"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"path": "/nonexistent"}, "no such file|not a file that can be read"),
        ({"path": "/tmp"}, "not a regular file|not a file that can be read"),
        ({"pid": 4194304}, "there is no process 4194304"),
    ],
    ids=["no file", "folder", "dead pid"],
)
def test_uprobe_errors(counter: Counter, kind: str, change: dict[str, object], words: str) -> None:
    path, offset = libc_function("getppid")
    attach_type = bpf.BPF_TRACE_UPROBE_MULTI if kind == "uprobe_multi" else 0
    program = counter.program(bpf.BPF_PROG_TYPE_KPROBE, expected_attach_type=attach_type)
    target = {"path": path, "offset": offset, "offsets": [offset], "pid": -1} | change
    with pytest.raises(ProbeError, match=words):
        links.attach(kind, program.fd, target)


def test_uprobe_past_the_end_of_the_file(counter: Counter) -> None:
    path, _ = libc_function("getppid")
    program = counter.program(bpf.BPF_PROG_TYPE_KPROBE)
    with pytest.raises(ProbeError, match="the file has no such place"):
        links.attach("uprobe", program.fd, {"path": path, "offset": 1 << 40, "pid": os.getpid()})


def test_kprobe(counter: Counter) -> None:
    program = counter.program(bpf.BPF_PROG_TYPE_KPROBE)
    with links.attach("kprobe", program.fd, {"function": "do_unlinkat"}):
        with pytest.raises(FileNotFoundError):
            os.unlink("/nonexistent")
        assert counter.hits() == 1


def test_kprobe_multi(counter: Counter) -> None:
    program = counter.program(bpf.BPF_PROG_TYPE_KPROBE, expected_attach_type=bpf.BPF_TRACE_KPROBE_MULTI)
    with links.attach("kprobe_multi", program.fd, {"functions": ["do_unlinkat", "vfs_read"]}):
        with pytest.raises(FileNotFoundError):
            os.unlink("/nonexistent")
        assert counter.hits() >= 1


# ── perf events ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("target", "count"),
    [
        ({"unit": "hz", "value": 999, "cpus": "all"}, len(cpus.online())),
        ({"unit": "ns", "value": 1_000_000, "cpus": "all"}, len(cpus.online())),
        ({"unit": "ns", "value": 1_000_000, "cpus": "one"}, 1),
    ],
    ids=["999 Hz", "1 ms", "1 ms on one"],
)
def test_sampling(counter: Counter, target: dict[str, object], count: int) -> None:
    program = counter.program(bpf.BPF_PROG_TYPE_PERF_EVENT)
    affinity = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpus.online()[0]})  # `one` samples the first
    try:
        with links.attach("perf_sample", program.fd, target) as attachment:
            assert len(attachment.fds) == count
            spin(0.1)
            assert 20 < counter.hits() < 500  # a hundred, more or less: attaching and a busy machine add some
    finally:
        os.sched_setaffinity(0, affinity)


def test_software_event(counter: Counter) -> None:
    program = counter.program(bpf.BPF_PROG_TYPE_PERF_EVENT)
    with links.attach("software", program.fd, {"event": uapi.PERF_COUNT_SW_PAGE_FAULTS, "count": 1}) as attachment:
        touch_pages(100)
        assert counter.hits() >= 100
        assert {objects.link_info(fd).type for fd in attachment.fds} == {bpf.BPF_LINK_TYPE_PERF_EVENT}


def test_software_event_every_tenth(counter: Counter) -> None:
    program = counter.program(bpf.BPF_PROG_TYPE_PERF_EVENT)
    target = {"event": uapi.PERF_COUNT_SW_PAGE_FAULTS, "count": 10, "pid": os.getpid()}
    with links.attach("software", program.fd, target):
        touch_pages(1000)
        assert 90 <= counter.hits() <= 200


def test_hardware_event(counter: Counter) -> None:
    program = counter.program(bpf.BPF_PROG_TYPE_PERF_EVENT)
    with links.attach("hardware", program.fd, {"event": uapi.PERF_COUNT_HW_CPU_CYCLES, "count": 1_000_000}):
        spin(0.1)
        assert counter.hits() > 0


def test_dead_pid(counter: Counter) -> None:
    program = counter.program(bpf.BPF_PROG_TYPE_PERF_EVENT)
    with pytest.raises(ProbeError, match="there is no process 4194304"):
        links.attach("software", program.fd, {"event": 2, "count": 1, "pid": 4194304})


def test_failure_half_way_leaves_nothing(counter: Counter, asm: Asm) -> None:
    """A tracepoint program cannot go on a clock: all events that were opened are closed (the fixture looks)."""
    program = counter.program(bpf.BPF_PROG_TYPE_TRACEPOINT)
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError):
        links.attach("perf_sample", program.fd, {"unit": "hz", "value": 99, "cpus": "all"})
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_many_descriptors(counter: Counter) -> None:
    """More perf events than the soft limit of descriptors allows: the limit is raised."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
    attr = perf.event_attr(uapi.PERF_TYPE_SOFTWARE, uapi.PERF_COUNT_SW_DUMMY)
    fds: list[int] = []
    try:
        fds += [perf.open_event(attr, 0, -1, "count") for _ in range(400)]
        assert len(fds) == 400
    finally:
        for fd in fds:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ── nothing survives ─────────────────────────────────────────────────────────────────────────────────────

CHILD = """
import os, sys, time
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.kernel import links, progs
from cygnet.kernel.maps import KernelMap
from cygnet.uapi import bpf
store = KernelMap.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 8, 1)
code = encode(assemble(f"r1 = map[fd:{store.fd}][0]+0x0\\nr2 = 1\\nlock *(u64 *)(r1 +0) += r2\\nr0 = 0\\nexit"))
kinds = {
    "tracepoint": (bpf.BPF_PROG_TYPE_TRACEPOINT, {"subsys": "syscalls", "event": "sys_enter_getppid"}),
    "raw_tracepoint": (bpf.BPF_PROG_TYPE_RAW_TRACEPOINT, {"event": "sched_process_fork"}),
    "uprobe": (bpf.BPF_PROG_TYPE_KPROBE, {"path": sys.argv[1], "offset": int(sys.argv[2]), "pid": os.getpid()}),
    "perf_sample": (bpf.BPF_PROG_TYPE_PERF_EVENT, {"unit": "hz", "value": 9, "cpus": "all"}),
}
kept = []
for kind, (type, target) in kinds.items():
    program = progs.load(code, type)
    kept += [program, links.attach(kind, program.fd, target)]
print("attached", flush=True)
time.sleep(60)
"""


def test_nothing_survives_kill_9(leftovers: Callable[[], dict[str, set[int]]], tracefs_mounted: str) -> None:
    path, offset = libc_function("getppid")
    command = [sys.executable, "-c", CHILD, path, str(offset)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "attached\n"
        held = "".join(file.read_text() for file in Path(f"/proc/{child.pid}/fdinfo").iterdir())
        assert held.count("link_id") == 3 + len(cpus.online())
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert leftovers() == {}


def test_pid_namespace_numbers_are_what_the_kernel_compares(asm: Asm) -> None:
    """bpf_get_ns_current_pid_tgid() takes our numbers, and answers with our pid."""
    from cygnet.kernel.target import LiveTarget

    dev, ino, _initial = LiveTarget().pid_namespace()
    text = f"""
        r1 = {dev:#x} ll
        r2 = {ino:#x} ll
        r3 = r10
        r3 += -8
        r4 = 8
        call bpf_get_ns_current_pid_tgid
        r1 = r0
        r0 = -1
        if r1 != 0 goto +1
        r0 = *(u32 *)(r10 -4)
        exit
    """
    with progs.load(asm(text), bpf.BPF_PROG_TYPE_RAW_TRACEPOINT) as program:
        assert program.test_run().retval == os.getpid()
    assert ctypes.sizeof(ctypes.c_uint64) == 8
