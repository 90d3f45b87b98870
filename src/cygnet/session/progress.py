"""How far a long step has come: one line on stderr, from half a second on, wiped when the step is done."""

from __future__ import annotations

import os
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE_S = 0.5  # that a person waits without wondering
_EVERY_S = 0.1


class Progress:
    """`step` is called after each part of the work, and calls `also` first. The caller has made sure that stderr is a
    terminal, and calls `end` in any case.
    """

    __slots__ = ("_also", "_next", "_shown", "_what")

    def __init__(self, what: str, also: Callable[[int, int], None]) -> None:
        self._what = what
        self._also = also
        self._next = monotonic() + _PATIENCE_S
        self._shown = False

    def step(self, done: int, total: int) -> None:
        self._also(done, total)
        now = monotonic()
        if now >= self._next:
            self._next, self._shown = now + _EVERY_S, True
            os.write(2, f"\r\033[K{self._what} {done:,} of {total:,} probes ({100 * done // total}%)".encode())

    def end(self) -> None:
        """Wipe the line, if there is one. May be called twice."""
        if self._shown:
            self._shown = False
            os.write(2, b"\r\033[K")
