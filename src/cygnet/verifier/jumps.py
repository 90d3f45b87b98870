"""Conditional jumps: both ways are followed, each knowing what the comparison said. Kernel: check_cond_jmp_op."""

from __future__ import annotations

from cygnet.isa.consts import BPF_JCOND, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JLE, BPF_JLT, BPF_JMP, BPF_JMP32, BPF_JNE, BPF_X
from cygnet.verifier import branches, memory, precision, visited
from cygnet.verifier import reg as r
from cygnet.verifier.bits import U32_MAX, ult
from cygnet.verifier.env import EFAULT, EINVAL, Env, Ins, MapInfo, push_history
from cygnet.verifier.references import forget
from cygnet.verifier.reg import ADD_CONST, ADD_CONST32, MAYBE_NULL, SCALAR, RegState, scalar
from cygnet.verifier.scalars import _add32, _add64
from cygnet.verifier.state import DST_STACK, SRC_STACK, Reject, Slot, State
from cygnet.verifier.tnum import tnum_add

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

_MAX_LINKED: Final[i64] = 6
_MAX_PACKET: Final[i64] = 0xFFFF
AT_END: Final[i64] = -1
BEYOND_END: Final[i64] = -2


def conditional(env: Env, ins: Ins) -> i64:
    """The instruction that the path goes on with; the other way is left for later."""
    op = ins.op
    if op == 0 or op > BPF_JCOND:
        raise Reject(f"invalid BPF_JMP/JMP32 opcode {op:x}", EINVAL)
    if op == BPF_JCOND:
        return _may_goto(env, ins)
    by_reg = ins.code & BPF_X != 0
    dst = memory.source(env, ins.dst)
    narrow = ins.cls == BPF_JMP32
    flags: i64 = 0
    if by_reg:
        if ins.imm:
            raise Reject("BPF_JMP/JMP32 uses reserved fields", EINVAL)
        src = memory.source(env, ins.src)
        if src.type == r.STACK:
            flags |= SRC_STACK
        if dst.type == r.STACK:
            flags |= DST_STACK
    else:
        if ins.src:
            raise Reject("BPF_JMP/JMP32 uses reserved fields", EINVAL)
        src = scalar(ins.imm)
    if flags:
        push_history(env, env.cur, flags, None)
    way = _taken(dst, src, op, narrow)
    if way >= 0:
        if dst.type == SCALAR:
            precision.mark(env, ins.dst)
        if by_reg and src.type == SCALAR:
            precision.mark(env, ins.src)
        return env.insn + ins.off + 1 if way == 1 else env.insn + 1
    _fork(env, ins, op, narrow, by_reg, dst, src)
    return env.insn + 1


def _may_goto(env: Env, ins: Ins) -> i64:
    if ins.cls != BPF_JMP or ins.code & BPF_X or ins.src or ins.dst or ins.imm:
        raise Reject(f"invalid may_goto imm {ins.imm}", EINVAL)
    parent = env.cur.parent
    before = visited.previous_entry(env, parent, env.insn) if parent is not None else None
    on = env.push(env.insn + 1, env.insn)
    on.may_goto_depth += 1
    if before is not None:
        visited.widen(env, before, on)
    return env.insn + ins.off + 1


# -- which way


def _not_null(reg: RegState) -> bool:
    """Kernel: reg_not_null."""
    if reg.type & MAYBE_NULL:
        return False
    kind = reg.type & r.KIND
    if kind in (r.SOCKET, r.TCP_SOCK, r.MAP_VALUE, r.MAP_KEY, r.SOCK_COMMON, r.CONST_MAP):
        return True
    if kind == r.BTF:
        return reg.ref != 0 or reg.type & (r.TRUSTED | r.ALLOC | r.RCU) != 0
    return kind == r.MEM and not reg.type & r.UNTRUSTED


def _any_packet(reg: RegState) -> bool:
    return reg.type == r.PKT or reg.type == r.PKT_META or reg.type == r.PKT_END


