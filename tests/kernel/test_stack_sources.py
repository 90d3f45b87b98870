"""User stacks of a program that has ended long before they are printed: names, source lines, inlined functions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cygnet.errors import NotSupported

ENTRY = "import sys; from cygnet.cli import main; sys.argv[0] = 'cygnet'; main()"
SOURCE = """
#include <unistd.h>
static inline __attribute__((always_inline)) int ask(int x) {
    int got = getppid();
    return got + x;
}
__attribute__((noinline)) int leaf(int x) { return ask(x) + 1; }
__attribute__((noinline)) int branch(int x) {
    return leaf(x) * 3;
}
int main(int argc, char **argv) { return branch(argc) == 7; }
"""
OPTIONS = ["-O2", "-g", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        raise NotSupported("compiling a C program", "gcc")
    folder = tmp_path_factory.mktemp("stacks")
    (folder / "x.c").write_text(SOURCE)
    subprocess.run(["gcc", *OPTIONS, "-o", "x", "x.c"], cwd=folder, check=True)
    subprocess.run(["gcc", *OPTIONS, "-static", "-o", "static", "x.c"], cwd=folder, check=True)
    return folder


def trace(*args: str) -> str:
    done = subprocess.run([sys.executable, "-c", ENTRY, "trace", *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_command_of_less_than_a_millisecond(folder: Path) -> None:
    told = trace("-c", f"{folder}/x", "-e", f"uprobe:{folder}/x:leaf {{ @[ustack] = count(); }}")
    here = re.escape(str(folder / "x.c"))
    assert re.search(rf"@\[\n +leaf\+0@{here}:7\n +branch\+\d+@{here}:9\n +main\+\d+@{here}:11\n", told), told
    assert "0x" not in told  # libc's part has names too


def test_inlined_and_modes(folder: Path) -> None:
    # Inside leaf, at the call: getppid leaves no frame of its own, so libc's is the first, and the caller ask.
    probe = f"uprobe:{folder}/static:getppid"
    told = trace(
        "-c", f"{folder}/static", "-e", f'{probe} {{ @[ustack(perf, 1)] = count(); @b[reg("ip")] = count(); }}'
    )
    assert "getppid" in told and "@/" not in told
    offset = inlined_offset(folder / "x")
    here = re.escape(str(folder / "x.c"))
    probe = f"uprobe:{folder}/x:leaf+{offset}"
    for script, shown in (("ustack(2)", True), ("ustack(perf, 2)", False), ("ustack(raw, 2)", False)):
        told = trace("-c", f"{folder}/x", "-e", f"{probe} {{ @[{script}] = count(); }}")
        inlined = rf"\[inlined\] ask@{here}:\d\n +leaf\+{offset}@{here}:7\n +branch\+\d+@{here}:9\n\]"
        assert bool(re.search(inlined, told)) is shown, told
    told = trace(
        "-c", f"{folder}/x", "-e", f"config = {{ show_debug_info = false }} {probe} {{ @[ustack(2)] = count(); }}"
    )
    assert re.search(rf"@\[\n +leaf\+{offset}\n +branch\+\d+\n\]", told), told


def inlined_offset(path: Path) -> int:
    """Where in leaf the code of ask begins to call: what objdump shows as a call instruction."""
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", "--disassemble=leaf", path], capture_output=True, text=True, check=True
    ).stdout
    start = int(re.search(r"^([0-9a-f]+) <leaf>:", listing, re.M)[1], 16)  # type: ignore[index]
    return int(re.search(r"^ *([0-9a-f]+):\s+call", listing, re.M)[1], 16) - start  # type: ignore[index]


def test_a_command_that_a_signal_ends_or_that_makes_no_call(folder: Path) -> None:
    (folder / "spin.c").write_text("int main(void) { for (volatile long i = 0; i < 300000000; i++); return 0; }")
    subprocess.run(["gcc", "-O1", "-g", "-o", "spin", "spin.c"], cwd=folder, check=True)
    told = trace("-c", f"{folder}/spin", "-e", f"uprobe:{folder}/spin:main {{ @[ustack(1)] = count(); }}")
    assert f"main+0@{folder}/spin.c:1\n" in told
    told = trace(
        "-c",
        "sh -c 'kill -TERM $$'",
        "-e",
        "tracepoint:syscalls:sys_enter_kill /pid == cpid/ { @[ustack(1)] = count(); }",
    )
    assert "kill+" in told
