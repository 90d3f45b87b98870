"""What runs on the lab's kernel alone: probes that this machine's own kernel may lack (`make vmlab`).

Elsewhere these files are not collected, so that they are no skips there.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest

collect_ignore_glob = [] if os.environ.get("VMLAB_KERNEL") else ["test_*.py"]


def _kernel_conftest() -> Any:
    path = Path(__file__).parents[1] / "kernel" / "conftest.py"
    spec = importlib.util.spec_from_file_location("kernel_conftest", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


nothing_left = _kernel_conftest().nothing_left


class Output(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return [line for line in self.out.splitlines() if line]


def _child(arguments: list[str], out: int, err: int) -> NoReturn:
    """In the forked process: what the command would do, without the seconds an interpreter takes to start here."""
    status = 2
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        from cygnet.cli import main

        status = main(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


class Running:
    """`cygnet trace …`, as a process of its own."""

    def __init__(self, program: str, arguments: tuple[str, ...]) -> None:
        self._files = [tempfile.TemporaryFile("w+") for _ in range(2)]  # noqa: SIM115
        out, err = (file.fileno() for file in self._files)
        self.pid = os.fork()
        if not self.pid:
            _child(["trace", *arguments, "-e", program], out, err)

    def text(self, number: int) -> str:
        return os.pread(self._files[number].fileno(), 1 << 24, 0).decode()

    def attached(self) -> Running:
        """Wait until it says that its probes are attached."""
        while "Attached " not in self.text(1) and not self._gone():
            time.sleep(0.02)
        return self

    def _gone(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def end(self, signal: int = 0) -> Output:
        """Wait for its end, which a signal may bring."""
        if signal:
            os.kill(self.pid, signal)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        result = Output(status, self.text(0), self.text(1))
        for file in self._files:
            file.close()
        return result


#: between them these load every module that the tests' programs need
WARM = (
    'begin { @a[comm] = count(); @h = hist(1); printf("%d %s\\n", pid, str(0)); print(kstack); exit() }',
    'fexit:vfs_read /pid == 1/ { printf("%d %s\\n", retval, str(args.file.f_path.dentry.d_name.name)); }',
    "kprobe:vfs_r* { @[func] = sum(arg1); } kretprobe:vfs_read { @s = stats(retval); }",
    "tracepoint:raw_syscalls:sys_enter { @[args.id] = count(); }",
    "iter:task { print(ctx.task.pid); }",
)


@pytest.fixture(scope="session", autouse=True)
def warm() -> None:
    """Import here what each child would else import for itself, which takes seconds under emulation."""
    import cygnet.kernel.attach.kprobe
    import cygnet.kernel.attach.kprobe_multi
    import cygnet.kernel.attach.tracing
    import cygnet.loader.attachto
    import cygnet.loader.detach
    import cygnet.session.symbols.kernel  # noqa: F401
    from cygnet.cli import main

    for program in WARM:
        main(["trace", "--dry-run", "-e", program])


@pytest.fixture(scope="session")
def start() -> Callable[..., Running]:
    """Start `cygnet trace` with a program and more arguments."""
    return lambda program, *arguments: Running(program, arguments)


@pytest.fixture(scope="session")
def trace() -> Callable[..., Output]:
    """Run `cygnet trace` with a program and more arguments to its end, which must have that status."""

    def run(program: str, *arguments: str, status: int | None = 0) -> Output:
        done = Running(program, arguments).end()
        assert status is None or done.status == status, done.out + done.err
        return done

    return run
