"""Loads and stores: is this pointer good for these bytes, and what does a load give?"""

from __future__ import annotations

from cygnet.isa.consts import (
    BPF_ADD,
    BPF_AND,
    BPF_CMPXCHG,
    BPF_FETCH,
    BPF_LOAD_ACQ,
    BPF_MEMSX,
    BPF_MODE_MASK,
    BPF_OR,
    BPF_SIZE_MASK,
    BPF_STORE_REL,
    BPF_XCHG,
    BPF_XOR,
)
from cygnet.verifier import reg as r
from cygnet.verifier import stack
from cygnet.verifier.bits import S32_MAX, S32_MIN, S64_MIN, U32_MAX, shl, ult
from cygnet.verifier.env import EACCES, EINVAL, Env, Ins, MapInfo
from cygnet.verifier.reg import MAYBE_NULL, NOT_INIT, RDONLY, SCALAR, UNTRUSTED, RegState, scalar, unknown
from cygnet.verifier.regtext import tnum_text, type_text
from cygnet.verifier.scalars import sign_extend, sign_extend_number, truncate
from cygnet.verifier.state import Reject
from cygnet.verifier.tnum import tnum_add, tnum_aligned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

MAX_VAR_OFF: Final[i64] = 1 << 29
MAP_RDONLY_PROG: Final[i64] = 1 << 7
MAP_WRONLY_PROG: Final[i64] = 1 << 8
_IP_ALIGN: Final[i64] = 2

_ALIGN_NAMES: Final[dict[int, str]] = {
    r.FLOW_KEYS: "flow keys ",
    r.MAP_KEY: "key ",
    r.MAP_VALUE: "value ",
    r.CTX: "context ",
    r.STACK: "stack ",
    r.SOCKET: "sock ",
    r.SOCK_COMMON: "sock_common ",
    r.TCP_SOCK: "tcp_sock ",
    r.XDP_SOCK: "xdp_sock ",
}


# -- register operands


def source(env: Env, regno: i64) -> RegState:
    """A register that an instruction reads."""
    if regno > 10:
        raise Reject(f"R{regno} is invalid", EINVAL)
    reg = env.regs()[regno]
    if reg.type == NOT_INIT:
        raise Reject(f"R{regno} !read_ok", EACCES)
    return reg


def destination(env: Env, regno: i64) -> None:
    if regno > 10:
        raise Reject(f"R{regno} is invalid", EINVAL)
    if regno == 10:
        raise Reject("frame pointer is read only", EACCES)


# -- the checks of one region


def check_ptr_off(env: Env, reg: RegState, regno: i64, fixed_ok: bool) -> None:
    """The pointer as it was got: not moved by an unknown distance, nor (unless `fixed_ok`) by a known one."""
    if reg.off < 0:
        raise Reject(f"negative offset {type_text(reg.type)} ptr R{regno} off={reg.off} disallowed", EACCES)
    if not fixed_ok and reg.off:
        raise Reject(f"dereference of modified {type_text(reg.type)} ptr R{regno} off={reg.off} disallowed", EACCES)
    if reg.mask or reg.value:
        text = tnum_text(reg.value, reg.mask)
        raise Reject(f"variable {type_text(reg.type)} access var_off={text} disallowed", EACCES)


def _alignment(env: Env, reg: RegState, off: i64, size: i64, strict: bool) -> None:
    kind = reg.type & r.KIND
    strict = strict or env.strict_align
    if kind == r.STACK:
        strict = True
    elif kind == r.ARENA:
        return
    if not strict or size == 1:
        return
    extra: i64 = _IP_ALIGN if reg.type == r.PKT or reg.type == r.PKT_META else 0
    value, mask = tnum_add(reg.value, reg.mask, reg.off + off + extra, 0)
    if tnum_aligned(value, mask, size):
        return
    text = tnum_text(reg.value, reg.mask)
    if extra:
        raise Reject(f"misaligned packet access off {extra}+{text}+{reg.off}+{off} size {size}", EACCES)
    name = _ALIGN_NAMES.get(reg.type, "")
    raise Reject(f"misaligned {name}access off {text}+{reg.off}+{off} size {size}", EACCES)


