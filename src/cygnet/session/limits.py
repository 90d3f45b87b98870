"""How often a place in a program may complain: some times a second, and the rest is counted."""

from __future__ import annotations

from time import monotonic

BURST = 10  # warnings of one place that are shown within a second
_SECOND = 1.0


class Limit:
    """Asked before each warning of one place; `suppressed` were refused in all."""

    __slots__ = ("_from", "_shown", "suppressed")

    def __init__(self) -> None:
        self._from = -_SECOND
        self._shown = 0
        self.suppressed = 0

    def allows(self) -> bool:
        now = monotonic()
        if now - self._from >= _SECOND:
            self._from, self._shown = now, 0
        if self._shown < BURST:
            self._shown += 1
            return True
        self.suppressed += 1
        return False
