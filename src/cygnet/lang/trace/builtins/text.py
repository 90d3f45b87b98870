"""Builtins on strings and buffers."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.builtins.base import Builtin, literal
from cygnet.lang.trace.check.places import placed
from cygnet.lang.trace.lower.core import READ
from cygnet.lang.trace.lower.operands import Gen, Mem
from cygnet.lang.trace.lower.strings import compare, equal_bytes, find_any, find_literal, search, text_type
from cygnet.lang.trace.records import is_char

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.ir.core import Block, Value
    from cygnet.lang.trace.builtins.base import Args, Operand
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.types import Type


def pointer_space(g: Lowerer, type: Type) -> str:
    """Where an address of this type points: a plain number points where the probe's pointers do."""
    if type.kind != "ptr" or not type.space:
        return g.instance.match.space
    return T.memory(type.space)


class Str(Builtin):
    """str(p[, n]): up to n - 1 bytes and a NUL from an address, read where it is used."""

    arity = (1, 2)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        size = self._size(c, args)
        first = args[0]
        if (text := self._parameter(c, first)) is not None:
            node.const = text if len(args) == 1 else text[: max(size - 1, 0)]
            return T.string(len(node.const) + 1)
        type = placed(c, first)
        if first.const is not None and isinstance(first, (ast.StrLit, ast.Positional, ast.Binary)):
            text = first.const if isinstance(first.const, bytes) else str(int(first.const)).encode()
            node.const = text if len(args) == 1 else text[: max(size - 1, 0)]
            return T.string(len(node.const) + 1)
        if type.kind in ("str", "unknown"):
            whole = type.kind == "str" and len(args) == 1 and type.size in (size, size + 1)
            return type if whole else T.string(min(size, type.size or size))
        if type.kind == "array" and type.elem.size == 1:
            return T.string(min(size, type.length or size))
        if type.kind not in ("ptr", "int"):
            c.error(
                f"str() expects an integer or a pointer type as first argument ('{T.name(type)}' provided)", first.span
            )
        return T.string(size) if len(args) > 1 else T.read_string(size)

    @staticmethod
    def _parameter(c: Checker, node: ast.Expr) -> bytes | None:
        """The text of `$1`, or of `$1 + 3` what follows 3 characters: of a number, too. None for what is neither."""
        if isinstance(node, ast.Positional):
            text: bytes = c.params.text(node.number)
            node.const = text
            return text
        if not isinstance(node, ast.Binary) or node.op != "+" or not isinstance(node.left, ast.Positional):
            return None
        c.number(node.right, "the count of characters that str() skips")
        skipped = node.right.const
        return c.params.text(node.left.number)[skipped:] if skipped.__class__ is int and skipped >= 0 else None

    def _size(self, c: Checker, args: Args) -> int:
        """The capacity: max_strlen, or less when the length is a literal."""
        most: int = c.config["max_strlen"]
        if len(args) == 1:
            return most
        c.number(args[1], "str()'s length")
        length = args[1].const
        if length.__class__ is int:
            if length < 0:
                c.error(f"str() requires a non-negative length ({length} provided)", args[1].span)
            return max(1, min(most, length))
        return most

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        type = node.type
        first = args[0]
        limit = None
        if len(args) > 1 and args[1].const is None:
            limit = g.scalar(args[1])
        if first.type.kind in ("str", "array"):
            thing = g.operand(first)
            if isinstance(thing, Gen):
                thing = Mem(g.in_memory(thing, first.type), "bpf", first.type)
            assert isinstance(thing, Mem)
            return Mem(thing.addr, thing.space, type, thing.offset, padded=thing.padded, limit=limit, root=thing.root,
                       path=thing.path)  # fmt: skip
        return Mem(g.scalar(first), pointer_space(g, first.type), type, limit=limit)


class Buf(Builtin):
    """buf(p[, n]): n bytes as they are."""

    arity = (1, 2)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        type = placed(c, args[0])
        most: int = max(c.config["max_strlen"] - 4, 1)
        if len(args) == 1:
            if type.kind == "array":
                return T.Type("buf", min(most, T.natural_size(type)))
            if type.kind == "str":
                return T.Type("buf", min(most, type.size))
            if type.kind != "unknown":
                c.error("buf() expects a length argument for a pointer or an integer", node.span)
            return T.Type("buf", most)
        c.number(args[1], "buf()'s length")
        length = args[1].const
        if length.__class__ is int:
            if length < 0:
                c.error(f"buf() requires a non-negative length ({length} provided)", args[1].span)
            return T.Type("buf", max(1, min(most, length)))
        return T.Type("buf", most)

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        first, type = args[0], node.type
        if first.type.kind in ("array", "str"):
            thing = g.operand(first)
            if isinstance(thing, Gen):
                thing = Mem(g.in_memory(thing, first.type), "bpf", first.type)
            assert isinstance(thing, Mem)
            source, space = g.address(thing), thing.space
        else:
            source, space = g.scalar(first), pointer_space(g, first.type)
        length = g.const(type.size)
        if len(args) > 1:
            length = g._limited(g.scalar(args[1]), type.size)

        def store(pointer: Value, offset: int, wanted: Type, pad: bool) -> None:
            if pad or length.op != "const":
                g.b.memzero(pointer, T.storage(wanted), offset)
            g.b.store(pointer, length, 4, offset)
            g.fetch(READ.get(space, "probe_read_kernel"), g.b.offset(pointer, offset + 4), length, source)

        return Gen(type, store)