def _region(env: Env, reg: RegState, regno: i64, off: i64, size: i64, limit: i64, zero_ok: bool) -> None:
    if off >= 0 and (size > 0 or (size == 0 and zero_ok)) and off + size <= limit:
        return
    if reg.type == r.MAP_KEY:
        raise Reject(f"invalid access to map key, key_size={limit} off={off} size={size}", EACCES)
    if reg.type == r.MAP_VALUE:
        raise Reject(f"invalid access to map value, value_size={limit} off={off} size={size}", EACCES)
    if reg.is_packet():
        where = f"R{regno}(id={reg.id},off={off},r={limit})"
        raise Reject(f"invalid access to packet, off={off} size={size}, {where}", EACCES)
    raise Reject(f"invalid access to memory, mem_size={limit} off={off} size={size}", EACCES)


def check_region(env: Env, regno: i64, off: i64, size: i64, limit: i64, zero_ok: bool) -> None:
    """Are these bytes inside a region of `limit` bytes, wherever in its range the register is?"""
    reg = env.regs()[regno]
    if reg.smin < 0:
        low = off + reg.smin if reg.smin > S64_MIN + 0x100000000 else S64_MIN
        if low < 0 or low < S32_MIN or low > S32_MAX:
            raise Reject(
                f"R{regno} min value is negative, either use unsigned index or do a if (index >=0) check.", EACCES
            )
    try:
        _region(env, reg, regno, _clamp(reg.smin) + off, size, limit, zero_ok)
    except Reject as reject:
        raise Reject(f"{reject.message}\nR{regno} min value is outside of the allowed memory range", EACCES) from None
    if not ult(reg.umax, MAX_VAR_OFF):
        raise Reject(f"R{regno} unbounded memory access, make sure to bounds check any such access", EACCES)
    try:
        _region(env, reg, regno, reg.umax + off, size, limit, zero_ok)
    except Reject as reject:
        raise Reject(f"{reject.message}\nR{regno} max value is outside of the allowed memory range", EACCES) from None


def _clamp(x: i64) -> i64:
    """Keeps a sum with a small number within 64 bits."""
    limit: i64 = 1 << 62
    return limit if x > limit else -limit if x < -limit else x


def check_map_range(env: Env, regno: i64, off: i64, size: i64, zero_ok: bool, by_helper: bool) -> None:
    """A map value's bytes, its special fields excepted."""
    reg = env.regs()[regno]
    info: MapInfo = reg.map
    check_region(env, regno, off, size, info.value_size, zero_ok)
    for field in info.specials:
        start = field.off
        if not (reg.smin + off < start + field.size and start < reg.umax + off + size):
            continue
        name = _FIELD_NAMES.get(field.kind, field.kind)
        if not field.kind.startswith("kptr") and field.kind != "uptr":
            raise Reject(f"{name} cannot be accessed directly by load/store", EACCES)
        if by_helper:
            raise Reject(f"{name} cannot be accessed indirectly by helper", EACCES)
        if reg.mask:
            raise Reject(f"{name} access cannot have variable offset", EACCES)
        if start != off + reg.value:
            raise Reject(f"{name} access misaligned expected={start} off={off + reg.value}", EACCES)
        if size != 8:
            raise Reject(f"{name} access size must be BPF_DW", EACCES)


_FIELD_NAMES: Final[dict[str, str]] = {
    "spin_lock": "bpf_spin_lock",
    "res_spin_lock": "bpf_res_spin_lock",
    "timer": "bpf_timer",
    "wq": "bpf_wq",
    "task_work": "bpf_task_work",
    "list_head": "bpf_list_head",
    "list_node": "bpf_list_node",
    "rb_root": "bpf_rb_root",
    "rb_node": "bpf_rb_node",
    "refcount": "bpf_refcount",
    "kptr_untrusted": "kptr",
    "kptr_percpu": "percpu_kptr",
}


def check_map_way(reg: RegState, off: i64, size: i64, write: bool) -> None:
    """Maps made with BPF_F_RDONLY_PROG or BPF_F_WRONLY_PROG."""
    info: MapInfo = reg.map
    if write and info.flags & MAP_RDONLY_PROG:
        raise Reject(f"write into map forbidden, value_size={info.value_size} off={off} size={size}", EACCES)
    if not write and info.flags & MAP_WRONLY_PROG:
        raise Reject(f"read from map forbidden, value_size={info.value_size} off={off} size={size}", EACCES)


