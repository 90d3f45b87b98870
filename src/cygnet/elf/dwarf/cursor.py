"""A place in a section, moved by reading."""

from __future__ import annotations

from cygnet.errors import ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, TypeVar

    Buffer = bytes | memoryview
    F = TypeVar("F", bound=Callable[..., Any])

_CHUNK: Final = 64


class Cursor:
    """Reads numbers and strings from `data` at `at`. What is past the end raises ElfError."""

    __slots__ = ("at", "data", "little")

    def __init__(self, data: Buffer, at: int = 0, little: bool = True) -> None:
        self.data = data
        self.at = at
        self.little = little

    def take(self, size: int) -> Buffer:
        at = self.at
        piece = self.data[at : at + size]
        if len(piece) != size or size < 0:
            raise ElfError("debug information is cut short", at)
        self.at = at + size
        return piece

    def uint(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little" if self.little else "big")

    def sint(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little" if self.little else "big", signed=True)

    def uleb(self) -> int:
        data, at, shift, value = self.data, self.at, 0, 0
        try:
            while True:
                byte = data[at]
                at += 1
                value |= (byte & 0x7F) << shift
                if byte < 0x80:
                    self.at = at
                    return value
                shift += 7
                if shift > 70:
                    raise ElfError("a number of debug information is too long", at)
        except IndexError:
            raise ElfError("debug information is cut short", at) from None

    def sleb(self) -> int:
        start = self.at
        value = self.uleb()
        bits = 7 * (self.at - start)
        return value - (1 << bits) if value >> (bits - 1) & 1 else value

    def string(self) -> str:
        start = self.at
        text = cstring(self.data, start)
        self.at = start + len(text) + 1
        return text.decode("utf-8", "replace")

    def initial_length(self) -> tuple[int, int]:
        """(length of what follows, size of an offset in it: 4 or 8)."""
        length = self.uint(4)
        return (self.uint(8), 8) if length == 0xFFFFFFFF else (length, 4)


def guarded(function: F) -> F:
    """A question to debug information, which may lie: whatever goes wrong because of that is an ElfError."""

    def ask(*args: Any, **named: Any) -> Any:
        try:
            return function(*args, **named)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            if isinstance(error, ElfError):
                raise
            raise ElfError(f"debug information makes no sense: {error}") from error

    ask.__doc__ = function.__doc__
    return ask  # type: ignore[return-value]


def cstring(data: Buffer, at: int) -> bytes:
    """The bytes up to a NUL."""
    pieces = []
    while True:
        piece = bytes(data[at : at + _CHUNK])
        end = piece.find(b"\0")
        if end >= 0:
            pieces.append(piece[:end])
            return b"".join(pieces)
        if len(piece) < _CHUNK:
            raise ElfError("a string of debug information has no end", at)
        pieces.append(piece)
        at += _CHUNK
