"""Random integer expressions of the tracing language, each with the value that the language's rules give it.

The rules are written down here once more, from the reference: 64-bit results, signed when an operand is signed or the
operator is ``-``; unsigned division, 1 when the divisor is 0; ``>>`` fills with zeros; a literal that is not negative
takes its neighbour's sign; comparisons are signed when either side is.
"""

from __future__ import annotations

import random

M64 = (1 << 64) - 1
WIDTHS = ("8", "16", "32", "64")
LITERALS = (0, 1, 2, 3, 5, 7, 8, 10, 31, 32, 63, 64, 100, 127, 128, 255, 256, 1000, 32767, 32768, 65535, 65536, 1 << 20,
            (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40, (1 << 62) + 5, (1 << 63) - 1)  # fmt: skip


def wrap(value: int, bits: int, signed: bool) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


class Expr:
    """`literal`: folds to a number; `flexible`: such a number, and not negative."""

    def __init__(self, text: str, value: int, signed: bool, literal: bool = False, kind: str = "int") -> None:
        self.text = text
        self.value = value
        self.signed = signed
        self.literal = literal
        self.kind = kind

    @property
    def flexible(self) -> bool:
        return self.literal and self.value >= 0 and self.kind == "int"


class Writer:
    """Makes a program: variables whose values no compiler knows, and prints of expressions over them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.variables: list[Expr] = []
        self.lines = ["$zero = pid - pid;"]
        for index in range(8):
            self._variable(f"$v{index}")

    def _variable(self, name: str) -> None:
        bits, signed = self.random.choice((8, 16, 32, 64)), self.random.random() < 0.5
        value = wrap(self.random.choice(LITERALS) * self.random.choice((1, -1)), bits, signed)
        literal = f"({value})" if value >= 0 else f"(-{-value})"
        if value == -(1 << 63):
            literal = "((int64)0x8000000000000000)"
        self.lines.append(f"{name} = ({'' if signed else 'u'}int{bits})({literal} + $zero);")
        self.variables.append(Expr(name, value, signed))

    def program(self, count: int) -> tuple[str, list[str]]:
        """The text, and the lines it prints."""
        expected = []
        for _ in range(count):
            expr = self.expr(self.random.choice((1, 2, 3, 4)))
            self.lines.append(f"print({expr.text});")
            expected.append(shown(expr))
        return "begin { " + "\n".join(self.lines) + " }", expected

    def expr(self, depth: int) -> Expr:
        if depth == 0 or self.random.random() < 0.1:
            return self.random.choice(self.variables) if self.random.random() < 0.7 else self.literal()
        make = self.random.choice(
            (self.arithmetic, self.arithmetic, self.arithmetic, self.shift, self.division, self.unary, self.cast,
             self.compare, self.logical, self.ternary)
        )  # fmt: skip
        return make(depth - 1)

    def literal(self) -> Expr:
        value = self.random.choice(LITERALS)
        if self.random.random() < 0.2:
            return Expr(f"(-{value})", -value, value != 0, True)
        return Expr(str(value), value, True, True)

    def number(self, depth: int) -> Expr:
        """An operand of arithmetic: bools become numbers."""
        expr = self.expr(depth)
        if expr.kind == "bool":
            return Expr(f"(uint8)({expr.text})", expr.value, False, expr.literal)
        return expr

    def pair(self, depth: int) -> tuple[Expr, Expr]:
        """Two operands, not both literals: folding has rules of its own."""
        a, b = self.number(depth), self.number(depth)
        if a.literal and b.literal:
            b = self.random.choice(self.variables)
        return a, b

    def arithmetic(self, depth: int) -> Expr:
        a, b = self.pair(depth)
        op = self.random.choice("+-*&|^")
        signed = op == "-" or either_signed(a, b)
        x, y = a.value, b.value
        value = {"+": x + y, "-": x - y, "*": x * y, "&": x & y, "|": x | y, "^": x ^ y}[op]
        return Expr(f"({a.text} {op} {b.text})", wrap(value, 64, signed), signed)

    def division(self, depth: int) -> Expr:
        a, b = self.pair(depth)
        if b.literal and b.value == 0:
            b = self.random.choice(self.variables)
        op = self.random.choice("/%")
        x, y = a.value & M64, b.value & M64
        value = 1 if y == 0 else x // y if op == "/" else x % y
        signed = either_signed(a, b)
        return Expr(f"({a.text} {op} {b.text})", wrap(value, 64, signed), signed)

    def shift(self, depth: int) -> Expr:
        a = self.random.choice(self.variables) if self.random.random() < 0.5 else self.number(depth)
        if a.literal:
            a = self.random.choice(self.variables)
        count = self.random.choice((0, 1, 3, 8, 31, 32, 40, 63))
        op = self.random.choice(("<<", ">>"))
        value = a.value << count if op == "<<" else (a.value & M64) >> count
        return Expr(f"({a.text} {op} {count})", wrap(value, 64, a.signed), a.signed)

    def unary(self, depth: int) -> Expr:
        a = self.number(depth)
        if a.literal:
            a = self.random.choice(self.variables)
        op = self.random.choice("-~")
        value = -a.value if op == "-" else ~a.value
        return Expr(f"({op}{a.text})", wrap(value, 64, a.signed), a.signed)

    def cast(self, depth: int) -> Expr:
        a = self.expr(depth)
        if a.literal:
            a = self.random.choice(self.variables)
        bits, signed = int(self.random.choice(WIDTHS)), self.random.random() < 0.5
        text = f"({'' if signed else 'u'}int{bits})({a.text})"
        return Expr(text, wrap(a.value, bits, signed), signed)

    def compare(self, depth: int) -> Expr:
        a, b = self.pair(depth)
        op = self.random.choice(("==", "!=", "<", "<=", ">", ">="))
        signed = (a.signed and not a.flexible) or (b.signed and not b.flexible)
        x, y = wrap(a.value, 64, signed), wrap(b.value, 64, signed)
        value = {"==": x == y, "!=": x != y, "<": x < y, "<=": x <= y, ">": x > y, ">=": x >= y}[op]
        return Expr(f"({a.text} {op} {b.text})", int(value), False, kind="bool")

    def logical(self, depth: int) -> Expr:
        a, b = self.expr(depth), self.expr(depth)
        if self.random.random() < 0.3:
            return Expr(f"(!{a.text})", int(not a.value), False, a.literal, "bool")
        op = self.random.choice(("&&", "||"))
        value = (a.value and b.value) if op == "&&" else (a.value or b.value)
        return Expr(f"({a.text} {op} {b.text})", int(bool(value)), False, a.literal and b.literal, "bool")

    def ternary(self, depth: int) -> Expr:
        condition = self.expr(depth)
        a, b = self.number(depth), self.number(depth)
        if a.literal or b.literal or a.signed != b.signed or "(" not in a.text + b.text:
            bits = "int64" if self.random.random() < 0.5 else "uint64"
            a, b = as_type(a, bits), as_type(b, bits)
        chosen = a if condition.value else b
        if condition.literal:  # it is decided, and the result is what was chosen
            chosen = as_type(chosen, "int64")
            text = f"({condition.text} ? {as_type(a, 'int64').text} : {as_type(b, 'int64').text})"
            return Expr(text, chosen.value, True)
        return Expr(f"({condition.text} ? {a.text} : {b.text})", chosen.value, a.signed)


def as_type(expr: Expr, name: str) -> Expr:
    signed = name == "int64"
    return Expr(f"({name})({expr.text})", wrap(expr.value, 64, signed), signed, expr.literal)


def either_signed(a: Expr, b: Expr) -> bool:
    return (a.signed and not a.flexible) or (b.signed and not b.flexible)


def shown(expr: Expr) -> str:
    return ("true" if expr.value else "false") if expr.kind == "bool" else str(expr.value)
