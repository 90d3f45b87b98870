"""printf of a pinned iterator: text made in the kernel, for whoever reads the file; nobody else is there to make it."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.spec.formats import LENGTHS, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.ir.core import Value
    from cygnet.lang.trace.builtins.base import Args
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.instances import Instance
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.spec.formats import Spec

_NUMBERS = frozenset("diuxXc")
_MOST = 12  # kernel/bpf/helpers.c: MAX_BPRINTF_VARARGS
_FORMAT_BYTES = 200
#: what is performed in user space, and cannot be without us
_OURS = frozenset(("print", "errorf", "warnf", "time", "cat", "join", "system", "exit", "clear", "zero"))


def is_pinned(instance: Instance) -> bool:
    return instance.match.kind == "iter" and bool(instance.match.targets[0].get("pin"))


def foreign_call(probe: ast.Probe) -> ast.Call | None:
    """A call in the probe that user space would have to perform."""
    return next((node for node in ast.walk(probe) if isinstance(node, ast.Call) and node.name in _OURS), None)


def check(c: Checker, node: ast.Call, args: Args) -> None:
    """Only what the kernel's own printing can do (bpf_seq_printf)."""
    if not isinstance(args[0].const, bytes):
        return
    specs = [spec for _, spec in parse(args[0].const.decode("utf-8", "replace")) if spec is not None]
    if len(specs) > _MOST:
        c.error(f"printf of a pinned iterator can not have more than {_MOST} arguments", node.span)
    if len(args[0].const) > _FORMAT_BYTES:
        c.error(f"printf of a pinned iterator: the format has more than {_FORMAT_BYTES} bytes", args[0].span)
    for spec, arg in zip(specs, args[1:]):
        wanted = arg.type.kind == "str" if spec.letter == "s" else arg.type.kind in T.SCALARS
        if not wanted or spec.letter not in _NUMBERS | {"s", "p"} or spec.precision >= 0 or "#" in spec.flags:
            c.error(f"printf of a pinned iterator can not print '{T.name(arg.type)}' with %{spec.letter}", arg.span,
                    ["d i u x X c for numbers, p for pointers, s for strings, with a width"])  # fmt: skip


def lower(g: Lowerer, args: Args) -> Value:
    """bpf_seq_printf(ctx.meta.seq, …): both are the first members of their structures (include/linux/bpf.h)."""
    assert isinstance(args[0].const, bytes)
    pieces = parse(args[0].const.decode("utf-8", "surrogateescape"))
    text = "".join(literal.replace("%", "%%") + ("" if spec is None else _spelt(spec)) for literal, spec in pieces)
    specs = [spec for _, spec in pieces if spec is not None]
    words = [_word(g, spec, arg) for spec, arg in zip(specs, args[1:])]
    data = text.encode("utf-8", "surrogateescape") + b"\0"
    format = g.new_slot(len(data), "format")
    g.store_bytes(data[:-1], T.string(len(data)), format, 0, False)
    array = g.new_slot(8 * max(1, len(words)), "data")
    for at, word in enumerate(words):
        g.b.store(array, word, 8, 8 * at)
    meta = g.b.load_pointer(g.ctx(), 0, "kernel")
    seq = g.b.load_pointer(meta, 0, "kernel")
    g.b.call("seq_printf", seq, format, g.const(len(data)), array, g.const(8 * len(words)))
    return g.const(0)


def _spelt(spec: Spec) -> str:
    width = str(spec.width) if spec.width else ""
    letter = {"s": "s", "c": "c", "p": "llx", "i": "lld"}.get(spec.letter, "ll" + spec.letter)
    return f"{'0x' if spec.letter == 'p' else ''}%{spec.flags}{width}{letter}"


def _word(g: Lowerer, spec: Spec, arg: ast.Expr) -> Value:
    """The eight bytes of an argument: a number cut to what its conversion prints, or where a string lies."""
    if spec.letter == "s":
        return g.place(arg, arg.type)
    value = g.scalar(arg)
    size = 8 if spec.letter == "p" else LENGTHS[spec.length]
    if size == 8:
        return value
    return g.b.sext(value, size) if spec.letter in "di" else g.b.zext(value, size)
