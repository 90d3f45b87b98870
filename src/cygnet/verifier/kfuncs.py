"""Calls of kernel functions by BTF id: arguments by their types and the names' suffixes. Kernel: check_kfunc_call."""

from __future__ import annotations

from cygnet.verifier import args, callbacks, calls, dynptrs, graphs, iterators, memory, precision, references
from cygnet.verifier import globals as global_functions
from cygnet.verifier import reg as r
from cygnet.verifier.btfaccess import in_rcu, is_rcu, is_trusted
from cygnet.verifier.env import EACCES, EFAULT, EINVAL, Env, Ins, Subprog
from cygnet.verifier.reg import MAYBE_NULL, RCU, SCALAR, TRUSTED, UNTRUSTED, RegState, scalar, unknown
from cygnet.verifier.regtext import type_text
from cygnet.verifier.state import REF_RES_LOCK, REF_RES_LOCK_IRQ, Reject, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from cygnet.btf.types import BtfType, Param

_MAX_KFUNCS: Final = 256
_MAX_ERRNO: Final = 4095
_PACKET_CHANGERS: Final = frozenset(("bpf_xdp_pull_data",))
_CALLBACK: Final = {"bpf_rbtree_add_impl"}
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


class Kfunc:
    """A kernel function: its prototype from BTF, its flags from facts.kfuncs."""

    __slots__ = ("flags", "id", "is_iter_next", "name", "params", "programs", "proto")

    def __init__(self, name: str, number: int, proto: BtfType) -> None:
        from cygnet.facts.kfuncs import kfunc

        row = kfunc(name)
        self.name = name
        self.id = number
        self.proto = proto
        self.params: tuple[Param, ...] = proto.params
        self.flags = row.flags if row is not None else frozenset()
        if "R" in self.flags:
            self.flags |= {"T"}
        self.programs = row.programs if row is not None else frozenset()
        self.is_iter_next = "x" in self.flags


class Meta(args.Call):
    """What the arguments of one call said."""

    __slots__ = (
        "arg_btf",
        "arg_btf_id",
        "constant",
        "dynptr_ref",
        "graph",
        "iter_frame",
        "iter_spi",
        "kfunc",
        "owning",
    )

    def __init__(self, kfunc: Kfunc) -> None:
        super().__init__(-1)
        self.kfunc = kfunc
        self.constant: int | None = None
        self.arg_btf: Any = None
        self.arg_btf_id = 0
        self.dynptr_ref = 0
        self.graph: Any = None
        self.iter_frame = 0
        self.iter_spi = -1
        self.owning = False


# -- before the paths are followed


def resolve(env: Env) -> None:
    """Find the functions that are called. Kernel: add_kfunc_call."""
    from cygnet.btf.kinds import FUNC
    from cygnet.errors import BtfError
    from cygnet.verifier.kerneltypes import kernel

    btf = kernel(env)
    made: dict[int, Kfunc] = {}
    for at, ins in enumerate(env.insns):
        if ins.code != 0x85 or ins.src != 2 or ins.imm == 0:
            continue
        if not env.gpl:
            raise Reject("cannot call kernel function from non-GPL compatible program", EINVAL, at)
        if ins.off:
            why = "negative offset disallowed for kernel function call" if ins.off < 0 else ""
            raise Reject(why or "failed to find BTF for kernel function", EINVAL, at)
        if ins.imm not in made:
            try:
                func = btf.type(ins.imm)
            except BtfError:
                func = None
            if func is None or func.kind != FUNC:
                raise Reject(f"kernel btf_id {ins.imm} is not a function", EINVAL, at)
            made[ins.imm] = Kfunc(func.name, ins.imm, func.type)
            if len(made) > _MAX_KFUNCS:
                raise Reject("too many different kernel function calls", 7, at)
        ins.kfunc = made[ins.imm]
        if ins.kfunc.name in _CALLBACK:
            ins.calls_callback = True


