"""Watchpoints: the processor's debug registers, against programs that count their own accesses."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cygnet.errors import NotSupported

PROGRAM = r"""
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
volatile long watched;
volatile long other[8];
static volatile long sum;
static void *work(void *unused)
{
    char go;
    while (read(0, &go, 1) == 1) {
        if (go == 'w') watched++;
        if (go == 'r') sum += watched;
        other[1] = watched ? 1 : 2;
        write(1, &go, 1);
    }
    return 0;
}
int main(void)
{
    pthread_t thread;
    printf("%p\n", (void *)&watched);
    fflush(stdout);
    pthread_create(&thread, 0, work, 0);
    pthread_join(thread, 0);
    return 0;
}
"""


class Worker:
    """A program whose second thread writes and reads a variable when it is told to."""

    def __init__(self, binary: Path) -> None:
        self.process = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert self.process.stdout is not None
        self.address = int(self.process.stdout.readline(), 16)
        self.do("x")  # the thread runs

    def do(self, letters: str) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        for letter in letters:
            self.process.stdin.write(letter.encode())
            assert self.process.stdout.read(1) == letter.encode()


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        raise NotSupported("compiling a C program", "cc or clang")
    folder = tmp_path_factory.mktemp("watched")
    (folder / "w.c").write_text(PROGRAM)
    subprocess.run([compiler, "-O1", "-pthread", "-o", "w", "w.c"], cwd=folder, check=True)
    return folder / "w"


@pytest.fixture
def worker(binary: Path) -> Iterator[Worker]:
    worker = Worker(binary)
    yield worker
    worker.process.kill()
    worker.process.communicate()


def start(text: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from cygnet.cli import main; main()", "trace", *arguments, "-e", text]
    tracer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    line = tracer.stderr.readline()
    if "not supported here" in line:
        raise NotSupported("watchpoints", line)
    assert line.startswith("Attached"), line + tracer.stderr.read()
    return tracer


def end(tracer: subprocess.Popen[str]) -> str:
    tracer.send_signal(signal.SIGINT)
    out, err = tracer.communicate()
    assert tracer.returncode == 0, err
    return out


@pytest.mark.parametrize(("mode", "letters", "count"), [("w", "wwxwrr", 3), ("rw", "wx", 2 + 1 + 1)])
def test_each_access_of_a_thread(worker: Worker, mode: str, letters: str, count: int) -> None:
    """`watched++` is a read and a write, in one instruction or two, and every round reads it once more."""
    program = f"watchpoint:{worker.address:#x}:8:{mode} {{ @[pid] = count(); @thread[tid != pid] = count(); }}"
    tracer = start(program, "-p", str(worker.process.pid))
    worker.do(letters)
    out = end(tracer)
    found = int(re.findall(rf"@\[{worker.process.pid}\]: (\d+)", out)[0])
    assert found == count if mode == "w" else found >= count
    assert f"@thread[true]: {found}" in out or f"@thread[1]: {found}" in out


def test_where_it_is_accessed(worker: Worker) -> None:
    tracer = start(f'w:{worker.address:#x}:8:w {{ @[usym(reg("ip"))] = count(); }}', "-p", str(worker.process.pid))
    worker.do("wwww")
    assert re.search(r"@\[work(\+\d+)?\]: 4", end(tracer))


def test_an_address_of_the_kernel() -> None:
    """`jiffies` is written at every tick."""
    with open("/proc/kallsyms") as file:
        address = next((line.split()[0] for line in file if line.split()[2] == "jiffies"), "0")
    if not int(address, 16):
        raise NotSupported("watching the kernel", "addresses in /proc/kallsyms")
    tracer = start(f"watchpoint:0x{address}:8:w {{ @ = count(); exit() }}")
    out, err = tracer.communicate()
    assert tracer.returncode == 0 and re.search(r"@: [1-9]", out), err


def test_what_is_wrong(binary: Path) -> None:
    pid = str(os.getpid())
    for text, message in (
        ("watchpoint:0x1001:8:w { }", "not a multiple of 8"),
        ("watchpoint:0x1000:8:r { }", "cannot watch reads alone"),
        ("watchpoint:0x1000:4:x { }", "mode x stands alone"),
        ("watchpoint:nowhere_at_all+arg0:8:w { }", "there is no function nowhere_at_all in"),
        ("watchpoint:main+arg6:8:w { }", "a function has not so many arguments in registers"),
        ("asyncwatchpoint:main+arg0:3:w { }", "a watchpoint's length is 1, 2, 4 or 8"),
    ):
        command = [sys.executable, "-c", "from cygnet.cli import main; main()", "trace", "-p", pid, "-e", text]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and message in done.stderr, done.stderr


# ── what a function's argument points to ──

CALLS = r"""
#include <stdlib.h>
long numbers[8];
__attribute__((noinline)) void add(volatile long *p, int times) { while (times--) *p += 1; }
__attribute__((noinline)) void touch(long unused, long *p, int times) { add(p, times); __asm__("" ::: "memory"); }
int main(void) {
    long *heap = calloc(1, sizeof *heap);
    touch(1, numbers, 3);
    touch(2, numbers + 2, 5);
    touch(3, heap, 7);
    touch(4, numbers, 11);
    return 0;
}
"""


@pytest.fixture(scope="module")
def calls(binary: Path) -> Path:
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    assert compiler is not None
    (binary.parent / "c.c").write_text(CALLS)
    subprocess.run([compiler, "-O1", "-o", "c", "c.c"], cwd=binary.parent, check=True)
    return binary.parent / "c"


def trace(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from cygnet.cli import main; main()", "trace", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "not supported here" in done.stderr:
        raise NotSupported("watchpoints", done.stderr)
    return done


# By function: under QEMU's software emulation the kernel's single steps at a uprobe look like accesses, too.
COUNT = '@[usym(reg("ip"))] = count();'


def test_an_argument_from_its_first_call_on(calls: Path) -> None:
    """Nothing is missed: the process waits until it is watched."""
    done = trace("-c", str(calls), "-e", f"watchpoint:touch+arg1:8:w {{ {COUNT} }}")
    assert done.returncode == 0 and done.stderr == "Attached 1 probe\n", done.stderr
    assert "@[add]: 26\n" in done.stdout


def test_one_address_is_watched_once_and_can_be_let_go(calls: Path) -> None:
    """The second call's address is: its five writes may come before or after."""
    let_go = f"uprobe:{calls}:add /@seen++ == 1/ {{ unwatch(arg0); }}"
    done = trace("-c", str(calls), "-e", f"watchpoint:touch+arg1:8:w {{ {COUNT} }} {let_go}")
    assert done.returncode == 0, done.stderr
    assert 21 <= int(re.findall(r"@\[add\]: (\d+)", done.stdout)[0]) <= 26


