"""The arguments of helpers: is each register of the kind that the helper takes? Kernel: check_func_arg."""

from __future__ import annotations

from cygnet.verifier import memory, precision, stack
from cygnet.verifier import reg as r
from cygnet.verifier.bits import S64_MAX, shl, ult, unsigned
from cygnet.verifier.env import EACCES, EFAULT, EINVAL, Env, MapInfo
from cygnet.verifier.reg import MAYBE_NULL, RDONLY, SCALAR, RegState
from cygnet.verifier.regtext import type_text
from cygnet.verifier.stack import READ, WRITE, RawAccess
from cygnet.verifier.state import SPILL, ZERO, Reject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from mypy_extensions import i64

    from cygnet.facts.helpers import Helper

MAX_VAR_SIZE: Final[i64] = 1 << 29

_MEM: Final = (
    r.STACK, r.PKT, r.PKT_META, r.MAP_KEY, r.MAP_VALUE, r.MEM, r.MEM | r.RINGBUF, r.BUF, r.BTF | r.TRUSTED,
)  # fmt: skip
_SOCKS: Final = (r.SOCK_COMMON, r.SOCKET, r.TCP_SOCK, r.XDP_SOCK)
_SOCKS_BTF: Final = (*_SOCKS, r.BTF, r.BTF | r.TRUSTED)
_BTF: Final = (r.BTF, r.BTF | r.TRUSTED, r.BTF | r.RCU)
_PERCPU: Final = (r.BTF | r.PERCPU, r.BTF | r.PERCPU | r.RCU, r.BTF | r.PERCPU | r.TRUSTED)
# argument kind (facts.helpers) → kinds of registers that may be passed
_KINDS: Final[dict[str, tuple[int, ...]]] = {
    "ctx": (r.CTX,),
    "map": (r.CONST_MAP,),
    "key": _MEM,
    "value": _MEM,
    "value_out": _MEM,
    "mem": _MEM,
    "mem_out": _MEM,
    "mem_rw": _MEM,
    "long_out": _MEM,
    "int_rw": _MEM,
    "fixed": _MEM,
    "size": (SCALAR,),
    "size0": (SCALAR,),
    "alloc_size": (SCALAR,),
    "str": (r.MAP_VALUE,),
    "sock": _SOCKS_BTF,
    "sock_common": _SOCKS,
    "socket": (r.SOCKET,),
    "btf": _BTF,
    "record": (r.MEM | r.RINGBUF,),
    "dynptr": (r.STACK, r.DYNPTR),
    "dynptr_out": (r.STACK, r.DYNPTR),
    "lock": (r.MAP_VALUE, r.BTF | r.ALLOC),
    "timer": (r.MAP_VALUE,),
    "func": (r.FUNC,),
    "stack": (r.STACK,),
    "percpu": _PERCPU,
    "kptr_slot": (r.MAP_VALUE, r.BTF | r.ALLOC),
    "kptr": _BTF,
}
_READ_ONLY: Final = frozenset(("key", "value", "mem", "fixed"))
_FREE_OFFSET: Final = frozenset(
    (r.STACK, r.PKT, r.PKT_META, r.MAP_KEY, r.MAP_VALUE, r.MEM, r.MEM | RDONLY, r.MEM | r.RINGBUF, r.BUF,
     r.BUF | RDONLY, r.ARENA, SCALAR)
)  # fmt: skip
# Contexts that are what they seem: nothing translates accesses to them
_PLAIN_CONTEXTS: Final = frozenset(
    "kprobe tracepoint raw_tracepoint raw_tracepoint_writable tracing lsm struct_ops syscall cgroup_device lirc_mode2"
    " netfilter".split()
)
_FIXED_BYTES: Final = {"iphdr": 20, "ipv6hdr": 40, "tcphdr": 20}