def is_text(type: Type) -> bool:
    if type.kind in ("str", "unknown"):
        return True
    return type.kind in ("array", "ptr") and is_char(type.elem)


def check_text(c: Checker, node: ast.Expr, name: str) -> Type:
    type = c.value(node)
    if not is_text(type):
        c.error(f"{name}() expects a string, not '{T.name(type)}'", node.span)
        return T.string(1)
    return type


def place_text(g: Lowerer, node: ast.Expr, least: int = 1) -> tuple[Value, int]:
    """A string in memory of ours, and how many bytes may be looked at."""
    type = node.type
    if type.kind == "ptr":
        size = g.unit.config["max_strlen"]
        text = Mem(g.scalar(node), pointer_space(g, type), T.string(size))
        return g.in_memory(text, text.type), size
    type = text_type(type)
    return g.place(node, type), type.size


class StrnCmp(Builtin):
    """strncmp(a, b, n): 0 when the first n bytes are equal, else 1."""

    arity = (3, 3)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        check_text(c, args[0], self.name)
        check_text(c, args[1], self.name)
        length = literal(c, args[2], "strncmp()'s length")
        if length is not None and (length.__class__ is not int or length < 0):
            c.error("strncmp()'s length must be a number that is not negative", args[2].span)
        a, b = args[0].const, args[1].const
        if isinstance(a, bytes) and isinstance(b, bytes) and length.__class__ is int:
            node.const = int((a + b"\0")[:length] != (b + b"\0")[:length])
        return T.UINT64

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        left, right, length = args[0], args[1], args[2].const
        if isinstance(left.const, bytes):
            left, right = right, left
        if isinstance(right.const, bytes):
            wanted = (right.const + b"\0")[:length]
            pointer, size = self._place(g, left, len(wanted))
            if len(wanted) > size:
                return g.const(1)
            return g.b.binary("xor", equal_bytes(g, pointer, wanted), g.const(1))
        a, size_a = place_text(g, left)
        b, size_b = place_text(g, right)
        same = compare(g, a, b, min(length, size_a, size_b), "equal")
        return g.b.binary("xor", same, g.const(1))

    @staticmethod
    def _place(g: Lowerer, node: ast.Expr, count: int) -> tuple[Value, int]:
        """Only as much of the string as is compared, and one byte more."""
        if node.type.kind == "ptr":
            text = Mem(g.scalar(node), pointer_space(g, node.type), T.string(max(8, count + 1)))
            return g.in_memory(text, text.type), text.type.size
        type = text_type(node.type)
        return g.place(node, T.string(min(type.size, max(8, count + 1)))), type.size


class StrContains(Builtin):
    """strcontains(haystack, needle): true when it is there. strstr: where, or -1."""

    arity = (2, 2)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        check_text(c, args[0], self.name)
        check_text(c, args[1], self.name)
        hay, needle = args[0].const, args[1].const
        if isinstance(hay, bytes) and isinstance(needle, bytes):
            at = hay.find(needle)
            node.const = at >= 0 if self.name == "strcontains" else at
        return T.BOOL if self.name == "strcontains" else T.INT64

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        hay, needle = args
        if needle.const == b"":
            return g.const(1 if self.name == "strcontains" else 0)
        pointer, size = place_text(g, hay)
        if isinstance(needle.const, bytes):
            at = find_literal(g, pointer, size, needle.const)
        else:
            at = find_any(g, pointer, size, *place_text(g, needle))
        return g.b.cmp("ne", at, g.const(-1)) if self.name == "strcontains" else at


class StrLen(Builtin):
    arity = (1, 1)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        check_text(c, args[0], self.name)
        if isinstance(args[0].const, bytes):
            node.const = len(args[0].const)
        return T.UINT64

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        pointer, size = place_text(g, args[0])

        def ends(index: Value, yes: Block, no: Block) -> None:
            g.b.br("eq", g.b.load(g.b.add(pointer, index), 1), g.const(0), yes, no)

        return search(g, pointer, size, ends, g.const(size))


class StrCap(StrLen):
    """strcap(s): the capacity; of a pointer, the same as strlen."""

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        type = check_text(c, args[0], self.name)
        if type.kind in ("str", "array"):
            node.const = type.size if type.kind == "str" else type.length
        return T.UINT64


class MemCmp(Builtin):
    """memcmp(a, b, n): 0, or the difference of the first bytes that differ."""

    arity = (3, 3)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        for arg in args[:2]:
            check_text(c, arg, self.name)
        literal(c, args[2], "memcmp()'s length")
        return T.INT64

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        a, size_a = place_text(g, args[0])
        b, size_b = place_text(g, args[1])
        return compare(g, a, b, min(args[2].const, size_a, size_b), "order")


ROWS: dict[str, Builtin] = {
    "str": Str("str"),
    "buf": Buf("buf"),
    "strncmp": StrnCmp("strncmp"),
    "strcontains": StrContains("strcontains"),
    "strstr": StrContains("strstr"),
    "strlen": StrLen("strlen"),
    "strcap": StrCap("strcap"),
    "memcmp": MemCmp("memcmp"),
}
