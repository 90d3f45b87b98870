"""kprobe and kretprobe on a kernel that has them; strace, /proc and the workload are the witnesses."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Trace = Callable[..., Any]
Start = Callable[..., Any]


def kernel_symbols() -> list[str]:
    return Path("/proc/kallsyms").read_text().splitlines()


def test_counts_what_the_workload_does(start: Start) -> None:
    """Each getppid() of this process, and of no other."""
    running = start(
        "kprobe:__x64_sys_getppid { @[pid, comm] = count(); } kprobe:ksys_read { @f[func] = count(); }"
    ).attached()
    for _ in range(25):
        os.getppid()
    comm = Path("/proc/self/comm").read_text().strip()
    out = running.end(signal.SIGINT).out
    assert f"@[{os.getpid()}, {comm}]: 25" in out
    assert re.search(r"@f\[ksys_read\]: \d+", out)


def test_arguments_registers_and_return(start: Start, tmp_path: Path) -> None:
    """do_sys_openat2(dfd, name, …) and the descriptor it gives."""
    name = tmp_path / "a file of ours"
    name.write_text("x")
    running = start(
        f"kprobe:do_sys_openat2 /pid == {os.getpid()}/ {{ @name[tid] = str(uptr(arg1)); @dfd = (int32)arg0;"
        ' @same = arg1 == reg("si"); }'
        f' kretprobe:do_sys_openat2 /pid == {os.getpid()}/ {{ printf("%s = %d in %s\\n", @name[tid], retval, func); }}'
    ).attached()
    fd = os.open(name, os.O_RDONLY)
    out = running.end(signal.SIGINT).out
    os.close(fd)
    assert f"{name} = {fd} in do_sys_openat2" in out
    assert "@dfd: -100" in out and ("@same: 1" in out or "@same: true" in out)


def test_an_offset_and_an_address(start: Start, trace: Trace) -> None:
    """Behind the first instruction, which is five bytes long where ftrace patches it."""
    address = next(
        int(line.split()[0], 16)
        for line in Path("/proc/kallsyms").read_text().splitlines()
        if line.endswith(" __x64_sys_getppid")
    )
    running = start(
        f"kprobe:__x64_sys_getppid /pid == {os.getpid()}/ {{ @a = count(); @f[func] = count(); }}"
        f" kprobe:{address:#x} /pid == {os.getpid()}/ {{ @b = count(); }}",
        "--unsafe",
    ).attached()
    for _ in range(3):
        os.getppid()
    out = running.end(signal.SIGINT).out
    assert "@a: 3" in out and "@b: 3" in out
    done = trace(f"kprobe:{address:#x} {{ exit() }}", status=1)
    assert "--unsafe allows it" in done.err


def test_stacks_name_the_callers(start: Start) -> None:
    running = start(f"kprobe:ksys_read /pid == {os.getpid()}/ {{ @[kstack(3)] = count(); }}").attached()
    Path("/proc/self/stat").read_bytes()
    out = running.end(signal.SIGINT).out
    lines = [line.strip() for line in out.splitlines() if "+" in line]
    assert lines[0].startswith("ksys_read+") and any("do_syscall_64+" in line for line in lines)


def test_many_functions_in_one_link(start: Start) -> None:
    """A wildcard becomes one kprobe.multi link, unless `probe` is asked for, which makes a program of each match."""
    for what, links in (("func", 1), ("probe", 0)):
        running = start(f"kprobe:vfs_r* /pid == {os.getpid()}/ {{ @[{what}] = count(); }}").attached()
        shown = subprocess.run(["bpftool", "link", "show"], capture_output=True, text=True, check=True).stdout
        fd = os.open("/tmp", os.O_RDONLY)
        for _ in range(4):
            with pytest.raises(IsADirectoryError):
                os.read(fd, 10)
        os.mkdir("/tmp/of-the-test")
        os.rmdir("/tmp/of-the-test")
        os.close(fd)
        done = running.end(signal.SIGINT)
        prefix = "kprobe:" if what == "probe" else ""
        assert int(re.findall(rf"@\[{prefix}vfs_read\]: (\d+)", done.out)[0]) >= 4
        assert f"@[{prefix}vfs_rmdir]: 1" in done.out
        assert re.search(r"Attached \d+ probes", done.err)
        assert shown.count("kprobe_multi") == links, shown


def test_thousands_of_functions(start: Start) -> None:
    running = start("kprobe:*_read* { @ = count(); } kretprobe:vfs_r* { @r = count(); }", "-v").attached()
    Path("/proc/self/stat").read_text()
    done = running.end(signal.SIGINT)
    assert done.status == 0, done.err
    assert int(re.findall(r"Attached (\d+) probes", done.err)[0]) > 500
    assert re.search(r"@: [1-9]", done.out) and re.search(r"@r: [1-9]", done.out)


def test_functions_of_a_module(start: Start) -> None:
    """The scratch disk's driver is one."""
    running = start(
        "kprobe:virtio_blk:virtblk_done { @a = count(); } kretprobe:virtio_blk:virtblk_don* { @b = count(); }"
        " kprobe:virtblk_done { @c = count(); }"
    ).attached()
    file = os.open(Path(os.environ["VMLAB_SCRATCH"]) / "module", os.O_CREAT | os.O_WRONLY)
    os.write(file, b"x")
    os.fsync(file)
    os.close(file)
    done = running.end(signal.SIGINT)
    # How often is not compared: the disk may interrupt between two detachments.
    assert re.findall(r"@([abc]): [1-9]", done.out) == ["a", "b", "c"], done