class Call:
    """What the arguments of one call said, for what comes after it."""

    __slots__ = (
        "dynptr_id", "dynptr_type", "field", "helper", "key", "map", "map_uid", "mem_size",
        "raw", "ref", "release", "ret_btf", "ret_btf_id", "size_max", "subprog", "writes",
    )  # fmt: skip

    def __init__(self, helper: i64) -> None:
        self.helper: i64 = helper
        self.map: MapInfo | None = None
        self.map_uid: i64 = 0
        self.ref: i64 = 0
        self.release: i64 = 0
        self.raw: RawAccess | None = None
        self.mem_size: i64 = 0
        self.size_max: i64 = 0
        self.subprog: i64 = -1
        self.key: i64 = -1
        self.dynptr_id: i64 = 0
        self.dynptr_type: i64 = 0
        self.field: Any = None
        self.ret_btf: Any = None
        self.ret_btf_id: i64 = 0
        self.writes: list[RawAccess] = []

    def fills(self) -> RawAccess:
        """The argument now looked at is memory that is only written."""
        self.raw = RawAccess()
        self.writes.append(self.raw)
        return self.raw


def is_null(reg: RegState) -> bool:
    return reg.type == SCALAR and reg.mask == 0 and reg.value == 0


def words(env: Env, helper: Helper) -> list[str]:
    """The kinds of a helper's arguments for this type of program."""
    from cygnet.facts.helpers import SOCK_COMMON_ONLY, variant

    found = variant(helper, env.prog_type)
    if helper.id in SOCK_COMMON_ONLY:
        found = tuple(["sock_common" if word == "sock" else word for word in found])
    return [word for word in found if word != "..."]


def check(env: Env, helper: Helper, index: int, word: str, call: Call) -> None:
    """Argument `index` (from 0) of a helper, which is to be a `word`."""
    regno: i64 = index + 1
    nullable = word.endswith("?")
    if nullable:
        word = word[:-1]
    kind, _, name = word.partition(":")
    reg = memory.source(env, regno)
    if kind == "num":
        return
    if reg.is_packet() and not _packet_ok(env, helper):
        raise Reject("helper access to the packet is not allowed", EACCES)
    if kind.startswith("value") and call.map is not None:
        kind = _map_value_kind(call.map, kind, nullable, helper)
    releases = _releases(helper) == regno
    if not (nullable and is_null(reg)):
        _check_kind(env, helper, regno, reg, kind, name, nullable, releases, call)
        _check_offset(env, reg, regno, kind, releases)
    if releases:
        _check_release(env, reg, regno, kind, call)
    if reg.ref and kind != "kptr_slot":
        if call.ref:
            raise Reject(f"more than one arg with ref_obj_id R{regno} {reg.ref} {call.ref}", EACCES)
        call.ref = reg.ref
    if nullable and is_null(reg) and kind in ("value", "mem", "mem_out", "btf", "stack", "ctx", "sock", "socket"):
        call.raw = None
        return
    _check_use(env, helper, index, regno, reg, kind, name, call)


def _packet_ok(env: Env, helper: Helper) -> bool:
    from cygnet.facts.helpers import PACKET_ARGUMENTS

    if env.prog_type == "cgroup_sockopt":
        return True
    return memory.packet_allowed(env, False) and helper.id in PACKET_ARGUMENTS


def _releases(helper: Helper) -> int:
    from cygnet.facts.helpers import RELEASES

    return RELEASES.get(helper.id, 0)


def _map_value_kind(info: MapInfo, kind: str, nullable: bool, helper: Helper) -> str:
    if info.kind in ("sockmap", "sockhash"):
        if kind != "value" or nullable:
            raise Reject("invalid arg_type for sockmap/sockhash", EINVAL)
        return "sock"
    if info.kind == "bloom_filter" and helper.id == 89:
        return "value"
    return kind


def expected_text(kinds: tuple[int, ...]) -> str:
    return ", ".join([type_text(kind) for kind in kinds])


