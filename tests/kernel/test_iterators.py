"""Iterators: what the kernel lists is what /proc and this process know of itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cygnet.errors import NotSupported

TRACE = [sys.executable, "-c", "from cygnet.cli import main; main()", "trace"]


def trace(text: str, status: int = 0) -> str:
    done = subprocess.run([*TRACE, "-e", text], capture_output=True, text=True, check=False)
    if "not supported here" in done.stderr:
        raise NotSupported("iterators", done.stderr.strip())
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status == 0 else done.stderr


@pytest.fixture
def threads() -> Iterator[list[int]]:
    """Some threads of ours, by their numbers."""
    stop = threading.Event()
    started = [threading.Thread(target=stop.wait) for _ in range(5)]
    for thread in started:
        thread.start()
    assert all(thread.native_id for thread in started)
    yield [int(name) for name in os.listdir("/proc/self/task")]  # other tests may have left threads of their own
    stop.set()
    for thread in started:
        thread.join()


def test_tasks(threads: list[int]) -> None:
    out = trace(f"iter:task /ctx.task.tgid == {os.getpid()}/ "
                '{ printf("%d %s %d\\n", ctx.task.pid, ctx.task.comm, ctx.task.mm != 0) }')  # fmt: skip
    found = [line.split() for line in out.splitlines() if line]
    assert sorted(int(number) for number, _, _ in found) == sorted(threads)
    names = {Path(f"/proc/self/task/{number}/comm").read_text().strip() for number in threads}
    assert {name for _, name, _ in found} == names and {mm for _, _, mm in found} == {"1"}


def test_the_end_of_the_walk_is_no_object() -> None:
    """The program is run once more with none: it neither counts nor prints a null task."""
    assert "@[0]" not in trace("it:task { @[ctx.task.pid] = count(); }").replace("@[0]: 1", "@[0]: 1", 0)


def test_open_files() -> None:
    """Each descriptor of ours, with the inode number of its file."""
    with open(__file__) as file:
        out = trace(f"iter:task_file /ctx.task.tgid == {os.getpid()}/ "
                    '{ printf("%d %d\\n", ctx.fd, ctx.file.f_inode.i_ino) }')  # fmt: skip
        found = dict(line.split() for line in out.splitlines() if line)
        assert found[str(file.fileno())] == str(os.fstat(file.fileno()).st_ino)
        here = {name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}
        assert here <= set(found)


def test_mappings() -> None:
    out = trace(f"iter:task_vma /ctx.task.tgid == {os.getpid()}/ "
                '{ printf("%lx-%lx\\n", ctx.vma.vm_start, ctx.vma.vm_end) }')  # fmt: skip
    maps = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) .*", Path("/proc/self/maps").read_text(), re.M)
    wanted = {(int(a, 16), int(b, 16)) for a, b in maps if int(a, 16) < 1 << 47}
    found = {tuple(int(part, 16) for part in line.split("-")) for line in out.splitlines() if line}
    assert len(wanted & found) > len(wanted) - 4  # reading may itself have mapped some memory


def test_more_than_the_ring_holds() -> None:
    """Every event of a long walk arrives, though a small ring holds a few only."""
    count = len(
        re.findall(r"^\d+", trace('iter:task_vma { printf("%d %d\\n", ctx.task.pid, ctx.vma.vm_start) }'), re.M)
    )
    small = 'config = { perf_rb_pages = 64 } iter:task_vma { printf("%d %d\\n", ctx.task.pid, ctx.vma.vm_start) }'
    assert count > 100
    assert abs(len(re.findall(r"^\d+", trace(small), re.M)) - count) < count / 2


def test_exit_ends_no_walk(threads: list[int]) -> None:
    """The kernel shows a program everything; the rest of the body is left out, and the first status counts."""
    text = ('iter:task /ctx.task.tgid == PID/ { printf("%d\\n", ctx.task.pid); @n++; exit(@n == 1 ? 5 : 6); '
            '@never = 1; } ').replace("PID", str(os.getpid()))  # fmt: skip
    done = subprocess.run([*TRACE, "--no-warnings", "-e", text], capture_output=True, text=True, check=False)
    assert done.returncode == 5, done.stderr
    shown = done.stdout.split()
    assert sorted(int(word) for word in shown[:-2]) == sorted(threads)
    assert shown[-2:] == ["@n:", str(len(threads))]


def test_a_pinned_one_is_read_by_others(threads: list[int]) -> None:
    name = f"cygnet_test_{os.getpid()}"
    pin = Path("/sys/fs/bpf") / name
    if not os.path.ismount("/sys/fs/bpf"):
        raise NotSupported("pins", "a bpf file system at /sys/fs/bpf")
    out = trace(f"iter:task:{name} /ctx.task.tgid == {os.getpid()}/ "
                '{ printf("%d %-6s|%4x %p%%\\n", ctx.task.pid, ctx.task.comm, 255, (uint64)16) }')  # fmt: skip
    try:
        assert out.strip().endswith(str(pin))
        lines = pin.read_text().splitlines()
        assert sorted(int(line.split()[0]) for line in lines) == sorted(threads)
        assert all(line.endswith("|  ff 0x10%") for line in lines)
    finally:
        pin.unlink()


def test_what_is_wrong() -> None:
    for text, message in (
        ("iter:tsk { }", "did you mean iter:task?"),
        ("iter:task { } begin { }", "must be the only probe"),
        ("iter:bpf_map_elem { }", "a map that a program cannot name"),
        ("iter:task { print(ctx.nothing) }", "nothing"),
        ("begin { print(ctx) }", "can not be used with 'begin' probes"),
        ("iter:task:p { print(1) }", "can not be used in a pinned iterator"),
        ('iter:task:p { printf("%r", buf("a", 1)) }', "can not print 'buffer[1]'"),
    ):
        assert message in trace(text, 1), text
