"""Rewrite rules, as lists: `simplify` removes what is decided or dead, `legalise` leaves core operations.

A value rule takes a value and gives another that replaces it, or None; it may also change the value in
place. Dead values need no rule: instruction selection never comes to them.
"""

from __future__ import annotations

from cygnet.ir.build import COMPARE, FOLD
from cygnet.ir.core import I64, INVERSE, NONE, OPS, SWAPPED, Block, Value, signed64
from cygnet.ir.order import arrange, replace_uses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.ir.core import Function


def const(number: int, like: Value) -> Value:
    return Value("const", (), signed64(number), I64, like.span)


# -- value rules ---------------------------------------------------------------------------------------


def _log2(number: int) -> int:
    """k when number is 2**k (as an unsigned 64-bit number), else -1."""
    number &= (1 << 64) - 1
    return number.bit_length() - 1 if number and not number & (number - 1) else -1


def _fold(value: Value) -> Value | None:
    a, b = value.args
    if a.op == "const" and b.op == "const":
        return const(FOLD[value.op](a.imm, b.imm), value)
    return None


def _constant_left(value: Value) -> Value | None:
    a, b = value.args
    if a.op == "const" and b.op != "const":
        value.args = (b, a)
    return None


def _neutral(value: Value) -> Value | None:
    a, b = value.args
    if b.op == "const":
        if b.imm == 0 and value.op in ("add", "sub", "or", "xor", "shl", "shr", "sar"):
            return a
        if b.imm == 1 and value.op in ("mul", "udiv", "sdiv"):
            return a
        if b.imm == 0 and value.op in ("mul", "and"):
            return b
    return None


def _strength(value: Value) -> Value | None:
    """Multiplication, division and remainder by a power of two."""
    a, b = value.args
    power = _log2(b.imm) if b.op == "const" else -1
    if power < 0:
        return None
    if value.op == "umod":
        value.op, value.args = "and", (a, const(b.imm - 1, value))
    else:
        value.op, value.args = ("shl" if value.op == "mul" else "shr"), (a, const(power, value))
    return None


def _by_zero(value: Value) -> Value | None:
    """The kernel refuses a constant zero divisor; what it means is defined (RFC 9669, 4.1)."""
    a, b = value.args
    if b.op != "const" or b.imm:
        return None
    return a if value.op in ("umod", "smod") else const(0, value)


def _shift_width(value: Value) -> Value | None:
    a, b = value.args
    if b.op == "const" and not 0 <= b.imm <= 63:
        value.args = (a, const(b.imm & 63, value))
        return a if not b.imm & 63 else None
    return None


def _reassociate(value: Value) -> Value | None:
    """(x + c1) + c2 = x + (c1 + c2)."""
    a, b = value.args
    if b.op == "const" and a.op == "add" and a.args[1].op == "const":
        value.args = (a.args[0], const(a.args[1].imm + b.imm, value))
    return None


def _fold_cmp(value: Value) -> Value | None:
    a, b = value.args
    if a.op == "const":
        if b.op == "const":
            return const(int(COMPARE[value.imm](a.imm, b.imm)), value)
        value.args, value.imm = (b, a), SWAPPED[value.imm]
    return None


def _cmp_of_cmp(value: Value) -> Value | None:
    a, b = value.args
    if a.op == "cmp" and b.op == "const" and b.imm in (0, 1) and value.imm in ("eq", "ne"):
        if (value.imm == "ne") == (b.imm == 0):
            return a
        value.args, value.imm = a.args, INVERSE[a.imm]
    return None


def _extend_const(value: Value) -> Value | None:
    (a,) = value.args
    bits = 8 * value.imm
    if a.op == "const":
        number = a.imm & ((1 << bits) - 1)
        return const(number - (1 << bits) if value.op == "sext" and number >> (bits - 1) else number, value)
    return None


def _extend_narrow(value: Value) -> Value | None:
    """A value that already has no more bits than asked for."""
    (a,) = value.args
    if a.op == "cmp":
        return a
    if value.op == "zext":
        narrow = (a.op == "load" and not a.imm[1] and a.imm[0] <= value.imm) or (a.op == "zext" and a.imm <= value.imm)
        return a if narrow else None
    if a.op == "load" and (a.imm[0] < value.imm or (a.imm[1] and a.imm[0] == value.imm)):
        return a
    return None


def _neg_const(value: Value) -> Value | None:
    (a,) = value.args
    return const(-a.imm, value) if a.op == "const" else None


