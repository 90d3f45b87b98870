"""What every map of the user-space machine is: rules of creation, access, and the two faces of each operation.

User space's face is in bytes and raises; it answers as bpf(2) does, and has the methods of
`cygnet.kernel.maps.KernelMap`. A program's face is in addresses: its methods end in ``_ptr``, take and give pointers
into native memory that is known to be there, and give 0 or a negative errno as the kernel's
helpers do.

A kind of map implements `_read`, `_write`, `_remove`, `_take` and `_next` on bytes (a negative errno
is a refusal), and of the program's face what programs may call.
"""

from __future__ import annotations

from errno import EACCES, EBUSY, EINVAL, ENOENT, ENOMEM, EOPNOTSUPP, EPERM

from cygnet.facts.maptypes import map_type
from cygnet.maps import header
from cygnet.maps.closed import closed_kind
from cygnet.maps.failures import ENOTSUPP, creation_failure, map_failure
from cygnet.maps.fields import may_hold, spans_between
from cygnet.maps.memory import SPACE, copy, fill, store32, store64
from cygnet.uapi import bpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import ClassVar, NoReturn, Self

    from cygnet.maps.fields import SpecialField
    from cygnet.maps.host import MapHost

ANY, NOEXIST, EXIST, LOCK = bpf.BPF_ANY, bpf.BPF_NOEXIST, bpf.BPF_EXIST, bpf.BPF_F_LOCK
ACCESS = bpf.BPF_F_RDONLY | bpf.BPF_F_WRONLY | bpf.BPF_F_RDONLY_PROG | bpf.BPF_F_WRONLY_PROG
NUMA = bpf.BPF_F_NUMA_NODE
_BOTH = bpf.BPF_F_RDONLY | bpf.BPF_F_WRONLY
_BOTH_PROG = bpf.BPF_F_RDONLY_PROG | bpf.BPF_F_WRONLY_PROG
MAX_VALUE = (1 << 22) - 1  # bytes: what one allocation of the kernel gives, KMALLOC_MAX_SIZE (mm/slab.h)
MAX_PERCPU_VALUE = 32 << 10  # PCPU_MIN_UNIT_SIZE (include/linux/percpu.h)
_LOCKS = ("spin_lock", "res_spin_lock")


def round8(size: int) -> int:
    return size + 7 & ~7


