"""Arrays and hashes of programs and maps: user space writes descriptors and reads ids; programs follow pointers."""

from __future__ import annotations

import struct
from errno import E2BIG, EBADF, EINVAL, ENOENT

from cygnet.maps.base import ACCESS, MAX_VALUE, NUMA, UserMap
from cygnet.maps.failures import ENOTSUPP
from cygnet.maps.kinds.array import check_index_key, next_index
from cygnet.maps.memory import load32, read
from cygnet.uapi import bpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_U32 = struct.Struct("=I")
_PROG_ACCESS = bpf.BPF_F_RDONLY_PROG | bpf.BPF_F_WRONLY_PROG


class ProgArray(UserMap):
    """BPF_MAP_TYPE_PROG_ARRAY: where tail calls go. A value is a program's descriptor (`MapHost.add("program", …)`)."""

    __slots__ = ("_programs",)

    def _check(self) -> int:
        if self.value_size != 4 or self.flags & _PROG_ACCESS:
            return -EINVAL
        return check_index_key(self.key_size, self.value_size, self.max_entries)

    def _build(self) -> None:
        self._programs: dict[int, tuple[int, Any]] = {}

    def program(self, index: int) -> Any:
        """The program at an index, or None."""
        return self._programs.get(index, (0, None))[1]

    def set_program(self, index: int, program: object) -> None:
        """Enter a program object that has no descriptor yet."""
        self.update(_U32.pack(index), _U32.pack(self.host.add("program", program)))

    def _read(self, key: bytes) -> bytes | int:
        found = self._programs.get(_U32.unpack(key)[0])
        return -ENOENT if found is None else _U32.pack(found[0])

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        index = _U32.unpack(key)[0]
        if flags:
            return -EINVAL
        if index >= self.max_entries:
            return -E2BIG
        thing = self.host.thing(_U32.unpack(value)[0], "program", EINVAL)
        if isinstance(thing, int):
            return thing
        self._programs[index] = thing.id, thing.what
        return 0

    def _remove(self, key: bytes) -> int:
        index = _U32.unpack(key)[0]
        if index >= self.max_entries:
            return -E2BIG
        return 0 if self._programs.pop(index, None) else -ENOENT

    def _next(self, key: bytes | None) -> bytes | int:
        return next_index(key, self.max_entries)


def same_shape(template: UserMap, other: UserMap, exact_entries: bool) -> bool:
    """May `other` stand where `template` did? (bpf_map_meta_equal, array_map_meta_equal)"""
    shape = (template.type, template.key_size, template.value_size, template.flags, template.fields)
    if shape != (other.type, other.key_size, other.value_size, other.flags, other.fields):
        return False
    return not exact_entries or template.max_entries == other.max_entries


class _OfMaps(UserMap):
    """Maps by index or key. `inner` is a map of the shape that all of them must have."""

    __slots__ = ("_maps", "inner")

    inner: UserMap | None

    def take_template(self, inner: UserMap | None) -> None:
        """The map that says what inner maps look like. Raises for one that cannot be an inner map."""
        self.inner = inner
        error = self._template_error(inner)
        if error:
            self.close()
            raise self._refused_creation(error)

    def _template_error(self, inner: UserMap | None) -> int:
        """bpf_map_meta_alloc (kernel/bpf/map_in_map.c)"""
        if inner is None:
            return EBADF
        if isinstance(inner, _OfMaps):
            return EINVAL
        if inner.type in (bpf.BPF_MAP_TYPE_PROG_ARRAY, bpf.BPF_MAP_TYPE_CGROUP_STORAGE,
                          bpf.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE, bpf.BPF_MAP_TYPE_STRUCT_OPS):  # fmt: skip
            return ENOTSUPP
        return 0

    def _build(self) -> None:
        self.inner = None
        self._maps: dict[bytes, UserMap] = {}

    def _demolish(self) -> None:
        for held in self._maps.values():
            held.close()
        self._maps.clear()

    def map_of(self, key: bytes) -> UserMap | None:
        """The inner map of a key, or None."""
        return self._maps.get(key)

    def set_map(self, key: bytes, inner: UserMap) -> None:
        self.update(key, _U32.pack(inner.id))

    def _inner(self, value: bytes) -> UserMap | int:
        thing = self.host.thing(_U32.unpack(value)[0], "map", EINVAL)
        if isinstance(thing, int):
            return thing
        made: Any = thing.what
        template = self.inner
        assert template is not None
        arrays = (bpf.BPF_MAP_TYPE_ARRAY, bpf.BPF_MAP_TYPE_PERCPU_ARRAY)
        exact = template.type in arrays and not template.flags & bpf.BPF_F_INNER_MAP
        return made if same_shape(template, made, exact) else -EINVAL

    def _set_inner(self, key: bytes, made: UserMap) -> None:
        old = self._maps.get(key)
        self._maps[key] = made.hold()
        if old is not None:
            old.close()

    def _read(self, key: bytes) -> bytes | int:
        found = self._maps.get(key)
        return -ENOENT if found is None else _U32.pack(found.id)

    def lookup_ptr(self, key: int, cpu: int) -> int:
        """The inner map's handle."""
        found = self._maps.get(read(key, self.key_size))
        return 0 if found is None else found.handle


class ArrayOfMaps(_OfMaps):
    """BPF_MAP_TYPE_ARRAY_OF_MAPS."""

    __slots__ = ()

    def _check(self) -> int:
        if self.value_size != 4 or self.flags & _PROG_ACCESS:
            return -EINVAL
        return check_index_key(self.key_size, self.value_size, self.max_entries)

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        if flags:
            return -EINVAL
        if _U32.unpack(key)[0] >= self.max_entries:
            return -E2BIG
        made = self._inner(value)
        if isinstance(made, int):
            return made
        self._set_inner(key, made)
        return 0

    def _remove(self, key: bytes) -> int:
        if _U32.unpack(key)[0] >= self.max_entries:
            return -E2BIG
        gone = self._maps.pop(key, None)
        if gone is None:
            return -ENOENT
        gone.close()
        return 0

    def _next(self, key: bytes | None) -> bytes | int:
        return next_index(key, self.max_entries)

    def delete_ptr(self, key: int, cpu: int = 0) -> int:
        return self._remove(_U32.pack(load32(key)))


class HashOfMaps(_OfMaps):
    """BPF_MAP_TYPE_HASH_OF_MAPS."""

    __slots__ = ()

    allowed_flags = NUMA | ACCESS | bpf.BPF_F_NO_PREALLOC | bpf.BPF_F_ZERO_SEED

    def _check(self) -> int:
        if self.value_size != 4 or not (self.key_size and self.max_entries):
            return -EINVAL
        return -E2BIG if self.key_size > MAX_VALUE - 64 else 0

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        made = self._inner(value)
        if isinstance(made, int):
            return made
        if flags & ~4 > 2:
            return -EINVAL
        if key in self._maps:
            if flags & 1:
                return -17  # EEXIST
        elif flags & 2:
            return -ENOENT
        elif len(self._maps) >= self.max_entries:
            return -E2BIG
        self._set_inner(key, made)
        return 0

    def _remove(self, key: bytes) -> int:
        gone = self._maps.pop(key, None)
        if gone is None:
            return -ENOENT
        gone.close()
        return 0

    def _next(self, key: bytes | None) -> bytes | int:
        keys = list(self._maps)
        at = keys.index(key) + 1 if key in self._maps and key is not None else 0
        return keys[at] if at < len(keys) else -ENOENT

    def delete_ptr(self, key: int, cpu: int = 0) -> int:
        return self._remove(read(key, self.key_size))
