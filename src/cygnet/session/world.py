"""The live system: what its addresses, ids and times mean (spec.protocols.World)."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class LiveWorld:
    """Answers about the running system, each table read when it is first needed.

    `settings` are those of the language's configuration that concern symbols.
    """

    __slots__ = ("_cgroups", "_offsets", "_settings", "_symbols", "_users")

    def __init__(self, settings: dict[str, Any] | None = None) -> None:
        self._settings = settings or {}
        self._symbols: Any = None
        self._users: dict[int, str] | None = None
        self._cgroups: Any = None
        self._offsets: dict[str, int] = {}

    def _symbolizer(self) -> Any:
        if self._symbols is None:
            from cygnet.session.symbols import Symbols

            self._symbols = Symbols(self._settings)
        return self._symbols

    def ksym(self, address: int) -> tuple[str, int] | None:
        """(name, offset) of a kernel address."""
        found: tuple[str, int] | None = self._symbolizer().ksym(address)
        return found

    def usym(self, pid: int, address: int) -> tuple[str, int, str] | None:
        """(name, offset, module) of an address of a process."""
        found: tuple[str, int, str] | None = self._symbolizer().usym(pid, address)
        return found

    def username(self, uid: int) -> str:
        """From /etc/passwd; an unknown uid is an empty string."""
        if self._users is None:
            self._users = _read_users()
        return self._users.get(uid, "")

    def cgroup_path(self, cgroup_id: int, pattern: str) -> str:
        """``hierarchy:/path`` of each hierarchy whose name matches the glob, joined by commas."""
        if self._cgroups is None:
            from cygnet.session.cgroups import Cgroups

            self._cgroups = Cgroups()
        text: str = self._cgroups.paths(cgroup_id, pattern)
        return text

    def wall_ns(self, clock: str, ns: int) -> int:
        """Nanoseconds since the epoch of a reading of `clock` (boot, monotonic, tai, sw_tai)."""
        offset = self._offsets.get(clock)
        if offset is None:
            offset = self._offsets[clock] = _offset(clock)
        return ns + offset


def _offset(clock: str) -> int:
    """Wall clock less `clock`, from the tightest of a few readings."""
    import time

    ids = {"boot": time.CLOCK_BOOTTIME, "monotonic": time.CLOCK_MONOTONIC, "tai": 11, "sw_tai": 11}
    which, best, found = ids.get(clock, time.CLOCK_BOOTTIME), 1 << 62, 0
    for _ in range(5):
        before = time.clock_gettime_ns(time.CLOCK_REALTIME)
        reading = time.clock_gettime_ns(which)
        after = time.clock_gettime_ns(time.CLOCK_REALTIME)
        if after - before < best:
            best, found = after - before, (before + after) // 2 - reading
    return found


def _read_users() -> dict[int, str]:
    users: dict[int, str] = {}
    if not os.path.exists("/etc/passwd"):
        return users
    with open("/etc/passwd", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            parts = line.split(":")
            if len(parts) > 2 and parts[2].isdigit():
                users.setdefault(int(parts[2]), parts[0])
    return users
