"""The kernel's BTF index, kept in the user's cache folder between runs.

A file holds the positions of all type records and a table of (hash of the name, type) sorted by hash. It is keyed by
the kernel's build id and the size of its BTF, written beside its place and renamed into it, and ignored when it is not
ours, cut short, altered or made for another kernel. Nothing here raises: without a cache everything works, a little
later.
"""

from __future__ import annotations

import os
import struct
import sys
from binascii import crc32
from bisect import bisect_left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NOTES_PATH = "/sys/kernel/notes"
_MAGIC = b"CYGBTFX1"
_HEADER = struct.Struct("=8s40sIIII")  # magic, key, types, names, checksum of what follows, byte order mark
_ORDER_MARK = 0x01020304
_NT_GNU_BUILD_ID = 3


class CachedIndex:
    """What a cache file holds: `positions` of all records, and `numbers(name)`."""

    __slots__ = ("_hashes", "_numbers", "positions")

    def __init__(self, words: memoryview, types: int, names: int) -> None:
        self.positions = words[:types]
        self._hashes = words[types : types + names]
        self._numbers = words[types + names :]

    def numbers(self, name: bytes) -> Iterator[int]:
        """Numbers (id - 1) of the types whose name has the same hash, ascending: compare the names."""
        hashed = crc32(name)
        hashes = self._hashes
        at = bisect_left(hashes, hashed)
        while at < len(hashes) and hashes[at] == hashed:
            yield self._numbers[at]
            at += 1


def cache_folder() -> str | None:
    """The user's cache folder for Cygnet (which need not exist), or None when there is no home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        home = os.path.expanduser("~")
        if not os.path.isabs(home):
            return None
        base = os.path.join(home, ".cache")
    return os.path.join(base, "cygnet")


def kernel_build_id(notes: bytes | None = None) -> bytes | None:
    """The running kernel's build id from its ELF notes; None when it has none."""
    if notes is None:
        try:
            with open(NOTES_PATH, "rb", buffering=0) as file:
                notes = file.read()
        except OSError:
            return None
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("=III", notes, at)
        name = at + 12
        value = name + (name_size + 3 & ~3)
        if kind == _NT_GNU_BUILD_ID and notes[name : name + name_size] == b"GNU\0":
            return notes[value : value + size]
        at = value + (size + 3 & ~3)
    return None


def _key(btf_size: int) -> bytes | None:
    build_id = kernel_build_id()
    return None if not build_id else struct.pack("=Q32s", btf_size, build_id[:32])


def _path(folder: str, key: bytes) -> str:
    return os.path.join(folder, f"btf-{key[8:28].hex()}.idx")


def read_index(btf_size: int) -> CachedIndex | None:
    """The index of the running kernel's BTF of that size, or None."""
    folder, key = cache_folder(), _key(btf_size)
    if folder is None or key is None:
        return None
    data = _read_own(_path(folder, key))
    if data is None or len(data) < _HEADER.size:
        return None
    magic, found, types, names, checksum, mark = _HEADER.unpack_from(data)
    body = memoryview(data)[_HEADER.size :]
    if magic != _MAGIC or found != key or mark != _ORDER_MARK or len(body) != 4 * types + 8 * names:
        return None
    return None if crc32(body) != checksum else CachedIndex(body.cast("I"), types, names)


def write_index(btf_size: int, positions: list[int] | memoryview, names: Iterable[tuple[int, bytes]]) -> bool:
    """Keep an index for later runs; False when there is no place for it."""
    folder, key = cache_folder(), _key(btf_size)
    if folder is None or key is None:
        return False
    body = _body(positions, names)
    count = (len(body) - 4 * len(positions)) // 8
    header = _HEADER.pack(_MAGIC, key, len(positions), count, crc32(body), _ORDER_MARK)
    return _write_own(folder, _path(folder, key), header + body)


def _body(positions: list[int] | memoryview, names: Iterable[tuple[int, bytes]]) -> bytes:
    from array import array

    pairs = array("Q", sorted(crc32(name) << 32 | number for number, name in names))
    halves = memoryview(pairs).cast("B").cast("I")
    low, high = (0, 1) if sys.byteorder == "little" else (1, 0)
    hashes, numbers = array("I", halves.tolist()[high::2]), array("I", halves.tolist()[low::2])
    return array("I", positions).tobytes() + hashes.tobytes() + numbers.tobytes()


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _read_own(path: str) -> bytes | None:
    """A file's content when it is a plain file that only we could have written."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        if (status.st_mode & 0o170000) != 0o100000 or not _is_private(status):
            return None
        with open(fd, "rb", buffering=0, closefd=False) as file:
            return file.readall()
    except OSError:
        return None
    finally:
        os.close(fd)


def _write_own(folder: str, path: str, data: bytes) -> bool:
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        if not _is_private(os.stat(folder)):
            return False
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        with open(fd, "wb", buffering=0) as file:
            written = file.write(data)
        if written == len(data):
            os.rename(temporary, path)
            return True
    except OSError:
        pass
    _forget(temporary)
    return False


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
