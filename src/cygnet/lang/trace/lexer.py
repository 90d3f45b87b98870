"""Characters to tokens, for everything between braces and parentheses (headers of probes and C text are read raw).

A hand-written scanner. One `re` pattern with named groups was measured against it (CPython 3.11, script of 587
characters, 154 tokens): the pattern takes 1.1 ms to compile at each start, `re` itself 4 ms to import where nothing
else has done so, and 0.097 ms to scan; this scanner takes 0.3 ms to import and 0.080 ms to scan. It wins on both
counts: the match objects cost more than the inner loops save.

Tokens are three parallel lists of the `Tokens` object: kind, start, end. The kind of an operator or a keyword is its
own text; the others are IDENT INT STR VAR MAP PARAM, ERROR (see `Tokens.faults`), END, and ``END/`` for the slash that
closes a predicate. A slash does so when ``{`` follows it outside of all brackets; any other slash divides.
"""

from __future__ import annotations

from cygnet.errors import TraceSyntaxError
from cygnet.source import Source, Span

KEYWORDS = {
    word: word
    for word in (
        "break", "comptime", "config", "continue", "else", "enum", "false", "fn", "for", "if", "import", "let", "macro",
        "offsetof", "return", "sizeof", "struct", "true", "typeinfo", "typeof", "union", "unroll", "while",
    )
}  # fmt: skip

LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
DIGITS = frozenset("0123456789")
WORD = LETTERS | DIGITS
_SPACE = frozenset(" \t\n\r\f\v")
_SINGLE = frozenset("()[],;?:~")
_PAIRS = frozenset((
    "==", "!=", "<=", ">=", "<<", ">>", "&&", "||", "->", "++", "--", "..",
    "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=",
))  # fmt: skip
_TRIPLES = frozenset(("<<=", ">>="))
_MAX_FAULTS = 100  # ERROR tokens, after which a text is taken for something else than a script
_OPERATORS = frozenset("=!<>+-*/%&|^.")
_ODD_HINTS = {
    "“": 'write plain quotation marks: "',
    "”": 'write plain quotation marks: "',
    "„": 'write plain quotation marks: "',
    "'": 'a string stands in double quotation marks: "…"',
    "‘": 'a string stands in double quotation marks: "…"',
    "’": 'a string stands in double quotation marks: "…"',
    "\u00a0": "this is a no-break space, perhaps copied from a web page: write a plain blank",
    "–": "write a plain minus sign: -",
    "−": "write a plain minus sign: -",
    "#": "lines for the C preprocessor stand before the first probe; a comment begins with //",
    "\\": "a backslash has a meaning only within a string",
}


class Tokens:
    """The tokens of one stretch of text; `stop` is the offset after the last one, `nesting` the depth of brackets."""

    __slots__ = ("ends", "faults", "kinds", "nesting", "starts", "stop")

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.faults: dict[int, TraceSyntaxError] = {}  # the reason of each ERROR token, by its index
        self.stop = self.nesting = 0


