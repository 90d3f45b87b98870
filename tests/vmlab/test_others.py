"""Other kinds of probes on this kernel: iterators, tracepoints by the thousand, block and file-system events."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

Trace = Callable[..., Any]
Start = Callable[..., Any]


def kernel_symbols() -> list[str]:
    return Path("/proc/kallsyms").read_text().splitlines()


def test_iterates_over_all_tasks(trace: Trace) -> None:
    """As /proc lists them: those that are there before and after."""

    def listed() -> set[str]:
        return {path.name for path in Path("/proc").glob("[0-9]*/task/[0-9]*")}

    before = listed()
    done = trace('iter:task { printf("%d %s\\n", ctx.task.pid, ctx.task.comm) }')
    seen = {line.split()[0] for line in done.lines}
    assert before & listed() <= seen
    assert f"{os.getpid()} {Path('/proc/self/comm').read_text().strip()}" in done.lines


def test_pins_an_iterator(trace: Trace) -> None:
    done = trace('iter:task:of_the_test { printf("%d %s %x\\n", ctx.task.pid, ctx.task.comm, 255) }')
    pin = Path("/sys/fs/bpf/of_the_test")
    try:
        assert str(pin) in done.out
        lines = pin.read_text().splitlines()
        assert f"{os.getpid()} {Path('/proc/self/comm').read_text().strip()} ff" in lines
    finally:
        pin.unlink()


def test_block_and_file_system_events(start: Start) -> None:
    """4,096 bytes written to the scratch disk and synchronised."""
    running = start(
        "tracepoint:block:block_rq_issue { @bytes = sum(args.bytes); @[args.comm] = count(); }"
        "tracepoint:ext4:ext4_sync_file_enter { @sync[args.ino] = count(); }"
        "rawtracepoint:block_rq_complete { @done = count(); }"
    ).attached()
    path = Path(os.environ["VMLAB_SCRATCH"]) / "block"
    file = os.open(path, os.O_CREAT | os.O_WRONLY)
    os.write(file, b"z" * 4096)
    os.fsync(file)
    os.close(file)
    done = running.end(signal.SIGINT)
    assert int(re.findall(r"@bytes: (\d+)", done.out)[0]) >= 4096
    assert f"@sync[{path.stat().st_ino}]: 1" in done.out and re.search(r"@done: [1-9]", done.out)


def test_an_address_of_the_kernel(start: Start) -> None:
    address = next(line.split()[0] for line in kernel_symbols() if line.split()[2] == "jiffies_64")
    running = start(f'watchpoint:0x{address}:8:w {{ @[ksym(reg("ip"))] = count(); if (@n++ > 10) {{ exit() }} }}')
    done = running.end()
    assert re.search(r"@\[do_timer(\+\d+)?\]: \d+|@\[tick_do_update_jiffies64(\+\d+)?\]: \d+", done.out), done


def test_tracepoints_by_wildcard(start: Start) -> None:
    running = start("tracepoint:syscalls:sys_enter_get* { @[probe] = count(); }").attached()
    for _ in range(3):
        os.getppid()
    done = running.end(signal.SIGINT)
    assert re.search(r"@\[tracepoint:syscalls:sys_enter_getppid\]: [3-9]", done.out)


def test_as_bpftrace_counts(trace: Trace) -> None:
    """The same program on the same command in the peer: the same numbers."""
    program = (
        "kprobe:vfs_write /pid == cpid/ { @[arg2] = count(); } kretprobe:vfs_write /pid == cpid/ { @r = sum(retval); }"
    )
    command = "/usr/bin/dd if=/dev/zero of=/dev/null bs=7 count=13 status=none"
    peer = subprocess.run(["bpftrace", "-c", command, "-e", program], capture_output=True, text=True, check=True)
    ours = trace(program, "-c", command).out
    assert "@[7]: 13" in ours and "@r: 91" in ours
    assert sorted(re.findall(r"^@.*", ours, re.M)) == sorted(re.findall(r"^@.*", peer.stdout, re.M))


def test_loops_are_left_to_the_kernel_s_budget(trace: Trace) -> None:
    """A stack that is unwound in user space needs loops that this kernel's verifier would not follow round by round."""
    config = "config = { unstable_dw_ustack = enable }"
    done = trace(
        f"{config} uprobe:/bin/true:0x{entry('/bin/true'):x} {{ print(dw_ustack(1)); exit(); }}", "-c", "/bin/true"
    )
    assert len(done.lines) == 1, done


def entry(path: str) -> int:
    """Where an ELF program begins (e_entry)."""
    return int.from_bytes(Path(path).read_bytes()[24:32], "little")
