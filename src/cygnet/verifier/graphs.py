"""Linked lists and red-black trees of allocated objects. Kernel: process_kf_arg_ptr_to_graph_node and around."""

from __future__ import annotations

from cygnet.verifier import locks, references
from cygnet.verifier import reg as r
from cygnet.verifier.env import EINVAL, Env, MapInfo, Special
from cygnet.verifier.reg import RegState
from cygnet.verifier.state import REF_LOCK, Frame, Reject, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from cygnet.btf.types import BtfType
    from cygnet.verifier.args import Call

PUSHES: Final = frozenset(("bpf_list_push_front_impl", "bpf_list_push_back_impl", "bpf_rbtree_add_impl"))
GIVES_NODE: Final = frozenset(
    ("bpf_list_pop_front", "bpf_list_pop_back", "bpf_list_front", "bpf_list_back", "bpf_rbtree_remove",
     "bpf_rbtree_first", "bpf_rbtree_root", "bpf_rbtree_left", "bpf_rbtree_right")
)  # fmt: skip
_KINDS: Final = {"bpf_list_head": "list_head", "bpf_rb_root": "rb_root"}


def _fields(reg: RegState) -> list[Special]:
    if reg.type & r.KIND == r.MAP_VALUE:
        info: MapInfo = reg.map
        return info.specials
    from cygnet.verifier.records import fields_of

    return fields_of(reg.btf, reg.btf_id)


def holds_lock(reg: RegState) -> bool:
    if reg.type & r.KIND != r.BTF or not reg.type & r.ALLOC:
        return False
    return any(field.kind in ("spin_lock", "res_spin_lock") for field in _fields(reg))


def head(env: Env, meta: Any, index: int, reg: RegState, target: BtfType) -> int:
    """A bpf_list_head or bpf_rb_root: of a map value or an object, whose lock is held."""
    if reg.type != r.MAP_VALUE and reg.type != r.BTF | r.ALLOC:
        raise Reject(f"arg#{index} expected pointer to map value or allocated object", EINVAL)
    if reg.type == r.BTF | r.ALLOC and not reg.ref:
        raise Reject("allocated object must be referenced", EINVAL)
    name, kind = target.name, _KINDS[target.name]
    if reg.mask:
        raise Reject(f"R{index + 1} doesn't have constant offset. {name} has to be at the constant offset", EINVAL)
    off = reg.off + reg.value
    field = next((each for each in _fields(reg) if each.kind == kind and each.off == off), None)
    if field is None:
        raise Reject(f"{name} not found at offset={off}", EINVAL)
    target_of = reg.map if reg.type == r.MAP_VALUE else reg.btf
    held = locks.find(env.cur, REF_LOCK, reg.id, target_of)
    if held is None:
        raise Reject(f"bpf_spin_lock at off={_lock_off(reg)} must be held for {name}", EINVAL)
    meta.graph = field
    return 1


def _lock_off(reg: RegState) -> int:
    return next((int(each.off) for each in _fields(reg) if each.kind == "spin_lock"), -1)


def node(env: Env, meta: Any, index: int, reg: RegState, target: BtfType) -> int:
    """A bpf_list_node or bpf_rb_node of an object that fits the list or tree."""
    func = meta.kfunc.name
    if func in PUSHES:
        if reg.type != r.BTF | r.ALLOC:
            raise Reject(f"arg#{index} expected pointer to allocated object", EINVAL)
        if not reg.ref:
            raise Reject("allocated object must be referenced", EINVAL)
    else:
        if not reg.type & r.NON_OWN_REF and not reg.ref:
            raise Reject(f"{func} can only take non-owning or refcounted bpf_rb_node pointer", EINVAL)
        if env.rbtree_callback and env.cur.frame().in_callback:
            raise Reject(f"{func} not allowed in rbtree cb", EINVAL)
    if reg.mask:
        raise Reject(
            f"R{index + 1} doesn't have constant offset. {target.name} has to be at the constant offset", EINVAL
        )
    off = reg.off + reg.value
    kind = target.name.removeprefix("bpf_")
    if not any(each.kind == kind and each.off == off for each in _fields(reg)):
        raise Reject(f"{target.name} not found at offset={off}", EINVAL)
    field: Special = meta.graph
    if field.btf is not reg.btf or field.btf_id != reg.btf_id:
        raise Reject(f"operation on {_root(kind)} expects arg#1 {target.name} of another struct", EINVAL)
    if off != field.node_offset:
        raise Reject(
            f"arg#1 offset={off}, but expected {target.name} at offset={field.node_offset} in struct"
            f" {reg.btf.type(reg.btf_id).name}",
            EINVAL,
        )
    meta.arg_btf, meta.arg_btf_id = reg.btf, int(reg.btf_id)
    return 1


def _root(kind: str) -> str:
    return "bpf_list_head" if kind == "list_node" else "bpf_rb_root"


def hang(env: Env, id: int) -> None:
    """The object now belongs to the list or tree: the program keeps references that do not own it."""
    for frame in env.cur.frames:
        for at, reg in enumerate(frame.regs):
            if reg.ref == id:
                frame.regs[at] = _lent(reg)
        for at, slot in enumerate(frame.stack):
            if slot.holds_register() and slot.reg.ref == id:
                frame.stack[at] = Slot(slot.kinds, _lent(slot.reg))
    references.release(env, id)


def _lent(reg: RegState) -> RegState:
    new = reg.copy()
    new.ref = 0
    new.type |= r.NON_OWN_REF
    return new


def mark_non_owning(env: Env, reg: RegState) -> None:
    if not env.cur.locks:
        raise Reject("a reference into a list or tree without its lock", 14)
    reg.type |= r.NON_OWN_REF


def node_result(field: Special) -> RegState:
    new = RegState(r.BTF | r.ALLOC, 0)
    new.btf, new.btf_id = field.btf, field.btf_id
    new.off = field.node_offset
    return new


def less_callback(env: Env, caller: Frame, callee: Frame, meta: Call) -> None:
    """bpf_rbtree_add: is one node less than another?"""
    field = getattr(meta, "graph", None)
    if field is None:
        raise Reject("bpf_rbtree_add without a tree", EINVAL)
    for regno in (1, 2):
        reg = node_result(field)
        reg.type |= r.NON_OWN_REF
        callee.regs[regno] = reg
    callee.ret_set, callee.ret_low, callee.ret_high = True, 0, 1
    env.rbtree_callback = True