def scan(source: Source, text: str, at: int, predicate: bool = False, limit: int | None = None) -> Tokens:
    """The tokens of `text` (the source's, with two NULs put after it) from offset `at` on.

    They end before `limit`; without one, with the ``}`` that closes the first ``{``, or a ``;`` outside of braces. With
    `predicate`, `at` is just after the slash that opens one, and the ``{`` in question is the first after ``END/``.
    Ends with one END token. What cannot be a token becomes an ERROR token, reported only by who comes to it.
    """
    tokens = Tokens()
    kinds, starts, ends = tokens.kinds, tokens.starts, tokens.ends
    size = len(text) - 2 if limit is None else limit  # the NULs save the inner loops from looking for the end
    braces = brackets = nesting = 0
    i = at
    while i < size:
        char = text[i]
        if char in _SPACE:
            i += 1
            continue
        if nesting < braces + brackets:
            nesting = braces + brackets
        begin = i
        if char in LETTERS:
            i += 1
            while text[i] in WORD:
                i += 1
            kind = KEYWORDS.get(text[begin:i], "IDENT")
        elif char in _SINGLE:
            i += 1
            kind = char
            if char == "(" or char == "[":
                brackets += 1
            elif char == ")" or char == "]":
                brackets -= 1
            elif char == ";" and not braces and not predicate and limit is None:
                size = i
        elif char in DIGITS:
            i += 1
            while text[i] in WORD:
                i += 1
            kind = "INT"
        elif char == "$" or char == "@":
            i, kind = _sigil(text, i)
            if kind == "ERROR":
                _fault(tokens, source, begin, i, f"`{char}` without a name", _SIGIL_HINTS[char])
        elif char == '"':
            i, kind = _string(text, i, size)
            if kind == "ERROR":
                _fault(tokens, source, begin, i, "unterminated string", ('a string ends with " on the same line',))
        elif char == "{":
            i += 1
            kind = char
            if predicate and not braces and brackets <= 0 and kinds and kinds[-1] == "/":
                kinds[-1] = "END/"
                predicate = False
            braces += 1
        elif char == "}":
            i += 1
            kind = char
            braces -= 1
            if braces <= 0 and not predicate and limit is None:
                size = i
        elif char in _OPERATORS:
            pair = text[i : i + 2]
            if pair == "//":
                i = text.find("\n", i)
                if i < 0 or i > size:
                    i = size
                continue
            if pair == "/*":
                close = text.find("*/", i + 2)
                if close >= 0:
                    i = close + 2
                    continue
                i = size
                kind = "ERROR"
                _fault(tokens, source, begin, begin + 2, "unterminated comment", ("it ends with */",))
            elif pair in _PAIRS:
                i += 2
                kind = pair
                if text[begin : begin + 3] in _TRIPLES:
                    i += 1
                    kind = text[begin:i]
            else:
                i += 1
                kind = char
        elif char == "\\" and text[i + 1] in "\r\n":
            i += 1  # a continued line of a #define
            continue
        else:
            i = _odd(text, i, size)
            kind = "ERROR"
            _fault(tokens, source, begin, i, *_odd_message(char))
        if kind == "ERROR" and len(tokens.faults) >= _MAX_FAULTS:
            size = i
        kinds.append(kind)
        starts.append(begin)
        ends.append(i)
    kinds.append("END")
    starts.append(i)
    ends.append(i)
    tokens.stop = i
    tokens.nesting = nesting
    return tokens


_SIGIL_HINTS = {
    "$": ("a variable is $name; a script parameter $1, $2 … or $#",),
    "@": ("a map is @ or @name; the name begins with a letter",),
}


def _fault(tokens: Tokens, source: Source, start: int, end: int, message: str, hints: tuple[str, ...]) -> None:
    tokens.faults[len(tokens.kinds)] = TraceSyntaxError(message, Span(source, start, end), hints)


def _sigil(text: str, i: int) -> tuple[int, str]:
    """A variable, a map, ``$1`` or ``$#``, from its sigil on."""
    sigil = text[i]
    i += 1
    if text[i] in LETTERS:
        i += 1
        while text[i] in WORD:
            i += 1
        return i, "VAR" if sigil == "$" else "MAP"
    if text[i] in DIGITS:
        while text[i] in WORD:
            i += 1
        return i, "PARAM" if sigil == "$" else "ERROR"
    if sigil == "@":
        return i, "MAP"
    if text[i] == "#":
        return i + 1, "PARAM"
    return i, "ERROR"


def _string(text: str, i: int, size: int) -> tuple[int, str]:
    """A string from its opening mark on; its escapes are looked at in `literals.string_value`."""
    while True:
        close = text.find('"', i + 1)
        line = text.find("\n", i + 1, close if close >= 0 else size)
        back = text.find("\\", i + 1, close if close >= 0 else size)
        if back >= 0 and (line < 0 or back < line):
            i = back + 1
            if text[i] == "\n":
                return i, "ERROR"
            continue
        if line >= 0:
            return line, "ERROR"
        if close < 0 or close >= size:
            return size, "ERROR"
        return close + 1, "STR"


def _odd(text: str, i: int, size: int) -> int:
    """The end of a run of characters of which none begins a token."""
    while i < size:
        char = text[i]
        if char in _SPACE or char in WORD or char in _SINGLE or char in _OPERATORS or char in '{}"$@':
            break
        i += 1
    return i


def _odd_message(char: str) -> tuple[str, tuple[str, ...]]:
    if "\udc80" <= char <= "\udcff":  # surrogateescape's
        return f"the byte 0x{ord(char) & 0xFF:02X}, which is not UTF-8", ()
    name = f"`{char}`" if char.isprintable() else f"U+{ord(char):04X}"
    hint = _ODD_HINTS.get(char)
    return f"unexpected character {name}", (hint,) if hint else ()
