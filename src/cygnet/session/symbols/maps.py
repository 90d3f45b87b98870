"""What a process has mapped: /proc/PID/maps."""

from __future__ import annotations

from bisect import bisect_right


class Mapping:
    """A mapped range. `inode` is 0 for memory that stems from no file."""

    __slots__ = ("device", "end", "inode", "offset", "path", "start")

    def __init__(self, start: int, end: int, offset: int, device: str, inode: int, path: str) -> None:
        self.start = start
        self.end = end
        self.offset = offset
        self.device = device
        self.inode = inode
        self.path = path

    def __repr__(self) -> str:
        return f"<Mapping {self.start:x}-{self.end:x} {self.path}>"


class ProcessMaps:
    """The executable mappings of one process, as a text of /proc/PID/maps gives them."""

    __slots__ = ("_starts", "mappings", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.mappings = [
            _mapping(fields)
            for line in text.split(b"\n")
            if len(fields := line.split(None, 5)) >= 5 and b"x" in fields[1]
        ]
        self._starts = [mapping.start for mapping in self.mappings]

    def find(self, address: int) -> Mapping | None:
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self.mappings[index].end:
            return self.mappings[index]
        return None


def _mapping(fields: list[bytes]) -> Mapping:
    start, _, end = fields[0].partition(b"-")
    path = fields[5].decode("utf-8", "surrogateescape").replace("\\012", "\n") if len(fields) > 5 else ""
    return Mapping(int(start, 16), int(end, 16), int(fields[2], 16), fields[3].decode(), int(fields[4]), path)


def read_maps(pid: int) -> bytes | None:
    """The text of /proc/PID/maps; None when the process is gone or may not be looked at, empty for kernel threads."""
    try:
        with open(f"/proc/{pid}/maps", "rb", buffering=0) as file:
            return file.readall()
    except OSError:
        return None
