"""Targets that end, binaries that go, and commands that leave the work to others."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ENTRY = "import sys; from cygnet.cli import main; sys.argv[0] = 'cygnet'; main()"
COMMAND = [sys.executable, "-c", ENTRY, "trace"]
HINT = "no probe fired. The command started other processes"


def trace(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *args], capture_output=True, text=True, check=False)


def test_a_command_that_leaves_the_work_to_others() -> None:
    """-c watches the command alone; a probe in what it starts never fires, and that is said."""
    entry = int.from_bytes(Path("/bin/true").read_bytes()[24:32], "little")
    script = (
        f'begin {{ printf("tracing\\n"); }} uprobe:/bin/true:{entry:#x} {{ @ = count(); }} end {{ printf("end\\n"); }}'
    )
    done = trace("-c", "/bin/sh -c '/bin/true; exit 0'", "-e", script)
    assert done.returncode == 0 and HINT in done.stderr and done.stdout == "tracing\nend\n", done
    assert HINT not in trace("-q", "--no-warnings", "-c", "/bin/sh -c '/bin/true; exit 0'", "-e", script).stderr


@pytest.mark.parametrize(
    ("command", "script"),
    [
        ("/bin/true", "uprobe:libc:fopen64 { @ = count(); }"),  # nothing else was started
        ("/bin/sh -c '/bin/true; exit 0'", "uprobe:libc:fork,uprobe:libc:vfork,uprobe:libc:exit { @ = count(); }"),
        ("/bin/sh -c '/bin/true; exit 0'", "uprobe:libc:fork,uprobe:libc:vfork,uprobe:libc:exit { print(1); }"),
        ("/bin/sh -c '/bin/true; exit 0'", "uprobe:libc:fopen64 { @ = count(); } software:page-faults:1 { }"),
    ],
)
def test_no_such_hint_where_something_fired_or_others_are_watched(command: str, script: str) -> None:
    done = trace("-c", command, "-e", script)
    assert done.returncode == 0 and HINT not in done.stderr, done


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.2, 0.4])
def test_a_process_that_is_killed_meanwhile(delay: float) -> None:
    """Before, while or after the probes are attached, as it comes: the run ends by itself, and without a traceback."""
    target = subprocess.Popen(["sleep", "1000"])
    script = "uprobe:libc:m* { @ = count(); } software:page-faults:1 { @p = count(); } profile:hz:9 { @s = count(); }"
    tracer = subprocess.Popen(
        [*COMMAND, "-p", str(target.pid), "-e", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(delay)
    target.kill()
    target.wait()
    _, err = tracer.communicate()
    assert "Traceback" not in err, err
    assert tracer.returncode == 0 or f"no process {target.pid}" in err, (tracer.returncode, err)


def test_a_process_that_became_a_zombie() -> None:
    target = subprocess.Popen(["/bin/true"])
    os.waitid(os.P_PID, target.pid, os.WEXITED | os.WNOWAIT)
    try:
        done = trace("-p", str(target.pid), "-e", "uprobe:libc:malloc { @ = count(); }")
        assert "Traceback" not in done.stderr and (done.returncode == 0 or "ERROR" in done.stderr), done
    finally:
        target.wait()


def test_a_binary_that_is_deleted_while_it_is_watched(tmp_path: Path) -> None:
    shutil.copy("/bin/sh", tmp_path / "shell")
    entry = int.from_bytes((tmp_path / "shell").read_bytes()[24:32], "little")
    tracer = subprocess.Popen(
        [*COMMAND, "-e", f"uprobe:{tmp_path}/shell:{entry:#x} {{ @ = count(); }}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert tracer.stderr is not None and tracer.stderr.readline() == "Attached 1 probe\n"
    subprocess.run([tmp_path / "shell", "-c", "exit 0"], check=True)
    (tmp_path / "shell").unlink()
    tracer.send_signal(signal.SIGINT)
    out, err = tracer.communicate()
    assert tracer.returncode == 0 and "@: 1" in out and not err, (out, err)


def test_a_binary_that_is_gone_before(tmp_path: Path) -> None:
    done = trace("-e", f"uprobe:{tmp_path}/nothing:main {{ }}")
    assert done.returncode == 1 and "there is no file" in done.stderr and "Traceback" not in done.stderr