def _taken(dst: RegState, src: RegState, op: i64, narrow: bool) -> i64:
    if dst.type == SCALAR and src.type == SCALAR:
        return branches.taken(dst, src, op, narrow)
    if not narrow and _any_packet(dst) and _any_packet(src):
        return _packet_taken(dst, src, op)
    keep: i64 = U32_MAX if narrow else -1
    pointer, number = dst, src
    if number.type != SCALAR or number.mask & keep:
        pointer, number = src, dst
        op = branches.flip(op)
    if number.type != SCALAR or number.mask & keep or number.value & keep or not _not_null(pointer):
        return -1
    if op == BPF_JEQ:
        return 0
    return 1 if op == BPF_JNE else -1


def _packet_taken(dst: RegState, src: RegState, op: i64) -> i64:
    if src.type == r.PKT_END:
        packet = dst
    elif dst.type == r.PKT_END:
        packet = src
        op = branches.flip(op)
    else:
        return -1
    if packet.aux >= 0:
        return -1
    if op == BPF_JLE or op == BPF_JGT:
        if packet.aux == BEYOND_END:
            return 1 if op == BPF_JGT else 0
    elif op == BPF_JLT or op == BPF_JGE:
        return 1 if op == BPF_JGE else 0
    return -1


# -- both ways


def _fork(env: Env, ins: Ins, op: i64, narrow: bool, by_reg: bool, dst: RegState, src: RegState) -> None:
    links: list[i64] = []
    if by_reg and src.type == SCALAR and src.id:
        _collect(env, src.id, links)
    if dst.type == SCALAR and dst.id:
        _collect(env, dst.id, links)
    if len(links) > 1:
        push_history(env, env.cur, 0, links)
    here = env.cur
    other = env.push(env.insn + ins.off + 1, env.insn)
    if dst.type == SCALAR and src.type == SCALAR:
        # this state goes on where the condition is false
        _learn(env, other, ins, op, narrow, by_reg, src)
        _learn(env, here, ins, branches.negate(op), narrow, by_reg, src)
        if by_reg and src.id and here.frame().regs[ins.src].id == src.id:
            _sync(here, ins.src, links)
            _sync(other, ins.src, links)
        if dst.id and here.frame().regs[ins.dst].id == dst.id:
            _sync(here, ins.dst, links)
            _sync(other, ins.dst, links)
    if narrow:
        return
    if by_reg and dst.type != SCALAR and src.type != SCALAR:
        _compare_pointers(here, other, ins, op, dst, src)
    if not by_reg and ins.imm == 0 and (op == BPF_JEQ or op == BPF_JNE) and dst.type & MAYBE_NULL:
        resolve_null(here, ins.dst, op == BPF_JNE)
        resolve_null(other, ins.dst, op == BPF_JEQ)
    elif by_reg:
        _match_packets(here, other, ins, op, dst, src)


def _learn(env: Env, state: State, ins: Ins, op: i64, narrow: bool, by_reg: bool, constant: RegState) -> None:
    regs = state.frame().regs
    a = regs[ins.dst].copy()
    if by_reg and ins.src == ins.dst:
        b = a
    else:
        b = regs[ins.src].copy() if by_reg else constant.copy()
    branches.refine(a, b, op, narrow)
    if a.violated():
        if env.test_invariants:
            raise Reject("REG INVARIANTS VIOLATION", EFAULT)
        a.unbound()
    if b is not a and b.violated():
        if env.test_invariants:
            raise Reject("REG INVARIANTS VIOLATION", EFAULT)
        b.unbound()
    regs[ins.dst] = a
    if by_reg:
        regs[ins.src] = b


