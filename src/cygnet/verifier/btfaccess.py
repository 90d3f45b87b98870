"""Loads through pointers to the kernel's structures, field by field. Kernel: btf_struct_walk, check_ptr_to_btf_access."""

from __future__ import annotations

from cygnet.verifier import reg as r
from cygnet.verifier.env import EACCES, EINVAL, ENOTSUPP, Env, MapInfo
from cygnet.verifier.reg import MAYBE_NULL, RCU, TRUSTED, UNTRUSTED, RegState, unknown
from cygnet.verifier.regtext import tnum_text
from cygnet.verifier.state import Reject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from mypy_extensions import i64

    from cygnet.btf.types import BtfType, Member

# What lies at a place
SCALAR: Final = "scalar"
POINTER: Final = "pointer"  # to a struct
OTHER_POINTER: Final = "other pointer"
STRUCT: Final = "struct"

# Pointers that may be trusted when their owner is (kernel: BTF_TYPE_SAFE_*): struct → fields
_SAFE_RCU: Final = {
    "task_struct": "cpus_ptr cgroups real_parent group_leader",
    "cgroup": "kn",
    "css_set": "dfl_cgrp",
    "cgroup_subsys_state": "cgroup",
}
_SAFE_RCU_OR_NULL: Final = {"mm_struct": "exe_file", "sk_buff": "sk", "request_sock": "sk"}
_SAFE_TRUSTED: Final = {
    "bpf_iter_meta": "seq",
    "bpf_iter__task": "meta task",
    "linux_binprm": "file",
    "file": "f_inode",
}
_SAFE_TRUSTED_OR_NULL: Final = {"socket": "sk", "vm_area_struct": "vm_mm vm_file", "dentry": "d_inode"}

_MAP_STRUCTS: Final = {
    **dict.fromkeys(
        ("hash", "percpu_hash", "lru_hash", "lru_percpu_hash", "hash_of_maps"), "bpf_htab"),
    **dict.fromkeys(
        ("array", "percpu_array", "prog_array", "perf_event_array", "cgroup_array", "array_of_maps"), "bpf_array"),
    "lpm_trie": "lpm_trie", "stack_trace": "bpf_stack_map", "ringbuf": "bpf_ringbuf_map",
    "user_ringbuf": "bpf_ringbuf_map", "queue": "bpf_queue_stack", "stack": "bpf_queue_stack", "devmap": "bpf_dtab",
    "devmap_hash": "bpf_dtab", "cpumap": "bpf_cpu_map", "xskmap": "xsk_map", "sockmap": "bpf_stab",
    "sockhash": "bpf_shtab", "reuseport_sockarray": "reuseport_array", "bloom_filter": "bpf_bloom_filter",
    "cgroup_storage": "bpf_cgroup_storage_map", "percpu_cgroup_storage": "bpf_cgroup_storage_map",
    **dict.fromkeys(("sk_storage", "inode_storage", "task_storage", "cgrp_storage"), "bpf_local_storage_map"),
    "arena": "bpf_arena",
}  # fmt: skip


class Place:
    """What `walk` found: a scalar, a pointer (`type` is what it points to), or a struct that begins here."""

    __slots__ = ("field", "flags", "kind", "type")

    def __init__(self, kind: str, type: Any = None, field: str = "", flags: int = 0) -> None:
        self.kind = kind
        self.type = type
        self.field = field
        self.flags = flags


def _members(type: BtfType) -> tuple[Member, ...]:
    return type.members


def walk(btf: Any, type: BtfType, off: i64, size: i64, stop: bool = False) -> Place:
    """What `size` bytes at `off` of a struct are; with `stop` a struct that begins there is an answer. Raises Reject."""
    from cygnet.btf import kinds as k
    from cygnet.btf.layout import resolve

    flags: i64 = 0
    while True:
        type = resolve(type)
        name = type.name
        if type.kind not in (k.STRUCT, k.UNION):
            raise Reject(f"Type '{name}' is not a struct", EINVAL)
        if type.kind == k.UNION and type.vlen != 1:
            flags |= UNTRUSTED
        if off + size > type.size:
            inner = _flexible(type, off)
            if inner is None:
                raise Reject(f"access beyond struct {name or '(anon)'} at off {off} size {size}", EACCES)
            if inner[0] is None:
                return Place(SCALAR)
            type, off = inner
            continue
        found = _member_at(type, off, size, flags, stop)
        if isinstance(found, Place):
            return found
        type, off = found