def _check_kind(
    env: Env,
    helper: Helper,
    regno: i64,
    reg: RegState,
    kind: str,
    name: str,
    nullable: bool,
    releases: bool,
    call: Call,
) -> None:
    kinds = _KINDS[kind]
    type = reg.type
    memory_like = kinds is _MEM
    read_only = kind in _READ_ONLY
    if read_only:
        type &= ~RDONLY
    if nullable or kind == "kptr":
        type &= ~MAYBE_NULL
    if memory_like and kind not in ("key", "value", "value_out"):
        type &= ~r.DYN_ANY
    if kind == "kptr":
        type &= ~(r.ALLOC | r.PERCPU)
    if type not in kinds:
        raise Reject(f"R{regno} type={type_text(reg.type)} expected={expected_text(kinds)}", EACCES)
    if (reg.type & r.KIND) != r.BTF:
        return
    if memory_like:
        if not read_only:
            raise Reject(
                f"{helper.name}() may write into memory pointed by R{regno} type={type_text(reg.type)}", EACCES
            )
        return
    if kind in ("percpu", "lock", "kptr_slot"):
        return
    if reg.type & MAYBE_NULL and reg.type & r.ALLOC:  # the kernel's own words
        raise Reject("verifier bug: invalid PTR_TO_BTF_ID register for type match", EFAULT)
    if reg.type & MAYBE_NULL and (not nullable or releases):
        raise Reject(f"Possibly NULL pointer passed to helper arg{regno}", EACCES)
    from cygnet.verifier import kerneltypes

    if kind == "kptr":
        from cygnet.verifier.kptrs import check_exchange

        check_exchange(env, reg, regno, call)
        return
    kerneltypes.check_is(env, reg, regno, name or "sock_common", releases and helper.id != 86)


def _check_offset(env: Env, reg: RegState, regno: i64, kind: str, releases: bool) -> None:
    if releases:
        if kind == "dynptr" and reg.type == r.STACK:
            return
        if reg.off:
            raise Reject(f"R{regno} must have zero offset when passed to release func or trusted arg to kfunc", EINVAL)
        memory.check_ptr_off(env, reg, regno, False)
        return
    if reg.type in _FREE_OFFSET:
        return
    memory.check_ptr_off(env, reg, regno, (reg.type & r.KIND) == r.BTF)


def _check_release(env: Env, reg: RegState, regno: i64, kind: str, call: Call) -> None:
    if kind == "dynptr":
        from cygnet.verifier import dynptrs

        if reg.type != r.STACK:
            raise Reject("cannot release unowned const bpf_dynptr", EINVAL)
        if dynptrs.reference(env, reg) == 0:
            raise Reject(f"arg {regno} is an unacquired reference", EINVAL)
    elif reg.ref == 0 and not is_null(reg):
        raise Reject(f"R{regno} must be referenced when passed to release function", EINVAL)
    call.release = regno


def _check_use(
    env: Env, helper: Helper, index: int, regno: i64, reg: RegState, kind: str, name: str, call: Call
) -> None:
    if kind == "map":
        _check_map(reg, call)
    elif kind == "key":
        if call.map is None:
            raise Reject("invalid map_ptr to access map->key", EACCES)
        check_mem(env, regno, call.map.key_size, False, False, None)
        if call.map.kind in ("array", "percpu_array"):
            call.key = _constant_key(env, reg, call.map.key_size)
    elif kind == "value" or kind == "value_out":
        if call.map is None:
            raise Reject("invalid map_ptr to access map->value", EACCES)
        call.raw = call.fills() if kind == "value_out" else None
        check_mem(env, regno, call.map.value_size, kind == "value_out", False, call.raw)
    elif kind in ("mem", "mem_out", "mem_rw"):
        call.raw = call.fills() if kind == "mem_out" else None
    elif kind == "long_out" or kind == "int_rw":
        call.raw = call.fills() if kind == "long_out" else None
        size: i64 = 8 if kind == "long_out" else 4
        check_mem(env, regno, size, True, False, call.raw)
        memory._alignment(env, reg, 0, size, True)
    elif kind == "fixed":
        call.raw = None
        check_mem(env, regno, _FIXED_BYTES[name], False, False, None)
    elif kind == "size" or kind == "size0":
        writes = helper.args[index - 1].rstrip("?") in ("mem_out", "mem_rw")
        check_size(env, reg, regno, writes, kind == "size0", call)
    elif kind == "alloc_size":
        if reg.mask:
            raise Reject(f"R{regno} is not a known constant'", EACCES)
        call.mem_size = reg.value & 0xFFFFFFFF
        precision.mark(env, regno)
    elif kind == "func":
        call.subprog = reg.aux
    else:
        _check_rare_use(env, helper, regno, reg, kind, call)


