"""Signals as events: handlers only note them, and a pipe wakes the loop.

The C module `_signal` is used, because `signal` builds enumerations when it is imported, which costs
milliseconds on the way to the first event.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

SIGCONT: int = _signal.SIGCONT
SIGINT: int = _signal.SIGINT
SIGTERM: int = _signal.SIGTERM
SIGHUP: int = _signal.SIGHUP
SIGUSR1: int = _signal.SIGUSR1
SIGPIPE: int = _signal.SIGPIPE
SIGKILL: int = _signal.SIGKILL

#: requests to end
ENDS = frozenset((SIGINT, SIGTERM, SIGHUP))
#: seconds after which a second request to end is not the echo of the first: timeout(1) sends each signal twice
_IMPATIENCE = 0.3


class Interrupted(KeyboardInterrupt):
    """A request to end came before everything was attached; `status` is what shells make of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


class Signals:
    """Notes the signals it watches, from the moment it is made. `fd` is readable when one has come.

    Someone who asks again to end, when nobody has taken the first request yet, ends the process there and then:
    it hangs, most likely in a write to a reader who does not read. While `at_once` is set, a request to end raises
    Interrupted wherever the process is: for compiling and loading, which leave nothing behind.
    """

    __slots__ = ("_arrived", "_asked", "_old", "_old_wakeup", "_write", "at_once", "fd")

    def __init__(self, watch: Iterable[int] = (SIGINT, SIGTERM, SIGHUP)) -> None:
        self.fd, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._arrived: list[int] = []
        self.at_once = False
        self._asked = 0.0  # when the oldest request to end came that was not taken
        self._old: dict[int, Any] = {}
        self._old_wakeup: int = _signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in watch:
            self.watch(number)
        if SIGHUP in self._old and self._old[SIGHUP] is _signal.SIG_IGN:  # nohup: who hangs up wants no end
            _signal.signal(SIGHUP, self._old.pop(SIGHUP))

    def watch(self, number: int) -> None:
        if number not in self._old:
            self._old[number] = _signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        if number in ENDS:
            if self.at_once:
                self.at_once = False
                raise Interrupted(number)
            if not self.interrupted:
                self._asked = monotonic()
            elif monotonic() - self._asked > _IMPATIENCE:
                default(number)
                os.kill(os.getpid(), number)
        self._arrived.append(number)

    def take(self) -> list[int]:
        """The signals that came since the last call, in order."""
        if not self._arrived:
            return []
        try:
            os.read(self.fd, 4096)
        except BlockingIOError:
            pass
        found, self._arrived = self._arrived, []
        return found

    @property
    def any(self) -> bool:
        return bool(self._arrived)

    @property
    def interrupted(self) -> bool:
        """Whether a request to end has come and was not taken yet."""
        return not ENDS.isdisjoint(self._arrived)

    def check(self) -> None:
        """Raise Interrupted when a request to end has come."""
        for number in self._arrived:
            if number in ENDS:
                self.at_once = False
                raise Interrupted(number)

    def end_at_once(self) -> None:
        """Set `at_once`, for a request that has come already too."""
        self.at_once = True
        self.check()

    def close(self) -> None:
        """Put the old handlers back."""
        for number, handler in self._old.items():
            _signal.signal(number, handler)
        self._old.clear()
        if self._write >= 0:
            _signal.set_wakeup_fd(self._old_wakeup)
            os.close(self.fd)
            os.close(self._write)
            self.fd = self._write = -1


def default(number: int) -> None:
    """Let a signal do again what it does to any program."""
    _signal.signal(number, _signal.SIG_DFL)


def number_of(name: str) -> int | None:
    """``SIGUSR1`` or ``USR1`` to its number."""
    found: int | None = getattr(_signal, name if name.startswith("SIG") else "SIG" + name, None)
    return found