def _flexible(type: BtfType, off: i64) -> Any:
    """Beyond the end there may be an array without size: its element type and the place in it, or (None, 0)."""
    from cygnet.btf import kinds as k
    from cygnet.btf.layout import resolve

    members = _members(type)
    if not members:
        return None
    last = members[-1]
    array = resolve(type.btf.type(last.type_id))
    if array.kind != k.ARRAY or array.nelems != 0 or off < last.byte_offset:
        return None
    element = resolve(array.type)
    if element.kind == k.INT:
        return None, 0
    if element.kind not in (k.STRUCT, k.UNION):
        return None
    return element, (off - last.byte_offset) % element.size


def _member_at(type: BtfType, off: i64, size: i64, flags: i64, stop: bool) -> Any:
    """A Place, or (struct, offset in it) to go on with."""
    from cygnet.btf import kinds as k
    from cygnet.btf.layout import resolve, size_of
    from cygnet.errors import BtfError

    btf = type.btf
    for member in _members(type):
        start: i64 = member.byte_offset
        if off + size <= start:
            break
        if member.bitfield_size:
            end_bit = member.bit_offset + member.bitfield_size
            if off <= start and (end_bit + 7) // 8 <= off + size:
                return Place(SCALAR)
            continue
        if off < start:
            break
        inner = resolve(btf.type(member.type_id))
        try:
            whole: i64 = size_of(inner)
        except BtfError:
            raise Reject(f"field {member.name} doesn't have size", 14) from None
        end = start + whole
        if off >= end:
            continue
        while inner.kind == k.ARRAY:
            inner = resolve(inner.type)
        width: i64 = size_of(inner)
        if width and end - start > width:
            start += (off - start) // width * width
        if inner.kind in (k.STRUCT, k.UNION):
            if off == start:
                return Place(STRUCT, inner, member.name, flags) if stop else (inner, 0)
            return inner, off - start
        if inner.kind == k.PTR:
            return _pointer(type, member, inner, off, size, start, width, flags)
        if off + size > end and not flags & UNTRUSTED:
            raise Reject(
                f"access beyond the end of member {member.name} (mend:{end}) in struct {type.name or '(anon)'}"
                f" with off {off} size {size}",
                EACCES,
            )
        return Place(SCALAR)
    raise Reject(f"struct {type.name} doesn't have field at offset {off}", EINVAL)


def _pointer(
    type: BtfType, member: Member, inner: BtfType, off: i64, size: i64, start: i64, width: i64, flags: i64
) -> Place:
    from cygnet.btf import kinds as k
    from cygnet.btf.layout import resolve, type_tags

    if width != size or off != start:
        raise Reject(
            f"cannot access ptr member {member.name} with moff {start} in struct {type.name or '(anon)'}"
            f" with off {off} size {size}",
            EACCES,
        )
    tags = type_tags(inner.type)
    if "user" in tags:
        flags |= r.USER
    if "percpu" in tags:
        flags |= r.PERCPU
    if "rcu" in tags:
        flags |= RCU
    target = resolve(inner.type)
    if target.kind in (k.STRUCT, k.UNION):
        return Place(POINTER, target, member.name, flags)
    return Place(OTHER_POINTER, target, member.name, flags)


def in_rcu(env: Env) -> bool:
    """May pointers that RCU protects be relied on here?"""
    state = env.cur
    return state.rcu_locks > 0 or state.locks > 0 or not state.sleepable


def is_trusted(reg: RegState) -> bool:
    if reg.ref:
        return True
    unsafe = ~(r.KIND | TRUSTED | r.ALLOC | RCU | r.NON_OWN_REF)
    if reg.type & r.KIND in (r.SOCKET, r.SOCK_COMMON, r.TCP_SOCK):
        return not reg.type & unsafe
    return bool(reg.type & (TRUSTED | r.ALLOC)) and not reg.type & unsafe


def is_rcu(reg: RegState) -> bool:
    return bool(reg.type & RCU)


