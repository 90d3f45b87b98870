"""Where things lie inside a type: aliases resolved, sizes, members by path, through anonymous structs and unions."""

from __future__ import annotations

import struct

from cygnet.btf import kinds as k
from cygnet.btf.types import BtfType, Member
from cygnet.errors import BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_DEEPEST = 64  # aliases or nested anonymous structs in a row; the kernel's own limit is 32 (kernel/bpf/btf.c)


def resolve(of: BtfType) -> BtfType:
    """The type behind typedefs, const, volatile, restrict and type tags."""
    start = of
    for _ in range(_DEEPEST):
        if of.kind not in k.ALIASES:
            return of
        of = of.type
    raise BtfError(f"BTF type {start.describe()} is an alias without an end", start.offset)


def strip_modifiers(of: BtfType) -> BtfType:
    """The type without const, volatile, restrict and type tags; a typedef stays."""
    for _ in range(_DEEPEST):
        if of.kind not in k.MODIFIERS:
            return of
        of = of.type
    raise BtfError("BTF modifiers without an end", of.offset)


def type_tags(of: BtfType) -> tuple[str, ...]:
    """The type tags between this type and the one behind its aliases, outermost first."""
    tags: list[str] = []
    for _ in range(_DEEPEST):
        if of.kind not in k.ALIASES:
            return tuple(tags)
        if of.kind == k.TYPE_TAG:
            tags.append(of.name)
        of = of.type
    raise BtfError("BTF modifiers without an end", of.offset)


def pointer_tags(of: BtfType) -> tuple[str, ...]:
    """The type tags of what a pointer points to (``user``, ``rcu``, ``percpu``); empty for what is no pointer."""
    pointer = resolve(of)
    return type_tags(pointer.type) if pointer.kind == k.PTR else ()


def is_user_ptr(of: BtfType) -> bool:
    """A pointer marked ``__user``. Kernels built by GCC before 16 carry no such marks."""
    return "user" in pointer_tags(of)


def pointer_size(of: BtfType) -> int:
    """Bytes of a pointer on the machine the BTF speaks of: the size of its ``long``, else of ours."""
    for name in ("long unsigned int", "unsigned long"):
        found = of.btf.find(name, k.INT)
        if found is not None and found.size in (4, 8):
            return found.size
    return struct.calcsize("P")


def size_of(of: BtfType) -> int:
    """Bytes that a value takes. Raises BtfError for void, functions and types that are only declared."""
    count, start = 1, of
    for _ in range(_DEEPEST):
        kind = of.kind
        if kind in k.SIZED:
            return count * of.size
        if kind == k.PTR:
            return count * pointer_size(of)
        if kind == k.ARRAY:
            count *= of.nelems
        elif kind not in k.ALIASES and kind != k.VAR:
            break
        of = of.type
    raise BtfError(f"BTF type {start.describe()} has no size", start.offset)


def align_of(of: BtfType) -> int:
    """The natural alignment of a value in bytes."""
    return _align_of(of, _DEEPEST)


def _align_of(of: BtfType, depth: int) -> int:
    of = resolve(of)
    if not depth:
        raise BtfError("BTF types nested without an end", of.offset)
    if of.kind == k.ARRAY:
        return _align_of(of.type, depth - 1)
    if of.kind in k.COMPOSITES:
        btf = of.btf
        return max((_align_of(btf.type(m.type_id), depth - 1) for m in of.members), default=1)
    return min(size_of(of), pointer_size(of)) or 1


class Step:
    """One step of a path: a member, or an element of an array (`member` is None).

    `index` is what a CO-RE access string holds.
    """

    __slots__ = ("index", "member", "owner")

    def __init__(self, owner: BtfType, index: int, member: Member | None) -> None:
        self.owner = owner
        self.index = index
        self.member = member

    @property
    def name(self) -> str:
        return f"[{self.index}]" if self.member is None else self.member.name

    def __repr__(self) -> str:
        return f"Step({self.name or '(anonymous)'} of {self.owner.describe()})"


