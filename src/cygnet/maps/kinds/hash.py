"""Hash maps, shared or with a value for each CPU: chains of entries in native memory.

`cygnet.maps.header` draws the layout, which ``vm/helpers/hash_*.s`` walk too. The memory of all entries is
reserved at once and costs nothing until it is used, so the table never grows and no entry ever moves.
"""

from __future__ import annotations

import mmap
import struct
from errno import E2BIG, EEXIST, EINVAL, ENOENT

from cygnet.maps import header
from cygnet.maps.base import (
    ACCESS,
    EXIST,
    LOCK,
    MAX_PERCPU_VALUE,
    MAX_VALUE,
    NOEXIST,
    NUMA,
    UserMap,
    check_update_flags,
    round8,
)
from cygnet.maps.memory import SPACE, Mapping, copy, fill, load64, read, store64, write
from cygnet.uapi import bpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.maps.memory import Region

_M64 = (1 << 64) - 1
_KEY_AT = 8
_MULTIPLIER = header.MULTIPLIER
_load, _load_two = struct.Struct("=Q").unpack_from, struct.Struct("=QQ").unpack_from
_SCAN = 8192  # bytes of the bucket table that are looked at at once
_ELEMENT = 48  # bytes that the kernel adds to key and value (struct htab_elem)
_HUGE = 4 << 20, 64 << 20  # bytes: tables of this size gain from large pages and do not waste them
_NOT_IN_USE = 1
_FOR_KEYS = ("hash_find", "hash_seek", "copy_key")  # parts of machine code that depend on the size of keys


def table_size(max_entries: int) -> int:
    """Buckets: a power of two, at least 2."""
    return max(2, 1 << (max_entries - 1).bit_length())


def advise(mapping: Mapping) -> None:
    """Ask for large pages where random access to a large table would miss the TLB each time."""
    if _HUGE[0] <= mapping.size <= _HUGE[1] and hasattr(mmap, "MADV_HUGEPAGE"):
        mapping._pages.madvise(mmap.MADV_HUGEPAGE)


def divide(share: int, first: int, end: int) -> None:
    """Entries [first, end), none of them used yet, become a share."""
    store64(share + header.FREE, _NOT_IN_USE)
    for offset in (header.FRESH, header.FIRST, header.HAND):
        store64(share + offset, first)
    store64(share + header.END, end)