def access(env: Env, reg: RegState, regno: i64, off: i64, size: i64, write: bool, value: i64) -> None:
    from cygnet.verifier.kerneltypes import type_name

    env.trusting = True
    name = type_name(reg.btf, reg.btf_id)
    local = reg.btf is not env.kernel_btf
    if not env.gpl and not local:
        raise Reject(f"Cannot access kernel 'struct {name}' from non-GPL compatible program", EINVAL)
    if off < 0:
        raise Reject(f"R{regno} is ptr_{name} invalid negative access: off={off}", EACCES)
    if reg.mask or reg.value:
        text = tnum_text(reg.value, reg.mask)
        raise Reject(f"R{regno} is ptr_{name} invalid variable offset: off={off}, var_off={text}", EACCES)
    if reg.type & r.USER:
        raise Reject(f"R{regno} is ptr_{name} access user memory: off={off}", EACCES)
    if reg.type & r.PERCPU:
        raise Reject(f"R{regno} is ptr_{name} access percpu memory: off={off}", EACCES)
    if write and not (reg.type & r.ALLOC and not reg.type & UNTRUSTED):
        if not _writable(env, name, off, size):
            raise Reject("only read is supported", EACCES)
        return
    if reg.type & r.ALLOC:
        _check_special(reg, off, size)
    place = walk(reg.btf, reg.btf.type(reg.btf_id), off, size)
    if write or value < 0:
        return
    if place.kind == SCALAR or (place.kind == POINTER and reg.type & r.ALLOC):
        env.regs()[value] = unknown()
    elif place.kind == OTHER_POINTER:
        new = RegState(r.MEM | r.RDONLY | UNTRUSTED, 0)
        env.regs()[value] = new if env.target.at_least(6, 17) and not reg.type & r.ALLOC else unknown()
    else:
        flags = _trust(env, reg, name, place)
        new = RegState(r.BTF | flags, 0)
        new.btf, new.btf_id = reg.btf, place.type.id
        if flags & MAYBE_NULL:
            new.id = env.new_id()
        env.regs()[value] = new


def _writable(env: Env, name: str, off: i64, size: i64) -> bool:
    """Fields of kernel structures that programs of some types may write (net/core/filter.c, net/ipv4/bpf_tcp_ca.c)."""
    from cygnet.verifier.kerneltypes import find_struct

    if name == "nf_conn" and env.prog_type in ("sched_cls", "sched_act", "xdp"):
        for member in find_struct(env, name).members:
            if member.name == "mark":
                return off >= member.byte_offset and off + size <= member.byte_offset + 4
    return False


def _check_special(reg: RegState, off: i64, size: i64) -> None:
    from cygnet.verifier.records import fields_of

    for field in fields_of(reg.btf, reg.btf_id):
        if off < field.off + field.size and field.off < off + size:
            from cygnet.verifier.memory import _FIELD_NAMES

            raise Reject(f"direct access to {_FIELD_NAMES.get(field.kind, field.kind)} is disallowed", EACCES)


def _has(table: dict[str, str], name: str, field: str) -> bool:
    return field in table.get(name, "").split()


def _trust(env: Env, reg: RegState, name: str, place: Place) -> i64:
    """How far a pointer that was read through another may be trusted."""
    flags: i64 = place.flags
    keep = flags & (r.PERCPU | r.USER)
    if reg.type & UNTRUSTED:
        return UNTRUSTED
    if not is_trusted(reg) and not is_rcu(reg):
        return keep | (flags & UNTRUSTED)
    field = place.field
    if _has(_SAFE_TRUSTED, name, field):
        return flags | TRUSTED
    if _has(_SAFE_TRUSTED_OR_NULL, name, field):
        return flags | TRUSTED | MAYBE_NULL
    if not in_rcu(env) or reg.type & MAYBE_NULL:
        return UNTRUSTED
    if _has(_SAFE_RCU, name, field):
        return flags | RCU
    or_null = _has(_SAFE_RCU_OR_NULL, name, field)
    if flags & RCU or or_null:
        flags |= RCU | MAYBE_NULL
        return flags & ~UNTRUSTED if or_null else flags
    if keep:
        return flags
    return flags & UNTRUSTED


def map_access(env: Env, reg: RegState, regno: i64, off: i64, size: i64, write: bool, value: i64) -> None:
    """Reading the kernel's structure of a map. Kernel: check_ptr_to_map_access."""
    from cygnet.verifier.kerneltypes import kernel, struct_id

    info: MapInfo = reg.map
    name = _MAP_STRUCTS.get(info.kind)
    if name is None:
        raise Reject(f"map_ptr access not supported for map type {info.number}", ENOTSUPP)
    if off < 0:
        raise Reject(f"R{regno} is {name} invalid negative access: off={off}", EACCES)
    if write:
        raise Reject(f"only read from {name} is supported", EACCES)
    kernel(env)
    btf, btf_id = struct_id(env, name)
    place = walk(btf, btf.type(btf_id), off, size)
    if value < 0:
        return
    if place.kind == POINTER:
        new = RegState(r.BTF | (place.flags & UNTRUSTED), 0)
        new.btf, new.btf_id = btf, place.type.id
        env.regs()[value] = new
    elif place.kind == OTHER_POINTER and env.target.at_least(6, 17):
        env.regs()[value] = RegState(r.MEM | r.RDONLY | UNTRUSTED, 0)
    else:
        env.regs()[value] = unknown()
