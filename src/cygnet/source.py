"""Source text and spans: where in a user's text a thing was written."""

from __future__ import annotations

from bisect import bisect_right

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from cygnet.named import NamedTuple


class Source:
    """One text a user wrote: a file, an `-e` argument (named ``stdin``, as bpftrace does) or an import.

    `line_col` counts both from 1; a column is a character, not a byte.
    """

    __slots__ = ("_starts", "name", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._starts: list[int] | None = None

    def _line_starts(self) -> list[int]:
        if self._starts is None:
            starts = [0]
            find = self.text.find
            at = find("\n")
            while at >= 0:
                starts.append(at + 1)
                at = find("\n", at + 1)
            self._starts = starts
        return self._starts

    def line_col(self, offset: int) -> tuple[int, int]:
        starts = self._line_starts()
        line = bisect_right(starts, offset)
        return line, offset - starts[line - 1] + 1

    def line_text(self, line: int) -> str:
        """The text of line number `line` (from 1), without its newline."""
        starts = self._line_starts()
        begin = starts[line - 1]
        end = starts[line] - 1 if line < len(starts) else len(self.text)
        return self.text[begin:end].rstrip("\r")


class Span(NamedTuple):
    """Characters [start, end) of a source."""

    source: Source
    start: int
    end: int

    def __str__(self) -> str:
        line, col = self.source.line_col(self.start)
        end_line, end_col = self.source.line_col(max(self.start, self.end - 1))
        if end_line != line:
            return f"{self.source.name}:{line}-{end_line}"
        return f"{self.source.name}:{line}:{col}-{end_col + 1}"

    def to(self, other: Span) -> Span:
        """From the start of this span to the end of `other`."""
        return Span(self.source, self.start, other.end)

    def expansions(self) -> list[Span]:
        """The macro calls, from the inside out, that put here what is written there."""
        found, via = [], getattr(self, "via", None)
        while via is not None:
            found.append(via)
            via = getattr(via, "via", None)
        return found


class ExpandedSpan(Span):
    """A place in a macro's body, as the call `via` put it into the program."""

    via: Span


def expanded(span: Span, via: Span) -> ExpandedSpan:
    new = ExpandedSpan(*span)
    new.via = via
    return new
