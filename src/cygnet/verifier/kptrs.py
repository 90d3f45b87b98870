"""Kernel pointers kept in map values: loads, stores, and bpf_kptr_xchg. Kernel: check_map_kptr_access, process_kptr_func."""

from __future__ import annotations

from cygnet.isa.consts import BPF_LDX, BPF_MEM, BPF_MODE_MASK, BPF_STX
from cygnet.verifier import memory, references
from cygnet.verifier import reg as r
from cygnet.verifier.btfaccess import in_rcu
from cygnet.verifier.env import EACCES, EINVAL, Env, MapInfo, Special
from cygnet.verifier.reg import MAYBE_NULL, RCU, TRUSTED, UNTRUSTED, RegState
from cygnet.verifier.regtext import type_text
from cygnet.verifier.state import Reject, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

    from cygnet.verifier.args import Call

_RCU_PROTECTED: Final = frozenset(("cgroup", "bpf_cpumask", "task_struct", "bpf_crypto_ctx"))


def _is_kernels(env: Env, btf: object) -> bool:
    from cygnet.verifier.records import kernel_btf

    return btf is env.kernel_btf or btf is kernel_btf()


def _name(field: Special) -> str:
    name: str = field.btf.type(field.btf_id).name
    return name


def _safe_under_rcu(env: Env, field: Special) -> bool:
    if field.kind == "kptr_percpu":
        return True
    if field.kind != "kptr":
        return False
    return not _is_kernels(env, field.btf) or _name(field) in _RCU_PROTECTED


def access(env: Env, regno: i64, value: i64, write: bool, field: Special) -> None:
    """A load from or a store to a field that holds a kernel pointer."""
    ins = env.insns[env.insn]
    if ins.code & BPF_MODE_MASK != BPF_MEM:
        raise Reject("kptr in map can only be accessed using BPF_MEM instruction mode", EACCES)
    if ins.cls == BPF_LDX:
        if value >= 0:
            env.regs()[value] = _loaded(env, field)
        return
    if field.kind in ("kptr", "kptr_percpu"):
        raise Reject("store to referenced kptr disallowed", EACCES)
    if field.kind == "uptr":
        raise Reject("store to uptr disallowed", EACCES)
    if ins.cls == BPF_STX:
        reg = env.regs()[ins.src]
        if not (reg.type == r.SCALAR and reg.mask == 0 and reg.value == 0):
            match(env, field, reg, ins.src)
    elif ins.imm:
        raise Reject(f"BPF_ST imm must be 0 when storing to kptr at off={field.off}", EACCES)


def _loaded(env: Env, field: Special) -> RegState:
    flags: i64 = MAYBE_NULL
    if field.kind == "uptr":
        from cygnet.btf.layout import size_of

        new = RegState(r.MEM | MAYBE_NULL, 0)
        new.id = env.new_id()
        new.aux = size_of(field.btf.type(field.btf_id))
        return new
    if _safe_under_rcu(env, field) and in_rcu(env):
        flags |= RCU
        if field.kind == "kptr_percpu":
            flags |= r.PERCPU
        elif not _is_kernels(env, field.btf):
            flags |= r.ALLOC
    else:
        flags |= UNTRUSTED
    new = RegState(r.BTF | flags, 0)
    new.btf, new.btf_id = field.btf, field.btf_id
    new.id = env.new_id()
    return new


def match(env: Env, field: Special, reg: RegState, regno: i64) -> None:
    """May the pointer be stored in the field? Kernel: map_kptr_match_type."""
    from cygnet.verifier.kerneltypes import same_type, type_name

    if reg.btf is not None and _is_kernels(env, reg.btf):
        allowed = MAYBE_NULL | TRUSTED | RCU
        if field.kind == "kptr_untrusted":
            allowed |= UNTRUSTED
    else:
        allowed = MAYBE_NULL | r.ALLOC
        if field.kind == "kptr_percpu":
            allowed |= r.PERCPU
    good = reg.type & r.KIND == r.BTF and not reg.type & ~(r.KIND | allowed)
    if good:
        memory.check_ptr_off(env, reg, regno, True)
        good = same_type(reg.btf, reg.btf_id, reg.off, field.btf, field.btf_id, field.kind != "kptr_untrusted")
    if good:
        return
    name = type_name(reg.btf, reg.btf_id) if reg.btf is not None else ""
    text = f"invalid kptr access, R{regno} type={type_text(reg.type)}{name} expected=ptr_{_name(field)}"
    if field.kind == "kptr_untrusted":
        text += f" or untrusted_ptr_{_name(field)}"
    raise Reject(text, EINVAL)


def check_exchange(env: Env, reg: RegState, regno: i64, call: Call) -> None:
    """The new pointer that bpf_kptr_xchg puts in."""
    if call.field is None:
        raise Reject("bpf_kptr_xchg without a field", EINVAL)
    match(env, call.field, reg, regno)


def slot_argument(env: Env, reg: RegState, regno: i64, call: Call) -> None:
    """The field that bpf_kptr_xchg changes."""
    if reg.type & r.KIND == r.MAP_VALUE:
        info: MapInfo = reg.map
        if info.btf is None and not info.specials:
            raise Reject(f"map '{info.name}' has to have BTF in order to use bpf_kptr_xchg", EINVAL)
        fields = info.specials
        call.map = info
    else:
        from cygnet.verifier.records import fields_of

        fields = fields_of(reg.btf, reg.btf_id)
    if reg.mask:
        raise Reject(f"R{regno} doesn't have constant offset. kptr has to be at the constant offset", EINVAL)
    pointers = [field for field in fields if field.kind.startswith("kptr")]
    if not pointers:
        raise Reject(f"R{regno} has no valid kptr", EINVAL)
    off = reg.off + reg.value
    for field in pointers:
        if field.off == off:
            if field.kind == "kptr_untrusted":
                raise Reject(f"off={off} kptr isn't referenced kptr", EACCES)
            call.field = field
            return
    raise Reject(f"off={off} doesn't point to kptr", EACCES)


def exchanged(env: Env, null: i64, call: Call) -> RegState:
    """What was in the field: the program owns it now."""
    field: Special = call.field
    flags: i64 = null
    if not _is_kernels(env, field.btf):
        flags |= r.ALLOC
        if field.kind == "kptr_percpu":
            flags |= r.PERCPU
    new = RegState(r.BTF | flags, 0)
    new.btf, new.btf_id = field.btf, field.btf_id
    return new


def give(env: Env, id: i64) -> bool:
    """The pointer that was put in is no longer the program's; per-CPU objects may be used until RCU ends."""
    if not references.forget(env.cur, id):
        return False
    rcu = in_rcu(env)
    for frame in env.cur.frames:
        at: i64 = 0
        for reg in frame.regs:
            if reg.ref == id:
                frame.regs[at] = _given(reg, rcu)
            at += 1
        at = 0
        for slot in frame.stack:
            if slot.holds_register() and slot.reg.ref == id:
                frame.stack[at] = Slot(slot.kinds, _given(slot.reg, rcu))
            at += 1
    return True


def _given(reg: RegState, rcu: bool) -> RegState:
    if rcu and reg.type & r.ALLOC and reg.type & r.PERCPU:
        new = reg.copy()
        new.ref = 0
        new.type = new.type & ~r.ALLOC | RCU
        return new
    return references.invalidate(reg)
