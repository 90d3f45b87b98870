"""A map as a Python mapping with typed keys and values, over the kernel's maps or those of the user-space machine."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Protocol

from cygnet.errors import KeyMissing
from cygnet.facts.maptypes import map_type
from cygnet.maps.codecs import Codec, codec
from cygnet.uapi import bpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from cygnet.btf.types import BtfType

_MISSING: Any = object()


class Store(Protocol):
    """What a map of bytes has: `cygnet.kernel.maps.KernelMap` and `cygnet.maps.base.UserMap` both do."""

    name: str
    type: int
    key_size: int
    value_size: int
    value_bytes: int
    max_entries: int
    flags: int

    def lookup(self, key: bytes) -> bytes | None: ...
    def update(self, key: bytes, value: bytes, flags: int = 0) -> None: ...
    def delete(self, key: bytes) -> bool: ...
    def lookup_and_delete(self, key: bytes = b"") -> bytes | None: ...
    def split_percpu(self, value: bytes) -> list[bytes]: ...
    def keys(self) -> Iterator[bytes]: ...
    def items(self) -> Iterator[tuple[bytes, bytes]]: ...
    def dump(self, delete: bool = False) -> tuple[int, bytes, bytes]: ...
    def update_batch(self, keys: bytes, values: bytes, flags: int = 0) -> int: ...
    def delete_batch(self, keys: bytes) -> int: ...
    def clear(self) -> None: ...
    def freeze(self) -> None: ...
    def mmap(self, writable: bool = True) -> Any: ...
    def pin(self, path: str) -> None: ...
    def close(self) -> None: ...


class Map(MutableMapping[Any, Any]):
    """Typed keys and values over a store.

    ``Map(store, "I", "Q")`` takes struct formats, ``Map(store, key_type, value_type)`` BTF types; without, keys and
    values are bytes. A per-CPU map's value is a list, one value for each CPU. A missing key raises KeyMissing, which
    is a KeyError. ``m[key] += 1`` reads and then writes: it is not atomic, and an update of a program in between is
    lost; let the program add, or use `insert` and `replace` to notice.
    """

    def __init__(
        self, store: Store, key: str | BtfType | Codec | None = None, value: str | BtfType | Codec | None = None
    ) -> None:
        self.store = store
        self.percpu = map_type(store.type).percpu
        self._key = codec(key, store.key_size)
        self._value = codec(value, store.value_size)

    @property
    def name(self) -> str:
        return self.store.name

    @property
    def max_entries(self) -> int:
        return self.store.max_entries

    # ── values ──

    def _pack(self, value: Any) -> bytes:
        if not self.percpu:
            return self._value.pack(value)
        size = self.store.value_size + 7 & ~7
        parts = [self._value.pack(v).ljust(size, b"\0") for v in value]
        if len(parts) * size != self.store.value_bytes:
            raise ValueError(f"a value for each of {self.store.value_bytes // size} CPUs is wanted, not {len(parts)}")
        return b"".join(parts)

    def _unpack(self, data: bytes) -> Any:
        if self.percpu:
            return [self._value.unpack(part) for part in self.store.split_percpu(data)]
        return self._value.unpack(data)

    def _missing(self, key: Any) -> KeyMissing:
        return KeyMissing(f"map {self.name!r} has no key {key!r}")

    # ── one element ──

    def __getitem__(self, key: Any) -> Any:
        data = self.store.lookup(self._key.pack(key))
        if data is None:
            raise self._missing(key)
        return self._unpack(data)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.store.update(self._key.pack(key), self._pack(value))

    def __delitem__(self, key: Any) -> None:
        if not self.store.delete(self._key.pack(key)):
            raise self._missing(key)

    def __contains__(self, key: object) -> bool:
        return self.store.lookup(self._key.pack(key)) is not None

    def insert(self, key: Any, value: Any) -> None:
        """Set a key that must be new: KeyExists when it is not."""
        self.store.update(self._key.pack(key), self._pack(value), bpf.BPF_NOEXIST)

    def replace(self, key: Any, value: Any) -> None:
        """Set a key that must be there: KeyMissing when it is not."""
        self.store.update(self._key.pack(key), self._pack(value), bpf.BPF_EXIST)

    def pop(self, key: Any, default: Any = _MISSING) -> Any:
        """Take a key out, in one step where the type of map can do that, else by reading and deleting."""
        packed = self._key.pack(key)
        if "i" in map_type(self.store.type).operations:
            data = self.store.lookup_and_delete(packed)
        else:
            data = self.store.lookup(packed)
            if data is not None:
                self.store.delete(packed)
        if data is not None:
            return self._unpack(data)
        if default is _MISSING:
            raise self._missing(key)
        return default

    # ── all elements ──

    def __iter__(self) -> Iterator[Any]:
        return (self._key.unpack(key) for key in self.store.keys())  # noqa: SIM118 - a store is no mapping

    def __len__(self) -> int:
        """How many keys there are; asking walks over all of them."""
        return sum(1 for _ in self.store.keys())  # noqa: SIM118

    def items(self) -> ItemsView[Any, Any]:
        """Every (key, value), read in as few steps as possible. Not a snapshot: the map may change meanwhile."""
        return _Items(self)

    def clear(self) -> None:
        """Delete every key; arrays are set to zero."""
        self.store.clear()

    def update_batch(self, elements: Mapping[Any, Any] | Iterable[tuple[Any, Any]], flags: int = 0) -> int:
        """Set many at once; gives how many."""
        pairs = list(elements.items() if isinstance(elements, Mapping) else elements)
        keys = b"".join(self._key.pack(key) for key, _ in pairs)
        return self.store.update_batch(keys, b"".join(self._pack(value) for _, value in pairs), flags)

    def delete_batch(self, keys: Iterable[Any]) -> int:
        """Delete many at once; gives how many. A missing one is KeyMissing, after those before it are gone."""
        return self.store.delete_batch(b"".join(map(self._key.pack, keys)))

    def take_all(self) -> dict[Any, Any]:
        """Every element, taken out; what a program adds between reading and removing is not lost in hash maps."""
        return dict(self._elements(*self.store.dump(delete=True)))

    def _elements(self, count: int, keys: bytes, values: bytes) -> Iterator[tuple[Any, Any]]:
        k, v = self.store.key_size, self.store.value_bytes
        for i in range(count):
            yield self._key.unpack(keys[i * k : i * k + k]), self._unpack(values[i * v : i * v + v])

    # ── queues and stacks ──

    def push(self, value: Any, flags: int = 0) -> None:
        """Put a value into a queue, a stack or a bloom filter; BPF_EXIST drops the oldest one of a full queue."""
        self.store.update(b"", self._pack(value), flags)

    def take(self) -> Any:
        """Take the next value of a queue or a stack; KeyMissing when it is empty."""
        return self._next_value(self.store.lookup_and_delete(b""))

    def peek(self) -> Any:
        """The next value of a queue or a stack, which stays there."""
        return self._next_value(self.store.lookup(b""))

    def _next_value(self, data: bytes | None) -> Any:
        if data is None:
            raise KeyMissing(f"map {self.name!r} is empty")
        return self._unpack(data)

    # ── the rest ──

    def freeze(self) -> None:
        """Let user space not write to it any more; programs still may."""
        self.store.freeze()

    def mmap(self, writable: bool = True) -> Any:
        """The memory of an array made with BPF_F_MMAPABLE; values begin at multiples of 8 bytes."""
        return self.store.mmap(writable)

    def pin(self, path: str) -> None:
        self.store.pin(path)

    def close(self) -> None:
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Map {self.name!r} {map_type(self.store.type).name} over {type(self.store).__name__}>"


class _Items(ItemsView[Any, Any]):
    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        of: Map = self._mapping  # type: ignore[attr-defined]
        return ((of._key.unpack(key), of._unpack(value)) for key, value in of.store.items())
