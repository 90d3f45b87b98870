"""The characters of a mangled name, taken one after the other."""

from __future__ import annotations

from cygnet.elf.cxx.texts import DEEPEST, MOST_STEPS, Type, Unread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Cursor:
    """A mangled name, and how far it was read; what its abbreviations mean so far."""

    __slots__ = ("_at", "_depth", "_lambda", "_pack_index", "_pack_size", "_seen", "_steps", "_template", "_text")

    def __init__(self, text: str) -> None:
        self._text = text + "\0\0"
        self._at = 0
        self._depth = 0
        self._steps = 0
        self._seen: list[Type] = []  # what S_, S0_ … mean
        self._template: list[Type] | None = None  # what T_, T0_ … mean
        self._lambda = 0  # inside the parameters of a generic lambda, T_ is `auto`
        self._pack_index = -1
        self._pack_size = -1

    # -- characters

    def _take(self, text: str) -> bool:
        if self._text.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def _peek(self, count: int = 1) -> str:
        return self._text[self._at : self._at + count]

    def _need(self, text: str) -> None:
        if not self._take(text):
            raise Unread

    def _number(self) -> int:
        start = self._at
        while self._text[self._at].isdecimal():
            self._at += 1
        if start == self._at:
            raise Unread
        return int(self._text[start : self._at])

    def _sequence(self) -> int:
        """The number of a substitution or parameter: nothing is the first, then base 36 (or 10), up to ``_``."""
        end = self._text.find("_", self._at)
        digits = self._text[self._at : end]
        if end < 0 or not (digits == "" or (digits.isalnum() and digits == digits.upper())):
            raise Unread
        self._at = end + 1
        return int(digits, 36) + 1 if digits else 0

    def _discriminator(self) -> None:
        if self._take("__"):
            self._number()
            self._need("_")
        elif self._peek() == "_" and self._peek(2)[1:].isdecimal():
            self._at += 2

    def _until_end(self, read: Callable[[], Type]) -> list[Type]:
        found = []
        while not self._take("E"):
            found.append(read())
        return found

    def _deeper(self) -> None:
        self._depth += 1
        self._steps += 1
        if self._depth > DEEPEST or self._steps > MOST_STEPS:
            raise Unread
