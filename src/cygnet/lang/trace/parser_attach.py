"""Attach points, read raw: they hold paths, wildcards and addresses that are no tokens of the language.

A slash may belong to a path or begin the predicate. It belongs to the path where one can stand (the binary of uprobe,
uretprobe and usdt, the pin of iter, a symbol such as ``github.com/x.F`` there) and nothing but a name's characters
follow; after white space it always begins a predicate.
"""

from __future__ import annotations

from cygnet.errors import TraceSyntaxError
from cygnet.lang.trace.ast import AttachPart, AttachPoint
from cygnet.lang.trace.lexer import DIGITS, WORD
from cygnet.source import Source, Span

_PATH_FROM = {
    "uprobe": 1, "u": 1, "uretprobe": 1, "ur": 1, "usdt": 1, "iter": 2, "it": 2,
}  # fmt: skip
_BLANK = frozenset(" \t\n\r\f\v")
_ENDS = frozenset(",{}; \t\n\r\f\v")
_NAME_CHARS = WORD | frozenset("./-+*?[]@$!:#~^=")


def skip_blank(source: Source, i: int) -> int:
    """The offset of the next character that is neither white space nor in a comment."""
    text = source.text
    size = len(text)
    while i < size:
        if text[i] in _BLANK:
            i += 1
        elif text.startswith("//", i):
            i = text.find("\n", i)
            if i < 0:
                return size
        elif text.startswith("/*", i):
            close = text.find("*/", i + 2)
            if close < 0:
                raise TraceSyntaxError("unterminated comment", Span(source, i, i + 2), ("it ends with */",))
            i = close + 2
        else:
            break
    return i


def attach_points(source: Source, i: int) -> tuple[tuple[AttachPoint, ...], int]:
    """The attach points from offset `i` on, and the offset of what follows: ``/``, ``{`` or something wrong."""
    points: list[AttachPoint] = []
    text = source.text
    while True:
        point, i = _Reader(source, i).read()
        points.append(point)
        i = skip_blank(source, i)
        if text[i : i + 1] != ",":
            return tuple(points), i
        i = skip_blank(source, i + 1)
        if text[i : i + 1] in ("{", "/"):  # a comma after the last one does no harm
            return tuple(points), i