def _check_rare_use(env: Env, helper: Helper, regno: i64, reg: RegState, kind: str, call: Call) -> None:
    if kind == "str":
        check_string(env, reg, regno)
    elif kind == "dynptr" or kind == "dynptr_out":
        from cygnet.verifier import dynptrs

        dynptrs.helper_argument(env, helper.id, regno, kind == "dynptr_out", call)
    elif kind == "lock":
        from cygnet.verifier import locks

        locks.helper(env, reg, regno, helper.id == 93)
    elif kind == "timer":
        check_field_pointer(env, reg, regno, "timer", "bpf_timer", call)
    elif kind == "percpu":
        call.ret_btf, call.ret_btf_id = reg.btf, reg.btf_id
    elif kind == "kptr_slot":
        from cygnet.verifier import kptrs

        kptrs.slot_argument(env, reg, regno, call)


def _check_map(reg: RegState, call: Call) -> None:
    if call.map is not None and (call.map is not reg.map or call.map_uid != reg.map_uid):
        raise Reject(
            f"timer pointer in R1 map_uid={call.map_uid} doesn't match map pointer in R2 map_uid={reg.map_uid}", EINVAL
        )
    call.map = reg.map
    call.map_uid = reg.map_uid


def check_field_pointer(env: Env, reg: RegState, regno: i64, kind: str, text: str, call: Call) -> None:
    """A pointer to the timer, work queue … of a map value: exactly to it."""
    if reg.mask:
        raise Reject(f"R{regno} doesn't have constant offset. {text} has to be at the constant offset", EINVAL)
    info: MapInfo = reg.map
    if info.btf is None and not info.specials:
        raise Reject(f"map '{info.name}' has to have BTF in order to use {text}", EINVAL)
    field = info.special(kind)
    if field is None:
        raise Reject(f"map '{info.name}' has no valid {text}", EINVAL)
    if field.off != reg.value + reg.off:
        raise Reject(f"off {reg.value + reg.off} doesn't point to 'struct {text}' that is at {field.off}", EINVAL)
    call.map = info
    call.map_uid = reg.map_uid


def check_string(env: Env, reg: RegState, regno: i64) -> None:
    """A constant string: in a read-only array that is frozen, at a known place, with its end."""
    info: MapInfo | None = reg.map
    if reg.type != r.MAP_VALUE or info is None:
        raise Reject(f"R{regno} type={type_text(reg.type)} expected=map_value", EINVAL)
    if info.kind not in ("array",):
        raise Reject(f"R{regno} points to insn_array map which cannot be used as const string", EACCES)
    if not (info.flags & memory.MAP_RDONLY_PROG and info.frozen):
        raise Reject(f"R{regno} does not point to a readonly map'", EACCES)
    if reg.mask:
        raise Reject(f"R{regno} is not a constant address'", EACCES)
    memory.check_map_range(env, regno, reg.off, info.value_size - reg.off, False, True)
    data = info.data or b""
    if b"\0" not in data[reg.off + reg.value :]:
        raise Reject("string is not zero-terminated", EINVAL)


