"""Expressions in template arguments and decltype."""

from __future__ import annotations

from cygnet.elf.cxx.names import Names
from cygnet.elf.cxx.texts import LITERALS, LONGEST, OPERATORS, UNARY, Type, Unread, in_angles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Reader(Names):
    """Reads a whole mangled name: names and types, and the expressions in them."""

    __slots__ = ()

    def _literal(self) -> str:
        self._need("L")
        if self._take("_Z"):
            outer = self._template
            text = self._encoding(False)
            self._template = outer
            self._need("E")
            return text
        kind = self._peek()
        of = self._type()
        start = self._at
        end = self._text.find("E", start)
        if end < 0:
            raise Unread
        value = self._text[start:end]
        self._at = end + 1
        value = "-" + value[1:] if value.startswith("n") else value
        if kind == "b" and value in ("0", "1"):
            return "true" if value == "1" else "false"
        if kind in LITERALS:
            return value + LITERALS[kind]
        if str(of) == "decltype(nullptr)":
            return f"({of}){value or 0}"
        return f"({of})[{value}]" if kind in "fdeg" else f"({of}){value}"

    def _expression(self) -> str:
        self._deeper()
        text = self._read_expression()
        self._depth -= 1
        if len(text) > LONGEST:
            raise Unread
        return text

    def _read_expression(self) -> str:
        if self._peek() == "L":
            return self._literal()
        if self._peek() == "T":
            return str(self._template_parameter())
        if self._peek().isdecimal():
            return self._with_optional_arguments(self._source_name())
        two = self._peek(2)
        self._at += 2
        if two == "fp":
            if self._take("T"):
                return "this"
            self._cv()
            return f"{{parm#{self._sequence() + 1}}}"
        if two in _EXPRESSIONS:
            return _EXPRESSIONS[two](self)
        if two in UNARY:
            if two in ("pp", "mm"):
                return f"{OPERATORS[two]}{self._operand()}" if self._take("_") else f"{self._operand()}{OPERATORS[two]}"
            return f"{OPERATORS[two]}{self._address_of() if two == 'ad' else self._operand()}"
        if two in OPERATORS and two not in ("nw", "na", "cl", "qu"):
            text = f"{self._operand()}{OPERATORS[two]}{self._operand()}"
            return f"({text})" if two == "gt" else text
        raise Unread

    def _with_optional_arguments(self, text: str) -> str:
        return text + in_angles(self._template_arguments()) if self._peek() == "I" else text

    def _operand(self) -> str:
        plain = self._peek().isdecimal() or self._peek(2) in ("fp", "il", "tl", "sr")
        text = self._expression()
        return text if plain else f"({text})"

    def _address_of(self) -> str:
        """The operand of ``&``: of a function that is no template, the name alone."""
        if not self._take("L_Z"):
            return self._operand()
        outer, start, seen = self._template, self._at, len(self._seen)
        name, _, returns = self._name(True)
        if returns:
            self._at = start
            del self._seen[seen:]
            text = f"({self._encoding()})"
        else:
            text = name.left
            self._parameters()
        self._template = outer
        self._need("E")
        return text

    def _list(self) -> str:
        found = []
        while not self._take("E"):
            found.append(self._expression())
        return ", ".join(text for text in found if text)

    def _call(self) -> str:
        plain = self._peek().isdecimal() or self._peek(2) == "on"
        function = self._expression()
        return f"{function if plain else f'({function})'}({self._list()})"

    def _conversion(self) -> str:
        of = self._type()
        if self._take("_"):
            return f"({of})({self._list()})"
        return f"({of}){self._operand()}"

    def _scoped(self) -> str:
        if not self._peek().isdecimal():
            return f"{self._type()}::{self._unresolved()}"
        parts = []
        while not self._take("E"):
            parts.append(self._with_optional_arguments(self._source_name()))
        return "::".join([*parts, self._unresolved()])

    def _unresolved(self) -> str:
        if self._take("dn"):
            return "~" + str(self._type())
        if self._take("on"):
            return self._with_optional_arguments(self._operator_name())
        if self._peek().isdecimal():
            return self._with_optional_arguments(self._source_name())
        return self._with_optional_arguments(self._operator_name())

    def _packed_expression(self) -> str:
        return str(self._expansion(lambda: Type(self._expression())))

    def _conditional(self) -> str:
        return f"{self._operand()}?{self._operand()} : {self._operand()}"

    def _pack_count(self) -> str:
        outer, self._pack_size = self._pack_size, -1
        if self._peek() == "T":
            of = self._template_parameter()
            self._pack_size = outer
            if of.pack is not None:
                return str(len(of.pack))
        raise Unread


_EXPRESSIONS: dict[str, Callable[[Reader], str]] = {
    "cl": Reader._call,
    "cv": Reader._conversion,
    "sr": Reader._scoped,
    "sp": Reader._packed_expression,
    "qu": Reader._conditional,
    "sZ": Reader._pack_count,
    "on": lambda r: r._with_optional_arguments(r._operator_name()),
    "st": lambda r: f"sizeof ({r._type()})",
    "sz": lambda r: f"sizeof {r._operand()}",
    "at": lambda r: f"alignof ({r._type()})",
    "az": lambda r: f"alignof {r._operand()}",
    "ti": lambda r: f"typeid ({r._type()})",
    "te": lambda r: f"typeid {r._operand()}",
    "nx": lambda r: f"noexcept{r._operand()}",
    "sc": lambda r: f"static_cast<{r._type()}>{r._operand()}",
    "dc": lambda r: f"dynamic_cast<{r._type()}>{r._operand()}",
    "rc": lambda r: f"reinterpret_cast<{r._type()}>{r._operand()}",
    "cc": lambda r: f"const_cast<{r._type()}>{r._operand()}",
    "dt": lambda r: f"{r._operand()}.{r._unresolved()}",
    "pt": lambda r: f"{r._operand()}->{r._unresolved()}",
    "ds": lambda r: f"{r._operand()}.*{r._operand()}",
    "il": lambda r: f"{{{r._list()}}}",
    "tl": lambda r: f"{r._type()}{{{r._list()}}}",
    "tw": lambda r: f"throw {r._operand()}",
}
