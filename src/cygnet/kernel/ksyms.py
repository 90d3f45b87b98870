"""/proc/kallsyms: addresses of the kernel's symbols by name."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/proc/kallsyms"


def addresses(name: str, module: str = "", data: bytes | None = None) -> list[int]:
    """Where the kernel, or one of its modules, has functions of that name. Empty when there is none, or when
    the kernel hides addresses from us. `data` stands for the file's contents."""
    if data is None:
        with open(PATH, "rb") as file:
            data = file.read()
    return [address for address, owner in _lines(name.encode(), data) if address and owner == module.encode()]


def copies(name: str, data: bytes | None = None) -> list[str]:
    """What the compiler made of a function of that name: ``name.isra.0`` and its like, whose arguments may differ."""
    if data is None:
        with open(PATH, "rb") as file:
            data = file.read()
    found, start = set(), b" " + name.encode() + b"."
    at = data.find(start)
    while at >= 0:
        stop = data.find(b"\n", at)
        full = data[at + 1 : stop if stop >= 0 else len(data)].partition(b"\t")[0]
        if data[at - 1 : at] in (b"t", b"T", b"w", b"W") and not full.endswith(b".cold"):
            found.add(full.decode("utf-8", "replace"))
        at = data.find(start, at + 1)
    return sorted(found)


def _lines(name: bytes, data: bytes) -> Iterator[tuple[int, bytes]]:
    """(address, module) of each line ``ADDRESS t NAME`` or ``ADDRESS t NAME\t[MODULE]``."""
    at = data.find(b" " + name)
    while at >= 0:
        end = at + 1 + len(name)
        kind = data[at - 1 : at]
        if data[end : end + 1] in (b"\n", b"\t", b"") and data[at - 2 : at - 1] == b" " and kind in b"tTwW":
            start, stop = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", end)
            rest = data[end : stop if stop >= 0 else len(data)].strip()
            yield int(data[start : data.find(b" ", start)], 16), rest.strip(b"[]")
        at = data.find(b" " + name, end)