class MemberPath:
    """Where a path leads: the steps (those through anonymous members included), the type there, and its place in bits.

    `type` is as declared (typedefs not resolved); `bitfield_size` is 0 for what is no bitfield. For a bitfield,
    `bit_offset` counts from the least significant bit on little-endian machines, from the most significant on
    big-endian ones.
    """

    __slots__ = ("bit_offset", "bitfield_size", "steps", "type")

    def __init__(self, steps: tuple[Step, ...], of: BtfType, bit_offset: int, bitfield_size: int) -> None:
        self.steps = steps
        self.type = of
        self.bit_offset = bit_offset
        self.bitfield_size = bitfield_size

    @property
    def byte_offset(self) -> int:
        return self.bit_offset >> 3

    @property
    def access(self) -> str:
        """The path as a CO-RE relocation spells it: ``0:3:1``."""
        return ":".join(["0", *(str(step.index) for step in self.steps)])

    def __repr__(self) -> str:
        bits = f":{self.bitfield_size}" if self.bitfield_size else ""
        return f"MemberPath({self.type.describe()} at bit {self.bit_offset}{bits})"


def find_member(of: BtfType, name: str) -> MemberPath | None:
    """A member by name, in the struct or union itself or in its anonymous members; None when there is none."""
    owner = resolve(of)
    if owner.kind not in k.COMPOSITES or not name:
        return None
    return _find_member(owner, name, _DEEPEST)


def _find_member(owner: BtfType, name: str, depth: int) -> MemberPath | None:
    if not depth:
        raise BtfError("anonymous BTF structs nested without an end", owner.offset)
    anonymous = []
    for member in owner.members:
        if member.name == name:
            step = Step(owner, member.index, member)
            return MemberPath((step,), owner.btf.type(member.type_id), member.bit_offset, member.bitfield_size)
        if not member.name:
            anonymous.append(member)
    for member in anonymous:
        inner = resolve(owner.btf.type(member.type_id))
        if inner.kind in k.COMPOSITES and (found := _find_member(inner, name, depth - 1)):
            steps = (Step(owner, member.index, member), *found.steps)
            return MemberPath(steps, found.type, member.bit_offset + found.bit_offset, found.bitfield_size)
    return None


def member_path(of: BtfType, path: str) -> MemberPath:
    """Where ``a.b[3].c`` lies in a struct. Pointers are not followed.

    Raises BtfError that says which part does not exist or is not what the path takes it for.
    """
    at = MemberPath((), of, 0, 0)
    for part in _parts(path):
        step = _element(at.type, part) if isinstance(part, int) else _member(at.type, part)
        at = MemberPath(at.steps + step.steps, step.type, at.bit_offset + step.bit_offset, step.bitfield_size)
    return at


def _member(of: BtfType, name: str) -> MemberPath:
    found = find_member(of, name)
    if found is None:
        raise BtfError(f"{resolve(of).describe()} has no member {name}")
    return found


def _element(of: BtfType, index: int) -> MemberPath:
    array = resolve(of)
    if array.kind != k.ARRAY:
        raise BtfError(f"{array.describe()} is not an array")
    if array.nelems and index >= array.nelems:
        raise BtfError(f"index {index} is outside of an array of {array.nelems}")
    element = array.type
    return MemberPath((Step(array, index, None),), element, 8 * index * size_of(element), 0)


def _parts(path: str) -> Iterator[str | int]:
    for piece in path.split("."):
        name, *indexes = piece.split("[")
        if not (name.isidentifier() or (not name and indexes and piece is not path and path.startswith("["))):
            raise BtfError(f"bad member path {path!r}")
        if name:
            yield name
        for index in indexes:
            digits = index.removesuffix("]")
            if digits == index or not digits.isdecimal():
                raise BtfError(f"bad member path {path!r}")
            yield int(digits)


def all_members(of: BtfType) -> list[MemberPath]:
    """Every named member, those of anonymous members at their place in the whole, in the order of declaration."""
    owner = resolve(of)
    if owner.kind not in k.COMPOSITES:
        raise BtfError(f"{owner.describe()} has no members", owner.offset)
    found: list[MemberPath] = []
    _collect(owner, (), 0, found, _DEEPEST)
    return found


def _collect(owner: BtfType, before: tuple[Step, ...], bit_offset: int, found: list[MemberPath], depth: int) -> None:
    if not depth:
        raise BtfError("anonymous BTF structs nested without an end", owner.offset)
    for member in owner.members:
        of = owner.btf.type(member.type_id)
        steps, place = (*before, Step(owner, member.index, member)), bit_offset + member.bit_offset
        inner = of if member.name else resolve(of)
        if not member.name and inner.kind in k.COMPOSITES:
            _collect(inner, steps, place, found, depth - 1)
        elif member.name:
            found.append(MemberPath(steps, of, place, member.bitfield_size))