_ARITHMETIC = (_fold, _neutral)
RULES: dict[str, tuple[Callable[[Value], Value | None], ...]] = {
    "add": (_fold, _constant_left, _neutral, _reassociate),
    "sub": _ARITHMETIC,
    "mul": (_fold, _constant_left, _neutral, _strength),
    "udiv": (_fold, _by_zero, _neutral, _strength),
    "umod": (_fold, _by_zero, _strength),
    "sdiv": (_fold, _by_zero, _neutral),
    "smod": (_fold, _by_zero),
    "and": (_fold, _constant_left, _neutral),
    "or": (_fold, _constant_left, _neutral),
    "xor": (_fold, _constant_left, _neutral),
    "shl": (_fold, _shift_width, _neutral),
    "shr": (_fold, _shift_width, _neutral),
    "sar": (_fold, _shift_width, _neutral),
    "neg": (_neg_const,),
    "zext": (_extend_const, _extend_narrow),
    "sext": (_extend_const, _extend_narrow),
    "cmp": (_fold_cmp, _cmp_of_cmp),
}


#: the others have nothing to do unless an operand is a constant
_WITHOUT_CONSTANTS = frozenset(("zext", "sext"))


def rewrite_values(function: Function) -> dict[Value, Value]:
    """Apply RULES to every value once, in dominance order; what was replaced by what."""
    new: dict[Value, Value] = {}
    rules_of = RULES.get
    for block in function.blocks:
        for value in block.body:
            rules = rules_of(value.op)
            if rules is None:
                continue
            if new:
                _update(value, new)
            args = value.args
            if args[-1].op != "const" and args[0].op != "const" and value.op not in _WITHOUT_CONSTANTS:
                continue
            for rule in rules:
                other = rule(value)
                if other is not None:
                    new[value] = other
                    break
    return new


def _update(value: Value, new: dict[Value, Value]) -> None:
    for arg in value.args:
        if arg in new:
            value.args = tuple([_final(arg, new) for arg in value.args])
            return


def _final(value: Value, new: dict[Value, Value]) -> Value:
    while value in new:
        value = new[value]
    return value


# -- block rules ----------------------------------------------------------------------------------------


def decide_branches(function: Function) -> bool:
    """A branch on constants, or with one target, is a jump; a branch on a comparison compares."""
    changed = False
    for block in function.blocks:
        term = block.term
        if term is None or term.op != "br":
            continue
        a, b = term.args
        cond, then, other = term.imm
        while a.op == "cmp" and b.op == "const" and b.imm == 0 and cond in ("eq", "ne"):
            cond = a.imm if cond == "ne" else INVERSE[a.imm]
            a, b = a.args
            term.args, term.imm = (a, b), (cond, then, other)
        if a.op == "const" and b.op == "const":
            then = other = then if COMPARE[cond](a.imm, b.imm) else other
        if then is other:
            block.term = Value("jump", (), then, NONE, term.span)
            changed = True
    return changed


def thread_jumps(function: Function) -> None:
    """A branch or jump to a block that only jumps on goes there directly."""
    for block in function.blocks:
        term = block.term
        if term is None:
            continue
        if term.op == "jump":
            if not term.args:
                term.imm = _end_of_chain(term.imm)
        elif term.op == "br":
            cond, then, other = term.imm
            term.imm = (cond, _end_of_chain(then), _end_of_chain(other))
        elif term.op == "may_goto":
            term.imm = (_end_of_chain(term.imm[0]), _end_of_chain(term.imm[1]))


def _end_of_chain(block: Block) -> Block:
    """Where a jump to `block`, without arguments, leads. Empty blocks may form a circle: then anywhere in it."""
    for _ in range(_CHAIN):
        if block.body or block.params or block.term is None or block.term.op != "jump" or block.term.args:
            break
        block = block.term.imm
    return block


def merge_blocks(function: Function) -> None:
    """A block that only one jump leads to becomes part of the one that jumps."""
    gone: set[Block] = set()
    for block in function.blocks:
        if block in gone:
            continue
        while (term := block.term) is not None and term.op == "jump":
            target: Block = term.imm
            if len(target.preds) != 1 or target.params or target is block:
                break
            block.body += target.body
            block.term = target.term
            gone.add(target)
            for after in target.successors():
                after.preds[after.preds.index(target)] = block
    if gone:
        function.blocks = [block for block in function.blocks if block not in gone]


def drop_params(function: Function) -> dict[Value, Value]:
    """Remove block parameters that always get one and the same value (or themselves)."""
    new: dict[Value, Value] = {}
    again = True
    while again:
        again = False
        for block in function.blocks:
            params = block.params
            for index in range(len(params) - 1, -1, -1):
                same = _same_argument(block, index, new)
                if same is not None:
                    new[params[index]] = same
                    _remove_param(block, index)
                    again = True
    return new


