"""Functions with types: which are global and so checked by themselves, and what their arguments are.

Kernel: check_btf_func, btf_prepare_func_args, btf_check_func_arg_match.
"""

from __future__ import annotations

from cygnet.verifier import args, memory
from cygnet.verifier import reg as r
from cygnet.verifier.env import EINVAL, Env, Subprog
from cygnet.verifier.reg import MAYBE_NULL, SCALAR, TRUSTED, RegState, unknown
from cygnet.verifier.regtext import type_text
from cygnet.verifier.state import Frame, Reject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from cygnet.btf.types import BtfType
    from cygnet.verifier.program import ProgramSpec

MAX_ARGS: Final = 5
# The context's name in C, by program type, where it is not facts.progtypes'
_CONTEXTS: Final = {
    "kprobe": "bpf_user_pt_regs_t",
    "perf_event": "bpf_perf_event_data",
    "raw_tracepoint": "bpf_raw_tracepoint_args",
    "raw_tracepoint_writable": "bpf_raw_tracepoint_args",
}


class Argument:
    """`kind`: ctx, scalar, mem, dynptr, btf, untrusted, arena. `nullable` pointers are checked inside the function."""

    __slots__ = ("btf", "btf_id", "kind", "nullable", "size")

    def __init__(self, kind: str, nullable: bool = False, size: int = 0) -> None:
        self.kind = kind
        self.nullable = nullable
        self.size = size
        self.btf: Any = None
        self.btf_id = 0


def describe(env: Env, spec: ProgramSpec) -> None:
    """Names, linkage and prototypes of the functions, from BTF or from what the front end says of them."""
    env.has_func_info = True
    if not spec.func_info:
        by_start = {info.insn: info for info in spec.functions}
        for sub in env.subs:
            info = by_start.get(sub.start)
            if info is not None:
                sub.name = info.name
        return
    if env.btf is None:
        raise Reject("func_info without BTF", EINVAL)
    _from_btf(env, spec.func_info)


