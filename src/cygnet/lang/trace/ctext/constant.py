"""C's constant expressions: dimensions, values of enumerators, conditions of ``#if``."""

from __future__ import annotations

from cygnet.errors import TraceSyntaxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.lang.trace.ctext.tokens import Stream, Token

_LEVELS: tuple[tuple[str, ...], ...] = (
    ("||",), ("&&",), ("|",), ("^",), ("&",), ("==", "!="), ("<", ">", "<=", ">="), ("<<", ">>"), ("+", "-"),
    ("*", "/", "%"),
)  # fmt: skip
_ESCAPES = {"n": 10, "t": 9, "r": 13, "0": 0, "a": 7, "b": 8, "f": 12, "v": 11}
_TYPE_WORDS = frozenset((
    "unsigned", "signed", "char", "short", "int", "long", "struct", "union", "enum", "const", "u8", "u16", "u32", "u64",
    "s8", "s16", "s32", "s64", "__u8", "__u16", "__u32", "__u64", "size_t", "uint8_t", "uint16_t", "uint32_t",
    "uint64_t", "int8_t", "int16_t", "int32_t", "int64_t",
))  # fmt: skip
_MOST = 1 << 64


class Evaluator:
    """Reads one expression from a stream. `name` gives a word's value; `size` the bytes of the type in tokens."""

    __slots__ = ("name", "size", "stream")

    def __init__(
        self, stream: Stream, name: Callable[[Token], int], size: Callable[[list[Token], Token], int] | None = None
    ) -> None:
        self.stream = stream
        self.name = name
        self.size = size

    def value(self) -> int:
        result = self._binary(0)
        if not self.stream.skip("?"):
            return result
        then = self.value()
        self.stream.take(":")
        other = self.value()
        return then if result else other

    def _binary(self, level: int) -> int:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while self.stream.now.kind == "op" and self.stream.now.text in _LEVELS[level]:
            operator = self.stream.next()
            left = self._apply(operator, left, self._binary(level + 1))
        return left

    def _apply(self, token: Token, a: int, b: int) -> int:
        op = token.text
        if op in ("/", "%"):
            if not b:
                raise TraceSyntaxError("division by zero", self.stream.span(token))
            quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
            return quotient if op == "/" else a - quotient * b
        if op in ("<<", ">>") and not 0 <= b < 64:
            raise TraceSyntaxError("a shift by so many bits has no meaning", self.stream.span(token))
        result = _OPERATIONS[op](a, b)
        if not -_MOST < result < _MOST:
            raise TraceSyntaxError("the value does not fit 64 bits", self.stream.span(token))
        return int(result)

    def _unary(self) -> int:
        stream = self.stream
        token = stream.next()
        if token.kind == "number":
            return self._number(token)
        if token.kind == "char":
            return _character(token.text)
        if token.text == "(" and token.kind == "op":
            if stream.now.text in _TYPE_WORDS:  # a cast keeps the value
                while stream.now.kind in ("word", "op") and not stream.skip(")"):
                    stream.next()
                return self._unary()
            value = self.value()
            stream.take(")")
            return value
        if token.text in ("-", "+", "~", "!") and token.kind == "op":
            value = self._unary()
            return {"-": -value, "+": value, "~": ~value, "!": int(not value)}[token.text]
        if token.text == "sizeof" and self.size is not None and stream.now.text == "(":
            return self.size(stream.skip_brackets(), token)
        if token.kind == "word":
            return self.name(token)
        stream.at -= 1
        raise stream.unexpected("a constant")

    def _number(self, token: Token) -> int:
        digits = token.text.rstrip("uUlL") or token.text
        try:
            if len(digits) > 1 and digits[0] == "0" and digits.isdigit():
                return int(digits, 8)
            return int(digits, 0)
        except ValueError:
            raise TraceSyntaxError(f"`{token.text}` is no integer", self.stream.span(token)) from None


def _character(text: str) -> int:
    inside = text[1:-1]
    if not inside.startswith("\\"):
        return ord(inside[:1] or "\0")
    if inside[1:2] == "x":
        return int(inside[2:], 16)
    if inside[1:].isdigit():
        return int(inside[1:], 8)
    return _ESCAPES.get(inside[1:2], ord(inside[1:2] or "\0"))


_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "||": lambda a, b: bool(a or b), "&&": lambda a, b: bool(a and b), "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b, "&": lambda a, b: a & b, "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b, ">": lambda a, b: a > b, "<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b,
    "<<": lambda a, b: a << b, ">>": lambda a, b: a >> b, "+": lambda a, b: a + b, "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}  # fmt: skip
