"""Values, blocks, functions and the table of operations.

A function is a graph of blocks; a block has parameters (SSA without phi nodes), a list of values in
order, and one terminator. A value is an operation on earlier values. Aggregates (strings, tuples,
structs) are never values: they lie in memory, in a ``slot`` or in a map, and a pointer stands for them.

Types are short strings. ``i64`` is every scalar: 64 bits, and an operation that needs fewer bits
says so (``zext``, ``sext``, the size of a load). The others are the pointer kinds that the verifier
keeps apart; they never merge at a block parameter::

    ctx         the program's context              stack        into a slot (or into scratch memory)
    map         a map itself                       map_value    into a value; ``map_value?`` may be null
    mem         a ring reservation; ``mem?``       func         a callback
    kernel      a kernel pointer with a BTF type   packet       packet data
    none        no result

Block parameters are always ``i64``, or one pointer kind throughout.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple

    from cygnet.source import Span
else:
    from cygnet.named import NamedTuple

I64 = "i64"
NONE = "none"
#: the farthest from a pointer that an instruction reaches, upwards
FARTHEST = 0x7FFF


class OpRow(NamedTuple):
    """One operation: how many arguments (-1: any), what it may do, and its stratum.

    `effect`: ``pure`` (may be shared, folded, dropped), ``read`` (may be dropped, not moved across a
    write), ``write`` (kept, in order), ``end`` (a terminator). `level`: ``core`` has instructions;
    ``high`` is rewritten by `ir.rules` first.
    """

    arity: int
    effect: str
    level: str = "core"


# What `imm` holds is said at the right. BLOCK means a Block; a reloc is a spec.relocs.RelocTemplate.
OPS: dict[str, OpRow] = {
    "const": OpRow(0, "pure"),  # the number, as a signed 64-bit int
    "param": OpRow(0, "pure"),  # index: a block parameter or a function parameter
    "ctx": OpRow(0, "pure"),  # the context pointer of a main function
    "slot": OpRow(0, "pure"),  # (size, align, name): the address of a memory object of this function
    "map": OpRow(0, "pure"),  # map name
    "map_value": OpRow(0, "pure"),  # (map name, offset): address inside the value of a one-element array
    "func": OpRow(0, "pure"),  # name of a callback function of the module
    "reloc": OpRow(0, "pure"),  # reloc: a number that the loader fills in (where = imm64 or imm)
    **dict.fromkeys(
        ("add", "sub", "mul", "udiv", "umod", "sdiv", "smod", "and", "or", "xor", "shl", "shr", "sar"),
        OpRow(2, "pure"),
    ),
    "neg": OpRow(1, "pure"),
    "zext": OpRow(1, "pure"),  # size in bytes: 1, 2, 4
    "sext": OpRow(1, "pure"),  # size in bytes: 1, 2, 4
    "bswap": OpRow(1, "pure"),  # size in bytes: 2, 4, 8
    "cmp": OpRow(2, "pure"),  # condition: 0 or 1
    "load": OpRow(1, "read"),  # (size, signed, offset, reloc or None)
    "store": OpRow(2, "write"),  # (size, offset): args (pointer, value)
    "atomic": OpRow(2, "write"),  # (op, size, offset, fetch): op add or and xor xchg
    "call": OpRow(-1, "write"),  # helper name
    "kfunc": OpRow(-1, "write"),  # kfunc name
    "callsub": OpRow(-1, "write"),  # function name in the module
    "memzero": OpRow(1, "write", "high"),  # (size, offset)
    "memcpy": OpRow(2, "write", "high"),  # size: args (to, from); both 8-byte aligned when size allows
    "memeq": OpRow(2, "read", "high"),  # size: 0 or 1
    "jump": OpRow(-1, "end"),  # BLOCK: args are its parameters
    "br": OpRow(2, "end"),  # (condition, BLOCK, BLOCK): neither has parameters
    "may_goto": OpRow(0, "end"),  # (BLOCK, BLOCK): go on, or out when the kernel's loop budget is spent
    "ret": OpRow(1, "end"),
}

#: condition -> the one that holds exactly when it does not
INVERSE = {
    "eq": "ne", "ne": "eq", "ult": "uge", "uge": "ult", "ule": "ugt", "ugt": "ule",
    "slt": "sge", "sge": "slt", "sle": "sgt", "sgt": "sle", "set": "clear", "clear": "set",
}  # fmt: skip
#: condition -> the same with its operands exchanged
SWAPPED = {
    "eq": "eq", "ne": "ne", "ult": "ugt", "ugt": "ult", "ule": "uge", "uge": "ule",
    "slt": "sgt", "sgt": "slt", "sle": "sge", "sge": "sle", "set": "set", "clear": "clear",
}  # fmt: skip

#: what a helper returns when it is not a scalar
HELPER_RESULT = {
    "map_lookup_elem": "map_value?",
    "map_lookup_percpu_elem": "map_value?",
    "ringbuf_reserve": "mem?",
    "get_current_task_btf": "kernel",
    "per_cpu_ptr": "kernel?",
    "this_cpu_ptr": "kernel",
    "task_pt_regs": "kernel",
}

_MASK = (1 << 64) - 1


def signed64(number: int) -> int:
    """The number modulo 2**64, as a signed value."""
    number &= _MASK
    return number - (1 << 64) if number >> 63 else number


class Value:
    """One operation and its result. Compared by identity."""

    __slots__ = ("args", "imm", "op", "span", "type")

    def __init__(self, op: str, args: tuple[Value, ...], imm: Any, type: str, span: Span | None) -> None:
        self.op = op
        self.args = args
        self.imm = imm
        self.type = type
        self.span = span

    def __repr__(self) -> str:
        return f"<{self.op} {self.imm!r} {self.type}>"


class Block:
    """A list of values and, last, a terminator. `preds` are the blocks that end here."""

    __slots__ = ("body", "name", "params", "preds", "sealed", "term")

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.params: list[Value] = []
        self.body: list[Value] = []
        self.term: Value | None = None
        self.preds: list[Block] = []
        self.sealed = False

    def successors(self) -> tuple[Block, ...]:
        term = self.term
        if term is None or term.op == "ret":
            return ()
        if term.op == "jump":
            return (term.imm,)
        if term.op == "br":
            return (term.imm[1], term.imm[2])
        return (term.imm[0], term.imm[1])

    def __repr__(self) -> str:
        return f"<Block {self.name}>"


class Function:
    """One program or subprogram. `kind`: ``main`` (takes ctx), ``callback`` (parameters as the helper
    gives them) or ``sub``. `preemptible` programs cannot keep scratch memory per CPU without a lock."""

    __slots__ = ("blocks", "kind", "name", "param_types", "preemptible", "span")

    def __init__(
        self,
        name: str,
        kind: str = "main",
        param_types: tuple[str, ...] = (),
        *,
        preemptible: bool = False,
        span: Span | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.param_types = param_types
        self.blocks: list[Block] = []
        self.preemptible = preemptible
        self.span = span


class Module:
    """One program: its main function first, then its callbacks and subprograms."""

    __slots__ = ("functions",)

    def __init__(self, functions: list[Function]) -> None:
        self.functions = functions