def note(ins: Ins, sub: Subprog) -> None:
    """What the control flow must know of a call."""
    kfunc: Kfunc = ins.kfunc
    if kfunc.is_iter_next:
        ins.prune = True
        ins.checkpoint = True
    if "S" in kfunc.flags:
        sub.might_sleep = True
    if kfunc.name in _PACKET_CHANGERS:
        sub.changes_packet = True
    if kfunc.name == "bpf_wq_set_callback_impl" or kfunc.name.startswith("bpf_task_work_schedule"):
        ins.prune = True


# -- a call


def call(env: Env, ins: Ins) -> int:
    """Gives where the path goes on."""
    if ins.imm == 0 or ins.kfunc is None:
        return int(env.insn) + 1
    kfunc: Kfunc = ins.kfunc
    if kfunc.programs is not None and env.prog_type not in kfunc.programs:
        raise Reject(f"calling kernel function {kfunc.name} is not allowed", EACCES)
    if kfunc.name == "__bpf_trap":
        raise Reject("unexpected __bpf_trap() due to uninitialized variable?", EFAULT)
    if kfunc.name in ("bpf_res_spin_lock", "bpf_res_spin_lock_irqsave"):
        _fork_failure(env)
    if "S" in kfunc.flags and not env.cur.sleepable:
        raise Reject(f"program must be sleepable to call sleepable kfunc {kfunc.name}", EACCES)
    meta = Meta(kfunc)
    _arguments(env, meta)
    _call_back(env, ins, meta)
    _regions(env, kfunc)
    _give(env, meta)
    if kfunc.name == "bpf_throw":
        return _throw(env)
    result = _result(env, meta)
    regs = env.regs()
    calls.clear_caller_saved(regs)
    if result is not None:
        regs[0] = result
    if kfunc.name in _PACKET_CHANGERS:
        references.clear_packet_pointers(env)
    if kfunc.is_iter_next:
        iterators.step(env, int(meta.iter_frame), int(meta.iter_spi))
    return int(env.insn) + 1


def _fork_failure(env: Env) -> None:
    """A resilient lock may not be got: then the result is an error."""
    other = env.push(env.insn + 1, env.insn)
    regs = other.frame().regs
    calls.clear_caller_saved(regs)
    error = unknown()
    error.s32_min, error.s32_max, error.smin, error.smax = -_MAX_ERRNO, -1, -_MAX_ERRNO, -1
    error.sync()
    regs[0] = error


def _throw(env: Env) -> int:
    from cygnet.verifier import returns

    references.check_leaks(env, True, True, "bpf_throw")
    if env.exception_cb < 0:
        regs = env.regs()
        saved = regs[0]
        regs[0] = regs[1]
        try:
            if len(env.cur.frames) == 1:
                returns.check(env)
        finally:
            regs[0] = saved
    return -1


def _call_back(env: Env, ins: Ins, meta: Meta) -> None:
    name = meta.kfunc.name
    if name == "bpf_rbtree_add_impl":
        callbacks.push(env, ins, meta, graphs.less_callback)
    elif name == "bpf_wq_set_callback_impl":
        callbacks.push(env, ins, meta, callbacks.work)
    elif name.startswith("bpf_task_work_schedule"):
        callbacks.push(env, ins, meta, callbacks.task_work)


