"""Instruction selection: walks each block backwards, so that only what is needed is selected.

Going backwards, every use of a value is seen before the value itself (blocks are in reverse
postorder, and a definition dominates its uses). A value without a register when its turn comes was
never needed, or was folded into all of its users: an offset into a load, a comparison into its
branch, a constant into an immediate. Constants, slot addresses, maps and relocated numbers are made
again where they are used instead of living across calls: one or two instructions are cheaper than a
register or a spill.
"""

from __future__ import annotations

from cygnet.codegen import opcodes as op
from cygnet.codegen.machine import ALU, CALL, DEF, EXIT, FETCH, LOAD, MOV, SETCC, STORE, MBlock, MFunction
from cygnet.errors import CygnetError
from cygnet.ir.core import INVERSE, SWAPPED
from cygnet.isa.consts import (
    BPF_FETCH,
    BPF_PSEUDO_CALL,
    BPF_PSEUDO_FUNC,
    BPF_PSEUDO_KFUNC_CALL,
    BPF_PSEUDO_MAP_FD,
    BPF_PSEUDO_MAP_VALUE,
    LD_IMM64,
)
from cygnet.isa.consts import CALL as CALL_CODE
from cygnet.isa.consts import EXIT as EXIT_CODE
from cygnet.spec.relocs import KFUNC, MAP, MAP_VALUE, MAY_GOTO, RelocTemplate
from cygnet.uapi import bpf_func

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cygnet.codegen.frame import Frame
    from cygnet.codegen.machine import Insn
    from cygnet.ir.core import Block, Function, Value

_FP = 10


def helper_id(name: str) -> int:
    """The number of a helper, from enum bpf_func_id. CygnetError when there is none of that name."""
    number: int | None = getattr(bpf_func, "BPF_FUNC_" + name, None)
    if number is None:
        raise CygnetError(f"there is no helper {name!r}")
    return number


def _fits(number: int) -> bool:
    return -0x80000000 <= number <= 0x7FFFFFFF


