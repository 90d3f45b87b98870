"""The command of -c: started at once, but stopped before exec until the probes are attached."""

from __future__ import annotations

import os

from cygnet.errors import UsageError
from cygnet.session import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_EXEC_FAILED = 127
_CHILDREN_FAULTS = 8  # of the fields of /proc/PID/stat behind the name (proc(5): cminflt)


class Child:
    """A process that waits at a pipe before it becomes the command.

    It dies with us (PR_SET_PDEATHSIG), so a kill -9 of the tracer leaves no process behind. `pidfd` is
    readable once it has ended.
    """

    __slots__ = ("_error", "_go", "command", "pid", "pidfd", "status")

    def __init__(self, command: str) -> None:
        self.command = command
        argv = _argv(command)
        path = _find(argv[0])
        parent = os.getpid()
        go_read, self._go = os.pipe2(os.O_CLOEXEC)
        self._error, error_write = os.pipe2(os.O_CLOEXEC)
        self.pid = os.fork()
        if not self.pid:
            _become(path, argv, parent, go_read, self._go, error_write)
        os.close(go_read)
        os.close(error_write)
        self.pidfd = os.pidfd_open(self.pid)
        self.status: int | None = None

    def go(self, at_exec: Callable[[], None] | None = None) -> None:
        """Let it run. UsageError when the system refuses to execute it.

        `at_exec` is called while it waits at its first instruction and again when its libraries are in place, if the
        system lets us hold it there.
        """
        held = False
        if at_exec is not None:
            from cygnet.kernel import ptrace

            held = ptrace.seize(self.pid)
        os.write(self._go, b"g")
        self._close_go()
        failure = os.read(self._error, 64)  # ends when exec closes the other end
        if held and at_exec is not None:
            from cygnet.session.exectrap import follow

            self.status = follow(self.pid, at_exec)
        if failure:
            self.reap()
            raise UsageError(f"cannot run {self.command!r}: {os.strerror(int(failure))}")

    def ended(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
        return self.status is not None

    def waited_for_others(self) -> bool:
        """Whether it started processes and waited for them: known as long as it was not reaped."""
        if self.status is not None:
            return False
        try:
            with open(f"/proc/{self.pid}/stat", "rb", buffering=0) as file:
                fields = file.readall().rpartition(b")")[2].split()
        except OSError:
            return False
        return len(fields) > _CHILDREN_FAULTS and fields[_CHILDREN_FAULTS] != b"0"

    def reap(self) -> None:
        if self.status is None:
            self.status = os.waitpid(self.pid, 0)[1]

    def close(self) -> None:
        """End it, if it still runs: SIGTERM, or SIGKILL when it never was let go."""
        if not self.ended():
            os.kill(self.pid, signals.SIGTERM if self._go < 0 else signals.SIGKILL)
            if self._go >= 0:
                self.reap()
        self._close_go()
        for fd in (self._error, self.pidfd):
            if fd >= 0:
                os.close(fd)
        self._error = self.pidfd = -1

    def _close_go(self) -> None:
        if self._go >= 0:
            os.close(self._go)
            self._go = -1


def _argv(command: str) -> list[str]:
    from shlex import split

    try:
        argv = split(command)
    except ValueError as error:
        raise UsageError(f"cannot read the command {command!r}: {error}") from None
    if not argv:
        raise UsageError("-c: the command is empty")
    return argv


def _find(name: str) -> str:
    """The file to execute: as the shell finds it, by PATH when the name has no slash."""
    places = [""] if "/" in name else os.environ.get("PATH", os.defpath).split(":")
    for place in places:
        path = os.path.join(place, name) if place else name
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    why = "not executable" if "/" in name and os.path.exists(name) else "no such command"
    raise UsageError(f"-c: cannot run {name!r}: {why}")


def _become(path: str, argv: list[str], parent: int, go_read: int, go_write: int, error: int) -> None:
    """In the new process. Never returns."""
    try:
        _die_with_parent(parent)
        for number in (signals.SIGPIPE, signals.SIGINT, signals.SIGTERM):
            signals.default(number)
        os.close(go_write)
        if os.read(go_read, 1) != b"g":
            os._exit(0)  # the tracer gave up
        os.execv(path, argv)
    except OSError as failure:
        os.write(error, str(failure.errno or 0).encode())
    finally:
        os._exit(_EXEC_FAILED)


def _die_with_parent(parent: int) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signals.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