def _regions(env: Env, kfunc: Kfunc) -> None:
    """RCU, preemption and interrupts: sections that are entered and left."""
    state, name = env.cur, kfunc.name
    sleeps = "S" in kfunc.flags
    if state.rcu_locks:
        if name == "bpf_rcu_read_lock":
            raise Reject(f"nested rcu read lock (kernel function {name})", EINVAL)
        elif name == "bpf_rcu_read_unlock":
            state.rcu_locks = 0
            _leave_rcu(env)
        elif sleeps:
            raise Reject(f"kernel func {name} is sleepable within rcu_read_lock region", EACCES)
    elif name == "bpf_rcu_read_lock":
        state.rcu_locks = 1
    elif name == "bpf_rcu_read_unlock":
        raise Reject(f"unmatched rcu read unlock (kernel function {name})", EINVAL)
    if state.preempt_locks:
        if name == "bpf_preempt_disable":
            state.preempt_locks += 1
        elif name == "bpf_preempt_enable":
            state.preempt_locks -= 1
        elif sleeps:
            raise Reject(f"kernel func {name} is sleepable within non-preemptible region", EACCES)
    elif name == "bpf_preempt_disable":
        state.preempt_locks = 1
    elif name == "bpf_preempt_enable":
        raise Reject(f"unmatched attempt to enable preemption (kernel function {name})", EINVAL)
    if state.irq_id and sleeps:
        raise Reject(f"kernel func {name} is sleepable within IRQ-disabled region", EACCES)
    if "P" in kfunc.flags and not in_rcu(env):
        raise Reject(f"kernel func {name} requires RCU critical section protection", EACCES)


def _leave_rcu(env: Env) -> None:
    """Pointers that RCU protected are not to be trusted any more."""
    for frame in env.cur.frames:
        for at, reg in enumerate(frame.regs):
            if reg.type & RCU:
                frame.regs[at] = _distrusted(reg)
        for at, slot in enumerate(frame.stack):
            if slot.kinds and slot.reg.type & RCU:
                frame.stack[at] = Slot(slot.kinds, _distrusted(slot.reg))


def _distrusted(reg: RegState) -> RegState:
    new = reg.copy()
    new.type = new.type & ~(RCU | MAYBE_NULL) | UNTRUSTED
    return new


def _give(env: Env, meta: Meta) -> None:
    kfunc = meta.kfunc
    regs = env.regs()
    if meta.release:
        if not references.release(env, regs[meta.release].ref):
            raise Reject(f"kfunc {kfunc.name}#{kfunc.id} reference has not been acquired before", EINVAL)
    if kfunc.name in graphs.PUSHES:
        graphs.hang(env, regs[2].ref)


# -- arguments


def _arguments(env: Env, meta: Meta) -> None:
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
    if reg.type == r.NOT_INIT:
        raise Reject(f"R{regno} !read_ok", EACCES)
    flags = meta.kfunc.flags
    nullable = param.name.endswith(("__nullable", "__opt"))
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
    if not _plain(target, 0) and not (sized and target.kind == k.VOID):
        void = "void, " if sized else ""
        word = f"{global_functions._word(target)} {target.name}"
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


def _plain(type: BtfType, depth: int) -> bool:
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
        if not _plain(inner, depth + 1):
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
    if not any(field.kind == "refcount" for field in fields_of(reg.btf, reg.btf_id)):
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
    if "n" in flags:
        iterators.construct(env, index + 1, target, "P" in flags)
        return 1
    spi = iterators.check(env, index + 1, target, meta.kfunc.name)
    meta.iter_frame, meta.iter_spi = int(reg.frame), spi
    if "d" in flags:
        iterators.destroy(env, reg, spi, target)
    return 1


def _memory(env: Env, meta: Meta, index: int, reg: RegState, target: BtfType) -> int:
    from cygnet.btf.layout import size_of

    global_functions.check_memory(env, index + 1, size_of(target))
    return 1


def _memory_size(env: Env, meta: Meta, index: int, reg: RegState, target: BtfType) -> int:
    size_reg = env.regs()[index + 2]
    if size_reg.type != SCALAR:
        raise Reject(f"R{index + 2} is not a scalar", EINVAL)
    null = args.is_null(reg) and meta.kfunc.params[index].name.endswith(("__nullable", "__opt"))
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


# -- the result


