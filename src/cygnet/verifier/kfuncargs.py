"""The arguments of kernel functions: by their types and the names' suffixes. Kernel: check_kfunc_args."""

from __future__ import annotations

from cygnet.verifier import args, dynptrs, graphs, iterators, memory, precision
from cygnet.verifier import globals as global_functions
from cygnet.verifier import reg as r
from cygnet.verifier.btfaccess import is_rcu, is_trusted
from cygnet.verifier.env import EACCES, EFAULT, EINVAL, Env
from cygnet.verifier.kfuncmeta import Meta
from cygnet.verifier.reg import MAYBE_NULL, RCU, SCALAR, TRUSTED, RegState
from cygnet.verifier.regtext import type_text
from cygnet.verifier.state import REF_RES_LOCK, REF_RES_LOCK_IRQ, Reject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from cygnet.btf.types import BtfType, Param

_CALL_LOCKS: Final = {
    "bpf_res_spin_lock": (True, REF_RES_LOCK),
    "bpf_res_spin_unlock": (False, REF_RES_LOCK),
    "bpf_res_spin_lock_irqsave": (True, REF_RES_LOCK_IRQ),
    "bpf_res_spin_unlock_irqrestore": (False, REF_RES_LOCK_IRQ),
}
_DYNPTR_SOURCES: Final = {
    "bpf_dynptr_from_skb": dynptrs.SKB,
    "bpf_dynptr_from_xdp": dynptrs.XDP,
    "bpf_dynptr_from_skb_meta": dynptrs.SKB_META,
}
_SOCKS: Final = {r.SOCKET: "sock", r.SOCK_COMMON: "sock_common", r.TCP_SOCK: "tcp_sock", r.CONST_MAP: "bpf_map"}


def arguments(env: Env, meta: Meta) -> None:
    index, params = 0, meta.kfunc.params
    if len(params) > 5:
        raise Reject(f"Function {meta.kfunc.name} has {len(params)} > 5 args", EINVAL)
    while index < len(params):
        index += _argument(env, meta, index)
    if "R" in meta.kfunc.flags and not meta.release:
        raise Reject(f"release kernel function {meta.kfunc.name} expects refcounted PTR_TO_BTF_ID", EINVAL)


def _argument(env: Env, meta: Meta, index: int) -> int:
    """Check one argument; gives how many were looked at (a buffer and its size are two)."""
    from cygnet.btf import kinds as k
    from cygnet.btf.layout import resolve

    param = meta.kfunc.params[index]
    if param.name.endswith(("__ign", "__prog")):
        return 1
    regno = index + 1
    reg = env.regs()[regno]
    type = resolve(meta.kfunc.proto.btf.type(param.type_id))
    if type.kind in (k.INT, k.ENUM, k.ENUM64):
        _number(env, meta, reg, regno, param)
        return 1
    flags = meta.kfunc.flags
    nullable = param.name.endswith("__nullable")
    if ("T" in flags or "U" in flags) and (args.is_null(reg) or reg.type & MAYBE_NULL) and not nullable:
        raise Reject(f"Possibly NULL pointer passed to trusted arg{index}", EACCES)
    if reg.ref:
        meta.ref = reg.ref
        if "R" in flags:
            meta.release = regno
    target = resolve(type.type)
    kind = _pointer_kind(env, meta, index, type, target, nullable and args.is_null(reg))
    if kind == "null":
        return 1
    if kind in ("map", "alloc"):
        if kind == "map" and reg.type & r.KIND not in (r.CONST_MAP, r.BTF):
            raise Reject(f"pointer in R{regno} isn't map pointer", EINVAL)
        _check_trust(meta, reg, regno)
    if reg.type == r.NOT_INIT:
        raise Reject("variable ? access var_off=(0x0; 0xffffffffffffffff) disallowed", EACCES)
    return _POINTERS[kind](env, meta, index, reg, target)


def _number(env: Env, meta: Meta, reg: RegState, regno: int, param: Param) -> None:
    if reg.type != SCALAR:
        raise Reject(f"R{regno} is not a scalar", EINVAL)
    if param.name.endswith("__k"):
        if reg.mask:
            raise Reject(f"R{regno} must be a known constant", EINVAL)
        precision.mark(env, regno)
        meta.constant = reg.value