def test_registers_run_out(calls: Path) -> None:
    """x86-64 has four; what has them can be seen, and the rest is told once."""
    addresses = " ".join(f"watchpoint:{0x1000 + 8 * number:#x}:8:w {{ @none = count(); }}" for number in range(3))
    done = trace("-c", str(calls), "-e", f"{addresses} watchpoint:touch+arg1:8:w {{ {COUNT} }}")
    assert done.returncode == 0 and "@[add]: 14\n" in done.stdout, done.stdout
    assert done.stderr.count("all debug registers are in use") == 1, done.stderr


def test_what_cannot_be_watched_is_told_and_the_program_runs_on(calls: Path) -> None:
    done = trace("-c", str(calls), "-e", "watchpoint:touch+arg0:8:w { @n = count(); }")
    assert done.returncode == 0 and done.stderr.count("it must be a multiple of the length") == 1, done.stderr


def test_two_probes_on_one_argument(calls: Path) -> None:
    """Both see what is written at the last call, to what was watched since the first; not both get all addresses."""
    if os.environ.get("VMLAB_KERNEL"):
        raise NotSupported("two watchpoints on one address", "a processor's own debug registers, not QEMU's")
    done = trace("-c", str(calls), "-e", "watchpoint:touch+arg1:8:w { @[1, usym(reg(\"ip\"))] = count(); } "
                 'watchpoint:touch+arg1:8:w { @[2, usym(reg("ip"))] = count(); }')  # fmt: skip
    assert done.returncode == 0, done.stderr
    for number in (1, 2):
        assert 11 <= int(re.findall(rf"@\[{number}, add\]: (\d+)", done.stdout)[0]) <= 26


def test_functions_by_a_pattern(calls: Path) -> None:
    done = trace("-c", str(calls), "-e", "watchpoint:tou*h+arg1:8:w { @[probe] = count(); }")
    assert done.returncode == 0 and done.stderr == "Attached 1 probe\n", done.stderr
    assert "@[watchpoint:touch+arg1:8:w]: " in done.stdout


def test_without_a_process(calls: Path) -> None:
    done = trace("-e", "watchpoint:touch+arg1:8:w { }")
    assert done.returncode == 1 and "No process was given with -p or -c" in done.stderr


def test_without_waiting(worker: Worker) -> None:
    """asyncwatchpoint sets it when user space comes to it: `read` gets the same place for its letter each time."""
    program = "asyncwatchpoint:work+arg0:8:w { @ = count(); }"
    tracer = start(program, "-p", str(worker.process.pid))
    worker.do("w")
    end(tracer)
    assert worker.process.poll() is None
