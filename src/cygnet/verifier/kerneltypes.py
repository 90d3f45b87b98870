"""The kernel's types: what BTF pointers point to, and whether one will do where another is wanted."""

from __future__ import annotations

from cygnet.verifier import reg as r
from cygnet.verifier.env import EACCES, EINVAL, Env, Ins
from cygnet.verifier.reg import RegState
from cygnet.verifier.state import Reject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from mypy_extensions import i64

    from cygnet.btf.reader import Btf
    from cygnet.btf.types import BtfType
    from cygnet.verifier.args import Call

# What registers that are no BTF pointers are, to whoever takes one
_SOCKS: Final = {
    r.SOCK_COMMON: "sock_common",
    r.SOCKET: "sock",
    r.TCP_SOCK: "tcp_sock",
    r.XDP_SOCK: "xdp_sock",
}


def kernel(env: Env) -> Btf:
    """The types that BTF pointers of this program speak of."""
    if env.kernel_btf is None:
        from cygnet.errors import NotSupported
        from cygnet.verifier.records import shared_kernel

        try:
            env.kernel_btf = shared_kernel()
        except NotSupported as error:
            raise Reject(f"kernel types are needed to verify this program: {error}", EINVAL) from None
    found: Btf = env.kernel_btf
    return found


def find_struct(env: Env, name: str) -> BtfType:
    from cygnet.btf.kinds import STRUCT

    found = kernel(env).find(name, STRUCT)
    if found is None:
        raise Reject(f"the kernel has no struct {name}", EINVAL)
    return found


def struct_id(env: Env, name: str) -> tuple[Any, int]:
    found = find_struct(env, name)
    return found.btf, found.id


def type_name(btf: Any, btf_id: i64) -> str:
    name: str = btf.type(btf_id).name
    return name


def check_is(env: Env, reg: RegState, regno: i64, name: str, strict: bool) -> None:
    """Does the BTF pointer point to a `name`, or to something that begins with one (unless `strict`)?"""
    wanted = find_struct(env, name)
    if not same_type(reg.btf, reg.btf_id, reg.off, wanted.btf, wanted.id, strict):
        raise Reject(f"R{regno} is of type {type_name(reg.btf, reg.btf_id)} but {name} is expected", EACCES)


def same_type(btf: Any, btf_id: i64, off: i64, want_btf: Any, want_id: i64, strict: bool) -> bool:
    """Kernel: btf_struct_ids_match."""
    if off == 0 and btf is want_btf and btf_id == want_id:
        return True
    if strict:
        return False
    from cygnet.verifier.btfaccess import STRUCT, walk

    at = off
    while True:
        try:
            step = walk(btf, btf.type(btf_id), at, 1, True)
        except Reject:
            return False
        if step.kind != STRUCT:
            return False
        btf_id = step.type.id
        if btf is want_btf and btf_id == want_id:
            return True
        at = 0


def sock_name(reg: RegState) -> str:
    return _SOCKS.get(reg.type & r.KIND, "")


def result(env: Env, word: str, null: i64, meta: Call) -> RegState:
    """What a helper gives that is a kernel object: ``btf:T``, mem_or_btf, kptr."""
    if word.startswith("btf:"):
        name = word[4:]
        trusted: i64 = r.TRUSTED if meta.helper == 158 else 0
        new = RegState(r.BTF | null | trusted, 0)
        new.btf, new.btf_id = struct_id(env, name)
        return new
    if word == "kptr":
        from cygnet.verifier import kptrs

        return kptrs.exchanged(env, null, meta)
    return _percpu(env, null, meta)


def _percpu(env: Env, null: i64, meta: Call) -> RegState:
    """bpf_per_cpu_ptr and bpf_this_cpu_ptr: to a struct, or to the bytes of something else."""
    from cygnet.btf.kinds import STRUCT, UNION
    from cygnet.btf.layout import resolve, size_of
    from cygnet.errors import BtfError

    type = resolve(meta.ret_btf.type(meta.ret_btf_id))
    if type.kind in (STRUCT, UNION):
        alloc: i64 = 0 if meta.ret_btf is env.kernel_btf else r.ALLOC | r.RCU
        new = RegState(r.BTF | null | alloc, 0)
        new.btf, new.btf_id = meta.ret_btf, type.id
        return new
    new = RegState(r.MEM | r.RDONLY | null, 0)
    try:
        new.aux = size_of(type)
    except BtfError:
        raise Reject(f"unable to resolve the size of type '{type.name}'", EINVAL) from None
    return new


def resolve_variable(env: Env, ins: Ins, btf_fd: int, at: int) -> None:
    """A load of a kernel variable's or function's address (``__ksym``). Kernel: check_pseudo_btf_id."""
    from cygnet.btf import kinds as k
    from cygnet.btf.layout import resolve, size_of
    from cygnet.errors import BtfError

    btf = kernel(env)
    try:
        type = btf.type(ins.imm)
    except BtfError:
        raise Reject(f"ldimm64 insn specifies invalid btf_id {ins.imm}.", EINVAL, at) from None
    if type.kind == k.FUNC:
        ins.var_type, ins.map_off = r.MEM | r.RDONLY, 0
        return
    if type.kind != k.VAR:
        raise Reject(f"pseudo btf_id {ins.imm} in ldimm64 isn't KIND_VAR or KIND_FUNC", EINVAL, at)
    target = resolve(type.type)
    ins.btf, ins.btf_id = btf, type.type.id
    if _is_percpu(btf, ins.imm):
        ins.var_type = r.BTF | r.PERCPU
    elif target.kind in (k.STRUCT, k.UNION):
        ins.var_type, ins.btf_id = r.BTF, target.id
    else:
        ins.var_type, ins.map_off = r.MEM | r.RDONLY, size_of(target)


def _is_percpu(btf: Btf, number: int) -> bool:
    from cygnet.btf.kinds import DATASEC

    section = btf.find(".data..percpu", DATASEC)
    return section is not None and any(info.type_id == number for info in section.variables)