def _pointer_kind(env: Env, meta: Meta, index: int, type: BtfType, target: BtfType, null: bool) -> str:
    """Kernel: get_kfunc_ptr_arg_type."""
    from cygnet.btf import kinds as k

    param, reg = meta.kfunc.params[index], env.regs()[index + 1]
    if meta.kfunc.name == "bpf_cast_to_kern_ctx" or global_functions._is_context(env, type):
        return "ctx"
    if null:
        return "null"
    for suffix, kind in _SUFFIXES:
        if param.name.endswith(suffix):
            return kind
    if target.kind == k.STRUCT and target.name in _STRUCTS:
        return _STRUCTS[target.name]
    if index == 0 and meta.kfunc.flags & {"n", "x", "d"}:
        return "iter"
    if reg.type & r.KIND == r.BTF or reg.type & r.KIND in _SOCKS:
        if target.kind not in (k.STRUCT, k.UNION):
            raise Reject(f"kernel function {meta.kfunc.name} args#{index} pointer type is not supported", EINVAL)
        return "btf"
    if target.kind == k.FUNC_PROTO:
        return "callback"
    params = meta.kfunc.params
    sized = index + 1 < len(params) and params[index + 1].name.endswith(("__sz", "__szk"))
    sized = sized and env.regs()[index + 2].type == SCALAR
    if not plain(target, 0) and not (sized and target.kind == k.VOID):
        void = "void, " if sized else ""
        word = f"{global_functions._word(target)} {target.name}" if target.kind != k.VOID else "UNKNOWN "
        raise Reject(f"arg#{index} pointer type {word} must point to {void}scalar, or struct with scalar", EINVAL)
    return "mem_size" if sized else "mem"


_SUFFIXES: Final = (
    ("__alloc", "alloc"),
    ("__refcounted_kptr", "refcounted"),
    ("__str", "string"),
    ("__map", "map"),
    ("__irq_flag", "irq"),
)
_STRUCTS: Final = {
    "bpf_dynptr": "dynptr",
    "bpf_dynptr_kern": "dynptr",
    "bpf_list_head": "list_head",
    "bpf_list_node": "list_node",
    "bpf_rb_root": "rb_root",
    "bpf_rb_node": "rb_node",
    "bpf_wq": "wq",
    "bpf_task_work": "task_work",
    "bpf_res_spin_lock": "res_lock",
}


def plain(type: BtfType, depth: int) -> bool:
    """A number, or a structure of nothing but numbers."""
    from cygnet.btf import kinds as k
    from cygnet.btf.layout import resolve

    if type.kind in (k.INT, k.ENUM, k.ENUM64):
        return True
    if type.kind not in (k.STRUCT, k.UNION) or depth >= 4:
        return False
    for member in type.members:
        inner = resolve(type.btf.type(member.type_id))
        while inner.kind == k.ARRAY:
            inner = resolve(inner.type)
        if not plain(inner, depth + 1):
            return False
    return True


def _context(env: Env, meta: Meta, index: int, reg: RegState, target: BtfType) -> int:
    memory.check_ptr_off(env, reg, index + 1, False)
    if reg.type != r.CTX:
        raise Reject(f"arg#{index} expected pointer to ctx, but got {type_text(reg.type)}", EINVAL)
    return 1


def _check_trust(meta: Meta, reg: RegState, regno: int) -> None:
    flags = meta.kfunc.flags
    if not flags & {"T", "U"} or is_trusted(reg) or reg.type == r.CONST_MAP:
        return
    if "U" not in flags:
        raise Reject(f"R{regno} must be referenced or trusted", EINVAL)
    if not is_rcu(reg):
        raise Reject(f"R{regno} must be a rcu pointer", EINVAL)