def _result(env: Env, meta: Meta) -> RegState | None:
    from cygnet.btf import kinds as k
    from cygnet.btf.layout import resolve

    kfunc = meta.kfunc
    type = resolve(kfunc.proto.type)
    if type.kind == k.VOID:
        return None
    if type.kind != k.PTR:
        locking = kfunc.name in ("bpf_res_spin_lock", "bpf_res_spin_lock_irqsave")
        return scalar(0) if locking else unknown()
    target = resolve(type.type)
    result = _special(env, meta, target)
    if result is None:
        result = _pointer(env, meta, target)
    if result.type == SCALAR:
        return result
    null = "N" in kfunc.flags and not (kfunc.name == "bpf_refcount_acquire_impl" and meta.owning)
    if null:
        result.type |= MAYBE_NULL
        result.id = env.new_id()
    if "A" in kfunc.flags:
        ref = references.acquire(env, env.insn)
        if null:
            result.id = ref
        result.ref = ref
    elif target.name in ("bpf_rb_node", "bpf_list_node"):
        graphs.mark_non_owning(env, result)
    if not result.id and graphs.holds_lock(result):
        result.id = env.new_id()
    return result


def _pointer(env: Env, meta: Meta, target: BtfType) -> RegState:
    from cygnet.btf import kinds as k
    from cygnet.btf.layout import size_of
    from cygnet.errors import BtfError

    kfunc = meta.kfunc
    if target.kind == k.VOID:
        return unknown()
    if target.kind not in (k.STRUCT, k.UNION):
        new = RegState(r.MEM, 0)
        if kfunc.name == "bpf_session_cookie":
            new.aux = 8
        else:
            new.type |= r.RDONLY
            try:
                new.aux = size_of(target)
            except BtfError:
                raise Reject(f"kernel function {kfunc.name} returns a pointer that is not supported", EINVAL) from None
        new.ref = meta.ref
        if "P" in kfunc.flags:
            new.type |= RCU
        return new
    flags = TRUSTED
    if kfunc.name == "bpf_get_kmem_cache":
        flags = UNTRUSTED
    elif "P" in kfunc.flags or (kfunc.is_iter_next and iterators.under_rcu(env, meta.iter_frame, meta.iter_spi)):
        flags = RCU
    new = RegState(r.BTF | flags, 0)
    new.btf, new.btf_id = target.btf, target.id
    return new


def _special(env: Env, meta: Meta, target: BtfType) -> RegState | None:
    """Functions whose result is more than its type says. Kernel: check_special_kfunc."""
    from cygnet.verifier import objects

    name = meta.kfunc.name
    if name in ("bpf_obj_new_impl", "bpf_percpu_obj_new_impl"):
        return objects.new(env, meta.constant, name == "bpf_percpu_obj_new_impl")
    if name == "bpf_refcount_acquire_impl":
        new = RegState(r.BTF | r.ALLOC, 0)
        new.btf, new.btf_id = meta.arg_btf, meta.arg_btf_id
        return new
    if name in graphs.GIVES_NODE:
        return graphs.node_result(meta.graph)
    if name == "bpf_cast_to_kern_ctx":
        return objects.kernel_context(env)
    if name == "bpf_rdonly_cast":
        return objects.readonly_cast(env, meta.constant)
    if name in ("bpf_dynptr_slice", "bpf_dynptr_slice_rdwr"):
        return _slice(env, meta, name == "bpf_dynptr_slice")
    return None


def _slice(env: Env, meta: Meta, read_only: bool) -> RegState:
    flag = (0, r.DYN_LOCAL, r.DYN_RINGBUF, r.DYN_SKB, r.DYN_XDP, r.DYN_SKB_META)[int(meta.dynptr_type)]
    if not read_only and not memory.packet_allowed(env, True):
        raise Reject("the prog does not allow writes to packet data", EINVAL)
    new = RegState(r.MEM | flag | (r.RDONLY if read_only else 0), 0)
    new.aux = meta.constant or 0
    new.map_uid = meta.dynptr_id
    return new
