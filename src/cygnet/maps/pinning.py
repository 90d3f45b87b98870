"""Maps kept in files: a directory of them is to this machine what a BPF file system is to the kernel.

While a host lives, opening a pin gives the same map. When it is closed the elements are written to the
file, and another process finds them there. The file::

    8 bytes  "CYGNMAP1"
    u32      length of the description, then that: JSON, what the map was made with
    u64      number of elements, then all keys, then all values

Elements that are descriptors (programs, maps, sockets, perf events) and owners' storage mean nothing to another
process: such maps are kept without elements, as are ring buffers.
"""

from __future__ import annotations

import json
import os
import struct
from errno import EEXIST, ENOENT

from cygnet.errors import FormatError
from cygnet.facts.maptypes import map_type
from cygnet.maps.failures import map_failure
from cygnet.maps.fields import SpecialField
from cygnet.maps.making import create

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.maps.base import UserMap
    from cygnet.maps.host import MapHost

_MAGIC = b"CYGNMAP1"
_LENGTH = struct.Struct("<I")
_COUNT = struct.Struct("<Q")
_KEPT = frozenset(("hash", "array", "percpu_hash", "percpu_array", "lru_hash", "lru_percpu_hash", "lpm_trie", "queue",
                   "stack"))  # fmt: skip


def pin(store: UserMap, path: str) -> None:
    """Keep a map in a file that must not exist yet (KeyExists)."""
    path = os.path.abspath(path)
    if os.path.lexists(path):
        raise map_failure(EEXIST, f"pin map {store.name!r} to {path}")
    _write(store, path)
    store.host.pins[path] = store.hold()


def open_pin(host: MapHost, path: str) -> UserMap:
    """The map that is pinned to a file: the very same one while its host lives, else made from the file.

    KeyMissing when there is no such file, FormatError when it is something else.
    """
    path = os.path.abspath(path)
    living = host.pins.get(path)
    if living is None:
        living = host.pins[path] = _read(host, path)
    return living.hold()


def unpin(host: MapHost, path: str) -> None:
    """Delete the file. The map goes when nobody uses it any more."""
    path = os.path.abspath(path)
    try:
        os.unlink(path)
    except FileNotFoundError:
        raise map_failure(ENOENT, f"unpin {path}") from None
    held = host.pins.pop(path, None)
    if held is not None:
        held.close()


def sync(host: MapHost) -> None:
    """Write every pinned map's elements to its file now."""
    for path, store in host.pins.items():
        if os.path.lexists(path):
            _write(store, path)


def _write(store: UserMap, path: str) -> None:
    description = json.dumps(_description(store), sort_keys=True).encode()
    count, keys, values = store.saved() if _is_kept(store) else (0, b"", b"")
    temporary = f"{path}.{os.getpid()}.new"
    try:
        with open(temporary, "wb") as file:
            file.write(_MAGIC + _LENGTH.pack(len(description)) + description)
            file.write(_COUNT.pack(count) + keys + values)
        os.replace(temporary, path)
    except OSError as error:
        raise map_failure(error.errno or 5, f"write {path} for map {store.name!r}") from error


def _is_kept(store: UserMap) -> bool:
    return map_type(store.type).name in _KEPT


def _description(store: UserMap) -> dict[str, Any]:
    return {
        "type": map_type(store.type).name,
        "key_size": store.key_size,
        "value_size": store.value_size,
        "max_entries": store.max_entries,
        "flags": store.flags,
        "name": store.name,
        "map_extra": store.map_extra,
        "fields": [list(field) for field in store.fields],
        "cpus": store.cpus,
        "frozen": store.frozen,
    }


def _read(host: MapHost, path: str) -> UserMap:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise map_failure(ENOENT, f"open {path}") from None
    except OSError as error:
        raise map_failure(error.errno or 5, f"open {path}") from error
    try:
        return _parse(host, data)
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise FormatError(f"{path} holds no map: {error}") from None


def _parse(host: MapHost, data: bytes) -> UserMap:
    if not data.startswith(_MAGIC):
        raise ValueError("it begins differently")
    at = len(_MAGIC) + _LENGTH.size
    length = _LENGTH.unpack_from(data, len(_MAGIC))[0]
    d = json.loads(data[at : at + length])
    at += length
    (count,) = _COUNT.unpack_from(data, at)
    made = create(
        host, map_type(d["type"]).id, d["key_size"], d["value_size"], d["max_entries"], d["flags"], d["name"],
        map_extra=d["map_extra"], fields=[SpecialField(*field) for field in d["fields"]],
    )  # fmt: skip
    try:
        keys, values = _elements(made, data[at + _COUNT.size :], count, d["cpus"])
        made.restore(count, keys, values)
    except BaseException:
        made.close()
        raise
    made.frozen = d["frozen"]
    return made


def _elements(made: UserMap, data: bytes, count: int, cpus: int) -> tuple[bytes, bytes]:
    """Keys and values; those of CPUs that are not here are left out, those of CPUs that were not there are zero."""
    each = made.value_bytes // made.cpus * cpus if made.percpu else made.value_bytes
    keys, values = data[: count * made.key_size], data[count * made.key_size :]
    if len(values) != count * each:
        raise ValueError("it has another size than it says")
    if made.percpu and cpus != made.cpus:
        cut = made.value_bytes
        values = b"".join(values[i * each : (i + 1) * each][:cut].ljust(cut, b"\0") for i in range(count))
    return keys, values