def _btf(env: Env, meta: Meta, index: int, reg: RegState, target: BtfType) -> int:
    from cygnet.verifier.kerneltypes import same_type, struct_id, type_name

    regno = index + 1
    releases = "R" in meta.kfunc.flags and reg.ref != 0
    _check_trust(meta, reg, regno)
    args._check_offset(env, reg, regno, "btf", releases)
    kind = reg.type & r.KIND
    unsafe = reg.type & ~(r.KIND | TRUSTED | r.ALLOC | RCU | r.NON_OWN_REF)
    if (kind != r.BTF or (unsafe and not is_rcu(reg))) and kind not in _SOCKS:
        raise Reject(f"arg#{index} is {type_text(reg.type)} expected ptr_ or socket", EINVAL)
    btf, btf_id = (reg.btf, reg.btf_id) if kind == r.BTF else struct_id(env, _SOCKS[int(kind)])
    if not same_type(btf, btf_id, reg.off, target.btf, target.id, releases):
        raise Reject(
            f"kernel function {meta.kfunc.name} args#{index} expected pointer to STRUCT {target.name}"
            f" but R{regno} has a pointer to STRUCT {type_name(btf, btf_id)}",
            EINVAL,
        )
    return 1


def _map(env: Env, meta: Meta, index: int, reg: RegState, target: BtfType) -> int:
    regno = index + 1
    if reg.type & r.KIND not in (r.CONST_MAP, r.BTF) or (reg.type & r.KIND == r.BTF and target.name != "bpf_map"):
        raise Reject(f"pointer in R{regno} isn't map pointer", EINVAL)
    if reg.type == r.CONST_MAP:
        if meta.map is not None and (meta.map is not reg.map or meta.map_uid != reg.map_uid):
            what = "bpf_task_work" if "task_work" in meta.kfunc.name else "workqueue"
            raise Reject(
                f"{what} pointer in R{index} map_uid={meta.map_uid} doesn't match map pointer in R{regno}"
                f" map_uid={reg.map_uid}",
                EINVAL,
            )
        meta.map, meta.map_uid = reg.map, reg.map_uid
    memory.check_ptr_off(env, reg, regno, False)
    return 1


def _alloc(env: Env, meta: Meta, index: int, reg: RegState, target: BtfType) -> int:
    percpu = reg.type == r.BTF | r.ALLOC | r.PERCPU
    if reg.type != r.BTF | r.ALLOC and not percpu:
        raise Reject(f"arg#{index} expected pointer to allocated object", EINVAL)
    wanted = "bpf_percpu_obj_drop_impl" if percpu else "bpf_obj_drop_impl"
    if meta.kfunc.name != wanted:
        raise Reject(f"arg#{index} expected for {wanted}()", EINVAL)
    if not reg.ref:
        raise Reject("allocated object must be referenced", EINVAL)
    args._check_offset(env, reg, index + 1, "btf", True)
    return 1


def _refcounted(env: Env, meta: Meta, index: int, reg: RegState, target: BtfType) -> int:
    from cygnet.verifier.records import fields_of

    if not (reg.type & r.KIND == r.BTF and reg.type & r.ALLOC):
        raise Reject(f"arg#{index} is neither owning or non-owning ref", EINVAL)
    fields = fields_of(reg.btf, reg.btf_id)
    if not fields:  # the kernel's own words
        raise Reject("verifier bug: Couldn't find btf_record", EFAULT)
    if not any(field.kind == "refcount" for field in fields):
        raise Reject(f"arg#{index} doesn't point to a type with bpf_refcount field", EINVAL)
    meta.owning = not reg.type & r.NON_OWN_REF
    meta.arg_btf, meta.arg_btf_id = reg.btf, int(reg.btf_id)
    return 1


def _dynptr(env: Env, meta: Meta, index: int, reg: RegState, target: BtfType) -> int:
    regno, name = index + 1, meta.kfunc.name
    if meta.kfunc.params[index].name.endswith("__uninit"):
        kind = _DYNPTR_SOURCES.get(name, dynptrs.LOCAL)
        if name == "bpf_dynptr_clone":
            kind = int(meta.dynptr_type)
        dynptrs.construct(env, regno, kind, meta.dynptr_ref)
        return 1
    dynptrs.check_initialised(env, regno, 0, False)
    meta.dynptr_type = dynptrs.type_of(env, reg)
    meta.dynptr_id = dynptrs.id_of(env, reg)
    meta.dynptr_ref = int(dynptrs.reference(env, reg))
    return 1


