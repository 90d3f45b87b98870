"""Errors as a person reads them: place, message, the line, a row of ``~`` under the part in question, hints."""

from __future__ import annotations

from cygnet.errors import CygnetError, SourceErrors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.source import Span

_TAB = "    "
_WIDEST = 400  # characters of a source line that are shown
_COLOURS = {"ERROR": "\x1b[31m", "WARNING": "\x1b[33m", "HINT": "\x1b[36m"}
_END = "\x1b[0m"


def render(error: CygnetError, color: bool = False, severity: str = "ERROR") -> str:
    """The text for `error`, without a final newline; the parts of a SourceErrors one below the other.

    Any exception of the tree will do: `span` and `hints` are used when it has them. `severity` is ERROR or WARNING.
    """
    if isinstance(error, SourceErrors):
        return "\n".join(render(part, color, severity) for part in error.errors)
    span: Span | None = getattr(error, "span", None)
    message = getattr(error, "prefix", "") + str(error)
    place = f"{span}: " if span is not None else ""
    lines = [f"{place}{_label(severity, color)}: {message}"]
    colour = _COLOURS.get(severity, "") if color else ""
    if span is not None:
        lines += _excerpt(span, colour)
    lines += [f"{_label('HINT', color)}: {hint}" for hint in error.hints]
    for call in span.expansions() if span is not None else ():
        lines += [f"{call}: {_label(severity, color)}: expanded from", *_excerpt(call, colour)]
    return "\n".join(lines)


def _label(word: str, color: bool) -> str:
    return f"{_COLOURS.get(word, '')}{word}{_END}" if color else word


def _excerpt(span: Span, colour: str) -> list[str]:
    """The first line of the span, and its underline."""
    source = span.source
    if not source.text:
        return []
    line, column = source.line_col(min(span.start, len(source.text)))
    text = source.line_text(line)
    begin = column - 1
    end = min(len(text), begin + max(span.end - span.start, 1))
    text, begin, end = _window(text, begin, end)
    before, under = _shown(text[:begin]), _shown(text[begin:end])
    marks = "~" * max(_width(under), 1)
    if colour:
        marks = f"{colour}{marks}{_END}"
    return [_shown(text), " " * _width(before) + marks]


def _window(text: str, begin: int, end: int) -> tuple[str, int, int]:
    """Cut a very long line down to what surrounds [begin, end)."""
    if len(text) <= _WIDEST:
        return text, begin, end
    left = max(0, min(begin - _WIDEST // 4, len(text) - _WIDEST))
    right = left + _WIDEST
    cut = text[left:right]
    begin, end = begin - left, min(end, right) - left
    if left:
        cut = "…" + cut[1:]
    if right < len(text):
        cut = cut[:-1] + "…"
    return cut, begin, end


def _shown(text: str) -> str:
    """Tabs as four blanks, whatever a terminal might obey as a question mark."""
    text = text.replace("\t", _TAB)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "?" for char in text)


def _width(text: str) -> int:
    """Columns on a terminal."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)
