"""The IR's rules of validity, as a list. `check` says what a function breaks; it repairs nothing."""

from __future__ import annotations

from cygnet.ir.core import I64, NONE, OPS, Block, Function, Value
from cygnet.ir.order import dominators, reverse_postorder
from cygnet.ir.rules import ANYWHERE
from cygnet.ir.text import Printer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HIGH = "high"
CORE = "core"

_POINTERS = frozenset(("ctx", "stack", "map_value", "map_value?", "mem", "mem?", "kernel", "kernel?", "packet"))
_SIZES = (1, 2, 4, 8)


class Checker:
    """What the rules look at."""

    __slots__ = ("blocks", "function", "home", "level", "name")

    def __init__(self, function: Function, level: str) -> None:
        self.function = function
        self.level = level
        self.blocks = function.blocks
        self.home: dict[Value, tuple[Block, int]] = {}  # value -> its block and place, -1 for parameters
        for block in self.blocks:
            for param in block.params:
                self.home[param] = (block, -1)
            for at, value in enumerate(block.body):
                self.home[value] = (block, at)
        self.name = Printer(function).ref

    def values(self) -> Iterator[tuple[Block, int, Value]]:
        for block in self.blocks:
            for at, value in enumerate(block.body):
                yield block, at, value

    def terms(self) -> Iterator[tuple[Block, Value]]:
        for block in self.blocks:
            if block.term is not None:
                yield block, block.term


def _ends(c: Checker) -> Iterator[str]:
    """Every block ends in one terminator, and only there."""
    for block in c.blocks:
        if block.term is None:
            yield f"{_where(c, block)} has no terminator"
        elif OPS[block.term.op].effect != "end":
            yield f"{_where(c, block)} ends in {block.term.op}"
    for block, _, value in c.values():
        if OPS[value.op].effect == "end":
            yield f"{value.op} in the middle of {_where(c, block)}"


def _where(c: Checker, block: Block) -> str:
    return f"b{c.blocks.index(block)}"


def _targets(c: Checker) -> Iterator[str]:
    """Jumps go to blocks of the function; branches to blocks without parameters; argument counts fit."""
    known = set(c.blocks)
    for block, term in c.terms():
        for target in block.successors():
            if target not in known:
                yield f"{_where(c, block)} goes to a block outside the function"
            elif term.op != "jump" and target.params:
                yield f"{_where(c, block)}: {term.op} goes to {_where(c, target)}, which has parameters"
            elif target is c.blocks[0]:
                yield f"{_where(c, block)} goes to the entry block"
        if term.op == "jump" and len(term.args) != len(term.imm.params):
            yield f"{_where(c, block)} gives {len(term.args)} arguments to {len(term.imm.params)} parameters"
    if c.blocks[0].params:
        yield "the entry block has parameters"


def _arity(c: Checker) -> Iterator[str]:
    values = [value for _, _, value in c.values()] + [term for _, term in c.terms()]
    for value in values:
        row = OPS.get(value.op)
        if row is None:
            yield f"unknown operation {value.op!r}"
        elif row.arity >= 0 and len(value.args) != row.arity:
            yield f"{value.op} has {len(value.args)} arguments instead of {row.arity}"
        elif value.op in ("call", "kfunc", "callsub") and len(value.args) > 5:
            yield f"{value.op} {value.imm} has more than 5 arguments"


def _level(c: Checker) -> Iterator[str]:
    """In core form only core operations are left."""
    if c.level == CORE:
        for _, _, value in c.values():
            if OPS[value.op].level != "core":
                yield f"{value.op} is not a core operation"


def _types(c: Checker) -> Iterator[str]:
    for block, _, value in c.values():
        at = _where(c, block)
        if value.op in ("load", "store", "atomic", "memzero", "memcpy", "memeq"):
            pointers = value.args if value.op in ("memcpy", "memeq") else value.args[:1]
            for pointer in pointers:
                if pointer.type not in _POINTERS:
                    yield f"{at}: {value.op} through {c.name(pointer)}, which is {pointer.type}"
        for arg in value.args:
            if arg.type == NONE:
                yield f"{at}: {value.op} uses {c.name(arg)}, which has no result"
        if value.op in ("mul", "udiv", "umod", "sdiv", "smod", "and", "or", "xor", "shl", "shr", "sar", "neg"):
            for arg in value.args:
                if arg.type != I64:
                    yield f"{at}: {value.op} on {c.name(arg)}, which is {arg.type}"
        size = value.imm[0] if value.op in ("load", "store") else value.imm[1] if value.op == "atomic" else 8
        if size not in _SIZES or (value.op == "atomic" and size < 4):
            yield f"{at}: {value.op} of {size} bytes"
    for block, term in c.terms():
        if term.op == "ret" and term.args[0].type != I64:
            yield f"{_where(c, block)} returns {term.args[0].type}"


def _merges(c: Checker) -> Iterator[str]:
    """Pointer kinds never merge at a block parameter."""
    for block, term in c.terms():
        if term.op == "jump":
            for arg, param in zip(term.args, term.imm.params):
                if arg.type != param.type:
                    yield f"{_where(c, block)} gives {arg.type} to {c.name(param)}, which is {param.type}"


def _dominance(c: Checker) -> Iterator[str]:
    """Every use comes after its definition, on every path. (The other rules must hold already.)"""
    reached = reverse_postorder(c.blocks[0])
    copy = Function(c.function.name)
    copy.blocks = reached
    preds = [(block, block.preds) for block in reached]
    for block in reached:
        block.preds = [other for other in reached for target in other.successors() if target is block]
    above = dominators(copy)
    for block, before in preds:
        block.preds = before
    for block in reached:
        for at, value in enumerate([*block.body, *([block.term] if block.term else ())]):
            for arg in value.args:
                if arg.op not in ANYWHERE and not _seen(c, arg, block, at, above):
                    yield f"{_where(c, block)}: {value.op} uses {c.name(arg)}, which does not come before it"


def _seen(c: Checker, arg: Value, block: Block, at: int, above: dict[Block, Block]) -> bool:
    place = c.home.get(arg)
    if place is None:
        return False
    home, index = place
    if home is block:
        return index < at
    while True:
        parent = above[block]
        if parent is home:
            return True
        if parent is block:
            return False
        block = parent


RULES: tuple[Callable[[Checker], Iterator[str]], ...] = (_ends, _targets, _arity, _level, _types, _merges)


def check(function: Function, level: str = HIGH) -> list[str]:
    """What is wrong with `function`, a sentence each; `level` "core" also wants only core operations."""
    checker = Checker(function, level)
    wrong = [sentence for rule in RULES for sentence in rule(checker)]
    return wrong if wrong else list(_dominance(checker))