def _iter(env: Env, meta: Meta, index: int, reg: RegState, target: BtfType) -> int:
    flags = meta.kfunc.flags
    if meta.kfunc.name == "bpf_iter_css_task_new" and not _may_walk_css_tasks(env):
        raise Reject("css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs", EINVAL)
    if "n" in flags:
        iterators.construct(env, index + 1, target, "P" in flags)
        return 1
    spi = iterators.check(env, index + 1, target, meta.kfunc.name)
    meta.iter_frame, meta.iter_spi = int(reg.frame), spi
    if "d" in flags:
        iterators.destroy(env, reg, spi, target)
    return 1


def _may_walk_css_tasks(env: Env) -> bool:
    return env.prog_type == "lsm" or env.attach == "TRACE_ITER" or env.cur.sleepable


def _memory(env: Env, meta: Meta, index: int, reg: RegState, target: BtfType) -> int:
    from cygnet.btf.layout import size_of

    global_functions.check_memory(env, index + 1, size_of(target))
    return 1


def _memory_size(env: Env, meta: Meta, index: int, reg: RegState, target: BtfType) -> int:
    size_reg = env.regs()[index + 2]
    if size_reg.type != SCALAR:
        raise Reject(f"R{index + 2} is not a scalar", EINVAL)
    null = args.is_null(reg) and meta.kfunc.params[index].name.endswith("__opt")
    if not null:
        try:
            _sized(env, meta, index + 1, size_reg)
        except Reject as reject:
            raise Reject(
                f"{reject.message}\narg#{index} arg#{index + 1} memory, len pair leads to invalid memory access",
                reject.errno,
            ) from None
    if meta.kfunc.params[index + 1].name.endswith("__szk"):
        if size_reg.mask:
            raise Reject(f"R{index + 2} must be a known constant", EINVAL)
        meta.constant = size_reg.value
    return 2


def _sized(env: Env, meta: Meta, regno: int, size: RegState) -> None:
    regs = env.regs()
    saved = regs[regno]
    if saved.type & MAYBE_NULL:
        new = saved.copy()
        new.type &= ~MAYBE_NULL
        regs[regno] = new
    try:
        args.check_size(env, size, regno + 1, False, True, meta)
        args.check_size(env, size, regno + 1, True, True, meta)
    finally:
        regs[regno] = saved


def _string(env: Env, meta: Meta, index: int, reg: RegState, target: BtfType) -> int:
    if reg.type != r.MAP_VALUE:
        raise Reject(f"arg#{index} doesn't point to a const string", EINVAL)
    args.check_string(env, reg, index + 1)
    return 1


def _callback(env: Env, meta: Meta, index: int, reg: RegState, target: BtfType) -> int:
    if reg.type != r.FUNC:
        raise Reject(f"arg{index} expected pointer to func", EINVAL)
    meta.subprog = reg.aux
    return 1


def _work(env: Env, meta: Meta, index: int, reg: RegState, target: BtfType) -> int:
    if reg.type != r.MAP_VALUE:
        raise Reject(f"arg#{index} doesn't point to a map value", EINVAL)
    kind = "wq" if target.name == "bpf_wq" else "task_work"
    args.check_field_pointer(env, reg, index + 1, kind, target.name, meta)
    return 1


def _lock(env: Env, meta: Meta, index: int, reg: RegState, target: BtfType) -> int:
    from cygnet.verifier import locks

    if reg.type not in (r.MAP_VALUE, r.BTF | r.ALLOC):
        raise Reject(f"arg#{index} doesn't point to map value or allocated object", EINVAL)
    take, kind = _CALL_LOCKS[meta.kfunc.name]
    locks.change(env, reg, index + 1, take, kind)
    return 1


def _irq(env: Env, meta: Meta, index: int, reg: RegState, target: BtfType) -> int:
    iterators.irq_flags(env, index + 1, meta.kfunc.name)
    return 1


_POINTERS: Final = {
    "ctx": _context,
    "btf": _btf,
    "map": _map,
    "alloc": _alloc,
    "refcounted": _refcounted,
    "dynptr": _dynptr,
    "iter": _iter,
    "mem": _memory,
    "mem_size": _memory_size,
    "string": _string,
    "callback": _callback,
    "wq": _work,
    "task_work": _work,
    "res_lock": _lock,
    "irq": _irq,
    "list_head": graphs.head,
    "rb_root": graphs.head,
    "list_node": graphs.node,
    "rb_node": graphs.node,
}
