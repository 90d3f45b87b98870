"""What a call of a kernel function leaves in r0. Kernel: check_kfunc_call, check_special_kfunc."""

from __future__ import annotations

from cygnet.verifier import graphs, iterators, memory, references
from cygnet.verifier import reg as r
from cygnet.verifier.env import EINVAL, Env
from cygnet.verifier.kfuncmeta import Meta
from cygnet.verifier.reg import MAYBE_NULL, RCU, SCALAR, TRUSTED, UNTRUSTED, RegState, scalar, unknown
from cygnet.verifier.state import Reject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.btf.types import BtfType


def result(env: Env, meta: Meta) -> RegState | None:
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
    flags = TRUSTED if kfunc.is_iter_next else 0
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