class UserMap:
    """A map. `handle` is what a program's pointer to it is; sizes are in bytes.

    A per-CPU map's value is, to user space, the values of all CPUs joined, each padded to 8
    bytes; `value_bytes` is the size of what one lookup gives.
    """

    __slots__ = ("_spans", "_users", "cpus", "fields", "flags", "frozen", "handle", "host", "id", "key_size",
                 "map_extra", "max_entries", "name", "percpu", "type", "value_bytes", "value_size",
                 "writable_mappings")  # fmt: skip

    #: flags that creation takes, next to those of access when a kind of map has them
    allowed_flags: ClassVar[int] = NUMA | ACCESS
    MACHINE_CODE: ClassVar[dict[str, tuple[str, ...]]] = {}
    PERCPU: ClassVar[bool] = False

    def __init__(
        self,
        host: MapHost,
        type: int,
        key_size: int,
        value_size: int,
        max_entries: int,
        flags: int = 0,
        name: str = "",
        *,
        map_extra: int = 0,
        fields: Sequence[SpecialField] = (),
    ) -> None:
        self.host = host
        self.type, self.key_size, self.value_size = type, key_size, value_size
        self.max_entries, self.flags, self.name = max_entries, flags, name
        self.map_extra = map_extra
        self.fields = tuple(sorted(fields, key=lambda f: f.offset))
        self.frozen = False
        self.writable_mappings = 0
        self._users = 1
        self.percpu = self.PERCPU
        self.cpus = host.cpus
        error = self._check_common() or self._check()
        if error:
            raise self._refused_creation(-error)
        self.value_bytes = round8(value_size) * host.cpus if self.percpu else value_size
        self._spans = spans_between(self.fields, value_size)
        self.handle, self.id = host.enter(self)
        self._publish()
        try:
            self._build()
        except (OSError, OverflowError, ValueError) as failure:
            host.leave(self)
            raise self._refused_creation(ENOMEM) from failure

    # ── creation ──

    def _check_common(self) -> int:
        flags = self.flags
        if flags & ~self.allowed_flags or flags & _BOTH == _BOTH or flags & _BOTH_PROG == _BOTH_PROG:
            return -EINVAL
        if self.map_extra and self.type != bpf.BPF_MAP_TYPE_BLOOM_FILTER:
            return -EINVAL
        return self._check_fields() if self.fields else 0

    def _check_fields(self) -> int:
        if any(f.offset + f.size > self.value_size for f in self.fields):
            return -EINVAL
        if self.flags & _BOTH_PROG:
            return -EACCES
        name = map_type(self.type).name
        return 0 if all(may_hold(name, field) for field in self.fields) else -EOPNOTSUPP

    def take_template(self, inner: UserMap | None) -> None:
        """A map of maps takes the map that says what inner ones look like; others have none."""

    def _check(self) -> int:
        """0, or a negative errno for sizes and flags that this kind of map does not take."""
        raise NotImplementedError

    def _build(self) -> None:
        """Make what holds the elements."""

    def _publish(self) -> None:
        words = (self.type, self.flags, self.key_size, self.value_size, self.max_entries, self.id)
        for index, word in enumerate(words):
            store32(self.handle + 4 * index, word)
        store64(self.handle + header.CPU, self.host.cpu_address)

    def _set(self, offset: int, value: int) -> None:
        """A word of the header."""
        store64(self.handle + offset, value)

    def _refused_creation(self, errno: int) -> Exception:
        what = (
            f"create map {self.name!r} (type {self.type}, key of {self.key_size} bytes, value of "
            f"{self.value_size} bytes, {self.max_entries} entries)"
        )
        return creation_failure(errno, what)

    # ── access ──

    @property
    def program_may_read(self) -> bool:
        return not self.flags & bpf.BPF_F_WRONLY_PROG

    @property
    def program_may_write(self) -> bool:
        return not self.flags & bpf.BPF_F_RDONLY_PROG

    @property
    def lock_at(self) -> int | None:
        """Where in a value its spin lock is."""
        return next((f.offset for f in self.fields if f.kind in _LOCKS), None)

    def field_at(self, kind: str) -> int | None:
        """Where in a value its timer, work queue … is."""
        return next((f.offset for f in self.fields if f.kind == kind), None)

    def _may(self, verb: str, *, write: bool, read: bool = False) -> None:
        if (write and (self.frozen or self.flags & bpf.BPF_F_RDONLY)) or (read and self.flags & bpf.BPF_F_WRONLY):
            self._fail(EPERM, verb)

    def _fail(self, errno: int, verb: str) -> NoReturn:
        raise map_failure(errno, f"{verb} map {self.name!r}", self.max_entries)

    def _check_key(self, key: bytes) -> None:
        if len(key) != self.key_size:
            raise ValueError(f"a key of map {self.name!r} has {self.key_size} bytes, not {len(key)}")

    def _check_value(self, value: bytes) -> None:
        if len(value) != self.value_bytes:
            raise ValueError(f"a value of map {self.name!r} has {self.value_bytes} bytes, not {len(value)}")

    def _check_lookup_flags(self, flags: int, verb: str) -> None:
        if flags & ~LOCK or (flags & LOCK and self.lock_at is None):
            self._fail(EINVAL, verb)

    def machine_code(self) -> dict[str, tuple[str, ...]]:
        """The operations that are machine code (lookup, update, delete, output): the files of ``vm/helpers``,
        each without its ``.s``, that follow one another in its text.

        Values with special fields are changed by Python only.
        """
        code = self.MACHINE_CODE
        return {"lookup": code["lookup"]} if self.fields and "lookup" in code else dict(code)

    # ── user space: one element ──

    def lookup(self, key: bytes, flags: int = 0) -> bytes | None:
        """The value's bytes, or None when there is no such key."""
        self._check_key(key)
        self._check_lookup_flags(flags, "look up a key in")
        self._may("look up a key in", write=False, read=True)
        value = self._read(key)
        if isinstance(value, int):
            if value == -ENOENT:
                return None
            self._fail(-value, "look up a key in")
        return value

    def lookup_percpu(self, key: bytes) -> list[bytes] | None:
        """The value on each CPU, or None."""
        value = self.lookup(key)
        return None if value is None else self.split_percpu(value)

    def split_percpu(self, value: bytes) -> list[bytes]:
        """The parts of a per-CPU value, without their padding."""
        stride = round8(self.value_size)
        return [value[at : at + self.value_size] for at in range(0, len(value), stride)]

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Set a value. KeyExists with BPF_NOEXIST, KeyMissing with BPF_EXIST, MapFull when there is no room."""
        self._check_key(key)
        self._check_value(value)
        self._may("update", write=True)
        if flags & LOCK and self.lock_at is None:
            self._fail(EINVAL, "update")
        result = self._write(key, value, flags)
        if result:
            self._fail(-result, "update")

    def update_percpu(self, key: bytes, values: Sequence[bytes], flags: int = 0) -> None:
        """Set the value of each CPU."""
        self.update(key, b"".join(v.ljust(round8(self.value_size), b"\0") for v in values), flags)

    def delete(self, key: bytes) -> bool:
        """Delete a key; False when it was not there."""
        self._check_key(key)
        self._may("delete from", write=True)
        result = self._remove(key)
        if result and result != -ENOENT:
            self._fail(-result, "delete from")
        return not result

    def lookup_and_delete(self, key: bytes = b"", flags: int = 0) -> bytes | None:
        """Take a value out. Queues and stacks have no key."""
        self._check_key(key)
        self._may("take from", write=True, read=True)
        self._check_lookup_flags(flags, "take from")
        value = self._take(key)
        if isinstance(value, int):
            if value == -ENOENT:
                return None
            self._fail(-value, "take from")
        return value

    def push(self, value: bytes, flags: int = 0) -> None:
        """Put a value into a queue, a stack or a bloom filter."""
        self.update(b"", value, flags)

    def pop(self) -> bytes | None:
        """Take the next value of a queue or a stack; None when it is empty."""
        return self.lookup_and_delete()

    def peek(self) -> bytes | None:
        """The next value of a queue or a stack, which stays; None when it is empty."""
        return self.lookup(b"")

    # ── user space: all elements ──

    def next_key(self, key: bytes | None = None) -> bytes | None:
        """The key after `key`, or the first one; None at the end. An unknown key starts over."""
        if key is not None:
            self._check_key(key)
        self._may("iterate over", write=False, read=True)
        following = self._next(key)
        if isinstance(following, int):
            if following == -ENOENT:
                return None
            self._fail(-following, "iterate over")
        return following

    def keys(self) -> Iterator[bytes]:
        """Every key, once, also when some are deleted meanwhile."""
        seen: set[bytes] = set()
        key = self.next_key()
        while key is not None and key not in seen:
            seen.add(key)
            yield key
            key = self.next_key(key)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every (key, value), as they are now."""
        count, keys, values = self.dump()
        k, v = self.key_size, self.value_bytes
        return ((keys[i * k : i * k + k], values[i * v : i * v + v]) for i in range(count))

    def dump(self, delete: bool = False) -> tuple[int, bytes, bytes]:
        """(count, all keys joined, all values joined); with `delete`, what was read is removed."""
        keys: list[bytes] = []
        values: list[bytes] = []
        for key in self.keys():
            value = self.lookup(key)
            if value is not None:
                keys.append(key)
                values.append(value)
        if delete:
            for key in keys:
                self.delete(key)
        return len(keys), b"".join(keys), b"".join(values)

    def lookup_batch(
        self, token: bytes | None, count: int, delete: bool = False
    ) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
        """Up to `count` (key, value)s after `token` (None: from the start), and the next token, None at the end."""
        if count <= 0:
            return [], token
        found: list[tuple[bytes, bytes]] = []
        key = self.next_key(token)
        while key is not None and len(found) < count:
            value = self.lookup(key)
            following = self.next_key(key)
            if value is not None:
                found.append((key, value))
            token, key = key, following
        if delete:
            self.delete_batch(b"".join(k for k, _ in found))
        return found, None if key is None else token

    def update_batch(self, keys: bytes, values: bytes, flags: int = 0) -> int:
        """Set many values; gives how many. Stops at the first that fails, after those before it are set."""
        k, v = self.key_size, self.value_bytes
        count = len(keys) // k if k else 0
        if len(keys) != count * k or len(values) != count * v:
            raise ValueError(f"map {self.name!r} has keys of {k} and values of {v} bytes")
        for i in range(count):
            self.update(keys[i * k : i * k + k], values[i * v : i * v + v], flags)
        return count

    def delete_batch(self, keys: bytes) -> int:
        """Delete many keys; gives how many. A missing key is KeyMissing, after those before it are gone."""
        k = self.key_size
        count = len(keys) // k if k else 0
        if len(keys) != count * k:
            raise ValueError(f"map {self.name!r} has keys of {k} bytes")
        for i in range(count):
            if not self.delete(keys[i * k : i * k + k]):
                self._fail(ENOENT, "delete from")
        return count

    def clear(self) -> None:
        """Delete every key; arrays are set to zero."""
        self.dump(delete=True)

    # ── user space: the rest ──

    def freeze(self) -> None:
        """Let user space not write to it any more; programs still may."""
        if self.fields:
            self._fail(ENOTSUPP, "freeze")
        self._may("freeze", write=True)
        if self.writable_mappings:
            self._fail(EBUSY, "freeze")
        self.frozen = True

    def mmap(self, writable: bool = True) -> memoryview:
        """The values of an array made with BPF_F_MMAPABLE: the memory that programs see."""
        self._fail(ENOTSUPP, "map the memory of")

    def pin(self, path: str) -> None:
        """Keep it in a file: `cygnet.maps.pinning`."""
        from cygnet.maps.pinning import pin

        pin(self, path)

    def saved(self) -> tuple[int, bytes, bytes]:
        """(count, keys, values) as a file keeps them."""
        return self.dump()

    def restore(self, count: int, keys: bytes, values: bytes) -> None:
        """Set what `saved` gave."""
        k, v = self.key_size, self.value_bytes
        for i in range(count):
            self._write(keys[i * k : i * k + k], values[i * v : i * v + v], ANY)

    def hold(self) -> Self:
        """One user more; each calls `close`."""
        self._users += 1
        return self

    def close(self, for_all: bool = False) -> None:
        """Give it back; the map goes with its last user, or at once `for_all`. A further call does nothing."""
        if self._users > 0:
            self._users = 0 if for_all else self._users - 1
            if not self._users:
                self._demolish()
                self.host.leave(self)
                self.__class__ = closed_kind(type(self))

    @property
    def closed(self) -> bool:
        return not self._users

    def _demolish(self) -> None:
        """Give the elements' memory back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} id={self.id} {self.key_size}:{self.value_size}>"

    # ── what a kind of map implements: bytes, or a negative errno ──

    def _read(self, key: bytes) -> bytes | int:
        return -ENOTSUPP

    def _write(self, key: bytes, value: bytes, flags: int) -> int:
        return -ENOTSUPP

    def _remove(self, key: bytes) -> int:
        return -ENOTSUPP

    def _take(self, key: bytes) -> bytes | int:
        return -ENOTSUPP

    def _next(self, key: bytes | None) -> bytes | int:
        return -ENOTSUPP

    # ── programs: addresses ──

    def lookup_ptr(self, key: int, cpu: int) -> int:
        """bpf_map_lookup_elem: the address of the value of the key at an address, or 0."""
        return 0

    def lookup_percpu_ptr(self, key: int, cpu: int) -> int:
        """bpf_map_lookup_percpu_elem: another CPU's value; 0 for a CPU that does not exist."""
        return self.lookup_ptr(key, cpu) if self.percpu and 0 <= cpu < self.cpus else 0

    def update_ptr(self, key: int, value: int, flags: int, cpu: int) -> int:
        """bpf_map_update_elem: key and value are addresses; 0 or a negative errno."""
        return -EOPNOTSUPP

    def delete_ptr(self, key: int, cpu: int = 0) -> int:
        """bpf_map_delete_elem."""
        return -EOPNOTSUPP

    def push_ptr(self, value: int, flags: int) -> int:
        """bpf_map_push_elem."""
        return -EOPNOTSUPP

    def pop_ptr(self, value: int) -> int:
        """bpf_map_pop_elem: the value goes to an address."""
        return -EOPNOTSUPP

    def peek_ptr(self, value: int) -> int:
        """bpf_map_peek_elem."""
        return -EOPNOTSUPP

    def each_ptr(self, cpu: int) -> Iterator[tuple[int, int]]:
        """(address of the key, address of the value) of every element, for bpf_for_each_map_elem.

        An element deleted meanwhile is not given any more. The key's address is good until the next step.
        """
        self._fail(EINVAL, "iterate over")

    def each_is_possible(self) -> bool:
        return type(self).each_ptr is not UserMap.each_ptr

    # ── values that have special fields ──

    def _get(self, address: int) -> bytes:
        """A value as user space sees it: special fields are zero."""
        if not self.fields:
            return bytes(SPACE[address : address + self.value_size])
        value = bytearray(self.value_size)
        for start, end in self._spans:
            value[start:end] = SPACE[address + start : address + end]
        return bytes(value)

    def _put(self, address: int, value: bytes) -> None:
        """Set a value but for its special fields, which stay."""
        if not self.fields:
            SPACE[address : address + len(value)] = value
            return
        for start, end in self._spans:
            SPACE[address + start : address + end] = value[start:end]

    def _put_from(self, address: int, source: int) -> None:
        """The same, of a value at an address."""
        for start, end in self._spans:
            copy(address + start, source + start, end - start)

    def _clean(self, address: int) -> None:
        """Make a new value's special fields zero."""
        for field in self.fields:
            fill(address + field.offset, field.size)

    def _release(self, address: int) -> None:
        """A value goes: its timers are cancelled, its pointers given back."""
        if self.fields and self.host.release is not None:
            self.host.release(self, address)

    # ── per-CPU values, `stride` apart ──

    def _gather(self, address: int, stride: int) -> bytes:
        """The values of all CPUs, each padded to 8 bytes."""
        padding = bytes(round8(self.value_size) - self.value_size)
        return b"".join(self._get(address + cpu * stride) + padding for cpu in range(self.cpus))

    def _scatter(self, address: int, stride: int, values: bytes) -> None:
        size, step = self.value_size, round8(self.value_size)
        for cpu in range(self.cpus):
            self._put(address + cpu * stride, values[cpu * step : cpu * step + size])


def check_update_flags(flags: int, locked: bool) -> int:
    """-EINVAL for flags that no update takes; BPF_F_LOCK only where there is a lock."""
    if flags & ~LOCK > EXIST or (flags & LOCK and not locked):
        return -EINVAL
    return 0


__all__ = ["ACCESS", "ANY", "EXIST", "LOCK", "MAX_PERCPU_VALUE", "MAX_VALUE", "NOEXIST", "NUMA", "UserMap",
           "check_update_flags", "round8"]  # fmt: skip
