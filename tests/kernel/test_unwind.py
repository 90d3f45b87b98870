"""dw_ustack: stacks of programs without frame pointers, whose chain of calls their source says."""

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
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define APART __attribute__((noinline))
volatile int sink;
APART int leaf(int x) { sink += x; return sink + 1; }
APART int three(int x) { char *room = __builtin_alloca(x * 16 + 16); room[0] = x; int r = leaf(x); return r + room[0]; }
APART int two(int x) { return three(x) * 3 + sink; }
APART int one(int x, int times) { int r = 0; while (times--) r += two(x) + sink; return r; }
APART int deep(int x) { volatile int room[4] = {x}; return x ? deep(x - 1) + room[0] : leaf(1); }
APART int big(int x) { char room[20000]; memset(room, x, sizeof room); int r = leaf(x); sink += room[x]; return r; }
static void handler(int number) { leaf(number); }
static int compare(const void *a, const void *b) { return leaf(1) ? *(int *)a - *(int *)b : 0; }
int main(int argc, char **argv) {
    int values[4] = {2, 1, 4, 3};
    switch (argv[1][0]) {
    case 'c': one(2, atoi(argv[2])); break;
    case 'q': qsort(values, 4, sizeof *values, compare); break;
    case 's': signal(SIGUSR1, handler); raise(SIGUSR1); break;
    case 'd': deep(atoi(argv[2])); break;
    case 'b': big(3); break;
    }
    return 0;
}
"""
OPTIONS = ["-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls"]
CONFIG = "config = { unstable_dw_ustack = enable } "


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        raise NotSupported("compiling a C program", "gcc")
    folder = tmp_path_factory.mktemp("unwind")
    (folder / "x.c").write_text(SOURCE)
    for name, *more in (
        ("x",), ("fixed", "-no-pie"),
        ("debug_frame", "-g", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"),
    ):  # fmt: skip
        subprocess.run(["gcc", *OPTIONS, *more, "-o", name, "x.c"], cwd=folder, check=True)
    return folder


def trace(*args: str) -> str:
    done = subprocess.run([sys.executable, "-c", ENTRY, "trace", *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Lost" not in done.stderr, done.stderr
    return done.stdout


def names(told: str) -> list[str]:
    """The functions of a stack that was printed."""
    return re.findall(r"^ +(?:\[inlined\] )?([\w.]+|\[.*\])(?:[+@].*)?$", told, re.M)


def of(folder: Path, what: str, script: str, name: str = "x") -> str:
    return trace("-c", f"{folder}/{name} {what}", "-e", f"{CONFIG} uprobe:{folder}/{name}:leaf {{ {script} }}")


@pytest.mark.parametrize("name", ["x", "fixed", "debug_frame"])
def test_a_chain_of_calls(folder: Path, name: str) -> None:
    told = names(of(folder, "c 1", "print(dw_ustack);", name))
    assert told[:5] == ["leaf", "three", "two", "one", "main"]
    assert told[-1] == "_start"


def test_the_kernel_alone_does_not_see_it(folder: Path) -> None:
    """So the test above proves something."""
    assert "three" not in names(of(folder, "c 1", "print(ustack);"))


def test_many_events_are_one_key(folder: Path) -> None:
    told = of(folder, "c 2000", "@[dw_ustack(3)] = count(); @all[dw_ustack(1)] = sum(2);")
    assert re.findall(r"\]: (\d+)", told) == ["2000", "4000"]
    assert names(told) == ["leaf", "three", "two", "leaf"]


def test_what_the_limit_hides_makes_no_keys(folder: Path) -> None:
    """qsort's frames below the comparison differ, and are not shown."""
    told = of(folder, "q", "@[dw_ustack(2)] = count();") + of(folder, "d 9", "@[dw_ustack(2), comm] = count();")
    assert told.count("leaf") == 2 and re.findall(r": (\d+)$", told, re.M) == ["4", "1"]


def test_through_a_library(folder: Path) -> None:
    told = names(of(folder, "q", "print(dw_ustack);"))
    assert told[:2] == ["leaf", "compare"] and "qsort_r" in told
    assert told.index("qsort_r") < told.index("main") < told.index("_start")


def test_through_a_signal(folder: Path) -> None:
    told = names(of(folder, "s", "print(dw_ustack);"))
    assert told[:2] == ["leaf", "handler"]
    assert "raise" in told and told.index("raise") < told.index("main") < told.index("_start")


def test_limits_and_modes(folder: Path) -> None:
    raw = of(folder, "d 50", "print(dw_ustack(raw, 7));").split()
    assert len(raw) == 7 and all(re.fullmatch("[0-9a-f]{6,}", address) for address in raw)
    perf = of(folder, "d 50", "print(dw_ustack(perf, 3));").strip().splitlines()
    assert [re.sub(r"^\t?[0-9a-f]+ (\w+)\+\d+ \(.*/x\)$", r"\1", line) for line in perf] == ["leaf", "deep", "deep"]
    assert names(of(folder, "d 50", "print(dw_ustack(60));")).count("deep") == 51


def test_what_was_not_copied_is_said(folder: Path) -> None:
    told = names(of(folder, "b", "print(dw_ustack);"))
    assert told[0] == "leaf" and told[1] == "big"
    assert re.fullmatch(r"\[unwinding failed: the frame is not in the \d+ bytes of stack that were copied\]", told[2])


def test_in_a_system_call_and_a_return(folder: Path) -> None:
    probe = f"uretprobe:{folder}/x:three {{ print(dw_ustack); exit(); }}"
    told = names(trace("-c", f"{folder}/x c 1", "-e", CONFIG + probe))
    assert told[:3] == ["two", "one", "main"]
    probe = "tracepoint:syscalls:sys_enter_exit_group /pid == cpid/ { print(dw_ustack); }"
    told = names(trace("-c", f"{folder}/x c 1", "-e", CONFIG + probe))
    assert told[0] == "_exit" and "exit" in told and told[-1] == "_start"


def test_threads_of_the_kernel_have_none(folder: Path) -> None:
    script = (
        'begin { @n = 0; } tracepoint:sched:sched_switch /pid == 0 || comm == "kthreadd"/ { print(dw_ustack); exit(); }'
    )
    assert trace("-e", f"{CONFIG} {script} END {{ clear(@n); }}").strip() == ""


def test_what_is_refused(folder: Path) -> None:
    for script, said in (
        ("print(len(dw_ustack));", "len() of dw_ustack is not known in the kernel"),
        ("print(dw_ustack(build_id));", "dw_ustack() has no mode build_id"),
        ("print(dw_ustack(2000));", "limit must be between 1 and 1024"),
    ):
        done = begin(f"{CONFIG} begin {{ {script} }}")
        assert done.returncode == 1 and said in done.stderr


def begin(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", ENTRY, "trace", "-e", script], capture_output=True, text=True)


def test_it_is_unstable() -> None:
    warned = begin("begin { print(dw_ustack(1)); }")
    assert warned.returncode == 0 and "WARNING: dw_ustack() is unstable" in warned.stdout + warned.stderr
    refused = begin("config = { unstable_dw_ustack = error } begin { print(dw_ustack(1)); }")
    assert refused.returncode == 1 and "ERROR: dw_ustack() is unstable" in refused.stderr
