"""Builtins for network addresses and byte order."""

from __future__ import annotations

from cygnet.lang.trace import types as T
from cygnet.lang.trace.builtins.base import Builtin, literal_text
from cygnet.lang.trace.lower.operands import Gen, Mem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.ir.core import Value
    from cygnet.lang.trace import ast
    from cygnet.lang.trace.builtins.base import Args, Operand
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.types import Type

AF_INET, AF_INET6 = 2, 10


class Ntop(Builtin):
    """ntop([family,] address): an IPv4 address as a number or 4 bytes, an IPv6 one as 16 bytes."""

    arity = (1, 2)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        if len(args) == 2:
            c.number(args[0], "ntop()'s address family")
        type = c.value(args[-1])
        if type.kind == "array":
            if T.natural_size(type) not in (4, 16):
                c.error(f"ntop() expects 4 or 16 bytes, not {T.natural_size(type)}", args[-1].span)
        elif type.kind == "struct":
            if type.size not in (4, 16):
                c.error(f"ntop() expects 4 or 16 bytes, not {type.size}", args[-1].span)
        elif type.kind == "str":
            if type.size not in (4, 5, 16, 17):  # with or without the NUL of a literal
                c.error(f"ntop() expects 4 or 16 bytes, not '{T.name(type)}'", args[-1].span)
        elif type.kind not in ("int", "ptr", "unknown"):
            c.error(f"ntop() expects an integer or array argument, not '{T.name(type)}'", args[-1].span)
        return T.INET

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        type = args[-1].type
        size = type.size if type.kind in ("struct", "str") else T.natural_size(type) if type.kind == "array" else 4
        family = g.scalar(args[0]) if len(args) == 2 else g.const(AF_INET if size == 4 else AF_INET6)
        if type.kind in ("int", "ptr"):
            number = g.scalar(args[-1])

            def write(pointer: Value, offset: int) -> None:
                g.b.store(pointer, number, 4, offset)

        else:
            thing = g.operand(args[-1])
            place = thing if isinstance(thing, Mem) else Mem(g.in_memory(thing, type), "bpf", type)

            def write(pointer: Value, offset: int) -> None:
                self._copy(g, place, min(size, 16), pointer, offset)

        def store(pointer: Value, offset: int, wanted: Type, pad: bool) -> None:
            g.b.memzero(pointer, T.storage(T.INET), offset)
            g.b.store(pointer, family, 4, offset)
            write(pointer, offset + 4)

        return Gen(T.INET, store)

    @staticmethod
    def _copy(g: Lowerer, place: Mem, size: int, pointer: Value, offset: int) -> None:
        from cygnet.lang.trace.lower.core import READ

        read = READ.get(place.space, "probe_read_kernel")
        g.fetch(read, g.b.offset(pointer, offset), g.const(size), g.address(place))


class MacAddr(Builtin):
    arity = (1, 1)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        type = c.value(args[0])
        ok = (type.kind == "array" and T.natural_size(type) == 6) or (type.kind == "str" and type.size in (6, 7))
        ok = ok or type.kind == "int" or (type.kind == "ptr" and type.elem is not None and type.elem.size in (1, 6))
        if not ok and type.kind != "unknown":
            c.error(f"macaddr() expects an array of 6 bytes or a pointer to them, not '{T.name(type)}'", args[0].span)
        return T.MAC

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        thing = g.operand(args[0])
        if not isinstance(thing, (Mem, Gen)):  # an address
            from cygnet.lang.trace.builtins.text import pointer_space

            thing = Mem(thing, pointer_space(g, args[0].type), T.MAC)
        place = thing if isinstance(thing, Mem) else Mem(g.in_memory(thing, args[0].type), "bpf", args[0].type)

        def store(pointer: Value, offset: int, wanted: Type, pad: bool) -> None:
            g.b.store(pointer, g.const(0), 8, offset)
            Ntop._copy(g, place, 6, pointer, offset)

        return Gen(T.MAC, store)


class Pton(Builtin):
    """pton("::1"): an address literal as bytes."""

    arity = (1, 1)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        text = literal_text(c, args[0], "pton()'s argument")
        if text is None:
            return T.UNKNOWN
        try:
            data = _address(text)
        except (OSError, ValueError):
            c.error(f"Invalid IP address: {text}", args[0].span)
            data = bytes(4)
        return T.Type("array", len(data), elem=T.UINT8, length=len(data))

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        data = _address(args[0].const.decode())
        slot = g.new_slot(len(data))
        for at in range(0, len(data), 4):
            g.b.store(slot, g.const(int.from_bytes(data[at : at + 4], "little", signed=True)), 4, at)
        return Mem(slot, "bpf", node.type)


def _address(text: str) -> bytes:
    import socket

    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


class Bswap(Builtin):
    arity = (1, 1)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        type = c.number(args[0], "bswap()'s argument")
        return T.INTS.get((type.size, False), T.UINT64)

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        value = g.scalar(args[0])
        size = node.type.size
        return value if size == 1 else g.b.bswap(value, size)


ROWS: dict[str, Builtin] = {"ntop": Ntop("ntop"), "macaddr": MacAddr("macaddr"), "pton": Pton("pton"),
                            "bswap": Bswap("bswap")}  # fmt: skip