def _collect(env: Env, id: i64, links: list[i64]) -> None:
    """Places of the scalars that share an id: frame | slot << 3 | index << 4."""
    id &= ~ADD_CONST
    number: i64 = len(env.cur.frames) - 1
    while number >= 0:
        frame = env.cur.frames[number]
        at: i64 = 0
        while at < 10:
            reg = frame.regs[at]
            if reg.type == SCALAR and reg.id & ~ADD_CONST == id and not _link(links, number | at << 4):
                reg = reg.copy()
                reg.id = 0
                reg.off = 0
                frame.regs[at] = reg
            at += 1
        at = 0
        for slot in frame.stack:
            if slot.holds_scalar() and slot.reg.id & ~ADD_CONST == id and not _link(links, number | 8 | at << 4):
                reg = slot.reg.copy()
                reg.id = 0
                reg.off = 0
                frame.stack[at] = Slot(slot.kinds, reg)
            at += 1
        number -= 1


def _link(links: list[i64], place: i64) -> bool:
    if place in links:
        return True
    if len(links) >= _MAX_LINKED:
        return False
    links.append(place)
    return True


def _sync(state: State, regno: i64, links: list[i64]) -> None:
    """What was learnt about one scalar holds for those that were copied from it. Kernel: sync_linked_regs."""
    known = state.frame().regs[regno]
    for place in links:
        frame = state.frames[place & 7]
        at = place >> 4
        is_slot = (place >> 3) & 1
        reg = frame.stack[at].reg if is_slot else frame.regs[at]
        if reg.type != SCALAR or reg is known or reg.id & ~ADD_CONST != known.id & ~ADD_CONST:
            continue
        if (reg.id ^ known.id) & ADD_CONST == ADD_CONST:
            continue  # one is off by a sum of 32 bits, the other by one of 64
        if (not reg.id & ADD_CONST and not known.id & ADD_CONST) or reg.off == known.off:
            new = known
        else:
            delta = scalar(reg.off - known.off)
            new = known.copy()
            new.id, new.off = reg.id, reg.off
            _add32(new, delta)
            _add64(new, delta)
            new.value, new.mask = tnum_add(new.value, new.mask, delta.value, delta.mask)
            if (reg.id | known.id) & ADD_CONST32:
                new.zext32()
            new.sync()
        if is_slot:
            frame.stack[at] = Slot(frame.stack[at].kinds, new)
        else:
            frame.regs[at] = new


# -- null


def not_null(reg: RegState) -> RegState:
    """The pointer after a check. Kernel: mark_ptr_not_null_reg."""
    new = reg.copy()
    new.type &= ~MAYBE_NULL
    if new.type & r.KIND == r.MAP_VALUE:
        info: MapInfo = new.map
        if info.inner is not None:
            new.type = r.CONST_MAP
            new.map = info.inner
            if any(field.kind in ("timer", "wq", "task_work") for field in info.inner.specials):
                new.map_uid = reg.id
        elif info.kind == "xskmap":
            new.type = r.XDP_SOCK
        elif info.kind in ("sockmap", "sockhash"):
            new.type = r.SOCKET
    return new


def _may_hold_lock(reg: RegState) -> bool:
    if reg.type == r.MAP_VALUE:
        info: MapInfo = reg.map
        return info.special("spin_lock") is not None or info.special("res_spin_lock") is not None
    if reg.type & r.KIND == r.BTF and reg.type & r.ALLOC:
        from cygnet.verifier.records import fields_of

        return any(field.kind in ("spin_lock", "res_spin_lock") for field in fields_of(reg.btf, reg.btf_id))
    return False


def _resolved(reg: RegState, id: i64, null: bool) -> RegState | None:
    if not reg.type & MAYBE_NULL or reg.id != id:
        return None
    if null:
        new = reg.copy()
        new.type = SCALAR
        new.id = new.ref = 0
        new.off = new.aux = new.map_uid = new.btf_id = new.frame = 0
        new.map = new.btf = None
        new.set_const(0)
        return new
    new = not_null(reg)
    if not _may_hold_lock(new):
        new.id = 0
    return new