class Hash(UserMap):
    """BPF_MAP_TYPE_HASH."""

    __slots__ = ("_before", "_buckets", "_entries", "_first", "_key_words", "_region", "_share_words", "_shift",
                 "_stride", "_table", "_value_at", "shares")  # fmt: skip

    allowed_flags = NUMA | ACCESS | bpf.BPF_F_NO_PREALLOC | bpf.BPF_F_ZERO_SEED
    MACHINE_CODE = {
        "lookup": ("hash_find", "hash_value"),
        "update": ("hash_seek", "hash_replace", "hash_insert", "hash_claim", "copy_key", "copy_value"),
        "delete": ("hash_seek", "hash_delete"),
    }
    LRU = False

    def _check(self) -> int:
        if self.flags & bpf.BPF_F_NO_COMMON_LRU and not self.LRU:
            return -EINVAL
        if not (self.max_entries and self.key_size and self.value_size):
            return -EINVAL
        if self.key_size + self.value_size >= MAX_VALUE + 1 - _ELEMENT:
            return -E2BIG
        return -E2BIG if self.percpu and round8(self.value_size) > MAX_PERCPU_VALUE else 0

    def _build(self) -> None:
        words = round8(self.key_size) // 8
        self._key_words = struct.Struct(f"={words}Q")
        self._value_at = _KEY_AT + 8 * words
        self._before = 8 if self.LRU else 0
        self._stride = self._before + self._value_at + (8 if self.percpu else round8(self.value_size))
        buckets = table_size(self.max_entries)
        self._shift = 65 - buckets.bit_length()
        self._buckets = Mapping(8 * buckets)
        self._table = self._buckets.address
        self._entries = Mapping(self._stride * (self.max_entries + 1))
        advise(self._buckets)
        advise(self._entries)
        self._first = self._entries.address + self._before
        self._region = self._add_region()
        spare = self._first + self._stride * self.max_entries
        store64(spare, _NOT_IN_USE)
        self._prepare_entry(spare)
        for offset, word in (
            (header.BUCKETS, self._table), (header.SHIFT, self._shift), (header.STRIDE, self._stride),
            (header.SPARE, spare), (header.VALUE_AT, self._value_at), (header.SHARES, self.handle),
        ):  # fmt: skip
            self._set(offset, word)
        self.shares = [self.handle]
        divide(self.handle, self._first, spare)

    def _add_region(self) -> Region:
        size = self._stride * self.max_entries + self.value_size
        return self.host.memory.regions.add(
            self._first + self._value_at, size, writable=self.program_may_write, name=f"map {self.name}",
            item=self.value_size, stride=self._stride,
        )  # fmt: skip

    def _demolish(self) -> None:
        if self.fields:
            for entry in self._live():
                self._release(entry + self._value_at)
        self.host.memory.regions.remove(self._region)
        self._entries.close()
        self._buckets.close()

    @property
    def count(self) -> int:
        """How many keys there are."""
        return load64(self.handle + header.COUNT)

    def machine_code(self) -> dict[str, tuple[str, ...]]:
        """With the parts that are there for keys and values of one word, or half a word."""
        parts = {name: f"{name}_{self.key_size}" for name in _FOR_KEYS if self.key_size in (4, 8)}
        if self.value_size in (4, 8):
            parts["copy_value"] = f"copy_value_{self.value_size}"
        code = super().machine_code()
        return {operation: tuple(parts.get(name, name) for name in names) for operation, names in code.items()}

    # ── the table ──

    def _bucket(self, key: bytes) -> int:
        """The address of the head of the key's chain."""
        h = 0
        for word in self._key_words.unpack(key.ljust(self._key_words.size, b"\0")):
            h = (h ^ word) * header.MULTIPLIER & _M64
            h ^= h >> 32
        return self._table + (h >> self._shift) * 8

    def _find(self, key: bytes) -> tuple[int, int]:
        """(the entry or 0, the address of the word that leads to it or would)."""
        if self.key_size <= 8:
            return self._find_word(int.from_bytes(key, "little"))
        link, size = self._bucket(key), self.key_size
        entry = load64(link)
        while entry:
            if SPACE[entry + _KEY_AT : entry + _KEY_AT + size] == key:
                return entry, link
            link = entry
            entry = load64(link)
        return 0, link

    def _find_word(self, word: int) -> tuple[int, int]:
        """The same for a key of one word, which is most of them; written out, because it is asked so often."""
        link = self._table + ((word * _MULTIPLIER & _M64) >> self._shift) * 8
        (entry,) = _load(SPACE, link)
        while entry:
            following, found = _load_two(SPACE, entry)
            if found == word:
                return entry, link
            link = entry
            entry = following
        return 0, link

    def _claim(self, cpu: int) -> int:
        """An entry for a new key, with a zero value; 0 when there is none left."""
        share = self.shares[cpu % len(self.shares)]
        free = load64(share + header.FREE)
        if free != _NOT_IN_USE:
            entry = free & ~_NOT_IN_USE
            store64(share + header.FREE, load64(entry))
            self._wipe(entry)
            return entry
        fresh = load64(share + header.FRESH)
        if fresh == load64(share + header.END):
            return 0
        store64(share + header.FRESH, fresh + self._stride)
        self._prepare_entry(fresh)
        return fresh

    def _prepare_entry(self, entry: int) -> None:
        """An entry that is used for the first time."""

    def _wipe(self, entry: int) -> None:
        fill(entry + self._value_at, round8(self.value_size))

    def _insert(self, key: bytes, cpu: int) -> int:
        """Put a new key in; the value's place, or 0. The key must not be there."""
        entry = self._claim(cpu)
        if not entry:
            return 0
        write(entry + _KEY_AT, key.ljust(self._key_words.size, b"\0"))
        bucket = self._bucket(key)  # not the end of the chain that a search found: making room may have cut it
        store64(entry, load64(bucket))
        store64(bucket, entry)
        self._set(header.COUNT, self.count + 1)
        return entry

    def _unlink(self, entry: int, link: int) -> None:
        """Take an entry out of its chain and keep it for later; its value stays readable until then."""
        store64(link, load64(entry))
        self._release(entry + self._value_at)
        share = self._share_of(entry)
        store64(entry, load64(share + header.FREE))
        store64(share + header.FREE, entry | _NOT_IN_USE)
        self._set(header.COUNT, self.count - 1)

    def _share_of(self, entry: int) -> int:
        return self.handle

    def _replace(self, entry: int, link: int) -> int:
        """The spare entry takes the place of this one, which becomes the spare: its old value stays readable."""
        spare = load64(self.handle + header.SPARE)
        copy(spare + _KEY_AT, entry + _KEY_AT, self._key_words.size)
        self._clean(spare + self._value_at)
        store64(spare, load64(entry))
        store64(link, spare)
        self._release(entry + self._value_at)
        store64(entry, _NOT_IN_USE)
        self._set(header.SPARE, entry)
        return spare

    def _place(self, key: bytes, flags: int, cpu: int) -> tuple[int, int]:
        """(where the value of an update goes, 0), or (0, a negative errno)."""
        error = check_update_flags(flags, True)
        if error:
            return 0, error
        entry, link = self._find(key)
        if entry:
            if flags & NOEXIST:
                return 0, -EEXIST
            if not flags & LOCK:
                entry = self._replace(entry, link)
        elif flags & EXIST:
            return 0, -ENOENT
        else:
            entry = self._insert(key, cpu)
            if not entry:
                return 0, -E2BIG
            self._clean(entry + self._value_at)
        return entry + self._value_at, 0

    def _live(self) -> Iterator[int]:
        """Every entry in use, in the order of memory."""
        ranges = [(load64(share + header.FIRST), load64(share + header.FRESH)) for share in self.shares]
        last = self._first + self._stride * self.max_entries  # the one that was the spare at first
        for start, stop in [*ranges, (last, last + 1)]:
            for entry in range(start, stop, self._stride):
                if not load64(entry) & _NOT_IN_USE:
                    yield entry

    # ── user space ──

    def _value(self, entry: int) -> bytes:
        return self._get(entry + self._value_at)

    def _read(self, key: bytes) -> bytes | int:
        entry = self._find(key)[0]
        return self._value(entry) if entry else -ENOENT

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        if flags & LOCK and self.lock_at is None:
            return -EINVAL
        address, error = self._place(key, flags, self.host.cpu)
        if not error:
            self._put(address, value)
        return error

    def _remove(self, key: bytes) -> int:
        entry, link = self._find(key)
        if not entry:
            return -ENOENT
        self._unlink(entry, link)
        return 0

    def _take(self, key: bytes) -> bytes | int:
        entry, link = self._find(key)
        if not entry:
            return -ENOENT
        value = self._value(entry)
        self._unlink(entry, link)
        return value

    def _next(self, key: bytes | None) -> bytes | int:
        bucket = self._table
        if key is not None:
            entry = self._find(key)[0]
            if entry:
                following = load64(entry)
                if following:
                    return read(following + _KEY_AT, self.key_size)
                bucket = self._bucket(key) + 8
        entry = self._first_from(bucket)
        return read(entry + _KEY_AT, self.key_size) if entry else -ENOENT

    def _first_from(self, bucket: int) -> int:
        """The first entry of the first chain that is not empty, from a bucket on."""
        end = self._table + 8 * (1 << 64 - self._shift)
        while bucket < end:
            words = read(bucket, min(_SCAN, end - bucket))
            empty = len(words) - len(words.lstrip(b"\0"))
            if empty < len(words):
                return load64(bucket + empty // 8 * 8)
            bucket += _SCAN
        return 0

    def dump(self, delete: bool = False) -> tuple[int, bytes, bytes]:
        self._may("read", write=delete, read=True)
        entries = list(self._live())
        size = self.key_size
        keys = [read(entry + _KEY_AT, size) for entry in entries]
        values = [self._value(entry) for entry in entries]
        if delete:
            for key in keys:
                self._remove(key)
        return len(keys), b"".join(keys), b"".join(values)

    # ── programs ──

    def lookup_ptr(self, key: int, cpu: int) -> int:
        entry = self._find(read(key, self.key_size))[0]
        return entry + self._value_at if entry else 0

    def update_ptr(self, key: int, value: int, flags: int, cpu: int) -> int:
        if flags & LOCK and self.lock_at is None:
            return -EINVAL
        address, error = self._place(read(key, self.key_size), flags, cpu)
        if not error:
            self._put_from(address, value)
        return error

    def delete_ptr(self, key: int, cpu: int = 0) -> int:
        return self._remove(read(key, self.key_size))

    def each_ptr(self, cpu: int) -> Iterator[tuple[int, int]]:
        for key in [read(entry + _KEY_AT, self.key_size) for entry in self._live()]:
            entry = self._find(key)[0]
            if entry:
                yield entry + _KEY_AT, self._value_of(entry, cpu)

    def _value_of(self, entry: int, cpu: int) -> int:
        return entry + self._value_at


class PercpuHash(Hash):
    """BPF_MAP_TYPE_PERCPU_HASH. An update of a program sets only its own CPU's value."""

    __slots__ = ("_cpu_stride", "_values")

    PERCPU = True
    allowed_flags = ACCESS | bpf.BPF_F_NO_PREALLOC | bpf.BPF_F_ZERO_SEED
    MACHINE_CODE = {
        "lookup": ("hash_find", "percpu_value"),
        "update": ("hash_seek", "in_place", "hash_insert", "percpu_claim", "copy_key", "this_cpu", "copy_value"),
        "delete": ("hash_seek", "hash_delete"),
    }

    def _add_region(self) -> Region:
        self._cpu_stride = round8(self.value_size)
        size = self._cpu_stride * self.cpus * (self.max_entries + 1)
        self._values = Mapping(size)
        self._set(header.CPU_STRIDE, self._cpu_stride)
        self._set(header.VALUES, self._values.address)
        self._set(header.PERCPU_BYTES, self._cpu_stride * self.cpus)
        return self.host.memory.regions.add(
            self._values.address, size, writable=self.program_may_write, name=f"map {self.name}",
            item=self.value_size, stride=self._cpu_stride,
        )  # fmt: skip

    def _demolish(self) -> None:
        super()._demolish()
        self._values.close()

    def _prepare_entry(self, entry: int) -> None:
        slot = (entry - self._first) // self._stride
        store64(entry + self._value_at, self._values.address + slot * self._cpu_stride * self.cpus)

    def _wipe(self, entry: int) -> None:
        fill(load64(entry + self._value_at), self._cpu_stride * self.cpus)

    def _place(self, key: bytes, flags: int, cpu: int) -> tuple[int, int]:
        if flags > EXIST:
            return 0, -EINVAL
        entry = self._find(key)[0]
        if entry and flags & NOEXIST:
            return 0, -EEXIST
        if not entry:
            if flags & EXIST:
                return 0, -ENOENT
            entry = self._insert(key, cpu)
            if not entry:
                return 0, -E2BIG
        return load64(entry + self._value_at), 0

    def _value(self, entry: int) -> bytes:
        return self._gather(load64(entry + self._value_at), self._cpu_stride)

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        address, error = self._place(key, flags, self.host.cpu)
        if not error:
            self._scatter(address, self._cpu_stride, value)
        return error

    def lookup_ptr(self, key: int, cpu: int) -> int:
        entry = self._find(read(key, self.key_size))[0]
        return self._value_of(entry, cpu) if entry else 0

    def update_ptr(self, key: int, value: int, flags: int, cpu: int) -> int:
        address, error = self._place(read(key, self.key_size), flags, cpu)
        if not error:
            self._put_from(address + cpu * self._cpu_stride, value)
        return error

    def _value_of(self, entry: int, cpu: int) -> int:
        return load64(entry + self._value_at) + cpu * self._cpu_stride
