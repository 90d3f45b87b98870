"""Probes that some kernels lack: where they are missing one clear line says so, and nothing else takes their place."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cygnet.kernel.features import has

TRACE = [sys.executable, "-c", "from cygnet.cli import main; main()", "trace"]
KINDS = [
    ("kprobe:vfs_read { @[func, arg0] = count(); }", "kprobe", "CONFIG_KPROBES=y"),
    ("kretprobe:vfs_read { @[retval] = count(); }", "kprobe", "CONFIG_KPROBES=y"),
    ("kprobe:vfs_* { @ = count(); }", "kprobe", "CONFIG_"),
    ("fentry:vfs_read { @[args.count] = count(); }", "fentry", "CONFIG_FUNCTION_TRACER=y"),
    ("kretfunc:vfs_read { @[retval] = count(); }", "fentry", "CONFIG_FUNCTION_TRACER=y"),
    ("hardware:cycles { @ = count(); }", "hardware_events", "performance counters"),
    ("tracepoint:sched:sched_switch { } kprobe:vfs_read { }", "kprobe", "CONFIG_KPROBES=y"),
]


def trace(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run([*TRACE, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(("program", "feature", "needs"), KINDS)
def test_one_line_says_what_is_missing(program: str, feature: str, needs: str) -> None:
    if has(feature):
        status, _, err = trace("-e", program + " interval:ms:1 { exit() }")
        assert status == 0, err
        return
    status, out, err = trace("-e", program)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("ERROR: ") and needs in err and "the same program works there" in err


def test_it_is_compiled_all_the_same() -> None:
    """A kprobe's program can be loaded on a kernel without kprobes, so that it can be checked there."""
    status, _, err = trace("--dry-run", "-e", "kprobe:vfs_read { @[func, comm] = hist(arg2); }")
    assert status == 0, err
