"""Whole maps at once: batch system calls, with a walk from key to key where a map type has none."""

from __future__ import annotations

import errno as _errno

from cygnet.kernel import sys
from cygnet.kernel.maps import map_failure
from cygnet.uapi import bpf, layouts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.kernel.maps import KernelMap

_BATCH_BYTES = 1 << 20  # keys and values of one call
_ARRAYS = (bpf.BPF_MAP_TYPE_ARRAY, bpf.BPF_MAP_TYPE_PERCPU_ARRAY)
# What a kernel says that has no batches (for this type): before 5.6 the command itself is EINVAL.
_NO_BATCH = (-sys.ENOTSUPP, -_errno.EOPNOTSUPP, -_errno.EINVAL)
_COUNT_AT = 32  # of `count` in ATTR_MAP_BATCH; a test compares it with the layout


def dump(store: KernelMap, delete: bool) -> tuple[int, bytes, bytes]:
    """See KernelMap.dump."""
    command = bpf.BPF_MAP_LOOKUP_AND_DELETE_BATCH if delete else bpf.BPF_MAP_LOOKUP_BATCH
    k, v = store.key_size, store.value_bytes
    room = max(1, min(store.max_entries, max(64, _BATCH_BYTES // (k + v))))
    keys, values = bytearray(room * k), bytearray(room * v)
    token = bytearray(max(8, k))
    first = True
    total, all_keys, all_values = 0, b"", b""
    while True:
        result, count = _lookup(store, command, token, first, keys, values, room)
        if result == -_errno.ENOSPC:  # one bucket of the hash table holds more than fits
            room *= 2
            keys, values = bytearray(room * k), bytearray(room * v)
            continue
        if result in _NO_BATCH and first:
            return _walk(store, delete)
        if result == -_errno.EINTR:
            continue
        if result < 0 and result != -_errno.ENOENT:
            raise map_failure(-result, f"read map {store.name!r}", store)
        total += count
        all_keys += keys[: count * k]
        all_values += values[: count * v]
        if result < 0:
            return total, all_keys, all_values
        first = False


def _lookup(
    store: KernelMap, command: int, token: bytearray, first: bool, keys: bytearray, values: bytearray, room: int
) -> tuple[int, int]:
    """One batch call: (result, how many elements). The token is where to go on; the kernel moves it."""
    attr = sys.pack(
        layouts.ATTR_MAP_BATCH,
        in_batch=0 if first else sys.address(token),
        out_batch=sys.address(token),
        keys=sys.address(keys),
        values=sys.address(values),
        count=room,
        map_fd=store.fd,
    )
    result = sys.bpf_try(command, attr)
    count = int.from_bytes(attr[_COUNT_AT : _COUNT_AT + 4], "little")
    return result, count if result >= 0 or result == -_errno.ENOENT else 0


def _walk(store: KernelMap, delete: bool) -> tuple[int, bytes, bytes]:
    keys: list[bytes] = []
    values: list[bytes] = []
    for key in store.keys():  # noqa: SIM118 - a map is no mapping
        value = store.lookup(key)
        if value is not None:
            keys.append(key)
            values.append(value)
    if delete:
        for key in keys:
            store.delete(key)
    return len(keys), b"".join(keys), b"".join(values)


def write(store: KernelMap, command: int, keys: bytes, values: bytes, flags: int) -> int:
    """Update or delete many. Falls back to one call an element where the map type has no batches."""
    k, v = store.key_size, store.value_bytes
    count = len(keys) // k
    updating = command == bpf.BPF_MAP_UPDATE_BATCH
    if len(keys) != count * k or (updating and len(values) != count * v):
        raise ValueError(f"map {store.name!r} has keys of {k} and values of {v} bytes")
    if not count:
        return 0
    key_buffer, value_buffer = bytearray(keys), bytearray(values)
    attr = sys.pack(
        layouts.ATTR_MAP_BATCH,
        keys=sys.address(key_buffer),
        values=sys.address(value_buffer),
        count=count,
        map_fd=store.fd,
        elem_flags=flags,
    )
    result = sys.bpf_try(command, attr)
    done = int.from_bytes(attr[_COUNT_AT : _COUNT_AT + 4], "little")
    # a batch that stopped at an element says how many came before it: those must not be done again
    if result in _NO_BATCH and done == count:
        return _write_each(store, updating, keys, values, flags)
    if result < 0:
        raise map_failure(-result, f"{'update' if updating else 'delete from'} map {store.name!r}", store)
    return done


def _write_each(store: KernelMap, updating: bool, keys: bytes, values: bytes, flags: int) -> int:
    k, v = store.key_size, store.value_bytes
    count = len(keys) // k
    for i in range(count):
        key = keys[i * k : i * k + k]
        if updating:
            store.update(key, values[i * v : i * v + v], flags)
        elif not store.delete(key):
            raise map_failure(_errno.ENOENT, f"delete from map {store.name!r}", store)
    return count


def clear(store: KernelMap) -> None:
    """See KernelMap.clear."""
    if store.type in _ARRAYS:
        zero = bytes(store.value_bytes)
        keys = b"".join(i.to_bytes(4, "little") for i in range(store.max_entries))
        write(store, bpf.BPF_MAP_UPDATE_BATCH, keys, zero * store.max_entries, 0)
        return
    dump(store, delete=True)
