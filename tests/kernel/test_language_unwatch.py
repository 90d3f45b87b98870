"""unwatch(): a watchpoint on a child of ours is taken away while it still writes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cygnet.errors import NotSupported

TOOL = [str(Path(sys.executable).with_name("cygnet")), "trace"]
CHILD = """
import ctypes, sys
cell = ctypes.c_long(0)
print(ctypes.addressof(cell), flush=True)
for line in sys.stdin:
    cell.value += 1
    print("done", flush=True)
"""


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=-1, stdout=-1, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def write_once(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.stdout.readline() == "done\n"


def test_unwatch(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    address = int(child.stdout.readline())
    program = f'watchpoint:{address:#x}:8:w {{ printf("hit\\n"); unwatch({address}); printf("gone\\n"); @ = count(); }}'
    command = [*TOOL, "-p", str(child.pid), "-e", program]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as tool:
        assert tool.stdout is not None and tool.stderr is not None
        said = tool.stderr.readline()
        if "hardware breakpoints" in said:
            raise NotSupported("a watchpoint", "hardware breakpoints")
        assert said == "Attached 1 probe\n"
        write_once(child)
        assert [tool.stdout.readline() for _ in range(2)] == ["hit\n", "gone\n"]
        write_once(child)
        write_once(child)
        tool.send_signal(signal.SIGINT)
        assert "@: 1\n" in tool.stdout.read()
