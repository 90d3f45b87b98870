"""Which file a name means: libraries as the dynamic linker finds them, programs as the shell does, debug files."""

from __future__ import annotations

import os
import struct
import sys

from cygnet.elf.numbers import MAGIC
from cygnet.errors import ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.elf.reader import Elf

CACHE_PATH = "/etc/ld.so.cache"
DEBUG_ROOT = "/usr/lib/debug"
_more_roots: list[str] = []  # of `search_also`
_NEW_MAGIC = b"glibc-ld.so.cache1.1"
# glibc's sysdeps/generic/ldconfig.h: the flags' low byte is the kind of library, the next one the machine.
_FLAGS = {"x86_64": 0x0303, "aarch64": 0x0A03, "riscv64": 0x1003, "s390x": 0x0403, "ppc64le": 0x0503}
_LARGEST_MINI = 1 << 28  # bytes, so that a hostile file cannot fill the memory
_STANDARD = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib")


def _library_cache() -> bytes:
    try:
        with open(CACHE_PATH, "rb") as file:
            return file.read()
    except OSError:
        return b""


def cached_libraries(stems: set[str], data: bytes) -> list[tuple[str, str, int]]:
    """(soname, path, flags) of entries of an ld.so.cache: those whose soname is a stem, or begins ``stem.so``.

    In the order of the cache; nothing for one of a format from before glibc 2.2. Raises ElfError on a damaged one.
    """
    start = data.find(_NEW_MAGIC)
    if start < 0:
        return []
    size = 24 * int.from_bytes(data[start + 20 : start + 24], sys.byteorder)
    table = data[start + 48 : start + 48 + size]
    if len(data) < start + 48 or len(table) != size:
        raise ElfError("ld.so.cache is cut short", len(data))
    places = {at for stem in stems for at in _places(data, stem, start)}
    found = []
    for flags, key, value, _, _ in struct.iter_unpack("=iIIIQ", table):
        if key in places:
            soname = _string(data, start + key)
            base = soname.partition(".so")[0]
            if not stems.isdisjoint((soname, base, base + ".so")):
                found.append((soname, _string(data, start + value), flags))
    return found


def _places(data: bytes, stem: str, start: int) -> Iterator[int]:
    """Where `stem` stands, counted from `start`; sonames share the tail of a path, so no zero byte goes before."""
    wanted = os.fsencode(stem)
    at = data.find(wanted, start)
    while at >= 0:
        yield at - start
        at = data.find(wanted, at + 1)


def _string(data: bytes, at: int) -> str:
    end = data.find(b"\0", at)
    if end < 0:
        raise ElfError("a string of ld.so.cache is cut short", at)
    return os.fsdecode(data[at:end])


def find_library(name: str) -> str | None:
    """The path of a shared library: ``libc``, ``c``, ``libc.so`` and ``libc.so.6`` all mean the C library.

    Those of this machine's own kind come first; None when there is none. The path is the cache's, links not followed:
    probes are shown by it. Raises ElfError on a damaged ld.so.cache.
    """
    stems = {name, f"lib{name}", f"{name}.so", f"lib{name}.so"}
    found = cached_libraries(stems, _library_cache()) if name else []
    ours = _FLAGS.get(os.uname().machine)
    found.sort(key=lambda entry: (entry[2] & 0xFFFF != ours, entry[0] != name))
    for _, path, _ in found:
        if os.path.exists(path):
            return path
    return _in_folders(stems)


def _in_folders(stems: set[str]) -> str | None:
    machine = os.uname().machine
    for folder in (*_STANDARD, f"/lib/{machine}-linux-gnu", f"/usr/lib/{machine}-linux-gnu"):
        for name in sorted(stems):
            path = os.path.join(folder, name)
            if ".so" in name and _is_elf(path):  # libc.so is a text for the linker
                return os.path.realpath(path)
    return None


def _is_elf(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4) == MAGIC
    except OSError:
        return False


def find_program(name: str, path: str | None = None) -> str | None:
    """The executable that the shell would run for that name; with a slash, the name is the path."""
    if "/" in name:
        return name if os.path.isfile(name) else None
    if path is None:
        path = os.environ.get("PATH") or os.defpath
    for folder in path.split(os.pathsep):
        found = os.path.join(folder or ".", name)
        if os.path.isfile(found) and os.access(found, os.X_OK):
            return found
    return None


def find_binary(name: str) -> str | None:
    """The file a probe means by a name: a path, a program of PATH, or a library."""
    return find_program(name) or (None if "/" in name else find_library(name))


def debug_link(elf: Elf) -> tuple[str, int] | None:
    """(file name, CRC-32) of the separate debug file that a stripped file names."""
    section = elf.section(".gnu_debuglink")
    if section is None:
        return None
    data = elf.data(section)
    end = data.find(b"\0")
    place = end + 4 & ~3
    if end < 0 or place + 4 > len(data):
        raise ElfError("the section .gnu_debuglink is cut short", section.offset)
    return os.fsdecode(data[:end]), struct.unpack_from(elf.order + "I", data, place)[0]


def search_also(folders: list[str]) -> None:
    """Look for separate debug files in these folders, before the system's own."""
    _more_roots.extend(folders)


def debug_file(elf: Elf, root: str = "/") -> str | None:
    """The path of the separate debug file of an ELF file, or None. `root` is the file's own root folder.

    Searched by build id, then by .gnu_debuglink beside the file, in its ``.debug`` and below /usr/lib/debug and the
    folders of `search_also`; a file found by its name counts when its build id, or else its checksum, is the right one.
    """
    build_id = elf.build_id
    roots = [*_more_roots, os.path.join(root, DEBUG_ROOT[1:])]
    if len(build_id) > 2:
        for base in roots:
            path = f"{base}/.build-id/{build_id[:2]}/{build_id[2:]}.debug"
            if os.path.isfile(path):
                return path
    link = debug_link(elf)
    if link is None or not elf.path or "/" in link[0]:
        return None
    folder = os.path.dirname(os.path.abspath(elf.path))
    for place in (folder, os.path.join(folder, ".debug"), *[base + folder for base in roots], *_more_roots):
        path = os.path.join(place, link[0])
        if path != elf.path and os.path.isfile(path) and _belongs(path, build_id, link[1]):
            return path
    return None


def _belongs(path: str, build_id: str, checksum: int) -> bool:
    from cygnet.elf.reader import Elf

    try:
        with Elf.open(path) as debug:
            if build_id and debug.build_id:
                return build_id == debug.build_id
            from binascii import crc32

            return crc32(debug._data) == checksum
    except (ElfError, OSError):
        return False


def mini_debug_info(elf: Elf) -> Elf | None:
    """The compressed symbol table that some distributions leave in a stripped file (.gnu_debugdata), or None."""
    section = elf.section(".gnu_debugdata")
    if section is None:
        return None
    import lzma

    from cygnet.elf.reader import Elf as Reader

    try:
        data = lzma.LZMADecompressor().decompress(elf.data(section), _LARGEST_MINI)
    except lzma.LZMAError as error:
        raise ElfError(f"the section .gnu_debugdata does not decompress: {error}", section.offset) from None
    return Reader(data, elf.path)
