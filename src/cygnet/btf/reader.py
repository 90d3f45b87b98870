"""BTF as the kernel gives it: a lazy reader that finds a type by name without an index."""

from __future__ import annotations

import os
import struct
import sys

from cygnet.btf import kinds as k
from cygnet.btf.index import OffsetIndex, record_words
from cygnet.btf.types import BtfType
from cygnet.errors import BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator

    from cygnet.btf.cache import CachedIndex

    Buffer = bytes | mmap.mmap

KERNEL_PATH = "/sys/kernel/btf/vmlinux"
_NATIVE = "<" if sys.byteorder == "little" else ">"
_TYPE_ID_LIMIT = 1 << 24  # ids and string offsets below it cannot be mistaken for an `info` word
_MANY_TAILS = 16  # a search takes about 2 ms, a pass over all records 20


class Btf:
    """A BTF object: types by id and by name.

    Nothing is decoded before it is asked for. `base` is the BTF that a module's split BTF extends: ids and string
    offsets go on where the base's end. Malformed data raises BtfError with the byte offset, at once or when the bad
    part is reached.
    """

    __slots__ = (
        "_by_position",
        "_cached",
        "_found",
        "_index",
        "_raw",
        "_string_base",
        "_string_end",
        "_string_start",
        "_strings",
        "_type_end",
        "_type_raw",
        "_type_start",
        "_void",
        "_words_view",
        "base",
        "first_id",
        "path",
    )

    def __init__(
        self, data: Buffer, base: Btf | None = None, path: str = "", cached: CachedIndex | None = None
    ) -> None:
        self.base = base
        self.path = path
        self.first_id: int = 1 if base is None else base.first_id + base.type_count
        self._raw = data
        self._string_base: int = 0 if base is None else base._string_base + base._string_end - base._string_start
        self._read_header(data)
        self._cached = cached
        self._index = OffsetIndex(self._words_view, self._type_start, None if cached is None else cached.positions)
        self._strings: dict[int, str] = {}
        self._by_position: dict[int, BtfType] = {}
        self._found: dict[tuple[str, int | None], BtfType | None] = {}
        self._void: BtfType = BtfType(self, -1, 0, 0, 0) if base is None else base._void

    def _read_header(self, data: Buffer) -> None:
        if len(data) < k.HEADER_BYTES:
            raise BtfError(f"BTF header is cut short: {len(data)} of {k.HEADER_BYTES} bytes", len(data))
        order = "<" if data[:2] == b"\x9f\xeb" else ">"
        magic, version, _flags, header, type_off, type_len, str_off, str_len = struct.unpack(
            order + "HBBIIIII", data[:24]
        )
        if magic != k.MAGIC:
            raise BtfError(f"not BTF: the magic number is {magic:#06x}", 0)
        if version != 1:
            raise BtfError(f"BTF version {version} is unknown", 2)
        if header < k.HEADER_BYTES:
            raise BtfError(f"BTF header length {header} is too small", 4)
        self._type_start: int = header + type_off
        self._type_end: int = header + type_off + type_len
        self._string_start: int = header + str_off
        self._string_end: int = header + str_off + str_len
        if type_len % 4 or type_off % 4 or self._type_end > len(data):
            raise BtfError(f"BTF type section ({type_len} bytes at {self._type_start}) does not fit", 8)
        if self._string_end > len(data):
            raise BtfError(f"BTF string section ({str_len} bytes at {self._string_start}) does not fit", 16)
        self._check_strings(str_len)
        self._view_types(data, order == _NATIVE)

    def _check_strings(self, length: int) -> None:
        if not length:
            if self.base is None:
                raise BtfError("BTF has no string section", 20)
            return
        if self._raw[self._string_end - 1] or (self.base is None and self._raw[self._string_start]):
            raise BtfError("BTF string section does not start and end with a zero byte", self._string_start)

    def _view_types(self, data: Buffer, native: bool) -> None:
        self._type_raw = data
        if native:
            self._words_view = memoryview(data)[self._type_start : self._type_end].cast("I")
            return
        from array import array

        words = array("I", data[self._type_start : self._type_end])
        words.byteswap()
        self._type_raw = bytes(self._type_start) + words.tobytes()
        self._words_view = memoryview(words).cast("B").cast("I")

    # -- opening

    @classmethod
    def load(cls, source: str | bytes, base: Btf | None = None) -> Btf:
        """From a file's path or from bytes. Raises OSError when the file cannot be read."""
        if isinstance(source, bytes):
            return cls(source, base)
        return cls(_map_or_read(source), base, source)

    @classmethod
    def kernel(cls, use_cache: bool = True) -> Btf:
        """The running kernel's BTF, with the offset index of an earlier run when there is one.

        Raises NotSupported when the kernel was built without BTF.
        """
        try:
            data = _map_or_read(KERNEL_PATH)
        except FileNotFoundError:
            from cygnet.errors import NotSupported

            raise NotSupported("kernel BTF", "a kernel built with CONFIG_DEBUG_INFO_BTF") from None
        if not use_cache:
            return cls(data, None, KERNEL_PATH)
        from cygnet.btf.cache import read_index

        return cls(data, None, KERNEL_PATH, read_index(len(data)))

    @classmethod
    def module(cls, name: str, base: Btf | None = None) -> Btf:
        """The split BTF of a loaded module, upon the kernel's. Raises FileNotFoundError when it has none."""
        return cls.load(f"/sys/kernel/btf/{name}", cls.kernel() if base is None else base)

    # -- by id

    @property
    def type_count(self) -> int:
        """Types of this object's own, without void and without the base's. Walks the whole index."""
        return len(self._index.all())

    def type(self, type_id: int) -> BtfType:
        """The type with that id; 0 is void. Raises BtfError when there is none."""
        if type_id < self.first_id:
            if type_id == 0:
                return self._void
            if self.base is None or type_id < 0:
                raise BtfError(f"there is no BTF type {type_id}")
            return self.base.type(type_id)
        try:
            position = self._index.position(type_id - self.first_id)
        except IndexError:
            raise BtfError(f"there is no BTF type {type_id}") from None
        return self._at(position, type_id)

    def types(self) -> Iterator[BtfType]:
        """This object's own types in the order of their ids."""
        for number, position in enumerate(self._index.all(), self.first_id):
            yield self._at(position, number)

    def _at(self, position: int, type_id: int = -1) -> BtfType:
        found = self._by_position.get(position)
        if found is None:
            info, word = self._words(position + 1, 2)
            end = position + record_words(info)
            if end > len(self._words_view):
                raise BtfError("a BTF type record is cut short", self._byte_offset(position))
            found = self._by_position[position] = BtfType(self, position, info, word, type_id)
        return found

    def _id_at(self, position: int) -> int:
        number = self._index.number_at(position)
        if number < 0:
            raise BtfError("no BTF type starts here", self._byte_offset(position))
        return self.first_id + number

    def _byte_offset(self, position: int) -> int:
        return self._type_start + 4 * position

    def _word(self, position: int) -> int:
        return int(self._words_view[position])

    def _words(self, position: int, count: int) -> list[int]:
        words = self._words_view[position : position + count].tolist()
        if len(words) != count:
            raise BtfError("a BTF type record is cut short", self._byte_offset(position))
        return words

    # -- strings

    def string(self, offset: int) -> str:
        """The string at an offset of the string section (the base's first, for split BTF)."""
        text = self._strings.get(offset)
        if text is None:
            text = self._strings[offset] = self._read_string(offset)
        return text

    def _read_string(self, offset: int) -> str:
        if offset < self._string_base and self.base is not None:
            return self.base.string(offset)
        start = self._string_start + offset - self._string_base
        if start >= self._string_end:
            raise BtfError(f"BTF string offset {offset} lies outside of the string section", self._string_end)
        return self._raw[start : self._raw.find(b"\0", start, self._string_end)].decode("utf-8", "replace")

    def _starts_string(self, offset: int) -> bool:
        """Whether `offset` is the start of a whole string: what `name_off` fields hold."""
        if offset < self._string_base and self.base is not None:
            return self.base._starts_string(offset)
        at = self._string_start + offset - self._string_base
        return bool(at < self._string_end and (at == self._string_start or self._raw[at - 1] == 0))

    def _string_offsets(self, name: bytes) -> Iterator[int]:
        """Offsets at which the string `name` can be read, whole strings first, then tails of longer ones."""
        if self.base is not None:
            yield from self.base._string_offsets(name)
        raw, start, end = self._raw, self._string_start, self._string_end
        shift = self._string_base - start
        for whole in (True, False):
            at = raw.find(name + b"\0", start, end)
            while at >= 0:
                if (at == start or raw[at - 1] == 0) is whole:
                    yield at + shift
                at = raw.find(name + b"\0", at + 1, end)

    # -- by name

    def find(self, name: str, kind: int | None = None) -> BtfType | None:
        """The first type with that name (and kind), in the base or here; None when there is none.

        Searches the bytes: about a millisecond at a kernel's size, without an index; microseconds with a cached one.
        """
        key = (name, kind)
        if key not in self._found:
            self._found[key] = self._search(name, kind)
        return self._found[key]

    def _search(self, name: str, kind: int | None) -> BtfType | None:
        if self.base is not None:
            found = self.base.find(name, kind)
            if found is not None:
                return found
        return next(self._own_named(name, kind), None)

    def find_all(self, name: str, kind: int | None = None) -> list[BtfType]:
        """All types with that name (and kind), the base's first, each in the order of the ids."""
        found = [] if self.base is None else self.base.find_all(name, kind)
        return found + sorted(self._own_named(name, kind), key=lambda t: t._position)

    def _own_named(self, name: str, kind: int | None) -> Iterator[BtfType]:
        if not name:
            return
        encoded = name.encode()
        if b"\0" in encoded:
            return
        if self._cached is not None:
            for number in self._cached.numbers(encoded):
                found = self.type(self.first_id + number)
                if found.name == name and kind in (None, found.kind):
                    yield found
            return
        offsets = self._whole_or_tail(encoded)
        for number, offset in enumerate(offsets):
            if number == _MANY_TAILS:
                yield from self._named_in({offset, *offsets}, kind)
                return
            yield from self._named_at(offset, kind)

    def _whole_or_tail(self, name: bytes) -> Iterator[int]:
        # Writers that share tails of strings do not store such a tail once more: a whole string found ends the search.
        shift = self._string_base - self._string_start
        whole = False
        for offset in self._string_offsets(name):
            is_whole = self._starts_string(offset)
            if whole and not is_whole and offset - shift >= self._string_start:
                return
            whole |= is_whole
            yield offset

    def _named_at(self, name_off: int, kind: int | None) -> Iterator[BtfType]:
        pattern = name_off.to_bytes(4, sys.byteorder)
        raw, start, end = self._type_raw, self._type_start, self._type_end
        at = raw.find(pattern, start, end)
        while at >= 0:
            if not (at - start) & 3:
                position = (at - start) >> 2
                if self._is_record(position, kind):
                    yield self._at(position)
            at = raw.find(pattern, at + 1, end)

    def _named_in(self, offsets: set[int], kind: int | None) -> Iterator[BtfType]:
        """One pass over all records: a short name that no string is may be the tail of thousands."""
        words = self._words_view
        for position in self._index.all():
            if words[position] in offsets and kind in (None, words[position + 1] >> 24 & 31):
                yield self._at(position)

    def _is_record(self, position: int, kind: int | None) -> bool:
        """Whether a named record (of that kind) starts at `position`, where a word equals a name's offset.

        Ids and string offsets are below 2**24 and an info word is not, so a member, parameter or type id that happens
        to equal the offset is told apart by the word after it. Three cases look like a record nevertheless: the type
        id of a bitfield (its next word holds the width where `info` has the kind), an enumerator whose value looks like
        `info`, and one of a 64-bit enumeration. The first and last are settled by the index, the second by what would
        be the next record.
        """
        words = self._words_view
        if position + 3 > len(words):
            return False
        info = words[position + 1]
        found = info >> 24 & 31
        if not 0 < found <= k.ENUM64 or info & k.RESERVED_INFO_BITS or kind not in (None, found):
            return False
        if self._needs_index(position):
            return self._index.number_at(position) >= 0
        return self._begins_record(position + record_words(info))

    def _needs_index(self, position: int) -> bool:
        words = self._words_view
        if self._index.complete or words[position + 2] == 0:
            return True
        if len(words) // 3 >= _TYPE_ID_LIMIT or self._string_base + self._string_end >= _TYPE_ID_LIMIT:
            return True
        name, before = words[position], words[position - 1] if position else 0
        return name < self.first_id + len(words) // 3 and (before == 0 or self._starts_string(before))

    def _begins_record(self, position: int) -> bool:
        words = self._words_view
        if position >= len(words):
            return position == len(words)
        if position + 3 > len(words):
            return False
        info = words[position + 1]
        return (
            0 < info >> 24 & 31 <= k.ENUM64 and not info & k.RESERVED_INFO_BITS and self._starts_string(words[position])
        )

    def names_starting(self, prefix: str) -> Iterator[str]:
        """This object's own strings that begin so, each once: names of types, members, functions. Needs no index."""
        raw, end = self._raw, self._string_end
        wanted = b"\0" + prefix.encode()
        at = raw.find(wanted, self._string_start, end)
        while at >= 0:
            stop = raw.find(b"\0", at + 1, end)
            yield raw[at + 1 : stop].decode("utf-8", "replace")
            at = raw.find(wanted, stop, end)

    def find_enumerator(self, name: str) -> tuple[BtfType, int] | None:
        """The enumeration that has an enumerator of that name, and its value."""
        if self.base is not None and (found := self.base.find_enumerator(name)) is not None:
            return found
        if not name or "\0" in name:
            return None
        offsets = self._whole_or_tail(name.encode())
        for number, name_off in enumerate(offsets):
            owners = self._mentions(name_off) if number < _MANY_TAILS else self._enums_with({name_off, *offsets})
            for owner in owners:
                for enumerator, value in owner.enumerators:
                    if enumerator == name:
                        return owner, value
        return None

    def _mentions(self, name_off: int) -> Iterator[BtfType]:
        """Enumerations in whose records a word equals a name's offset."""
        pattern = name_off.to_bytes(4, sys.byteorder)
        at = self._type_raw.find(pattern, self._type_start, self._type_end)
        while at >= 0:
            if not (at - self._type_start) & 3:
                owner = self._at(self._index.position(self._index.number_around((at - self._type_start) >> 2)))
                if owner.kind in k.ENUMS:
                    yield owner
            at = self._type_raw.find(pattern, at + 1, self._type_end)

    def _enums_with(self, offsets: set[int]) -> Iterator[BtfType]:
        """Enumerations that have an enumerator with one of the names: one pass over all records."""
        words = self._words_view
        for position in self._index.all():
            info = words[position + 1]
            kind = info >> 24 & 31
            if kind in k.ENUMS:
                step = 2 if kind == k.ENUM else 3
                first = position + 3
                if not offsets.isdisjoint(words[first : first + step * (info & 0xFFFF) : step].tolist()):
                    yield self._at(position)

    def functions(self) -> Iterator[BtfType]:
        """This object's own functions, in the order of their ids. Walks the whole index."""
        words = self._words_view
        for number, position in enumerate(self._index.all(), self.first_id):
            if words[position + 1] >> 24 & 31 == k.FUNC:
                yield self._at(position, number)

    def save_index(self) -> bool:
        """Finish the index and keep it for later runs; call it when there is time (about 100 ms once a kernel).

        True when a cache now holds it. Only the running kernel's BTF is cached.
        """
        if self.path != KERNEL_PATH:
            return False
        if self._cached is not None:
            return True
        from cygnet.btf.cache import write_index

        return write_index(len(self._raw), self._index.all(), self._names())

    def _names(self) -> Iterator[tuple[int, bytes]]:
        """(number of the type, its name) for every named type."""
        words, raw, start, end = self._words_view, self._raw, self._string_start, self._string_end
        find = raw.find
        for number, position in enumerate(self._index.all()):
            name = words[position]
            if name:
                yield number, raw[start + name : find(b"\0", start + name, end)]

    # -- questions about types: see `cygnet.btf.layout`

    def resolve(self, of: BtfType | int) -> BtfType:
        """The type behind typedefs, const, volatile, restrict and type tags."""
        from cygnet.btf.layout import resolve

        return resolve(self.type(of) if isinstance(of, int) else of)

    def size_of(self, of: BtfType | int) -> int:
        """Bytes that a value of the type takes. Raises BtfError for void, functions and incomplete types."""
        from cygnet.btf.layout import size_of

        return size_of(self.type(of) if isinstance(of, int) else of)


def _map_or_read(path: str) -> Buffer:
    """The file mapped privately, or read where the kernel cannot map it (BTF in sysfs before Linux 6.16)."""
    import mmap

    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        if size:
            try:
                return mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
            except OSError:
                pass
        return _read_all(fd)
    finally:
        os.close(fd)


def _read_all(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 1 << 20):
        parts.append(part)
    return b"".join(parts)