def _from_btf(env: Env, data: bytes) -> None:
    import struct

    from cygnet.btf import kinds as k
    from cygnet.btf.layout import resolve
    from cygnet.errors import BtfError

    records = list(struct.iter_unpack("<II", data[: len(data) // 8 * 8]))
    if len(records) != len(env.subs):
        raise Reject("number of funcs in func_info doesn't match number of subprogs", EINVAL)
    for sub, (insn, type_id) in zip(env.subs, records):
        if insn != sub.start:
            raise Reject("func_info BTF section doesn't match subprog layout in BPF program", EINVAL)
        try:
            func = env.btf.type(type_id)
        except BtfError:
            raise Reject(f"invalid type id {type_id} in func info", EINVAL) from None
        if func.kind != k.FUNC:
            raise Reject(f"invalid type id {type_id} in func info", EINVAL)
        sub.name = func.name
        sub.is_global = func.linkage == k.GLOBAL and sub.start != 0
        result = resolve(func.type.type)
        sub.returns_void = False
        sub.args = func
        scalar = result.kind in (k.INT, k.ENUM, k.ENUM64)
        if sub.start and not scalar and sub.has_ld_abs:
            raise Reject("LD_ABS is only allowed in functions that return 'int'.", EINVAL)
        if sub.start and not scalar and sub.has_tail_call:
            raise Reject("tail_call is only allowed in functions that return 'int'.", EINVAL)


def _tags(env: Env, func: BtfType, index: int) -> set[str]:
    from cygnet.btf import kinds as k

    return {
        tag.name.removeprefix("arg:")
        for tag in env.btf.types()
        if tag.kind == k.DECL_TAG and tag.type_id == func.id and tag.component == index and tag.name.startswith("arg:")
    }


def _is_context(env: Env, pointer: BtfType) -> bool:
    """A pointer to what C calls the context of this program type."""
    from cygnet.btf import kinds as k
    from cygnet.btf.layout import resolve
    from cygnet.facts.progtypes import program_type

    target = pointer.type
    while target.kind in (k.CONST, k.VOLATILE, k.RESTRICT):
        target = target.type
    wanted = _CONTEXTS.get(env.prog_type) or program_type(env.prog_type).context
    if target.kind == k.TYPEDEF and target.name == wanted:
        return True
    real = resolve(target)
    if env.prog_type == "kprobe" and real.name in ("pt_regs", "user_pt_regs"):
        return True
    return bool(wanted) and real.kind == k.STRUCT and real.name == wanted


def prototype(env: Env, sub: Subprog) -> list[Argument]:
    """What a global function takes. Raises Reject for what cannot be checked by itself."""
    from cygnet.btf import kinds as k
    from cygnet.btf.layout import resolve

    func: BtfType = sub.args
    proto = func.type
    params = proto.params
    if len(params) > MAX_ARGS:
        raise Reject(f"Global function {sub.name}() with {len(params)} > {MAX_ARGS} args. Buggy compiler.", EINVAL)
    if resolve(proto.type).kind not in (k.INT, k.ENUM, k.ENUM64):
        raise Reject(f"Global function {sub.name}() doesn't return scalar. Only those are supported.", EINVAL)
    return [_argument(env, sub, func, index) for index in range(len(params))]


def _argument(env: Env, sub: Subprog, func: BtfType, index: int) -> Argument:
    from cygnet.btf import kinds as k
    from cygnet.btf.layout import resolve, size_of
    from cygnet.errors import BtfError

    type = resolve(env.btf.type(func.type.params[index].type_id))
    tags = _tags(env, func, index)
    if type.kind == k.PTR:
        if "ctx" in tags or _is_context(env, type):
            return Argument("ctx")
        target = resolve(type.type)
        if target.kind == k.STRUCT and target.name == "bpf_dynptr":
            return Argument("dynptr")
        if "untrusted" in tags:
            return _untrusted(env, index, target, tags)
        if "trusted" in tags:
            return _trusted(env, target, "nullable" in tags)
        if "arena" in tags:
            return Argument("arena")
        try:
            size = size_of(target)
        except BtfError:
            what = f"{_word(target)} {target.name or 'UNKNOWN'}"
            raise Reject(f"arg#{index} reference type('{what}') size cannot be determined: -22", EINVAL) from None
        return Argument("mem", "nonnull" not in tags, size)
    if tags:
        raise Reject(f"arg#{index} has pointer tag, but is not a pointer type", EINVAL)
    if type.kind in (k.INT, k.ENUM, k.ENUM64):
        return Argument("scalar")
    raise Reject(f"Arg#{index} type {_word(type)} in {sub.name}() is not supported yet.", EINVAL)


def _word(type: BtfType) -> str:
    from cygnet.btf.kinds import kind_name

    return kind_name(type.kind)


def _untrusted(env: Env, index: int, target: BtfType, tags: set[str]) -> Argument:
    """Anything at all: it is read as memory that may not be there."""
    from cygnet.btf import kinds as k
    from cygnet.verifier.kerneltypes import struct_id

    if len(tags) > 1:
        raise Reject(f"arg#{index} untrusted cannot be combined with any other tags", EINVAL)
    if target.kind in (k.VOID, k.INT, k.ENUM, k.ENUM64):
        return Argument("untrusted")
    made = Argument("untrusted")
    made.btf, made.btf_id = struct_id(env, target.name)
    return made


def _trusted(env: Env, target: BtfType, nullable: bool) -> Argument:
    from cygnet.verifier.kerneltypes import struct_id

    made = Argument("btf", nullable)
    made.btf, made.btf_id = struct_id(env, target.name)
    return made


def arguments(env: Env, number: int, frame: Frame) -> None:
    """The registers at the beginning of a global function."""
    sub = env.subs[number]
    if sub.args is None:
        frame.regs[1] = RegState(r.CTX, 0)
        return
    for index, argument in enumerate(prototype(env, sub)):
        frame.regs[index + 1] = _begins_as(env, argument)


def _begins_as(env: Env, argument: Argument) -> RegState:
    null = MAYBE_NULL if argument.nullable else 0
    if argument.kind == "ctx":
        return RegState(r.CTX, 0)
    if argument.kind == "scalar":
        return unknown()
    if argument.kind == "mem":
        new = RegState(r.MEM | null, 0)
        new.aux = argument.size
    elif argument.kind == "dynptr":
        new = RegState(r.DYNPTR, 0)
        new.aux, new.map_uid = 1, 1
        new.id = env.new_id()
    elif argument.kind == "untrusted":
        new = RegState((r.BTF if argument.btf is not None else r.MEM | r.RDONLY) | r.UNTRUSTED, 0)
        new.btf, new.btf_id = argument.btf, argument.btf_id
    elif argument.kind == "arena":
        new = unknown()
        new.type = r.ARENA
    else:
        new = RegState(r.BTF | TRUSTED | null, 0)
        new.btf, new.btf_id = argument.btf, argument.btf_id
    if argument.nullable:
        new.id = env.new_id()
    return new


def check_arguments(env: Env, sub: Subprog) -> None:
    """A call of a global function: are the registers what it takes?"""
    for index, argument in enumerate(prototype(env, sub)):
        _check(env, index, argument)


def _check(env: Env, index: int, argument: Argument) -> None:
    regno = index + 1
    reg = env.regs()[regno]
    if argument.kind == "untrusted":
        return
    if argument.kind == "scalar":
        if reg.type != SCALAR:
            raise Reject(f"R{regno} is not a scalar", EINVAL)
    elif argument.kind == "ctx":
        memory.check_ptr_off(env, reg, regno, False)
        if reg.type != r.CTX:
            raise Reject(f"arg#{index} expects pointer to ctx", EINVAL)
    elif argument.kind == "mem":
        args._check_offset(env, reg, regno, "mem", False)
        if not argument.nullable and (reg.type & MAYBE_NULL or args.is_null(reg)):
            raise Reject(f"arg#{index} is expected to be non-NULL", EINVAL)
        check_memory(env, regno, argument.size)
    elif argument.kind == "dynptr":
        from cygnet.verifier import dynptrs

        dynptrs.check_initialised(env, regno, 0, False)
    elif argument.kind == "arena":
        if reg.type not in (r.ARENA, SCALAR):
            raise Reject(f"R{regno} is not a pointer to arena or scalar.", EINVAL)
    else:
        _check_trusted(env, reg, regno, argument)


def check_memory(env: Env, regno: int, size: int) -> None:
    """Memory of a known size, read and written; null will do when the register may be it. Kernel: check_mem_reg."""
    regs = env.regs()
    reg = regs[regno]
    if args.is_null(reg):
        return
    saved = reg
    if reg.type & MAYBE_NULL:
        new = reg.copy()
        new.type &= ~MAYBE_NULL
        regs[regno] = new
    try:
        args.check_mem(env, regno, size, False, True, None)
        args.check_mem(env, regno, size, True, True, None)
    finally:
        regs[regno] = saved


def _check_trusted(env: Env, reg: RegState, regno: int, argument: Argument) -> None:
    from cygnet.verifier.kerneltypes import same_type, type_name

    if argument.nullable and args.is_null(reg):
        return
    type = reg.type & ~MAYBE_NULL if argument.nullable else reg.type
    if type not in (r.BTF, r.BTF | TRUSTED, r.BTF | r.RCU):
        raise Reject(f"R{regno} type={type_text(reg.type)} expected=ptr_, trusted_ptr_, rcu_ptr_", EINVAL)
    if not same_type(reg.btf, reg.btf_id, reg.off, argument.btf, argument.btf_id, False):
        wanted = type_name(argument.btf, argument.btf_id)
        raise Reject(f"R{regno} is of type {type_name(reg.btf, reg.btf_id)} but {wanted} is expected", EINVAL)
