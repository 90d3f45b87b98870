"""The live system: what its addresses, ids and times mean (spec.protocols.World)."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from cygnet.session.symbols.kernel import KernelSymbols
    from cygnet.session.symbols.user import UserSymbols
    from cygnet.spec.objects import LinkSpec


class LiveWorld:
    """Answers about the running system, each table read when it is first needed.

    `settings` are those of the language's configuration that concern symbols; `links` tell which binary is watched.
    """

    __slots__ = ("_cgroups", "_kernel", "_links", "_offsets", "_settings", "_user", "_users")

    def __init__(self, settings: dict[str, Any] | None = None, links: Sequence[LinkSpec] = ()) -> None:
        self._settings = settings or {}
        self._links = links
        self._kernel: KernelSymbols | None = None
        self._user: UserSymbols | None = None
        self._users: dict[int, str] | None = None
        self._cgroups: Any = None
        self._offsets: dict[str, int] = {}

    def ksym(self, address: int) -> tuple[str, int] | None:
        """(name, offset) of a kernel address."""
        if self._kernel is None:
            from cygnet.session.symbols.kernel import KernelSymbols

            self._kernel = KernelSymbols()
        found = self._kernel.ksym(address)
        return found[:2] if found is not None else None

    def usym(self, pid: int, address: int) -> tuple[str, int, str] | None:
        """(name, offset, module) of an address of a process."""
        return self._user_symbols().resolve(pid, address)

    def usource(self, pid: int, address: int) -> tuple[tuple[str, str], ...]:
        """(function, ``file:line``) of what was inlined at an address of a process, the innermost first, and of the
        function there, last; empty without debug information."""
        return self._user_symbols().source(pid, address)

    def unwind(self, pid: int, registers: bytes, base: int, stack: bytes) -> tuple[list[int], str]:
        """(addresses, why there are no more) of a process's stack, by unwind tables; `registers` is a struct pt_regs,
        `stack` a copy of the memory from `base` on."""
        from cygnet.session.symbols.unwind import Snapshot, unwind

        return unwind(self._user_symbols(), pid, Snapshot.of(registers, base, stack))

    def remember(self, pid: int) -> None:
        """Take down what a process has mapped, so that its addresses have names after its end."""
        self._user_symbols().remember(pid)

    def _user_symbols(self) -> UserSymbols:
        if self._user is None:
            from cygnet.session.symbols.user import UserSymbols

            layout = b""
            if self._links:
                from cygnet.session.symbols.layout import only_binary, static_maps

                path = only_binary(self._links)
                layout = static_maps(path) if path else b""
            self._user = UserSymbols(bool(self._settings.get("cpp_demangle", True)), layout)
        return self._user

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
    if clock.endswith("tai"):  # whole seconds apart from the time of day
        return (found + 500_000_000) // 1_000_000_000 * 1_000_000_000
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
