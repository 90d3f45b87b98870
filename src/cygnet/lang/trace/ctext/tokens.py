"""C's tokens, and the macros among them."""

from __future__ import annotations

from cygnet.errors import TraceSyntaxError
from cygnet.lang.trace.lexer import LETTERS, WORD
from cygnet.source import Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NamedTuple

    from cygnet.lang.trace.ast import CDefine
    from cygnet.source import Source
else:
    from cygnet.named import NamedTuple

_DIGITS = frozenset("0123456789")
_LONG = frozenset(("<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "->", "++", "--", "##"))
_DEEPEST = 64  # macros within macros
_MOST = 100_000  # words that come from one definition
_OPEN, _CLOSE = ("(", "[", "{"), (")", "]", "}")


class Token(NamedTuple):
    """`kind` is word, number, text (a string), char or op; `at` an offset in the source."""

    kind: str
    text: str
    at: int


END = Token("end", "", -1)


def tokenize(text: str, at: int = 0) -> list[Token]:
    """The tokens of C text; comments and line continuations are blanks. `at`: where the text lies in its source."""
    out: list[Token] = []
    i, size = 0, len(text)
    while i < size:
        char = text[i]
        if char.isspace() or char == "\\":
            i += 1
            continue
        if char == "/" and text[i + 1 : i + 2] in ("/", "*"):
            i = _comment_end(text, i)
            continue
        end = i + 1
        if char in LETTERS:
            while end < size and text[end] in WORD:
                end += 1
            kind = "word"
        elif char in _DIGITS:
            while end < size and text[end] in WORD:
                end += 1
            kind = "number"
        elif char in "\"'":
            end = _quoted_end(text, i)
            kind = "text" if char == '"' else "char"
        else:
            kind = "op"
            if text[i : i + 3] == "...":
                end = i + 3
            elif text[i : i + 2] in _LONG:
                end = i + 2
        out.append(Token(kind, text[i:end], at + i))
        i = end
    return out


def _comment_end(text: str, i: int) -> int:
    end = text.find("\n", i) if text[i + 1] == "/" else text.find("*/", i + 2)
    if end < 0:
        return len(text)
    return end if text[i + 1] == "/" else end + 2


def _quoted_end(text: str, i: int) -> int:
    mark = text[i]
    i += 1
    while i < len(text) and text[i] not in (mark, "\n"):
        i += 2 if text[i] == "\\" else 1
    return min(i + 1, len(text))


def expand(tokens: list[Token], macros: Mapping[str, CDefine], hidden: frozenset[str] = frozenset()) -> list[Token]:
    """Put the bodies of macros in place of their names and calls; what comes from a body lies at the name."""
    if not macros:
        return tokens
    out: list[Token] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        at += 1
        macro = macros.get(token.text) if token.kind == "word" and token.text not in hidden else None
        if macro is None or len(hidden) > _DEEPEST:
            out.append(token)
            continue
        body: list[Token] | None = [inner._replace(at=token.at) for inner in tokenize(macro.body)]
        if macro.params is not None:
            args, after = _arguments(tokens, at)
            body = _bound(body or [], macro.params, [expand(arg, macros, hidden) for arg in args])
            if after == at or body is None:
                out.append(token)
                continue
            at = after
        out += expand(body or [], macros, hidden | {token.text})
        if len(out) > _MOST:
            raise TraceSyntaxError(f"macros make more than {_MOST} words of this", macro.span)
    return out


def _arguments(tokens: list[Token], at: int) -> tuple[list[list[Token]], int]:
    """The arguments of a macro's call, from its bracket on, and where it ends: where it began when it is none."""
    if at >= len(tokens) or tokens[at].text != "(" or tokens[at].kind != "op":
        return [], at
    args: list[list[Token]] = [[]]
    depth = 0
    for end in range(at, len(tokens)):
        token = tokens[end]
        depth += (token.kind == "op") * ((token.text in _OPEN) - (token.text in _CLOSE))
        if not depth:
            return [] if args == [[]] else args, end + 1
        if token.text == "," and depth == 1:
            args.append([])
        elif end > at:
            args[-1].append(token)
    return [], at


def _bound(body: list[Token], params: tuple[str, ...], args: list[list[Token]]) -> list[Token] | None:
    """A body with arguments in place of parameters; None when they do not fit, or words are to be joined or quoted."""
    if len(args) == 0 and len(params) == 1:
        args = [[]]
    if len(args) != len(params) or any(token.text in ("#", "##") for token in body):
        return None
    given = dict(zip(params, args))
    return [token for inner in body for token in (given.get(inner.text, [inner]) if inner.kind == "word" else [inner])]


class Stream:
    """Tokens read one after the other."""

    __slots__ = ("at", "source", "tokens")

    def __init__(self, tokens: list[Token], source: Source) -> None:
        self.tokens = tokens
        self.source = source
        self.at = 0

    @property
    def now(self) -> Token:
        return self.tokens[self.at] if self.at < len(self.tokens) else END

    def peek(self, ahead: int = 1) -> Token:
        at = self.at + ahead
        return self.tokens[at] if at < len(self.tokens) else END

    def next(self) -> Token:
        token = self.now
        self.at += 1
        return token

    def skip(self, text: str) -> bool:
        """Over `text`, if it is next."""
        if self.now.text == text and self.now.kind in ("op", "word"):
            self.at += 1
            return True
        return False

    def take(self, text: str) -> Token:
        if self.now.text != text:
            raise self.unexpected(f"`{text}`")
        return self.next()

    def span(self, token: Token) -> Span:
        at = token.at if token.at >= 0 else self.tokens[-1].at if self.tokens else 0
        return Span(self.source, at, at + max(1, len(token.text)))

    def unexpected(self, wanted: str) -> TraceSyntaxError:
        token = self.now
        what = f"unexpected `{token.text}`" if token is not END else "unexpected end of the definition"
        return TraceSyntaxError(f"{what}, expected {wanted}", self.span(token))

    def skip_brackets(self) -> list[Token]:
        """Over a bracket and all that it holds; gives what is inside."""
        start = self.at
        depth = 0
        while self.now is not END:
            text = self.next().text
            if text in ("(", "[", "{"):
                depth += 1
            elif text in (")", "]", "}"):
                depth -= 1
                if not depth:
                    return self.tokens[start + 1 : self.at - 1]
        raise self.unexpected("a closing bracket")
