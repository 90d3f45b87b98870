"""Names that a just-in-time compiler wrote for its code: ``perf-PID.map`` in the process's /tmp."""

from __future__ import annotations

import os
from bisect import bisect_right

_LARGEST = 1 << 28


class PerfMap:
    """The symbols of a perf map. The file grows while the process runs: `refresh` reads it again when it did."""

    __slots__ = ("_names", "_path", "_seen", "_spans", "_starts")

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, int] = (-1, -1)
        self._starts: list[int] = []
        self._spans: list[int] = []
        self._names: list[str] = []

    def refresh(self, owners: tuple[int, ...] | None = None) -> bool:
        """Read the file if it changed; True when it did. `owners` are the user ids whose file is believed."""
        try:
            with open(self._path, "rb", buffering=0, opener=_opener) as file:
                status = os.fstat(file.fileno())
                seen = status.st_mtime_ns, status.st_size
                regular = status.st_mode & 0o170000 == 0o100000 and status.st_size <= _LARGEST
                if seen == self._seen or not regular or (owners is not None and status.st_uid not in owners):
                    return False
                text = file.read(status.st_size)
        except OSError:
            return False
        self._seen = seen
        self._parse(text or b"")
        return True

    def _parse(self, text: bytes) -> None:
        rows: dict[int, tuple[int, str]] = {}
        for line in text.split(b"\n"):
            fields = line.split(None, 2)
            if len(fields) == 3:
                try:
                    rows[int(fields[0], 16)] = int(fields[1], 16), fields[2].decode("utf-8", "replace")
                except ValueError:
                    continue  # a line that is being written
        self._starts = sorted(rows)
        self._spans = [rows[start][0] for start in self._starts]
        self._names = [rows[start][1] for start in self._starts]

    def find(self, address: int) -> tuple[str, int] | None:
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address - self._starts[index] >= self._spans[index]:
            return None
        return self._names[index], address - self._starts[index]


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)


def perf_map_path(pid: int) -> str:
    """Where a process of that id (as we see it) has its perf map: the name has the id it sees itself."""
    inner = str(pid)
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:
            for line in file.readall().split(b"\n"):
                if line.startswith(b"NSpid:"):
                    inner = line.split()[-1].decode()
                    break
    except OSError:
        return f"/tmp/perf-{pid}.map"
    its_root = f"/proc/{pid}/root"
    return f"{its_root}/tmp/perf-{inner}.map"
