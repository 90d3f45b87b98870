"""For the tests of tools: a tool that runs, a child that does what it is told, and what was printed as data."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

MAIN = "import sys; from cygnet.cli import main; sys.exit(main(sys.argv[1:]))"  # what the cygnet command does
#: for what must come: a machine that is this slow is broken
PATIENCE_S = 600.0 if os.environ.get("VMLAB_KERNEL") else 60.0
Row = dict[str, Any]

CHILD = """
import ctypes, os, signal, socket, sys, time

libc = ctypes.CDLL(None, use_errno=True)

def attempt(function, *args):
    "0 or a result, or the negative number of the error."
    try:
        return function(*args) or 0
    except OSError as error:
        return -error.errno

def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass

for line in sys.stdin:
    value = eval(line)
    print(repr(value) if type(value) in (int, str, list, tuple) else None, flush=True)
"""


class Forked:
    """As much of subprocess.Popen as is needed here. In the kernel lab an interpreter takes seconds to start, so there
    the code runs in a process forked from this one."""

    def __init__(self, code: str, words: list[str], streams: tuple[int, int, int]) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid:
            return
        status = 1
        try:
            for number, fd in enumerate(streams):
                os.dup2(fd, number)
            sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
            sys.argv = ["cygnet", *words]
            exec(code, {"__name__": "__main__"})
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _wait(self, options: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def poll(self) -> int | None:
        return self._wait(os.WNOHANG)

    def wait(self) -> int:
        return self._wait(0) or 0

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def launch(code: str, words: list[str], streams: tuple[int, int, int]) -> subprocess.Popen[bytes] | Forked:
    """Run Python code with these arguments and descriptors."""
    if os.environ.get("VMLAB_KERNEL"):
        return Forked(code, words, streams)
    command = [sys.executable, "-c", code, *words]
    return subprocess.Popen(command, stdin=streams[0], stdout=streams[1], stderr=streams[2])


def wait_for(what: Callable[[], object], why: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline, f"never came: {why}"
        time.sleep(0.01)


class Running:
    """A tool, or any words for the cygnet command. Its result is complete when it has ended."""

    has_attached = False

    def __init__(self, words: list[str]) -> None:
        self.out, self.err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115
        with open(os.devnull) as null:
            self.process = launch(MAIN, words, (null.fileno(), self.out.fileno(), self.err.fileno()))

    def attached(self) -> Running:
        if self.has_attached:
            return self
        wait_for(lambda: self.is_attached() or self.process.poll() is not None, "attached")
        assert self.is_attached(), self.errors()
        self.has_attached = True
        return self

    def is_attached(self) -> bool:
        return "Attached" in self.errors() or '"attached_probes"' in self.text()

    def errors(self) -> str:
        return _read(self.err)

    def text(self) -> str:
        return _read(self.out)

    def end(self) -> str:
        """Interrupt it, as Ctrl-C does; gives all that it printed."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait() == 0, self.errors()
        assert not [line for line in self.errors().splitlines() if not line.startswith("Attached ")], self.errors()
        return self.text()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.out.close()
        self.err.close()


def _read(file: Any) -> str:
    """What the file holds now, without moving the writer's place in it."""
    with open(f"/proc/self/fd/{file.fileno()}") as again:
        return again.read()


class Child:
    """A Python process that evaluates what it is sent; threads, files and signals there are its own."""

    def __init__(self, name: str, tools: Sequence[Running] = ()) -> None:
        """Before it does anything, all of `tools` have attached."""
        self.name, self.tools = name, tools
        orders, self.orders = os.pipe()
        self.answers, answers = os.pipe()
        self.process = launch(CHILD, [], (orders, answers, 2))
        os.close(orders)
        os.close(answers)
        self.do(f"open('/proc/self/comm', 'w').write({name!r})")

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, expression: str) -> None:
        for tool in self.tools:
            tool.attached()
        os.write(self.orders, expression.encode() + b"\n")

    def answer(self) -> Any:
        line = b""
        while not line.endswith(b"\n"):
            part = os.read(self.answers, 1 << 16)
            assert part, "the child has gone"
            line += part
        return ast.literal_eval(line.decode())

    def do(self, expression: str) -> Any:
        """The value of an expression there, when it is a number, a text, a list or a tuple."""
        self.send(expression)
        return self.answer()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.orders)
        os.close(self.answers)


def rows(text: str) -> list[Row]:
    """The records of a tool that was run with -f json."""
    return [line["data"] for line in map(json.loads, text.splitlines()) if line["type"] == "value"]


def maps(text: str) -> dict[str, Any]:
    """The maps printed with -f json, the last of each name."""
    found: dict[str, Any] = {}
    for line in map(json.loads, text.splitlines()):
        if line["type"] in ("map", "hist", "stats"):
            found.update(line["data"])
    return found


def total(hist: list[Row]) -> int:
    """How many values a histogram holds."""
    return sum(bucket["count"] for bucket in hist)