def resolve_null(state: State, regno: i64, null: bool) -> None:
    """In this state all copies of the pointer are null, or none is. Kernel: mark_ptr_or_null_regs."""
    reg = state.frame().regs[regno]
    id = reg.id
    if reg.ref and reg.ref == id and null:
        forget(state, id)
    for frame in state.frames:
        at: i64 = 0
        for each in frame.regs:
            new = _resolved(each, id, null)
            if new is not None:
                frame.regs[at] = new
            at += 1
        at = 0
        for slot in frame.stack:
            if slot.holds_register():
                new = _resolved(slot.reg, id, null)
                if new is not None:
                    frame.stack[at] = Slot(slot.kinds, new)
            at += 1


def _compare_pointers(here: State, other: State, ins: Ins, op: i64, dst: RegState, src: RegState) -> None:
    """One that may be null is equal to one that is not: then it is not null."""
    if bool(src.type & MAYBE_NULL) == bool(dst.type & MAYBE_NULL):
        return
    if src.type & r.KIND == r.BTF or dst.type & r.KIND == r.BTF:
        return
    if op == BPF_JEQ:
        regs = other.frame().regs
    elif op == BPF_JNE:
        regs = here.frame().regs
    else:
        return
    which = ins.src if src.type & MAYBE_NULL else ins.dst
    regs[which] = not_null(regs[which])


# -- packets


def _begins(reg: RegState) -> bool:
    """The packet's beginning itself."""
    return reg.type == r.PKT and reg.id == 0 and reg.off == 0 and reg.mask == 0 and reg.value == 0


def _match_packets(here: State, other: State, ins: Ins, op: i64, dst: RegState, src: RegState) -> bool:
    """A comparison with the packet's end, or of metadata with its beginning. Kernel: try_match_pkt_pointers."""
    if op not in (BPF_JGT, BPF_JLT, BPF_JGE, BPF_JLE):
        return False
    forward = (dst.type == r.PKT and src.type == r.PKT_END) or (dst.type == r.PKT_META and _begins(src))
    backward = (dst.type == r.PKT_END and src.type == r.PKT) or (_begins(dst) and src.type == r.PKT_META)
    if not forward and not backward:
        return False
    pointer, regno = (dst, ins.dst) if forward else (src, ins.src)
    if backward:
        op = branches.flip(op)
    # now: pointer op end
    if op == BPF_JGT:
        inside, outside, open_end, beyond = here, other, False, True
    elif op == BPF_JLT:
        inside, outside, open_end, beyond = other, here, True, False
    elif op == BPF_JGE:
        inside, outside, open_end, beyond = here, other, True, False
    else:
        inside, outside, open_end, beyond = other, here, False, True
    _found_range(inside, pointer, open_end)
    _mark_end(outside, regno, beyond)
    return True


def _found_range(state: State, pointer: RegState, open_end: bool) -> None:
    """Bytes up to the pointer are there, for all pointers from the same base. Kernel: find_good_pkt_pointers."""
    off = pointer.off
    if off < 0 or (off == 0 and open_end):
        return
    if ult(_MAX_PACKET, pointer.umax) or pointer.umax + off > _MAX_PACKET:
        return
    size = off + 1 if open_end else off
    for frame in state.frames:
        at: i64 = 0
        for reg in frame.regs:
            if reg.type == pointer.type and reg.id == pointer.id and reg.aux < size:
                new = reg.copy()
                new.aux = size
                frame.regs[at] = new
            at += 1
        at = 0
        for slot in frame.stack:
            reg = slot.reg
            if slot.holds_register() and reg.type == pointer.type and reg.id == pointer.id and reg.aux < size:
                new = reg.copy()
                new.aux = size
                frame.stack[at] = Slot(slot.kinds, new)
            at += 1


def _mark_end(state: State, regno: i64, beyond: bool) -> None:
    regs = state.frame().regs
    reg = regs[regno]
    if reg.type != r.PKT:
        return
    reg = reg.copy()
    reg.aux = BEYOND_END if beyond else AT_END
    regs[regno] = reg