def test_order_is_the_order_written(start: Start) -> None:
    running = start(
        f'kprobe:__x64_sys_getppid /pid == {os.getpid()}/ {{ printf("first\\n"); }}'
        f'kprobe:__x64_sys_getppid /pid == {os.getpid()}/ {{ printf("second\\n"); }}'
        f'kretprobe:__x64_sys_getppid /pid == {os.getpid()}/ {{ printf("third\\n"); }}'
        f'kretprobe:__x64_sys_getppid /pid == {os.getpid()}/ {{ printf("fourth\\n"); }}'
    ).attached()
    os.getppid()
    assert running.end(signal.SIGINT).lines == ["first", "second", "third", "fourth"]


def test_only_one_process(start: Start) -> None:
    """-p is a test in the program."""
    child = subprocess.Popen(["/bin/sh", "-c", "while read line; do cat /proc/self/stat >/dev/null; echo; done"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)  # fmt: skip
    running = start("kprobe:ksys_read { @[pid] = count(); }", "-p", str(child.pid)).attached()
    Path("/proc/self/stat").read_text()
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(b"go\n")
    child.stdout.read(1)
    out = running.end(signal.SIGINT).out
    child.stdin.close()
    child.wait()
    assert re.findall(r"@\[(\d+)\]", out) == [str(child.pid)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kprobe:no_such_function { }", "the kernel has no function no_such_function"),
        ("kprobe:no_such_* { }", "no kernel function matches no_such_*"),
        ("kprobe:vfs_reed { }", "did you mean kprobe:vfs_read?"),
        ("kprobe:vfs_read { print(arg6) }", "a function has not so many arguments in registers"),
        ("kretprobe:vfs_read { print(arg0) }", "can not be used with 'kretprobe'"),
        ("kprobe:vfs_read { print(retval) }", "can not be used with 'kprobe'"),
        ("kprobe:virtio_blk:vfs_read { }", "the kernel has no function virtio_blk:vfs_read"),
    ],
)
def test_what_is_wrong(trace: Trace, text: str, message: str) -> None:
    assert message in trace(text, status=1).err


def test_a_missing_function_among_others(start: Start) -> None:
    running = start(
        'config = { missing_probes = "warn" } kprobe:nosuch_a,kprobe:__x64_sys_getppid'
        f" /pid == {os.getpid()}/ {{ @ = count(); }}"
    ).attached()
    os.getppid()
    done = running.end(signal.SIGINT)
    assert "@: 1" in done.out and "nosuch_a" in done.out and "Attached 1 probe" in done.err
