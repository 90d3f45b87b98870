"""The log of a verification in the kernel's own format (kernel/bpf/log.c): instructions, and registers they changed."""

from __future__ import annotations

from cygnet.verifier import reg as r
from cygnet.verifier.bits import S32_MAX, S32_MIN, S64_MAX, S64_MIN, U32_MAX, U64_MAX, unsigned
from cygnet.verifier.cfg import _use_def
from cygnet.verifier.reg import ADD_CONST, NOT_INIT, SCALAR, RegState
from cygnet.verifier.regtext import tnum_text, type_text
from cygnet.verifier.state import DYN, ITER, SPILL, Frame, Slot, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.verifier.env import Env
    from cygnet.verifier.state import Reject

_SLOT_CHARS = "?rm0dif"
_DYNPTRS = ("", "local", "ringbuf", "skb", "xdp", "skb_meta")
_ITER_STATES = ("invalid", "active", "drained")


def signed_text(value: int) -> str:
    return str(value) if -0x8000 <= value <= 0x7FFF else f"{unsigned(value):#x}"


def unsigned_text(value: int) -> str:
    value = unsigned(value)
    return str(value) if value <= 0xFFFF else f"{value:#x}"


def _ranges(reg: RegState) -> list[str]:
    """Bounds that say something; those that are equal share one number: ``smin=smin32=0,smax=umax=255``."""
    rows: list[list[Any]] = [
        ["smin", reg.smin, reg.smin == S64_MIN],
        ["smax", reg.smax, reg.smax == S64_MAX],
        ["umin", reg.umin, reg.umin == 0],
        ["umax", reg.umax, reg.umax == U64_MAX],
        ["smin32", _narrow(reg.s32_min), reg.s32_min == S32_MIN],
        ["smax32", _narrow(reg.s32_max), reg.s32_max == S32_MAX],
        ["umin32", reg.u32_min, reg.u32_min == 0],
        ["umax32", reg.u32_max, reg.u32_max == U32_MAX],
    ]
    out = []
    for at, (name, value, omit) in enumerate(rows):
        if omit:
            continue
        text = f"{name}="
        negative = name[0] == "s" and value < 0
        for other in rows[at + 2 :: 2]:
            if not other[2] and unsigned(other[1]) == unsigned(value):
                if (other[0][0] == "s" and other[1] < 0) == negative:
                    other[2] = True
                    text += f"{other[0]}="
        out.append(text + (signed_text(value) if name[0] == "s" else unsigned_text(value)))
    return out


def _narrow(value: int) -> int:
    return value if -0x8000 <= value <= 0x7FFF else value & 0xFFFFFFFF


def reg_text(reg: RegState, frame: int = 0, precise: bool = False) -> str:
    """A register as the kernel prints it."""
    if reg.type == SCALAR and reg.mask == 0:
        return ("P" if precise else "") + signed_text(reg.value)
    text = ("P" if precise and reg.type == SCALAR else "") + type_text(reg.type)
    if reg.type == r.ARENA:
        return text
    if reg.type == r.STACK:
        if frame != reg.frame:
            text += f"[{reg.frame}]"
        if reg.mask == 0:
            return text + signed_text(reg.value + reg.off)
    if reg.type & r.KIND == r.BTF:
        text += str(reg.btf.type(reg.btf_id).name)
    parts: list[str] = []
    if reg.id:
        parts.append(f"id={reg.id & ~ADD_CONST}" + (f"{reg.off:+d}" if reg.id & ADD_CONST else ""))
    parts += _details(reg)
    if reg.mask == 0:
        if reg.value:
            parts.append(f"imm={signed_text(reg.value)}")
    else:
        parts += _ranges(reg)
        if reg.mask != U64_MAX:
            parts.append(f"var_off={tnum_text(reg.value, reg.mask)}")
    return f"{text}({','.join(parts)})"


def _details(reg: RegState) -> list[str]:
    parts = []
    kind = reg.type & r.KIND
    if reg.ref:
        parts.append(f"ref_obj_id={reg.ref}")
    if reg.type & r.NON_OWN_REF:
        parts.append("non_own_ref")
    if kind in (r.CONST_MAP, r.MAP_VALUE, r.MAP_KEY):
        if reg.map.name:
            parts.append(f"map={reg.map.name[:15]}")
        parts.append(f"ks={reg.map.key_size},vs={reg.map.value_size}")
    if reg.type != SCALAR and reg.off:
        parts.append(f"off={signed_text(reg.off)}")
    if reg.type in (r.PKT, r.PKT_META):
        parts.append(f"r={unsigned_text(reg.aux)}")
    if kind == r.MEM:
        parts.append(f"sz={unsigned_text(reg.aux)}")
    if reg.type == r.DYNPTR:
        parts.append(f"type={_DYNPTRS[reg.aux]}")
    return parts


def slot_text(spi: int, slot: Slot, frame: Frame) -> str:
    kinds = "".join(_SLOT_CHARS[slot.kind(byte)] for byte in range(8))
    place = f"fp{-8 * (spi + 1)}="
    top = slot.kinds >> 56
    if top == SPILL:
        precise = bool(frame.precise_slots >> spi & 1)
        return place + kinds[: kinds.index("r")] + reg_text(slot.reg, frame.number, precise)
    if top == DYN:
        inside = [f"id={slot.reg.id}"] if slot.reg.id else []
        if slot.reg.ref:
            inside.append(f"ref_id={slot.reg.ref}")
        return f"{place}dynptr_{_DYNPTRS[slot.reg.aux]}({','.join(inside)})"
    if top == ITER:
        name = slot.reg.btf.type(slot.reg.btf_id).name.removeprefix("bpf_iter_") if slot.reg.btf else "num"
        state = _ITER_STATES[slot.reg.aux]
        return f"{place}iter_{name}(ref_id={slot.reg.ref},state={state},depth={slot.reg.map_uid})"
    return place + kinds


