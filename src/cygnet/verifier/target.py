"""Target kernels: what a version of Linux does not have yet, and where its verifier is stricter."""

from __future__ import annotations

from cygnet.verifier.env import EINVAL
from cygnet.verifier.state import Reject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from cygnet.facts.helpers import Helper
    from cygnet.verifier.env import Ins

VERSIONS: Final = ("6.1", "6.12", "6.18")
_JUMP32, _FETCH, _V4, _MAY_GOTO, _ARENA, _ACQUIRE = (5, 1), (5, 12), (6, 6), (6, 9), (6, 9), (6, 15)


def parse(version: str) -> tuple[int, int]:
    """``6.12`` as numbers. Raises ValueError."""
    parts = version.removeprefix("v").split(".")
    return int(parts[0]), int(parts[1]) if len(parts) > 1 else 0


class Target:
    """A kernel version. `uninit_stack`: helpers may be given stack that was never written (root, since 6.3)."""

    def __init__(self, version: str = "6.18", cpus: int = 0) -> None:
        try:
            self.version = parse(version)
        except ValueError:
            from cygnet.errors import UsageError

            raise UsageError(f"{version!r} is no kernel version: write 6.1, 6.12 or 6.18") from None
        self.text = version
        self._cpus = cpus

    @property
    def cpus(self) -> int:
        """How many CPUs there may be: bpf_get_smp_processor_id is below it."""
        if not self._cpus:
            self._cpus = _possible_cpus()
        return self._cpus

    @property
    def uninit_stack(self) -> bool:
        return self.version >= (6, 3)

    def at_least(self, major: int, minor: int) -> bool:
        return self.version >= (major, minor)

    def check_helper(self, helper: Helper) -> None:
        if parse(helper.since) > self.version:
            raise Reject(
                f"invalid func {helper.name}#{helper.id}\n(helper is there since Linux {helper.since})", EINVAL
            )

    def check_map(self, kind: str) -> None:
        from cygnet.facts.maptypes import map_type

        since = map_type(kind).since
        if parse(since) > self.version:
            raise Reject(f"map type {kind} is there since Linux {since}", EINVAL)

    def check_program_type(self, name: str) -> None:
        from cygnet.facts.progtypes import program_type

        since = program_type(name).since
        if parse(since) > self.version:
            raise Reject(f"program type {name} is there since Linux {since}", EINVAL)

    def check_insns(self, insns: Sequence[Ins]) -> None:
        """Instructions that came later than this kernel."""
        if self.version >= _ACQUIRE:
            return
        for at, ins in enumerate(insns):
            found = _newer(ins)
            if found is not None and found[0] > self.version:
                since, what = found
                text = f"unknown opcode {ins.code:02x}\n({what} is there since Linux {since[0]}.{since[1]})"
                raise Reject(text, EINVAL, at)

    @property
    def too_old(self) -> bool:
        """Older than what the tables were judged by."""
        return self.version < (6, 1)


def _newer(ins: Ins) -> tuple[tuple[int, int], str] | None:
    cls, op = ins.cls, ins.op
    if cls == 3 and ins.code & 0xE0 == 0xC0:
        if ins.imm in (0x100, 0x110):
            return _ACQUIRE, "load-acquire and store-release"
        return (_FETCH, "atomic operations beside add") if ins.imm else None
    if cls == 1 and ins.code & 0xE0 == 0x80:
        return _V4, "sign-extending load"
    if cls == 6 and op == 0:
        return _V4, "gotol"
    if cls == 6:
        return _JUMP32, "32-bit jumps"
    if cls == 5 and op == 0xE0:
        return _MAY_GOTO, "may_goto"
    if cls in (4, 7):
        if op == 0xB0 and ins.off:
            return (_ARENA, "addr_space_cast") if ins.off == 1 else (_V4, "sign-extending move")
        if op in (0x30, 0x90) and ins.off:
            return _V4, "signed division"
        if cls == 7 and op == 0xD0:
            return _V4, "bswap"
    return None


def _possible_cpus() -> int:
    try:
        with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:
            return int(file.read().strip().replace("-", ",").split(",")[-1]) + 1
    except (OSError, ValueError):
        import os

        return os.cpu_count() or 1
