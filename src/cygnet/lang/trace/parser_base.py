"""The parser's footing: a cursor over tokens, errors that say what was expected, the limit of depth."""

from __future__ import annotations

from cygnet.errors import SourceError, SourceErrors, TraceSyntaxError
from cygnet.lang.trace.ast import Binary, If, IfExpr, Node, children
from cygnet.lang.trace.lexer import KEYWORDS, Tokens, scan
from cygnet.lang.trace.literals import int_value
from cygnet.source import Source, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# Six Python frames for a level at most, so that a hundred levels stay well below the interpreter's limit of 1,000.
MAX_DEPTH = 100
MAX_CHAIN = 10_000  # operators of one level; they are not nested while parsing, though their tree leans as deep
MAX_ERRORS = 20
MAX_HEIGHT = 200  # of a finished tree, so that what walks it by recursion stays within the interpreter's limit, too
_SHALLOW = 6  # brackets in brackets; a tree below that, without a `_LONG_RUN`, cannot be higher than MAX_HEIGHT
LONG_RUN = 8  # prefixes, postfixes or ?: in a row

_WHAT = {"END": "end of the text", "END/": "end of the predicate"}
_new = tuple.__new__  # Span(…) itself takes twice as long


class Cursor:
    __slots__ = ("at", "depth", "ends", "errors", "kinds", "own_types", "padded", "source", "starts", "steep", "text",
                 "tokens")  # fmt: skip

    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text
        self.padded = source.text + "\0\0"
        self.errors: list[SourceError] = []
        self.own_types: set[str] = set()  # names that the program's C text gives to types
        self.depth = 0
        self.steep = False  # may a tree be higher than MAX_HEIGHT?
        self.at = 0
        self.tokens: Tokens
        self.kinds: list[str]
        self.starts: list[int]
        self.ends: list[int]

    def load(self, offset: int, predicate: bool = False, limit: int | None = None) -> None:
        """Scan from `offset` on, and stand before the first token."""
        self.tokens = tokens = scan(self.source, self.padded, offset, predicate, limit)
        self.kinds, self.starts, self.ends = tokens.kinds, tokens.starts, tokens.ends
        self.at = 0
        self.steep = self.steep or tokens.nesting > _SHALLOW

    # --------------------------------------------------------------------------------------------- tokens and spans

    def word(self, index: int) -> str:
        return self.text[self.starts[index] : self.ends[index]]

    def span(self, index: int) -> Span:
        return _new(Span, (self.source, self.starts[index], self.ends[index]))

    def since(self, start: int) -> Span:
        """From offset `start` to the end of the last token taken."""
        return _new(Span, (self.source, start, self.ends[self.at - 1]))

    def take(self, kind: str, expected: str = "", hints: tuple[str, ...] = ()) -> int:
        """Step over a token of this kind and return its index, or raise."""
        at = self.at
        if self.kinds[at] != kind:
            self.fail(expected or f"`{kind}`", hints)
        self.at = at + 1
        return at

    def name(self, expected: str) -> int:
        """Step over a name; keywords are names too, after a dot or as a key."""
        at = self.at
        if self.kinds[at] != "IDENT" and self.kinds[at] not in KEYWORDS:
            self.fail(expected)
        self.at = at + 1
        return at

    def int_value(self, index: int) -> int:
        text = self.word(index)
        if text.isdigit() and text[0] != "0" and len(text) < 20:
            return int(text)
        try:
            return int_value(text)
        except ValueError as error:
            raise TraceSyntaxError(str(error), self.span(index)) from None

    # ------------------------------------------------------------------------------------------------------- errors

    def fail(self, expected: str, hints: tuple[str, ...] = ()) -> NoReturn:
        """Raise for the token at hand: it is not what was expected."""
        at = self.at
        if at in self.tokens.faults:
            raise self.tokens.faults[at]
        kind = self.kinds[at]
        what = _WHAT.get(kind) or f"`{_shortened(self.word(at))}`"
        span = self.span(at)
        if kind == "END":
            span = self.last_place()
            for fault in self.tokens.faults.values():  # rather the reason why the text seems to end here
                if fault.message.startswith("unterminated"):
                    raise fault
        raise TraceSyntaxError(f"unexpected {what}, expected {expected}", span, hints)

    def last_place(self) -> Span:
        """The last character before the end, for want of a better place."""
        end = max(len(self.text.rstrip()) if self.at == 0 else self.ends[self.at - 1], 1)
        return Span(self.source, end - 1, end)

    def note(self, error: SourceError) -> None:
        """Keep an error (once) and go on, unless there are enough of them."""
        if any(kept.span == error.span and kept.message == error.message for kept in self.errors):
            return
        self.errors.append(error)
        if len(self.errors) >= MAX_ERRORS:
            self.give_up()

    def give_up(self) -> NoReturn:
        raise SourceErrors(sorted(self.errors, key=_place))

    def deepen(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.too_deep()

    def too_deep(self) -> NoReturn:
        """Ends the parse: there is no good place to go on from within such a nest."""
        self.errors.append(TraceSyntaxError(f"nested more than {MAX_DEPTH} levels deep", self.span(self.at)))
        self.give_up()


def height(node: Node) -> int:
    """Levels of a tree. The left spine of a chain of operators and the links of an ``else if`` count as one."""
    highest = 0
    stack = [(node, 1)]
    while stack:
        node, level = stack.pop()
        highest = max(highest, level)
        flat = node.left if isinstance(node, Binary) else node.orelse if isinstance(node, (If, IfExpr)) else None
        stack += [(child, level + (child is not flat)) for child in children(node)]
    return highest


def _place(error: SourceError) -> int:
    return error.span.start if error.span else 0


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "…"
