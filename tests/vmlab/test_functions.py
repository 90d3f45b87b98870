"""fentry and fexit: typed arguments and results from BTF; /proc, stat(2) and bpftool are the witnesses."""

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


def test_arguments_and_results_have_types(start: Start, tmp_path: Path) -> None:
    """vfs_read(file, buf, count, pos): the name by way of three pointers, the inode number, what it returned."""
    file = tmp_path / "named"
    file.write_bytes(b"y" * 1000)
    running = start(
        f'fentry:vfs_read /pid == {os.getpid()}/ {{ printf("in %s %d %d\\n",'
        " str(args.file.f_path.dentry.d_name.name), args.file.f_inode.i_ino, args.count); }"
        f' fexit:vfs_read /pid == {os.getpid()}/ {{ printf("out %s %d %d\\n",'
        " str(args.file->f_path.dentry->d_name.name), args->count, retval); }"
    ).attached()
    fd = os.open(file, os.O_RDONLY)
    os.read(fd, 4096)
    done = running.end(signal.SIGINT)
    os.close(fd)
    assert f"in named {file.stat().st_ino} 4096" in done.lines, done
    assert "out named 4096 1000" in done.lines


def test_old_names_and_negative_results(start: Start) -> None:
    running = start(
        f"kfunc:do_sys_openat2 /pid == {os.getpid()}/ {{ @dfd = args.dfd; @[func, probe, probetype] = count(); }}"
        f"kretfunc:do_sys_openat2 /pid == {os.getpid()}/ {{ @r = retval; }}"
    ).attached()
    with pytest.raises(FileNotFoundError):
        os.open("/no/such/file", os.O_RDONLY)
    out = running.end(signal.SIGINT).out
    assert "@dfd: -100" in out and "@r: -2" in out
    assert "@[do_sys_openat2, fentry:vmlinux:do_sys_openat2, fentry]: 1" in out


def test_variables_hold_the_pointers(start: Start) -> None:
    """What was an argument may be added to, compared, kept in maps and joined from two branches."""
    running = start(
        f"fentry:vfs_read /pid == {os.getpid()}/ {{ $f = args.file; if (args.count > 10) {{ $f = (struct file *)0; }}"
        " @zero[$f == 0] = count(); @key[args.file] = args.pos; $b = args.buf + args.count; @more = $b > args.buf; }"
    ).attached()
    fd = os.open("/proc/self/stat", os.O_RDONLY)
    os.read(fd, 4)
    os.read(fd, 400)
    out = running.end(signal.SIGINT).out
    os.close(fd)
    assert re.search(r"@zero\[(true|1)\]: [1-9]", out) and re.search(r"@zero\[(false|0)\]: [1-9]", out)
    assert re.search(r"@key\[0xffff[0-9a-f]+\]: 0x", out) and re.search(r"@more: (true|1)", out)


def test_the_order_and_a_module(start: Start) -> None:
    """The scratch disk's driver is a module: virtblk_done(struct virtqueue *vq)."""
    running = start(
        'fentry:virtio_blk:virtblk_done { printf("%d first %s\\n", cpu, str(args.vq.name)); }'
        'fentry:virtblk_done { printf("%d second\\n", cpu); }'
        'fexit:virtio_blk:virtblk_done { printf("%d third %p\\n", cpu, args.vq); }'
        'fexit:virtio_blk:virtblk_don* { printf("%d fourth\\n", cpu); }'
    ).attached()
    file = os.open(Path(os.environ["VMLAB_SCRATCH"]) / "typed", os.O_CREAT | os.O_WRONLY)
    os.write(file, b"12345")
    os.fsync(file)
    os.close(file)
    done = running.end(signal.SIGINT)
    # CPUs are interrupted independently of each other, and also while the probes are attached and detached one by one;
    # the queue's number is that of the CPU which wrote.
    for number in {line.split()[0] for line in done.lines}:
        kinds = [line.split()[1] for line in done.lines if line.split()[0] == number]
        if any(kinds[at : at + 4] == ["first", "second", "third", "fourth"] for at in range(len(kinds))):
            break
    else:
        pytest.fail(str(done))
    assert re.search(r"^\d+ first req\.\d+$", done.out, re.M) and re.search(r"third 0xffff", done.out)


def test_wildcards(start: Start) -> None:
    running = start(f"fentry:vfs_re* /pid == {os.getpid()}/ {{ @[probe] = count(); }}").attached()
    Path("/proc/self/stat").read_bytes()
    done = running.end(signal.SIGINT)
    assert re.search(r"@\[fentry:vmlinux:vfs_read\]: [1-9]", done.out), done
    assert int(re.findall(r"Attached (\d+) probes", done.err)[0]) >= 5


def test_functions_of_bpf_programs(start: Start, trace: Trace) -> None:
    """One of our own programs is watched by another: as often as it runs."""
    watched = start(f"tracepoint:syscalls:sys_enter_getppid /pid == {os.getpid()}/ {{ @ = count(); }}").attached()
    names = subprocess.run(["bpftool", "prog", "show"], capture_output=True, text=True, check=True).stdout
    number, name = re.findall(r"^(\d+): tracepoint\s+name (sys_\w+)", names, re.M)[0]
    listed = Path("/proc") and trace("fentry:bpf:no_such_program { }", status=1)
    assert "no loaded BPF program has a function no_such_program" in listed.err
    watcher = start(
        f"fentry:bpf:{number}:{name}* {{ @in[probe] = count(); }} fexit:bpf:{name}* {{ @out = count(); @r = retval; }}"
    ).attached()
    for _ in range(7):
        os.getppid()
    out = watcher.end(signal.SIGINT)
    first = watched.end(signal.SIGINT)
    assert re.search(rf"@in\[fentry:bpf:{number}:{name}\w*\]: ([7-9]|\d\d+)", out.out), (out, names)
    assert re.search(r"@out: ([7-9]|\d\d+)", out.out) and "@r: 0" in out.out
    assert "@: 7" in first.out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fentry:no_such_function { }", "the kernel has no function no_such_function"),
        ("fentry:vfs_read { print(arg0) }", "can not be used with 'fentry'"),
        ("fentry:vfs_read { print(retval) }", "can not be used with 'fentry'"),
        ("fentry:vfs_read { print(args.fil) }", "does not contain a field named 'fil'"),
        ("fexit:vfs_open { print(args.retval) }", "does not contain a field named 'retval'"),
    ],
)
def test_what_is_wrong(trace: Trace, text: str, message: str) -> None:
    assert message in trace(text, status=1).err