class _Reader:
    """Reads one attach point."""

    __slots__ = ("begin", "i", "parts", "path_from", "pieces", "quoted", "run", "source", "start", "text")

    def __init__(self, source: Source, i: int) -> None:
        self.source = source
        self.text = source.text
        self.start = self.begin = self.i = i
        self.parts: list[AttachPart] = []
        self.pieces: list[str | int] = []
        self.quoted = False
        self.run = (0, False)  # up to where slashes were looked at, and whether they belong to a name
        self.path_from = 99  # from which part on a slash is an ordinary character

    def read(self) -> tuple[AttachPoint, int]:
        text = self.text
        size = len(text)
        while self.i < size:
            char = text[self.i]
            if char in WORD:
                end = self.i + 1
                while end < size and text[end] in WORD:
                    end += 1
                self.pieces.append(text[self.i : end])
                self.i = end
            elif char == '"':
                self._quoted()
            elif char == ":":
                self._end_part()
                self.i = self.begin = self._over_blank(self.i + 1)
            elif char == "$" and text[self.i + 1 : self.i + 2] in DIGITS:
                self._parameter()
            elif char in _BLANK:
                after = self._over_blank(self.i)
                if text[after : after + 1] == "+":  # fn + 0x10
                    self.pieces.append("+")
                    after = self._over_blank(after + 1)
                elif text[after : after + 1] != ":":
                    break
                self.i = after
            elif char in ",{};" or (char == "/" and not self._in_path()):
                break
            else:
                self._plain()
        end = self.i
        self._end_part()
        if len(self.parts) == 1 and not self.pieces_of(0):
            self._fail_empty()
        return AttachPoint(Span(self.source, self.start, end), tuple(self.parts), text[self.start : end]), end

    def pieces_of(self, part: int) -> tuple[str | int, ...]:
        return self.parts[part].pieces

    def _over_blank(self, i: int) -> int:
        """Over white space, but not over comments: ``//`` may begin a path."""
        while self.text[i : i + 1] in _BLANK and i < len(self.text):
            i += 1
        return i

    def _end_part(self) -> None:
        span = Span(self.source, self.begin, self.i)
        self.parts.append(AttachPart(span, _merged(self.pieces), self.quoted))
        if len(self.parts) == 1:
            self.path_from = _PATH_FROM.get(self.parts[0].text.lower(), 99)
        self.pieces = []
        self.quoted = False
        self.run = (0, False)

    def _parameter(self) -> None:
        end = self.i + 1
        while self.text[end : end + 1] in DIGITS and end < len(self.text):
            end += 1
        number = int(self.text[self.i + 1 : min(end, self.i + 11)])
        if number == 0:
            hints = ("script parameters are $1, $2 …",)
            raise TraceSyntaxError("`$0` is not a parameter", Span(self.source, self.i, end), hints)
        self.pieces.append(number)
        self.i = end

    def _plain(self) -> None:
        char = self.text[self.i]
        if char < " " or char == "\x7f":
            where = Span(self.source, self.i, self.i + 1)
            raise TraceSyntaxError(f"unexpected character U+{ord(char):04X}", where)
        self.pieces.append(char)
        self.i += 1

    def _quoted(self) -> None:
        """To the closing quotation mark; ``\\"`` and ``\\\\`` are escapes, other backslashes stand for themselves."""
        text = self.text
        self.quoted = True
        begin = self.i
        i = begin + 1
        while True:
            char = text[i : i + 1]
            if char == "" or char == "\n":
                raise TraceSyntaxError("unterminated string", Span(self.source, begin, i))
            if char == '"':
                break
            if char == "\\" and text[i + 1 : i + 2] in ('"', "\\"):
                i += 1
                char = text[i]
            self.pieces.append(char)
            i += 1
        self.i = i + 1

    def _in_path(self) -> bool:
        """Is the slash at hand a character of a path or a symbol?"""
        if len(self.parts) < self.path_from:
            return False
        if len(self.parts) == self.path_from and not self.pieces:
            return True  # the first character of a binary's path
        if self.i >= self.run[0]:
            self.run = self._look_at_run()
        return self.run[1]

    def _look_at_run(self) -> tuple[int, bool]:
        text = self.text
        end = self.i
        while end < len(text) and text[end] not in _ENDS and text[end] != '"':
            end += 1
        if len(self.parts) == self.path_from or text[end : end + 1] == '"':
            return end, True
        if not _NAME_CHARS.issuperset(text[self.i : end]):
            return end, False
        # ``fn/pid == 1/ {`` is a predicate, ``github.com/x.F {`` a symbol: what comes next tells them apart.
        return end, text[end - 1] != "/" and self.text.startswith(("{", ",", "/"), self._over_blank(end))

    def _fail_empty(self) -> None:
        at = self.i
        char = self.text[at : at + 1]
        hints: tuple[str, ...] = ()
        if char == "{":
            hints = ("a block stands after its probe: `BEGIN { … }`, `kprobe:vfs_read { … }`",)
        elif char == "}":
            hints = ("there is one `}` too many before it",)
        where = Span(self.source, at, at + 1)
        raise TraceSyntaxError(f"unexpected `{char}`, expected a probe" if char else "expected a probe", where, hints)


def _merged(pieces: list[str | int]) -> tuple[str | int, ...]:
    """Characters put together to strings, parameters left between."""
    out: list[str | int] = []
    run: list[str] = []
    for piece in pieces:
        if isinstance(piece, str):
            run.append(piece)
        else:
            if run:
                out.append("".join(run))
                run = []
            out.append(piece)
    if run:
        out.append("".join(run))
    return tuple(out)
