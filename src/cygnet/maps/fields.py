"""The parts of a value that belong to the kernel: locks, timers, pointers; found in the value's BTF.

Copies between programs, user space and maps leave them out (kernel/bpf/map_in_map.c, btf_parse_fields).
"""

from __future__ import annotations

from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cygnet.btf.types import BtfType


class SpecialField(NamedTuple):
    """`kind` is spin_lock, res_spin_lock, timer, wq, kptr, list_head, rb_root, list_node, rb_node or refcount."""

    kind: str
    offset: int
    size: int


_KINDS = {
    "bpf_spin_lock": "spin_lock",
    "bpf_res_spin_lock": "res_spin_lock",
    "bpf_timer": "timer",
    "bpf_wq": "wq",
    "bpf_list_head": "list_head",
    "bpf_rb_root": "rb_root",
    "bpf_list_node": "list_node",
    "bpf_rb_node": "rb_node",
    "bpf_refcount": "refcount",
}
#: how large each is
FIELD_BYTES = {"spin_lock": 4, "res_spin_lock": 4, "timer": 16, "wq": 16, "kptr": 8, "list_head": 16, "rb_root": 16,
               "list_node": 24, "rb_node": 32, "refcount": 4}  # fmt: skip
_KPTR_TAGS = frozenset(("kptr", "kptr_untrusted", "percpu_kptr", "uptr"))
_DEEPEST = 8

# Which types of map may hold what (map_check_btf, kernel/bpf/syscall.c).
_LOCKABLE = frozenset(
    ("hash", "array", "cgroup_storage", "sk_storage", "inode_storage", "task_storage", "cgrp_storage")
)
_TIMED = frozenset(("hash", "lru_hash", "array"))
_POINTING = _TIMED | frozenset(("percpu_hash", "lru_percpu_hash", "percpu_array", "sk_storage", "inode_storage",
                                "task_storage", "cgrp_storage"))  # fmt: skip
_HOLDERS = {
    "spin_lock": _LOCKABLE,
    "res_spin_lock": _LOCKABLE,
    "timer": _TIMED,
    "wq": _TIMED,
    "list_head": _TIMED,
    "rb_root": _TIMED,
    "kptr": _POINTING,
    "refcount": _POINTING,
}


def may_hold(map_name: str, field: SpecialField) -> bool:
    """A map of this type may have such a field in its values."""
    return map_name in _HOLDERS.get(field.kind, ())


def special_fields(value: BtfType | None) -> tuple[SpecialField, ...]:
    """The special fields of a map's value type, in the order of their offsets."""
    return tuple(sorted(_fields(value, 0, _DEEPEST), key=lambda f: f.offset)) if value is not None else ()


def _fields(of: BtfType, offset: int, depth: int) -> Iterator[SpecialField]:
    from cygnet.btf import kinds
    from cygnet.btf.layout import pointer_tags, resolve, size_of

    behind = resolve(of)
    kind = _KINDS.get(behind.name) if behind.kind == kinds.STRUCT else None
    if kind is not None:
        yield SpecialField(kind, offset, size_of(behind))
    elif behind.kind == kinds.STRUCT and depth:
        for member in behind.members:
            yield from _fields(behind.btf.type(member.type_id), offset + member.byte_offset, depth - 1)
    elif behind.kind == kinds.ARRAY and depth:
        size = size_of(behind.type)
        inner = list(_fields(behind.type, 0, depth - 1))
        for index in range(behind.nelems if inner else 0):
            yield from (f._replace(offset=offset + index * size + f.offset) for f in inner)
    elif behind.kind == kinds.PTR and _KPTR_TAGS.intersection(pointer_tags(of)):
        yield SpecialField("kptr", offset, 8)


def spans_between(fields: Sequence[SpecialField], size: int) -> tuple[tuple[int, int], ...]:
    """The (start, end) pieces of a value that may be copied."""
    pieces, at = [], 0
    for field in fields:
        if field.offset > at:
            pieces.append((at, field.offset))
        at = max(at, field.offset + field.size)
    if at < size:
        pieces.append((at, size))
    return tuple(pieces)
