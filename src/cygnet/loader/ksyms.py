"""Addresses of kernel symbols, from /proc/kallsyms."""

from __future__ import annotations

PATH = "/proc/kallsyms"


def address(name: str, data: bytes | None = None) -> int:
    """The address of a symbol; 0 when there is none, or when the kernel hides addresses from us.

    Of several with one name the first. `data` stands for the file's contents.
    """
    if data is None:
        with open(PATH, "rb") as file:
            data = file.read()
    wanted = name.encode()
    at = data.find(b" " + wanted)
    while at >= 0:
        end = at + 1 + len(wanted)
        if data[end : end + 1] in (b"\n", b"\t", b"") and data[at - 2 : at - 1] == b" ":
            start = data.rfind(b"\n", 0, at) + 1
            return int(data[start : data.find(b" ", start)], 16)
        at = data.find(b" " + wanted, end)
    return 0