def _low32(number: int) -> int:
    """The low 32 bits as a signed number."""
    return ((number & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


class Isel:
    """Selects one function; `frame` says where its slots lie."""

    __slots__ = ("entry", "frame", "hint", "machine", "next", "offsets", "out", "pending", "regs")

    def __init__(self, function: Function, frame: Frame) -> None:
        self.machine = MFunction(function.name, function.kind)
        self.machine.span = function.span
        self.frame = frame
        self.offsets = frame.offsets
        self.regs: dict[Value, int] = {}
        self.hint = self.machine.hint
        self.next = self.machine.virtuals
        self.entry: dict[int, int] = {}  # argument register -> virtual register
        self.out: list[Insn] = []
        self.pending: dict[Value, tuple[int, int]] = {}  # value of _SHARED → register, place in `out`

    # -- registers ------------------------------------------------------------------------------

    def reg(self, value: Value) -> int:
        """A register with `value`; one that is cheap to make is made just before the instruction at hand."""
        reg = self.regs.get(value)
        if reg is None:
            reg = self.next
            self.next = reg + 1
            name = value.op
            again = _AGAIN.get(name)
            if name in _SHARED and (name != "const" or not -0x80000000 <= value.imm <= 0xFFFFFFFF):
                known = self.pending.get(value)
                if known is not None:
                    reg = known[0]
                self.pending[value] = (reg, len(self.out))
            elif again is not None:
                again(self, value, reg)
            elif name == "ctx":
                reg = self._argument(1, reg)
                self.regs[value] = reg
            elif name == "param":
                reg = self._argument(value.imm + 1, reg)
                self.regs[value] = reg
            elif name == "add" and value.args[0].op == "slot" and value.args[1].op == "const":
                _address_of(self, value, reg)
            else:
                self.regs[value] = reg
        return reg

    def flush(self) -> None:
        """Make the wide values that are pending, each just before its first use since the last call."""
        out = self.out
        for value, (reg, at) in sorted(self.pending.items(), key=lambda item: -item[1][1]):
            self.out = []
            _AGAIN[value.op](self, value, reg)
            out[at:at] = self.out
        self.out = out
        self.pending.clear()

    def _argument(self, machine: int, fresh: int) -> int:
        reg = self.entry.get(machine)
        if reg is None:
            reg = self.entry[machine] = fresh
        return reg

    def into(self, value: Value, machine: int, span: Any) -> None:
        """Put `value` in a machine register, just before what was emitted last."""
        again = _AGAIN.get(value.op)
        if again is not None:
            again(self, value, machine)
        elif value.op == "add" and value.args[1].op == "const" and _is_fit(value.args[1].imm):
            _address_of(self, value, machine)
        else:
            insn = [MOV, op.MOV_X, machine, 0, -1, 0, 0, None, span, 0]
            self.out.append(insn)
            reg = insn[3] = self.reg(value)
            self.hint.setdefault(reg, machine)

    def memory(self, insn: Insn, pointer: Value, offset: int) -> None:
        """Fill in base and offset of a load or store; constant additions go into the offset."""
        while pointer.op == "add":
            right = pointer.args[1]
            if right.op != "const" or not -0x8000 <= offset + right.imm <= 0x7FFF:
                break
            offset += right.imm
            pointer = pointer.args[0]
        base, at = self.place(pointer) if pointer.op == "slot" else (-1, 0)
        if base >= 0 and offset + at <= 0x7FFF:
            insn[3] = base
            offset += at
        else:  # also far from the beginning of much scratch memory
            insn[3] = self.reg(pointer)
        insn[5] = offset

    def place(self, slot: Value) -> tuple[int, int]:
        """Where a slot lies: a register and the offset from it."""
        offset = self.offsets.get(slot)
        if offset is not None:
            return _FP, offset
        assert self.frame.base is not None
        return self.reg(self.frame.base), self.frame.scratch[slot]

    def operand(self, insn: Insn, value: Value) -> None:
        """The second operand: an immediate where it fits, else a register and the X form."""
        if value.op == "const" and _fits(value.imm):
            insn[6] = value.imm
        else:
            insn[1] |= op.X
            insn[4] = self.reg(value)

    # -- blocks ---------------------------------------------------------------------------------

    def run(self, blocks: list[Block]) -> MFunction:
        at = {block: index for index, block in enumerate(blocks)}
        machine = self.machine
        machine.blocks = [MBlock(index, block.name) for index, block in enumerate(blocks)]
        regs = self.regs
        for block, mblock in zip(blocks, machine.blocks):
            for param in block.params:
                regs[param] = self.next
                mblock.params.append(self.next)
                self.next += 1
        handle, write = _PURE, _WRITE
        for index in range(len(blocks) - 1, -1, -1):
            block = blocks[index]
            out = self.out = []
            self._end(block, machine.blocks[index], at)
            for value in reversed(block.body):
                name = value.op
                effect = write.get(name)
                if effect is not None:
                    effect(self, value)
                else:
                    reg = regs.get(value)
                    if reg is not None:
                        pure = handle.get(name)
                        if pure is not None:
                            pure(self, value, reg)
            if self.pending:
                self.flush()
            if index:
                out.reverse()
                machine.blocks[index].insns = out
        self._enter(machine.blocks[0])
        machine.virtuals = self.next
        return machine

    def _enter(self, block: MBlock) -> None:
        """The arguments leave r1-r5 at the start of the entry block."""
        for machine, reg in self.entry.items():
            self.out.append([MOV, op.MOV_X, reg, machine, -1, 0, 0, None, None, 0])
            self.hint.setdefault(reg, machine)
        self.out.reverse()
        block.insns = self.out

    def _end(self, block: Block, mblock: MBlock, at: dict[Block, int]) -> None:
        term = block.term
        assert term is not None, f"block {block.name!r} has no terminator"
        name = term.op
        if name == "jump":
            target: Block = term.imm
            mblock.term = [0, -1, -1, 0, at[target], -1, term.span, 0, None]
            if term.args:
                self._edge(mblock, term.args, target)
        elif name == "br":
            self._branch(term, mblock, at)
        elif name == "ret":
            self.out.append([EXIT, EXIT_CODE, -1, 0, -1, 0, 0, None, term.span, 0])
            self.into(term.args[0], 0, term.span)
        else:
            body, out = term.imm
            template = RelocTemplate(MAY_GOTO, "", "off")
            mblock.term = [op.MAY_GOTO, -1, -1, 0, at[body], at[out], term.span, 0, template]

    def _edge(self, mblock: MBlock, args: tuple[Value, ...], target: Block) -> None:
        for arg, param in zip(args, target.params):
            if arg.op == "const" and -0x80000000 <= arg.imm <= 0xFFFFFFFF:
                mblock.args.append(("imm", arg.imm))
            else:
                reg = self.reg(arg)
                mblock.args.append(reg)
                self.hint.setdefault(reg, self.regs[param])

    def _branch(self, term: Value, mblock: MBlock, at: dict[Block, int]) -> None:
        cond, then, other = term.imm
        a, b = term.args
        while b.op == "const" and not b.imm and cond in ("eq", "ne"):
            if a.op == "cmp":
                cond = a.imm if cond == "ne" else INVERSE[a.imm]
                a, b = a.args
            elif a.op == "and" and a not in self.regs:
                cond = "set" if cond == "ne" else "clear"
                a, b = a.args
            else:
                break
        if a.op == "const":
            a, b, cond = b, a, SWAPPED[cond]
        if cond == "clear":
            cond, then, other = "set", other, then
        insn: Insn = [SETCC, op.JUMP[cond], -1, -1, -1, 0, 0]
        self.operand(insn, b)
        mblock.term = [insn[1], self.reg(a), insn[4], insn[6], at[then], at[other], term.span, 0, None]


def _is_fit(number: int) -> bool:
    return -0x80000000 <= number <= 0x7FFFFFFF


# -- values made again at each use -----------------------------------------------------------------


def _const(self: Isel, value: Value, dst: int) -> None:
    number = value.imm
    if -0x80000000 <= number <= 0x7FFFFFFF:
        code = op.MOV_K
    elif 0 <= number <= 0xFFFFFFFF:
        code = op.MOV32_K
        number = _low32(number)
    else:
        code = LD_IMM64
    self.out.append([DEF, code, dst, -1, -1, 0, number, None, value.span, 0])


def _slot(self: Isel, value: Value, dst: int) -> None:
    insn = [ALU, op.ADD_K, dst, _FP, -1, 0, 0, None, value.span, 0]
    self.out.append(insn)
    insn[3], insn[6] = self.place(value)


def _map(self: Isel, value: Value, dst: int) -> None:
    template = RelocTemplate(MAP, value.imm, "imm64")
    self.out.append([DEF, LD_IMM64, dst, -1, -1, BPF_PSEUDO_MAP_FD, 0, template, value.span, 0])


def _map_value(self: Isel, value: Value, dst: int) -> None:
    name, offset = value.imm
    template = RelocTemplate(MAP_VALUE, name, "imm64", offset)
    self.out.append([DEF, LD_IMM64, dst, -1, -1, BPF_PSEUDO_MAP_VALUE, 0, template, value.span, 0])


def _func(self: Isel, value: Value, dst: int) -> None:
    self.out.append([DEF, LD_IMM64, dst, -1, -1, BPF_PSEUDO_FUNC, 0, value.imm, value.span, 0])


def _reloc(self: Isel, value: Value, dst: int) -> None:
    template = value.imm
    code = op.MOV_K if template.where == "imm" else LD_IMM64
    self.out.append([DEF, code, dst, -1, -1, 0, 0, template, value.span, 0])


def _address_of(self: Isel, value: Value, dst: int) -> None:
    """pointer + constant in a register."""
    base, right = value.args
    insn = [ALU, op.ADD_K, dst, _FP, -1, 0, right.imm, None, value.span, 0]
    self.out.append(insn)
    if base.op == "slot":
        insn[3], at = self.place(base)
        insn[6] += at
    else:
        insn[3] = self.reg(base)
        if dst < 11:
            self.hint.setdefault(insn[3], dst)


_AGAIN: dict[str, Callable[[Isel, Value, int], None]] = {
    "const": _const,
    "slot": _slot,
    "map": _map,
    "map_value": _map_value,
    "func": _func,
    "reloc": _reloc,
}
#: those that take two slots: made once between two calls
_SHARED = frozenset(("map_value", "reloc", "const"))


# -- values that live in a register ------------------------------------------------------------------


def _binary(self: Isel, value: Value, dst: int) -> None:
    a, b = value.args
    name = value.op
    if b.op == "const":
        number = b.imm
        if name == "sub" and -0x7FFFFFFF <= number <= 0x80000000:
            insn: Insn = [ALU, op.ADD_K, dst, 0, -1, 0, -number, None, value.span, 0]
        elif name == "and" and number == 0xFFFFFFFF:
            insn = [LOAD, op.MOV32_X, dst, 0, -1, 0, 0, None, value.span, 0]
        elif -0x80000000 <= number <= 0x7FFFFFFF:
            insn = [ALU, op.ALU[name], dst, 0, -1, 0, number, None, value.span, 0]
        else:
            insn = [ALU, op.ALU[name] | op.X, dst, 0, 0, 0, 0, None, value.span, 0]
    else:
        insn = [ALU, op.ALU[name] | op.X, dst, 0, 0, 0, 0, None, value.span, 0]
    if name in op.SIGNED:
        insn[5] = 1
    self.out.append(insn)
    if not insn[4]:
        insn[4] = self.reg(b)
    reg = insn[3] = self.reg(a)
    hint = self.hint.get(dst)
    if hint is not None:
        self.hint.setdefault(reg, hint)


def _neg(self: Isel, value: Value, dst: int) -> None:
    insn = [ALU, op.NEG, dst, 0, -1, 0, 0, None, value.span, 0]
    self.out.append(insn)
    insn[3] = self.reg(value.args[0])


def _zext(self: Isel, value: Value, dst: int) -> None:
    size = value.imm
    if size == 4:
        insn: Insn = [LOAD, op.MOV32_X, dst, 0, -1, 0, 0, None, value.span, 0]
    else:
        insn = [ALU, op.AND_K, dst, 0, -1, 0, (1 << 8 * size) - 1, None, value.span, 0]
    self.out.append(insn)
    insn[3] = self.reg(value.args[0])


def _extend(self: Isel, dst: int, size: int, span: Any) -> int:
    """Shift up and arithmetically down (movsx needs Linux 6.6); the register that is to be extended."""
    middle = self.next
    self.next += 1
    bits = 64 - 8 * size
    self.out.append([ALU, op.SAR_K, dst, middle, -1, 0, bits, None, span, 0])
    return middle


def _sext(self: Isel, value: Value, dst: int) -> None:
    middle = _extend(self, dst, value.imm, value.span)
    insn = [ALU, op.SHL_K, middle, 0, -1, 0, 64 - 8 * value.imm, None, value.span, 0]
    self.out.append(insn)
    insn[3] = self.reg(value.args[0])


def _bswap(self: Isel, value: Value, dst: int) -> None:
    insn = [ALU, op.SWAP, dst, 0, -1, 0, 8 * value.imm, None, value.span, 0]
    self.out.append(insn)
    insn[3] = self.reg(value.args[0])


def _cmp(self: Isel, value: Value, dst: int) -> None:
    cond = value.imm
    a, b = value.args
    if cond == "clear":  # no such jump: 1 - (a & b != 0)
        middle = self.next
        self.next += 1
        self.out.append([ALU, op.ALU["xor"], dst, middle, -1, 0, 1, None, value.span, 0])
        dst, cond = middle, "set"
    insn: Insn = [SETCC, op.JUMP[cond], dst, 0, -1, 0, 0, None, value.span, 0]
    self.out.append(insn)
    self.operand(insn, b)
    insn[3] = self.reg(a)


def _load(self: Isel, value: Value, dst: int) -> None:
    size, signed, offset, template = value.imm
    if signed and size < 8:
        middle = _extend(self, dst, size, value.span)
        shifted = self.next
        self.next += 1
        self.out.append([ALU, op.SHL_K, middle, shifted, -1, 0, 64 - 8 * size, None, value.span, 0])
        dst = shifted
    insn = [LOAD, op.LOAD[size], dst, 0, -1, offset, 0, template, value.span, 0]
    self.out.append(insn)
    if template is None:
        self.memory(insn, value.args[0], offset)
    else:
        insn[3] = self.reg(value.args[0])


_PURE: dict[str, Callable[[Isel, Value, int], None]] = {
    **dict.fromkeys(op.ALU, _binary),
    "neg": _neg,
    "zext": _zext,
    "sext": _sext,
    "bswap": _bswap,
    "cmp": _cmp,
    "load": _load,
}


# -- effects -----------------------------------------------------------------------------------------


def _store(self: Isel, value: Value) -> None:
    size, offset = value.imm
    pointer, what = value.args
    if what.op == "const" and (size < 8 or _fits(what.imm)):
        insn = [STORE, op.STORE_K[size], -1, 0, -1, offset, _narrow(what.imm, size), None, value.span, 0]
        self.out.append(insn)
    else:
        insn = [STORE, op.STORE[size], -1, 0, 0, offset, 0, None, value.span, 0]
        self.out.append(insn)
        insn[4] = self.reg(what)
    self.memory(insn, pointer, offset)


def _narrow(number: int, size: int) -> int:
    return number if size == 8 else _low32(number & ((1 << 8 * size) - 1))


def _atomic(self: Isel, value: Value) -> None:
    name, size, offset, fetch = value.imm
    imm = op.ATOMIC_IMM[name]
    dst = self.regs.get(value, -1)
    if fetch and (dst >= 0 or name == "xchg"):
        if dst < 0:
            dst = self.next
            self.next += 1
        insn = [FETCH, op.ATOMIC[size], dst, 0, 0, offset, imm | BPF_FETCH, None, value.span, 0]
    else:
        insn = [STORE, op.ATOMIC[size], -1, 0, 0, offset, imm, None, value.span, 0]
    self.out.append(insn)
    insn[4] = self.reg(value.args[1])
    self.memory(insn, value.args[0], offset)


def _invoke(self: Isel, value: Value, imm: int, pseudo: int, extra: Any) -> None:
    if self.pending:
        self.flush()
    args = value.args
    span = value.span
    dst = self.regs.get(value)
    if dst is not None:
        self.out.append([MOV, op.MOV_X, dst, 0, -1, 0, 0, None, span, 0])
        self.hint.setdefault(dst, 0)
    self.out.append([CALL, CALL_CODE, -1 if dst is None else 0, len(args), -1, pseudo, imm, extra, span, 0])
    made = []
    for machine, arg in enumerate(args, 1):
        if arg.op in _AGAIN:
            self.into(arg, machine, span)
        else:
            made.append((machine, arg))
    # those in registers first, so that the others do not occupy r1-r5 while these still lie there
    for machine, arg in reversed(made):
        self.into(arg, machine, span)


def _call(self: Isel, value: Value) -> None:
    _invoke(self, value, helper_id(value.imm), 0, None)


def _kfunc(self: Isel, value: Value) -> None:
    _invoke(self, value, -1, BPF_PSEUDO_KFUNC_CALL, RelocTemplate(KFUNC, value.imm, "imm"))


def _callsub(self: Isel, value: Value) -> None:
    _invoke(self, value, -1, BPF_PSEUDO_CALL, value.imm)


_WRITE: dict[str, Callable[[Isel, Value], None]] = {
    "store": _store,
    "atomic": _atomic,
    "call": _call,
    "kfunc": _kfunc,
    "callsub": _callsub,
}


def select(function: Function, frame: Frame) -> MFunction:
    """Machine instructions with virtual registers. The function is in core form, its blocks arranged."""
    return Isel(function, frame).run(function.blocks)