def check_mem(env: Env, regno: i64, size: i64, write: bool, zero_ok: bool, raw: RawAccess | None) -> None:
    """May a helper or kfunc touch `size` bytes at a register? Kernel: check_helper_mem_access."""
    reg = env.regs()[regno]
    kind = reg.type & r.KIND
    if reg.is_packet():
        memory.check_packet(env, regno, reg.off, size, zero_ok)
    elif kind == r.MAP_KEY:
        if write:
            raise Reject(f"R{regno} cannot write into {type_text(reg.type)}", EACCES)
        memory.check_region(env, regno, reg.off, size, reg.map.key_size, False)
    elif kind == r.MAP_VALUE:
        memory.check_map_way(reg, reg.off, size, write)
        memory.check_map_range(env, regno, reg.off, size, zero_ok, True)
    elif kind == r.MEM:
        if write and reg.type & RDONLY:
            raise Reject(f"R{regno} cannot write into {type_text(reg.type)}", EACCES)
        memory.check_region(env, regno, reg.off, size, reg.aux, zero_ok)
    elif kind == r.BUF:
        if write and reg.type & RDONLY:
            raise Reject(f"R{regno} cannot write into {type_text(reg.type)}", EACCES)
        memory.check_buffer(reg, regno, reg.off, size)
    elif kind == r.STACK:
        stack.check_range(env, regno, reg.off, size, zero_ok, WRITE if write else READ, raw)
    elif kind == r.BTF:
        from cygnet.verifier.btfaccess import access

        access(env, reg, regno, reg.off, size, False, -1)
    elif kind == r.CTX and env.prog_type in _PLAIN_CONTEXTS:
        if size == 0:
            if not zero_ok:
                raise Reject("invalid zero-sized read", EACCES)
            return
        memory.access(env, regno, size - 1, 1, write, -1, False, False)
    elif not (zero_ok and size == 0 and is_null(reg)):
        raise Reject(f"R{regno} type={type_text(reg.type)} expected=fp", EACCES)


def check_size(env: Env, reg: RegState, regno: i64, write: bool, zero_ok: bool, call: Call) -> None:
    """A size, and the memory before it."""
    call.size_max = reg.umax
    raw = call.raw if reg.mask == 0 else None
    if reg.smin < 0:
        raise Reject(f"R{regno} min value is negative, either use unsigned or 'var &= const'", EACCES)
    if reg.umin == 0 and not zero_ok:
        raise Reject(f"R{regno} invalid zero-sized read: u64=[{unsigned(reg.umin)},{unsigned(reg.umax)}]", EACCES)
    if not ult(reg.umax, MAX_VAR_SIZE):
        raise Reject(f"R{regno} unbounded memory access, use 'var &= const' or 'if (var < const)'", EACCES)
    check_mem(env, regno - 1, reg.umax, write, zero_ok, raw)
    precision.mark(env, regno)


def _constant_key(env: Env, key: RegState, size: i64) -> i64:
    """The key of an array when it is known: such a lookup within the array never gives null."""
    if key.type != r.STACK or key.mask:
        return -1
    frame = env.frame_of(key)
    top = -(key.off + key.value) - 1
    spi, at = top // 8, top % 8
    slot = frame.stack[spi]
    zeros: i64 = 0
    while at - zeros >= 0 and slot.kind(at - zeros) == ZERO:
        zeros += 1
    if zeros >= size:
        return 0
    if not slot.holds_scalar():
        return -1
    spilled: i64 = 0
    while at - spilled >= 0 and slot.kind(at - spilled) == SPILL:
        spilled += 1
    if spilled != size or slot.reg.mask:
        return -1
    wanted = precision.Wanted(len(env.cur.frames) - 1)
    wanted.slots[frame.number] |= shl(1, spi)
    precision.walk(env, env.cur, wanted, env.insn)
    value = slot.reg.value
    return value if 0 <= value <= S64_MAX else -1