def check_packet(env: Env, regno: i64, off: i64, size: i64, zero_ok: bool) -> None:
    reg = env.regs()[regno]
    if reg.smin < 0:
        raise Reject(f"R{regno} min value is negative, either use unsigned index or do a if (index >=0) check.", EACCES)
    if reg.aux < 0:
        raise Reject(f"R{regno} offset is outside of the packet", EINVAL)
    try:
        _region(env, reg, regno, off, size, reg.aux, zero_ok)
    except Reject as reject:
        raise Reject(f"{reject.message}\nR{regno} offset is outside of the packet", EACCES) from None


_PACKET_READERS = frozenset(
    "lwt_in lwt_out lwt_seg6local sk_reuseport flow_dissector cgroup_skb".split()
)  # but not writers
_PACKET_WRITERS = frozenset("sched_cls sched_act xdp lwt_xmit sk_skb sk_msg".split())


def packet_allowed(env: Env, write: bool) -> bool:
    """May programs of this type touch the packet directly?"""
    if env.prog_type in _PACKET_READERS:
        return not write
    return env.prog_type in _PACKET_WRITERS or env.prog_type == "cgroup_sockopt"


def _flow_keys(off: i64, size: i64) -> None:
    if size < 0 or off < 0 or off + size > 56:
        raise Reject(f"invalid access to flow keys off={off} size={size}", EACCES)


def _tp_buffer(reg: RegState, regno: i64, off: i64, size: i64) -> None:
    if off < 0:
        raise Reject(f"R{regno} invalid tracepoint buffer access: off={off}, size={size}", EACCES)
    if reg.mask or reg.value:
        text = tnum_text(reg.value, reg.mask)
        raise Reject(f"R{regno} invalid variable buffer offset: off={off}, var_off={text}", EACCES)


def check_buffer(reg: RegState, regno: i64, off: i64, size: i64) -> None:
    """A buffer whose size is known only when the program runs; the kernel checks it then."""
    name = "rdonly" if reg.type & RDONLY else "rdwr"
    if off < 0:
        raise Reject(f"R{regno} invalid {name} buffer access: off={off}, size={size}", EACCES)
    if reg.mask or reg.value:
        text = tnum_text(reg.value, reg.mask)
        raise Reject(f"R{regno} invalid variable buffer offset: off={off}, var_off={text}", EACCES)


# -- an access


def access(env: Env, regno: i64, off: i64, size: i64, write: bool, value: i64, strict: bool, sign: bool) -> None:
    """Load into register `value`, or store it (-1: neither). Kernel: check_mem_access."""
    reg = env.regs()[regno]
    _alignment(env, reg, off, size, strict)
    off += reg.off
    kind = reg.type & r.KIND
    if reg.type == r.STACK:
        stack.check_bounds(env, regno, off, size, write)
        if write:
            stack.write(env, regno, off, size, value)
        else:
            stack.read(env, regno, off, size, value)
    elif reg.type == r.CTX:
        _context(env, reg, regno, off, size, write, value, sign)
        if off + reg.value + size > env.context_bytes:
            env.context_bytes = off + reg.value + size
    elif reg.type == r.MAP_VALUE:
        _map_value(env, reg, regno, off, size, write, value, sign)
    elif kind == r.MEM:
        _mem(env, reg, regno, off, size, write, value)
    elif reg.is_packet():
        if write and not packet_allowed(env, True):
            raise Reject("cannot write into packet", EACCES)
        env.seen_direct_write = env.seen_direct_write or write
        check_packet(env, regno, off, size, False)
        _loaded(env, write, value)
    elif kind == r.BTF and not reg.type & MAYBE_NULL:
        from cygnet.verifier.btfaccess import access as btf_access

        btf_access(env, reg, regno, off, size, write, value)
    else:
        env.trusting = env.trusting or reg.type != r.MAP_KEY
        _rare(env, reg, regno, off, size, write, value)
    if not write and size < 8 and value >= 0:
        got = env.regs()[value]
        if got.type == SCALAR:
            got = got.copy()
            if sign:
                sign_extend(got, size)
            else:
                truncate(got, size)
            env.regs()[value] = got


def _loaded(env: Env, write: bool, value: i64) -> None:
    if not write and value >= 0:
        env.regs()[value] = unknown()


