"""Three questions in one line each, asked of a small workload that this script starts itself.

    python scripts/demo.py [--seconds 3] [--tracer 'cygnet trace']

The workload is a handful of processes named swan-something; every question keeps to them. They end with
this script, whatever ends it.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

SWANS = 'strncmp(comm, "swan-", 5) == 0'


class Question(NamedTuple):
    title: str
    program: str


QUESTIONS = (
    Question(
        "Who opens which files?",
        f"tracepoint:syscalls:sys_enter_openat /{SWANS}/ {{ @opens[comm, str(args.filename)] = count(); }}",
    ),
    Question(
        "How long does read() take, in microseconds?",
        f"tracepoint:syscalls:sys_enter_read /{SWANS}/ {{ @start[tid] = nsecs; }} "
        "tracepoint:syscalls:sys_exit_read /@start[tid]/ "
        "{ @us[comm] = hist((nsecs - @start[tid]) / 1000); delete(@start[tid]); } "
        "END { clear(@start); }",
    ),
    Question(
        "Who makes how many system calls?",
        f"tracepoint:raw_syscalls:sys_enter /{SWANS}/ {{ @calls[comm] = count(); }}",
    ),
)


# The workload: each part is a process of its own, and runs until its parent dies.


def swan_reader(folder: Path) -> None:
    """Reads the same few files again and again: quick answers from the page cache."""
    names = [str(folder / "poem.txt"), str(folder / "letters.txt"), "/etc/passwd"]
    for name in itertools.cycle(names):
        with open(name, "rb", buffering=0) as file:
            while file.read(512):
                pass
        time.sleep(0.005)


def swan_writer(folder: Path) -> None:
    """Adds a line to a ledger, a few dozen times a second."""
    for number in itertools.count():
        with open(folder / "ledger.csv", "ab", buffering=0) as file:
            file.write(b"%d,feathers\n" % number)
        time.sleep(0.02)


def swan_lost(folder: Path) -> None:
    """Looks for its settings where they are not."""
    for name in itertools.cycle([str(folder / "swan.conf"), "/etc/swan.conf", "/usr/local/etc/swan.conf"]):
        try:
            os.close(os.open(name, os.O_RDONLY))
        except FileNotFoundError:
            time.sleep(0.05)


def swan_asker(question: int, answer: int) -> None:
    """Asks a slow friend, and waits for each answer: most take 1 ms, some take 16."""
    while True:
        os.write(question, b"?")
        os.read(answer, 1)


def swan_friend(question: int, answer: int) -> None:
    while os.read(question, 1):
        time.sleep(0.016 if random.random() < 0.2 else 0.001)
        os.write(answer, b"!")


def spawn(name: str, run: Callable[[], None]) -> int:
    """Start `run` in a process called `name` that is killed with its parent; its pid."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            Path("/proc/self/comm").write_text(name)
            run()
    finally:
        os._exit(0)


def start_workload(folder: Path) -> list[int]:
    (folder / "poem.txt").write_text("The swan, upon the water, leaves no line.\n" * 40)
    (folder / "letters.txt").write_text("Dear cygnet,\n" * 200)
    questions, answers = os.pipe(), os.pipe()
    return [
        spawn("swan-reader", lambda: swan_reader(folder)),
        spawn("swan-writer", lambda: swan_writer(folder)),
        spawn("swan-lost", lambda: swan_lost(folder)),
        spawn("swan-asker", lambda: swan_asker(questions[1], answers[0])),
        spawn("swan-friend", lambda: swan_friend(questions[0], answers[1])),
    ]


def stop_workload(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def bold(text: str) -> str:
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text


def ask(question: Question, number: int, tracer: list[str], seconds: int) -> int:
    """Print the question, the command line, and what it answers; its exit status."""
    program = f"{question.program} interval:s:{seconds} {{ exit(); }}"
    shown = " ".join([*(Path(tracer[0]).name, *tracer[1:]), "-e", shlex.quote(program)])
    print(f"\n{bold(f'{number}. {question.title}')}\n\n    $ {shown}\n", flush=True)
    return subprocess.run([*tracer, "-e", program], check=False).returncode


def default_tracer() -> str:
    beside = Path(sys.executable).with_name("cygnet")
    found = str(beside) if beside.exists() else shutil.which("cygnet")
    if not found:
        sys.exit("demo: no cygnet beside this Python: run `make demo`, or `pip install .` first")
    return f"{shlex.quote(found)} trace"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3, help="how long each question listens (default 3)")
    parser.add_argument("--tracer", help="the command to ask with (default: cygnet trace)")
    options = parser.parse_args()
    tracer = shlex.split(options.tracer or default_tracer())
    if os.geteuid() != 0:
        print("demo: the kernel answers root (or CAP_BPF and CAP_PERFMON): try `sudo make demo`", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="swan-lake-") as folder:
        pids = start_workload(Path(folder))
        try:
            statuses = [ask(q, n, tracer, options.seconds) for n, q in enumerate(QUESTIONS, 1)]
        finally:
            stop_workload(pids)
    if not any(statuses):
        print("\nNow ask your own; README.md has ten more to start from.")
    return max(statuses)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