def state_text(state: State, regs: int = 0x7FF, slots: int = -1) -> str:
    """The innermost frame: registers and slots whose bits are set."""
    frame = state.frame()
    words = [f"frame{frame.number}:"] if frame.number else []
    for number, reg in enumerate(frame.regs):
        if regs >> number & 1 and reg.type != NOT_INIT:
            words.append(f"R{number}={reg_text(reg, frame.number, bool(frame.precise >> number & 1))}")
    for spi, slot in enumerate(frame.stack):
        if slots >> spi & 1 and slot.kinds and not _second(slot):
            words.append(slot_text(spi, slot, frame))
    ids = [str(ref.id) for ref in state.refs if ref.id]
    if ids:
        words.append("refs=" + ",".join(ids))
    if frame.in_callback:
        words.append("cb")
    if frame.in_async_callback:
        words.append("async_cb")
    return " ".join(words)


def _second(slot: Slot) -> bool:
    """The lower half of a dynptr, or a part of an iterator that is not its first."""
    top = slot.kinds >> 56
    return (top == DYN and slot.reg.map_uid == 0) or (top == ITER and slot.reg.ref == 0)


class Log:
    """Lines, with the state after an instruction behind it. Level 1 keeps only the failing path, 2 all."""

    def __init__(self, level: int = 1) -> None:
        self.level = level
        self.lines: list[str] = []
        self.last: int = -1  # the instruction whose effect is still to be shown
        self.regs = 0
        self.fresh = True
        self.quotes: dict[int, str] | None = None  # source lines, by the instruction that they begin at

    def mark(self) -> int:
        return len(self.lines)

    def insn(self, env: Env, before: int, at: int) -> None:
        self._effect(env)
        if self.fresh:
            if before >= 0:
                self.lines += ["", f"from {before} to {at}: {state_text(env.cur)}"]
            self.lines.append(f"{at}: {state_text(env.cur)}")
            self.fresh = False
        self._source(env, at)
        ins = env.insns[at]
        self.lines.append(f"{at}: ({ins.code:02x}) {insn_text(env, at)}")
        self.last = at
        used, defined = _use_def(ins)
        self.regs = (used | defined) & 0x7FF if ins.op != 0x80 or ins.cls != 5 else 1
        env.touched = 0

    def _source(self, env: Env, at: int) -> None:
        if self.quotes is None:
            name = getattr(env.spec.source, "name", env.spec.source) or env.spec.name or "program"
            self.quotes = {line.insn: f"; {line.text.strip()} @ {name}:{line.line}" for line in env.spec.lines}
        if at in self.quotes:
            self.lines.append(self.quotes[at])

    def _effect(self, env: Env) -> None:
        if self.last < 0:
            return
        text = state_text(env.cur, self.regs, env.touched)
        if text and self.lines:
            line = self.lines[-1]
            pad = _aligned(len(line) + 1)
            self.lines[-1] = f"{line}{' ' * pad}; {text}"
        self.last = -1

    def pruned(self, env: Env, before: int, at: int) -> None:
        self._effect(env)
        if self.fresh:
            self.lines += ["", f"from {before} to {at}: safe"]
        else:
            self.lines.append(f"{at}: safe")

    def jumped(self, env: Env, before: int) -> None:
        """The path went into a function or came back from one: show all of it."""
        self.last = -1
        self.fresh = True

    def branch(self, env: Env, mark: int) -> None:
        if self.level == 1:
            del self.lines[mark:]
        self.last = -1
        self.fresh = True

    def done(self, env: Env, number: int) -> None:
        """A function was followed to all its ends: what is right is not told at level 1."""
        if self.level == 1:
            self.lines.clear()
        self.last = -1
        self.fresh = True
        if number:
            name = env.subs[number].name
            self.lines.append(f"Func#{number} ('{name}') is safe for any args that match its prototype")

    def finish(self, env: Env, reject: Reject | None) -> str:
        lines = self.lines
        if reject is not None:
            lines = [*lines, *reject.message.split("\n")]
        lines = [
            *lines,
            f"processed {env.processed} insns (limit {env.budget}) max_states_per_insn 0 "
            f"total_states {env.total_states} peak_states {env.total_states} mark_read 0",
        ]
        return "\n".join(lines) + "\n"


def _aligned(used: int) -> int:
    wanted = max(used + 4, 40)
    return (wanted + 7) // 8 * 8 - used - 1


def insn_text(env: Env, at: int) -> str:
    """An instruction as the kernel's log has it."""
    from cygnet.facts.helpers import helper_name
    from cygnet.isa.disasm import insn_text as text
    from cygnet.isa.insn import Insn

    ins = env.insns[at]
    second = None
    if ins.code == 0x18 and at + 1 < len(env.insns):
        second = Insn(0, 0, 0, 0, env.insns[at + 1].imm)
    if ins.code == 0x85 and ins.src == 2 and ins.kfunc is not None:
        return f"call {ins.kfunc.name}#{ins.imm}"
    return text(Insn(ins.code, ins.dst, ins.src, ins.off, ins.imm), second, helper_name=helper_name, kernel=True)