def _rare(env: Env, reg: RegState, regno: i64, off: i64, size: i64, write: bool, value: i64) -> None:
    kind = reg.type & r.KIND
    name = type_text(reg.type)
    if reg.type == r.MAP_KEY:
        if write:
            raise Reject(f"write to change key R{regno} not allowed", EACCES)
        check_region(env, regno, off, size, reg.map.key_size, False)
    elif reg.type == r.FLOW_KEYS:
        _flow_keys(off, size)
    elif reg.type in (r.SOCKET, r.SOCK_COMMON, r.TCP_SOCK, r.XDP_SOCK):
        from cygnet.verifier.context import socket_access

        if write:
            raise Reject(f"R{regno} cannot write into {name}", EACCES)
        if reg.smin < 0:
            raise Reject(
                f"R{regno} min value is negative, either use unsigned index or do a if (index >=0) check.", EACCES
            )
        if not socket_access(kind, off, size):
            raise Reject(f"R{regno} invalid {name} access off={off} size={size}", EACCES)
    elif reg.type == r.TP_BUFFER:
        _tp_buffer(reg, regno, off, size)
    elif reg.type == r.CONST_MAP:
        from cygnet.verifier.btfaccess import map_access

        map_access(env, reg, regno, off, size, write, value)
        return
    elif kind == r.BUF and not reg.type & MAYBE_NULL:
        if write and reg.type & RDONLY:
            raise Reject(f"R{regno} cannot write into {name}", EACCES)
        check_buffer(reg, regno, off, size)
    elif reg.type != r.ARENA:
        raise Reject(f"R{regno} invalid mem access '{name}'", EACCES)
    _loaded(env, write, value)


def _mem(env: Env, reg: RegState, regno: i64, off: i64, size: i64, write: bool, value: i64) -> None:
    name = type_text(reg.type)
    if reg.type & MAYBE_NULL:
        raise Reject(f"R{regno} invalid mem access '{name}'", EACCES)
    if write and reg.type & RDONLY:
        raise Reject(f"R{regno} cannot write into {name}", EACCES)
    if not (reg.type & RDONLY and reg.type & UNTRUSTED):
        check_region(env, regno, off, size, reg.aux, False)
    _loaded(env, write, value)


def _map_value(env: Env, reg: RegState, regno: i64, off: i64, size: i64, write: bool, value: i64, sign: bool) -> None:
    info: MapInfo = reg.map
    check_map_way(reg, off, size, write)
    check_map_range(env, regno, off, size, False, False)
    if reg.mask == 0:
        for field in info.specials:
            if field.off == off + reg.value and (field.kind.startswith("kptr") or field.kind == "uptr"):
                from cygnet.verifier.kptrs import access as kptr_access

                kptr_access(env, regno, value, write, field)
                return
    if write or value < 0:
        return
    if reg.mask == 0 and info.frozen and info.data is not None and info.flags & MAP_RDONLY_PROG:
        env.trusting = True
        at = off + reg.value
        number: i64 = 0
        shift: i64 = 0
        for byte in info.data[at : at + size]:
            part: i64 = byte
            number |= shl(part, shift)
            shift += 8
        if sign:
            number = sign_extend_number(number, size)
        env.regs()[value] = scalar(number)
        return
    env.regs()[value] = unknown()


def _context(env: Env, reg: RegState, regno: i64, off: i64, size: i64, write: bool, value: i64, sign: bool) -> None:
    check_ptr_off(env, reg, regno, False)
    got = env.context.check(off, size, write, sign)
    if got is None:
        raise Reject(f"invalid bpf_context access off={off} size={size}", EACCES)
    if got.ref and env.cur.find_ref(got.ref) is None:
        raise Reject(f"invalid bpf_context access off={off}. Reference may already be released", EACCES)
    if write or value < 0:
        return
    kind: i64 = got.type
    if kind == SCALAR:
        env.regs()[value] = unknown()
        if got.is_retval:
            from cygnet.verifier.attach import retval_range

            env.trusting = True
            bounds = retval_range(env)
            if bounds is not None:
                low, high = bounds
                new = unknown()
                new.s32_min, new.s32_max = low, high
                new.smin, new.smax = low, high
                new.sync()
                env.regs()[value] = new
        return
    new = RegState(kind, 0)
    if kind & MAYBE_NULL:
        new.id = env.new_id()
    if kind & r.KIND == r.BTF:
        new.btf = got.btf
        new.btf_id = got.btf_id
        new.ref = got.ref
    env.regs()[value] = new


