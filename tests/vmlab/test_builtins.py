"""Builtins that need probes or symbols which only the lab's kernel has."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

Trace = Callable[..., Any]
Start = Callable[..., Any]


def test_path_of_a_function_s_argument(start: Start, tmp_path: Path) -> None:
    """path() in a function that the kernel allows it in; the witness is the name that we opened."""
    name = tmp_path / "some file"
    name.write_text("x")
    running = start(f"fentry:filp_close /pid == {os.getpid()}/ {{ print(path(args.filp->f_path)); }}").attached()
    file = os.open(name, os.O_RDONLY)
    os.closerange(file, file + 1)  # close(2) no longer goes that way, close_range(2) does
    assert str(name) in running.end(signal.SIGINT).lines


def test_path_where_the_kernel_does_not_allow_it(trace: Trace) -> None:
    done = trace("fentry:vfs_read { print(path(args.file->f_path)); }", status=1)
    assert "the kernel does not allow path() in fentry:vmlinux:vfs_read" in done.err


def test_socket_cookie(start: Start) -> None:
    """The kernel tells a socket's owner the same number (SO_COOKIE)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        cookie = int.from_bytes(ours.getsockopt(socket.SOL_SOCKET, 57, 8), "little")
        program = f"fentry:udp_sendmsg /pid == {os.getpid()}/ {{ print(socket_cookie(args.sk)); print(args.len); }}"
        running = start(program).attached()
        ours.sendto(b"seven b", ("127.0.0.1", 9))
        assert running.end(signal.SIGINT).lines == [str(cookie), "7"]


def test_per_cpu_variables(trace: Trace) -> None:
    """Each CPU's run queue knows the number of its CPU."""
    program = """begin {
        print(((struct rq *)percpu_kaddr("runqueues", 0))->cpu);
        print((uint64)((struct rq *)percpu_kaddr("runqueues"))->cpu == cpu);
        print(percpu_kaddr("runqueues", 10000)); print(*kaddr("avenrun") < 1000000);
    }"""
    assert trace(program).lines == ["0", "true", "0x0", "true"]


def test_writing_to_the_process(start: Start, tmp_path: Path) -> None:
    """write_user() changes what a write(2) of ours writes."""
    name = tmp_path / "out"
    program = f'uprobe:libc:write /pid == {os.getpid()} && arg2 == 6/ {{ $r = write_user(arg1, "HE", 2); print($r); }}'
    running = start(program, "--unsafe").attached()
    import ctypes

    write = ctypes.CDLL("libc.so.6").write
    write.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
    fd = os.open(name, os.O_WRONLY | os.O_CREAT)
    write(fd, ctypes.create_string_buffer(b"hello!"), 6)
    os.close(fd)
    assert running.end(signal.SIGINT).lines == ["0"]
    assert name.read_bytes() == b"HEllo!"
