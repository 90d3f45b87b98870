"""The stack: writes and reads of its bytes, spilled registers, and what helpers find there."""

from __future__ import annotations

from cygnet.isa.consts import BPF_MEM, BPF_MODE_MASK, BPF_ST
from cygnet.verifier import precision
from cygnet.verifier import reg as r
from cygnet.verifier.bits import fls64, shl
from cygnet.verifier.env import EACCES, EINVAL, Env, push_history
from cygnet.verifier.reg import ADD_CONST, NONE, NOT_INIT, SCALAR, STACK, RegState, scalar, unknown
from cygnet.verifier.regtext import tnum_text
from cygnet.verifier.state import (
    ALL_SPILL,
    DYN,
    INVALID,
    MAX_STACK,
    MISC,
    SPILL,
    STACK_ACCESS,
    ZERO,
    Frame,
    Reject,
    Slot,
    with_kind,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

MAX_VAR_OFF: Final[i64] = 1 << 29
READ: Final[i64] = 1
WRITE: Final[i64] = 2


def assign_id(env: Env, reg: RegState) -> RegState:
    """The scalar with an id that its copies will share, so that they learn together; itself when it needs none."""
    if reg.type != SCALAR:
        return reg
    id = reg.id
    off = reg.off
    if id & ADD_CONST:
        id = 0
        off = 0
    if id == 0 and reg.mask:
        id = env.new_id()
    if id == reg.id and off == reg.off:
        return reg
    new = reg.copy()
    new.id = id
    new.off = off
    return new


def check_bounds(env: Env, regno: i64, off: i64, size: i64, write: bool) -> None:
    """Is [off, off + size) from where the register points within the stack? Lets the stack grow to there."""
    reg = env.regs()[regno]
    frame = env.frame_of(reg)
    way = " write to" if write else " read from"
    if reg.mask == 0:
        low = reg.value + off
        high = low + size
    else:
        if reg.smax >= MAX_VAR_OFF or reg.smin <= -MAX_VAR_OFF:
            raise Reject(f"invalid unbounded variable-offset{way} stack R{regno}", EACCES)
        low = reg.smin + off
        high = reg.smax + off + size
    least: i64 = -MAX_STACK if write or env.uninit_stack else -8 * len(frame.stack)
    if low < least or low > -1 or high > 0 or size < 0:
        if reg.mask == 0:
            raise Reject(f"invalid{way} stack R{regno} off={off + reg.value} size={size}", EACCES)
        text = tnum_text(reg.value, reg.mask)
        raise Reject(f"invalid variable-offset{way} stack R{regno} var_off={text} off={off} size={size}", EACCES)
    grow(env, frame, -low)


def grow(env: Env, frame: Frame, size: i64) -> None:
    frame.grow(size)
    sub = env.subs[frame.subprog]
    size = (size + 7) // 8 * 8
    if sub.stack_depth < size:
        sub.stack_depth = size


# -- writing


def write(env: Env, regno: i64, off: i64, size: i64, value_reg: i64) -> None:
    """Store a register (or an immediate or unknown data: -1) through a stack pointer."""
    reg = env.regs()[regno]
    frame = env.frame_of(reg)
    if reg.mask == 0:
        write_fixed(env, frame, off + reg.value, size, value_reg)
    else:
        _write_variable(env, frame, reg.smin + off, reg.smax + off + size, value_reg)


def _is_store_immediate(env: Env) -> bool:
    ins = env.insns[env.insn]
    return ins.cls == BPF_ST and ins.code & BPF_MODE_MASK == BPF_MEM


def _is_zero(reg: RegState) -> bool:
    return reg.type == SCALAR and reg.mask == 0 and reg.value == 0


def write_fixed(env: Env, frame: Frame, off: i64, size: i64, value_reg: i64) -> None:
    top = -off - 1
    spi = top // 8
    cur = env.cur.frame()
    reg: RegState | None = cur.regs[value_reg] if value_reg >= 0 else None
    immediate = reg is None and _is_store_immediate(env)
    env.touched |= shl(1, spi)
    destroy_dynptr(env, frame, spi)
    aligned = off % 8 == 0
    slot = frame.stack[spi]
    if aligned and size == 8 and env.stack_live is not None:
        env.stack_live.write(frame.number, spi)
    if reg is not None and aligned and reg.type == SCALAR:
        fits = fls64(reg.umax) <= 8 * size
        if fits:
            named = assign_id(env, reg)
            if named is not reg:
                cur.regs[value_reg] = named
                reg = named
        elif reg.id:
            reg = reg.copy()
            reg.id = 0
        frame.stack[spi] = Slot(_spill_kinds(slot.kinds, size), reg)
    elif immediate and aligned:
        frame.stack[spi] = Slot(_spill_kinds(slot.kinds, size), scalar(env.insns[env.insn].imm))
    elif reg is not None and reg.type != SCALAR and reg.type != NOT_INIT and _spillable(reg):
        if size != 8:
            raise Reject("invalid size of register spill", EACCES)
        if frame is not cur and reg.type == STACK:
            raise Reject("cannot spill pointers to stack into stack frame of the caller", EINVAL)
        frame.stack[spi] = Slot(ALL_SPILL, reg)
    else:
        kind: i64 = MISC
        kinds = slot.kinds
        if _special(kinds):
            kinds = scrubbed(kinds)
        if reg is not None and _is_zero(reg):
            precision.mark(env, value_reg)
            kind = ZERO
        elif immediate and env.insns[env.insn].imm == 0:
            kind = ZERO
        at: i64 = 0
        while at < size:
            kinds = with_kind(kinds, (top - at) % 8, kind)
            at += 1
        frame.stack[spi] = Slot(kinds, NONE)
        return
    push_history(env, env.cur, STACK_ACCESS | frame.number | spi << 3, None)


def _spillable(reg: RegState) -> bool:
    kind = reg.type & r.KIND
    return kind != r.TP_BUFFER and kind != r.DYNPTR


def _special(kinds: i64) -> bool:
    """Spilled registers, dynptrs, iterators and interrupt flags lose their meaning when part of them is written."""
    kind = kinds >> 56
    return kind == SPILL or kind >= DYN


def scrubbed(kinds: i64) -> i64:
    """All that was written at all is mere data now."""
    at: i64 = 0
    while at < 8:
        if (kinds >> (at * 8)) & 0xFF != INVALID:
            kinds = with_kind(kinds, at, MISC)
        at += 1
    return kinds


def _spill_kinds(kinds: i64, size: i64) -> i64:
    if size == 8:
        return ALL_SPILL
    at: i64 = 0
    while at < 8:
        if at >= 8 - size:
            kinds = with_kind(kinds, at, SPILL)
        else:
            kind = (kinds >> (at * 8)) & 0xFF
            if kind != ZERO and kind != INVALID:
                kinds = with_kind(kinds, at, MISC)
        at += 1
    return kinds


def _write_variable(env: Env, frame: Frame, low: i64, high: i64, value_reg: i64) -> None:
    """Somewhere in [low, high): every byte there may have changed."""
    reg: RegState | None = env.regs()[value_reg] if value_reg >= 0 else None
    zero = (reg is not None and _is_zero(reg)) or (
        reg is None and _is_store_immediate(env) and env.insns[env.insn].imm == 0
    )
    at = low
    while at < high:
        destroy_dynptr(env, frame, (-at - 1) // 8)
        at += 1
    zero_used = False
    at = low
    while at < high:
        top = -at - 1
        env.touched |= shl(1, top // 8)
        slot = frame.stack[top // 8]
        kind = slot.kind(top % 8)
        at += 1
        if zero and kind == SPILL and slot.holds_scalar() and slot.reg.mask == 0 and slot.reg.value == 0:
            zero_used = True
            continue
        kinds = slot.kinds
        if slot.holds_register():
            kinds = scrubbed(kinds)
        new: i64 = MISC
        if zero and kind == ZERO:
            new = ZERO
            zero_used = True
        if kind == INVALID and not env.uninit_stack:
            raise Reject(
                f"uninit stack in range of var-offset write prohibited for !root; insn {env.insn}, off: {at - 1}"
            )
        frame.stack[top // 8] = Slot(with_kind(kinds, top % 8, new), NONE)
    if zero_used and value_reg >= 0:
        precision.mark(env, value_reg)


# -- reading


def read(env: Env, regno: i64, off: i64, size: i64, dst: i64) -> None:
    """Load from a stack pointer into `dst`; with -1 nothing is loaded, and a constant place is required."""
    reg = env.regs()[regno]
    if reg.mask == 0:
        read_fixed(env, env.frame_of(reg), off + reg.value, size, dst)
        return
    if dst < 0:
        text = tnum_text(reg.value, reg.mask)
        raise Reject(
            "variable offset stack pointer cannot be passed into helper function; "
            f"var_off={text} off={off} size={size}",
            EACCES,
        )
    check_range(env, regno, off, size, False, READ, None)
    _load_bytes(env, env.frame_of(reg), reg.smin + off, reg.smax + off + size, dst)


def _load_bytes(env: Env, frame: Frame, low: i64, high: i64, dst: i64) -> None:
    """A number from bytes that are no spilled register: zero when they all are."""
    at = low
    while at < high:
        top = -at - 1
        slot = frame.stack[top // 8]
        if slot.kind(top % 8) != ZERO:
            env.regs()[dst] = unknown()
            return
        at += 1
    env.regs()[dst] = scalar(0)


def note_read(env: Env, frame: Frame, spi: i64) -> None:
    """Somebody reads the slot, which therefore matters up to here."""
    if env.stack_live is not None:
        env.stack_live.read(frame.number, spi)


def read_fixed(env: Env, frame: Frame, off: i64, size: i64, dst: i64) -> None:
    top = -off - 1
    spi = top // 8
    env.touched |= shl(1, spi)
    note_read(env, frame, spi)
    slot = frame.stack[spi]
    if not slot.holds_register():
        _check_readable(env, slot, off, size)
        if dst >= 0:
            _load_bytes(env, frame, off, off + size, dst)
        return
    spill_size: i64 = 1
    while spill_size < 8 and slot.kind(7 - spill_size) == SPILL:
        spill_size += 1
    reg = slot.reg
    if size == 8 and spill_size == 8:
        if dst < 0:
            push_history(env, env.cur, STACK_ACCESS | frame.number | spi << 3, None)
            return
        reg = _name(env, frame, spi)
        env.regs()[dst] = reg
    else:
        if reg.type != SCALAR:
            raise Reject("invalid size of register fill", EACCES)
        if dst < 0:
            return
        if size <= spill_size and off % 8 == 0:
            if size == 4 and spill_size == 4 and fls64(reg.umax) <= 32:
                reg = _name(env, frame, spi)
            new = reg.copy()
            if fls64(reg.umax) > size * 8:
                new.id = 0
            env.regs()[dst] = new
        elif not _read_part(env, slot, off, size, dst):
            return
    push_history(env, env.cur, STACK_ACCESS | frame.number | spi << 3, None)


def _name(env: Env, frame: Frame, spi: i64) -> RegState:
    """The spilled register, with an id when it is an unknown scalar."""
    slot = frame.stack[spi]
    named = assign_id(env, slot.reg)
    if named is not slot.reg:
        frame.stack[spi] = Slot(slot.kinds, named)
    return named


def _read_part(env: Env, slot: Slot, off: i64, size: i64, dst: i64) -> bool:
    """Part of a spilled scalar, or across it; True when the result still comes from the spilled register."""
    top = -off - 1
    spilled: i64 = 0
    zeros: i64 = 0
    at: i64 = 0
    while at < size:
        kind = slot.kind((top - at) % 8)
        if kind == SPILL:
            spilled += 1
        elif kind == ZERO:
            zeros += 1
        elif kind != MISC and not (kind == INVALID and env.uninit_stack):
            raise Reject(f"invalid read from stack off {off}+{at} size {size}", EACCES)
        at += 1
    if spilled == size and slot.reg.mask == 0 and slot.reg.value == 0:
        env.regs()[dst] = scalar(0)
        return True
    env.regs()[dst] = scalar(0) if zeros == size else unknown()
    return False


def _check_readable(env: Env, slot: Slot, off: i64, size: i64) -> None:
    top = -off - 1
    at: i64 = 0
    while at < size:
        kind = slot.kind((top - at) % 8)
        if kind == INVALID and env.uninit_stack:
            env.uninit_seen = True
        elif kind != MISC and kind != ZERO:
            raise Reject(f"invalid read from stack off {off}+{at} size {size}", EACCES)
        at += 1


class RawAccess:
    """A helper's argument that it fills: where and how much, marked as written after all arguments are checked."""

    __slots__ = ("regno", "size")

    def __init__(self) -> None:
        self.regno: i64 = -1
        self.size: i64 = 0


def check_range(env: Env, regno: i64, off: i64, size: i64, zero_ok: bool, way: i64, raw: RawAccess | None) -> None:
    """May a helper read (or read and write) these bytes? With `raw` it only fills them."""
    reg = env.regs()[regno]
    frame = env.frame_of(reg)
    if size == 0 and not zero_ok:
        raise Reject("invalid zero-sized read", EACCES)
    check_bounds(env, regno, off, size, way == WRITE)
    if reg.mask == 0:
        low = high = reg.value + off
    else:
        raw = None  # which bytes will be written is not known
        low, high = reg.smin + off, reg.smax + off
    end = high + size
    if raw is not None:
        at = low
        while at < end:
            top = -at - 1
            if frame.stack[top // 8].kind(top % 8) == DYN:
                raise Reject(f"potential write to dynptr at off={at} disallowed", EACCES)
            at += 1
        raw.size = size
        raw.regno = regno
        return
    at = low
    while at < end:
        top = -at - 1
        _check_byte(env, reg, regno, frame, top, low, at, size, way == WRITE)
        at += 1


def _check_byte(
    env: Env, reg: RegState, regno: i64, frame: Frame, top: i64, low: i64, at: i64, size: i64, clobber: bool
) -> None:
    spi = top // 8
    slot = frame.stack[spi]
    kind = slot.kind(top % 8)
    note_read(env, frame, spi)
    if kind == MISC:
        return
    if kind == ZERO or (kind == INVALID and env.uninit_stack):
        if kind == INVALID:
            env.uninit_seen = True
        if clobber:
            frame.stack[spi] = Slot(with_kind(slot.kinds, top % 8, MISC), slot.reg)
        return
    if slot.holds_register():
        if clobber:
            frame.stack[spi] = Slot(scrubbed(slot.kinds), NONE)
        return
    if reg.mask == 0:
        raise Reject(f"invalid read from stack R{regno} off {low}+{at - low} size {size}", EACCES)
    text = tnum_text(reg.value, reg.mask)
    raise Reject(f"invalid read from stack R{regno} var_off {text}+{at - low} size {size}", EACCES)


# -- dynptrs on the stack: two slots; the first (the higher address) has `map_uid` 1


def destroy_dynptr(env: Env, frame: Frame, spi: i64) -> None:
    """Writing over part of a dynptr ends it, and the memory got from it."""
    slot = frame.stack[spi]
    if slot.kinds & 0xFF != DYN:
        return
    if slot.reg.map_uid == 0:
        spi += 1
        slot = frame.stack[spi]
    if slot.reg.aux == 2:  # one of a ring buffer, which must be given back
        raise Reject("cannot overwrite referenced dynptr", EINVAL)
    id = slot.reg.id
    frame.stack[spi] = Slot(0, NONE)
    frame.stack[spi - 1] = Slot(0, NONE)
    drop_slices(env, id)


def drop_slices(env: Env, dynptr_id: i64) -> None:
    for frame in env.cur.frames:
        at: i64 = 0
        for reg in frame.regs:
            if (reg.type & r.KIND) == r.MEM and reg.map_uid == dynptr_id and at < 10:
                frame.regs[at] = unknown()
            at += 1
        at = 0
        for slot in frame.stack:
            if slot.holds_register() and (slot.reg.type & r.KIND) == r.MEM and slot.reg.map_uid == dynptr_id:
                frame.stack[at] = Slot(slot.kinds, unknown())
            at += 1
