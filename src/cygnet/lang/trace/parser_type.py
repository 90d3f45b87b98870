"""Type names, and telling a cast from a parenthesised expression."""

from __future__ import annotations

from cygnet.lang.trace.ast import TypeName
from cygnet.lang.trace.parser_base import Cursor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.lang.trace.ast import Expr

_TAGS = frozenset(("struct", "union", "enum"))
_QUALIFIERS = frozenset(("const", "volatile"))
_C_WORDS = frozenset(("unsigned", "signed", "char", "short", "int", "long"))
# Names that are types wherever they stand: none of them can be a value.
TYPE_WORDS = frozenset(
    (
        "bool", "void", "string", "buffer", "inet", "float", "double",
        "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64",
        "__u8", "__u16", "__u32", "__u64", "__s8", "__s16", "__s32", "__s64",
        "__be16", "__be32", "__be64", "__le16", "__le32", "__le64",
    )
).union(_C_WORDS)  # fmt: skip
# What can follow the parenthesis of a cast and cannot follow that of a value.
_OPERAND_FIRST = frozenset((
    "IDENT", "INT", "STR", "VAR", "MAP", "PARAM", "(", "!", "~", "true", "false", "config",
    "sizeof", "offsetof", "typeof", "typeinfo", "comptime",
))  # fmt: skip


class TypeParser(Cursor):
    __slots__ = ()

    def type_expr(self) -> Expr:
        """An expression; `ExprParser` gives it."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------------ looking ahead

    def type_ahead(self, i: int) -> tuple[int, bool]:
        """Do the tokens from index `i` on spell a type? Where it ends (-1: no), and if it can be nothing else."""
        kinds = self.kinds
        i, sure = self._skip_qualifiers(i)
        if kinds[i] in _TAGS:
            if kinds[i + 1] != "IDENT":
                return -1, False
            i, sure = i + 2, True
        elif kinds[i] == "typeof":
            i, sure = self._closing(i + 1), True
        elif kinds[i] == "IDENT":
            word = self.word(i)
            sure = sure or word in TYPE_WORDS or word.endswith("_t") or word in self.own_types
            i += 1
            if word in _C_WORDS:
                while kinds[i] == "IDENT" and self.word(i) in _C_WORDS:
                    i += 1
        else:
            return -1, False
        return self._suffix_ahead(i, sure)

    def _suffix_ahead(self, i: int, sure: bool) -> tuple[int, bool]:
        """Over stars and brackets."""
        kinds = self.kinds
        i, qualified = self._skip_qualifiers(i)
        while kinds[i] == "*":
            i, _ = self._skip_qualifiers(i + 1)
            qualified = True
        while kinds[i] == "[":
            if kinds[i + 1] == "]":
                i += 2
                qualified = True
            elif kinds[i + 1] == "INT" and kinds[i + 2] == "]":
                i += 3
            else:
                return -1, False
        return i, sure or qualified

    def _skip_qualifiers(self, i: int) -> tuple[int, bool]:
        found = False
        while self.kinds[i] == "IDENT" and self.word(i) in _QUALIFIERS:
            i += 1
            found = True
        return i, found

    def _closing(self, i: int) -> int:
        """The index after the parenthesis that closes the one at `i`; -1 without one."""
        level = 0
        kinds = self.kinds
        while True:
            kind = kinds[i]
            if kind == "(":
                level += 1
            elif kind == ")":
                level -= 1
            elif kind == "END":
                return i
            i += 1
            if level <= 0:
                return i

    def cast_ahead(self) -> bool:
        """At ``(``: does a cast begin here? ``(x)-1`` does not, ``(x *)-1``, ``(size_t)-1`` and ``(x)$y`` do."""
        end, sure = self.type_ahead(self.at + 1)
        if end < 0 or self.kinds[end] != ")":
            return False
        after = self.kinds[end + 1]
        return after in _OPERAND_FIRST or (sure and after != "{")  # if (…) { is no cast

    # ------------------------------------------------------------------------------------------------------ reading

    def type_or_expr(self) -> Expr:
        """An argument that may be a type. A bare name stays an `Ident`: what it names is not known here."""
        end, sure = self.type_ahead(self.at)
        if sure and self.kinds[end] in ",)":
            return self.type_name()
        return self.type_expr()

    def type_name(self) -> TypeName:
        start = self.starts[self.at]
        self.at, _ = self._skip_qualifiers(self.at)
        kind = self.kinds[self.at]
        keyword = base = ""
        of: Expr | None = None
        if kind in _TAGS:
            self.at += 1
            keyword = kind
            base = self.word(self.take("IDENT", f"the name of a {kind}"))
        elif kind == "typeof":
            self.at += 1
            self.take("(")
            self.deepen()
            of = self.type_or_expr()
            self.depth -= 1
            self.take(")")
        else:
            base = self._words()
        pointers = self._stars()
        return TypeName(self.since(start), keyword, base, pointers, self._dims(), of)

    def _words(self) -> str:
        words = [self.word(self.take("IDENT", "a type"))]
        if words[0] in _C_WORDS:
            while self.kinds[self.at] == "IDENT" and self.word(self.at) in _C_WORDS:
                words.append(self.word(self.at))
                self.at += 1
        return " ".join(words)

    def _stars(self) -> int:
        stars = 0
        self.at, _ = self._skip_qualifiers(self.at)
        while self.kinds[self.at] == "*":
            stars += 1
            self.at, _ = self._skip_qualifiers(self.at + 1)
        return stars

    def _dims(self) -> tuple[int | None, ...]:
        dims: list[int | None] = []
        while self.kinds[self.at] == "[":
            self.at += 1
            if self.kinds[self.at] == "]":
                dims.append(None)
            else:
                dims.append(self.int_value(self.take("INT", "a number of elements")))
            self.take("]")
        return tuple(dims)