def _same_argument(block: Block, index: int, new: dict[Value, Value]) -> Value | None:
    param = block.params[index]
    same: Value | None = None
    for pred in block.preds:
        assert pred.term is not None
        arg = _final(pred.term.args[index], new)
        if arg is param or arg is same:
            continue
        if same is not None and not (arg.op == "const" and same.op == "const" and arg.imm == same.imm):
            return None
        same = arg
    return same


def _remove_param(block: Block, index: int) -> None:
    del block.params[index]
    for pred in block.preds:
        term = pred.term
        assert term is not None
        term.args = term.args[:index] + term.args[index + 1 :]


def drop_dead(function: Function) -> None:
    """Remove parameters that are needed only to make parameters that are not needed, and all dead values."""
    owner = {param: (block, at) for block in function.blocks for at, param in enumerate(block.params)}
    if not owner:
        return
    needed: set[Value] = set()
    todo: list[Value] = []
    for block in function.blocks:
        assert block.term is not None
        if block.term.op != "jump":
            todo.extend(block.term.args)
        for value in block.body:
            if OPS[value.op].effect == "write":
                todo.extend(value.args)
    while todo:
        value = todo.pop()
        if value in needed:
            continue
        needed.add(value)
        place = owner.get(value)
        if place is None:
            todo.extend(value.args)
        else:
            block, at = place
            for pred in block.preds:
                assert pred.term is not None
                todo.append(pred.term.args[at])
    for block in function.blocks:
        for index in range(len(block.params) - 1, -1, -1):
            if block.params[index] not in needed:
                _remove_param(block, index)
        block.body = [value for value in block.body if value in needed or OPS[value.op].effect == "write"]


def thread_constants(function: Function) -> bool:
    """A jump whose argument decides the branch at its target goes straight where that branch goes.

    This is what makes `a && b`, built as a value, a plain chain of branches.
    """
    candidates = [block for block in function.blocks if len(block.params) == 1 and _is_test(block)]
    if not candidates:
        return False
    changed = False
    uses = _use_counts(function)
    for block in candidates:
        term = block.term
        assert term is not None
        if uses[block.params[0]] != 1:
            continue
        cond, then, other = term.imm
        for pred in block.preds:
            jump = pred.term
            if jump is None or jump.imm is not block or jump.args[0].op != "const" or pred is block:
                continue
            target = then if COMPARE[cond](jump.args[0].imm, term.args[1].imm) else other
            jump.imm, jump.args = _split(target, function), ()
            changed = True
    return changed


#: values that are the same wherever they are computed, so that they need not dominate their uses
ANYWHERE = frozenset(("const", "map", "map_value", "func", "reloc"))


_CHAIN = 100
#: how often `simplify` threads: in a loop that does nothing it would find another jump each time
_THREADS = 8


def _is_test(block: Block) -> bool:
    term = block.term
    return (
        term is not None
        and term.op == "br"
        and term.args[0] is block.params[0]
        and term.args[1].op == "const"
        and all(value.op in ANYWHERE for value in block.body)
    )


def _split(target: Block, function: Function) -> Block:
    """A target without parameters for one more edge: an edge block is copied, since it belongs to one edge."""
    if target.body or target.term is None or target.term.op != "jump":
        return target
    copy = Block(target.name)
    copy.term = Value("jump", target.term.args, target.term.imm, NONE, target.term.span)
    function.blocks.append(copy)
    return copy


def _use_counts(function: Function) -> dict[Value, int]:
    counts: dict[Value, int] = {param: 0 for block in function.blocks for param in block.params}
    for block in function.blocks:
        assert block.term is not None
        for value in (*block.body, block.term):
            for arg in value.args:
                if arg in counts:
                    counts[arg] += 1
    return counts


def simplify(function: Function) -> None:
    """All rules until none applies; blocks are arranged (reverse postorder, `preds` right) afterwards."""
    threads = _THREADS
    while True:
        thread_jumps(function)
        arrange(function)
        replace_uses(function, drop_params(function))
        replace_uses(function, rewrite_values(function))
        changed = decide_branches(function)
        if threads and thread_constants(function):
            threads -= 1
            changed = True
        if not changed:
            break
    merge_blocks(function)
    for block in function.blocks:
        if block.params:
            drop_dead(function)
            break


# -- legalise -------------------------------------------------------------------------------------------


def legalise(function: Function) -> None:
    """Expand memory operations into loads, stores, branches and helper calls; only core operations are left."""
    high = _HIGH
    for block in function.blocks:
        for value in block.body:
            if value.op in high:
                from cygnet.ir.memory import expand

                if expand(function):
                    simplify(function)
                return


_HIGH = frozenset(("memzero", "memcpy", "memeq"))