# -- instructions


def load(env: Env, ins: Ins, strict: bool, sign: bool) -> None:
    reg = source(env, ins.src)
    destination(env, ins.dst)
    type = reg.type
    access(env, ins.src, ins.off, ins.size, False, ins.dst, strict, sign)
    same_pointer(env, ins, type)


def store(env: Env, ins: Ins, strict: bool) -> None:
    source(env, ins.src)
    type = source(env, ins.dst).type
    access(env, ins.dst, ins.off, ins.size, True, ins.src, strict, False)
    same_pointer(env, ins, type)


def store_immediate(env: Env, ins: Ins) -> None:
    type = source(env, ins.dst).type
    access(env, ins.dst, ins.off, ins.size, True, -1, False, False)
    same_pointer(env, ins, type)


_REWRITTEN = frozenset((r.CTX, r.SOCKET, r.SOCK_COMMON, r.TCP_SOCK, r.XDP_SOCK, r.BTF, r.ARENA))


def same_pointer(env: Env, ins: Ins, type: i64) -> None:
    """The kernel rewrites accesses through some pointers, so one instruction must not see others as well."""
    was = ins.ptr_type
    if was == -1:
        ins.ptr_type = type
        return
    if was != type and ((was & r.KIND) in _REWRITTEN or (type & r.KIND) in _REWRITTEN):
        base_was, base_type = was & r.KIND, type & r.KIND
        if base_was == r.BTF and base_type == r.BTF:
            # trusted and untrusted may be mixed: such loads are made to survive faults
            ins.ptr_type = r.BTF | UNTRUSTED
            return
        raise Reject("same insn cannot be used with different pointers", EINVAL)


_RMW = frozenset(
    (BPF_ADD, BPF_ADD | BPF_FETCH, BPF_AND, BPF_AND | BPF_FETCH, BPF_OR, BPF_OR | BPF_FETCH, BPF_XOR,
     BPF_XOR | BPF_FETCH, BPF_XCHG, BPF_CMPXCHG)
)  # fmt: skip


def _atomic_target(reg: RegState, regno: i64, what: str) -> None:
    kind = reg.type & r.KIND
    if kind in (r.CTX, r.PKT, r.PKT_META, r.FLOW_KEYS, r.SOCKET, r.SOCK_COMMON, r.TCP_SOCK, r.XDP_SOCK):
        raise Reject(f"BPF_ATOMIC {what} R{regno} {type_text(reg.type)} is not allowed", EACCES)


def atomic(env: Env, ins: Ins) -> None:
    if ins.imm == BPF_LOAD_ACQ:
        pointer = source(env, ins.src)
        load(env, ins, True, False)
        _atomic_target(pointer, ins.src, "loads from")
        return
    if ins.imm == BPF_STORE_REL:
        pointer = source(env, ins.dst)
        store(env, ins, True)
        _atomic_target(pointer, ins.dst, "stores into")
        return
    if ins.imm not in _RMW:
        raise Reject(f"BPF_ATOMIC uses invalid atomic opcode {ins.imm & U32_MAX:02x}")
    if ins.code & BPF_SIZE_MASK not in (0x00, 0x18):
        raise Reject("invalid atomic operand size")
    source(env, ins.src)
    target = source(env, ins.dst)
    loaded: i64 = -1
    if ins.imm == BPF_CMPXCHG:
        source(env, 0)
    _atomic_target(target, ins.dst, "stores into")
    if ins.imm & BPF_FETCH:
        loaded = 0 if ins.imm == BPF_CMPXCHG else ins.src
        destination(env, loaded)
        env.regs()[loaded] = unknown()
    access(env, ins.dst, ins.off, ins.size, False, -1, True, False)
    if loaded >= 0:
        access(env, ins.dst, ins.off, ins.size, False, loaded, True, False)
    if target.type == r.ARENA:
        same_pointer(env, ins, target.type)
    access(env, ins.dst, ins.off, ins.size, True, -1, True, False)


def is_sign_load(ins: Ins) -> bool:
    return ins.code & BPF_MODE_MASK == BPF_MEMSX
