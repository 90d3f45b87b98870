"""Bounds checks: which accesses of a block need one, and its code.

An access through r10, or through a register known to be r10 plus a number, is judged when it is emitted. Every other
compares its address with the slot of its base register (see `state`); a miss goes to a stub that asks the
table of regions. What was checked through a register need not be checked again before the register changes.

Several accesses of a block through one register are checked together, with a slot of their own, as one access to all
that lies between the first byte and the last. When that is not allowed, a copy of the rest of the block checks
each for itself, so a fault is still that of the one access.
"""

from __future__ import annotations

from cygnet.vm.jit import state
from cygnet.vm.jit.emitters import EMITTERS, NOTHING, SUM
from cygnet.vm.jit.encoding import R9, R11, lea, mem, mov
from cygnet.vm.jit.x86_64 import REGISTERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Window = tuple[int, int, bool]

FRAME = 512
_SIZES = (4, 2, 1, 8)  # by the size bits of the opcode
_ATOMIC = 0xC0
_LOAD_ACQUIRE, _STORE_RELEASE, _CMPXCHG = 0x100, 0x110, 0xF1
_WIDEST = 0x7FFF
_MOST_GROUPS = 2  # of one block: each copies its rest
# 1 for the opcodes that touch memory
_TOUCHES = bytes(1 if c & 7 in (1, 2, 3) and c & 0xE0 in (0x60, 0x80, 0xC0) else 0 for c in range(256))


class Site:
    """A place that a stub belongs to: its jump's distance ends at `at` in block `block`.

    `slow`: where the code goes on when a check of several bytes fails, a place in `landings`; -1: it faults.
    """

    __slots__ = ("at", "block", "number", "pc", "routine", "slow")

    def __init__(self, block: int, at: int, routine: str, number: int, pc: int, slow: int = -1) -> None:
        self.block = block
        self.at = at
        self.routine = routine
        self.number = number
        self.pc = pc
        self.slow = slow


class Copy:
    """The rest of block `of` with a check for each access; it begins at `landing`."""

    __slots__ = ("body", "landing", "of", "sites")

    def __init__(self, landing: int, of: int, body: bytes, sites: list[Site]) -> None:
        self.landing = landing
        self.of = of
        self.body = body
        self.sites = sites


class Known:
    """What is known of registers at a point."""

    __slots__ = ("alias", "frame", "maybe", "windows")

    def __init__(self) -> None:
        self.frame: dict[int, int] = {10: 0}  # registers that are r10 + number
        self.windows: dict[int, list[Window]] = {}  # what was checked: from, to, writing
        self.alias: dict[int, int] = {}  # registers that hold what another's slots were filled for
        self.maybe: dict[int, tuple[int, bool]] = {}  # 0, or the address of so many bytes, perhaps writable

    def copy(self) -> Known:
        other = Known()
        other.frame, other.alias, other.maybe = dict(self.frame), dict(self.alias), dict(self.maybe)
        other.windows = {reg: list(windows) for reg, windows in self.windows.items()}
        return other

    def lose(self, reg: int) -> None:
        self.frame.pop(reg, None)
        self.windows.pop(reg, None)
        self.alias.pop(reg, None)
        self.maybe.pop(reg, None)

    def move(self, dst: int, src: int, more: int) -> None:
        """dst = src + more"""
        place, windows = self.frame.get(src), self.windows.get(src)
        alias, maybe = self.alias.get(src, src), self.maybe.get(src)
        self.lose(dst)
        if maybe is not None and not more:
            self.maybe[dst] = maybe
        if place is not None:
            self.frame[dst] = place + more
        if windows:
            self.windows[dst] = [(low - more, high - more, write) for low, high, write in windows]
        if dst != alias:
            self.alias[dst] = alias

    def in_frame(self, base: int, off: int, size: int) -> bool:
        place = self.frame.get(base)
        return place is not None and place + off >= -FRAME and place + off + size <= 0

    def is_checked(self, base: int, off: int, size: int, write: bool) -> bool:
        return any(
            low <= off and off + size <= high and (wrote or not write)
            for low, high, wrote in self.windows.get(base, ())
        )

    def follow(self, key: int, off: int, imm: int) -> None:
        """What an instruction does to all this."""
        kind, dst, src = key & 7, key >> 8 & 15, key >> 12 & 15
        if key >> 16:
            if key & ~0xFFFF == SUM:
                self.move(dst, src, imm)
            elif key != NOTHING:
                self.lose(dst)
        elif kind == 7 and key & 0xFF == 0xBF and off == 0:
            self.move(dst, src, 0)
        elif kind == 7 and key & 0xFF in (0x07, 0x17):
            self.move(dst, dst, imm if key & 0xFF == 0x07 else -imm)
        elif kind == 3 and key & 0xE0 == _ATOMIC:
            self._follow_atomic(dst, src, imm)
        elif kind not in (2, 3):
            self.lose(dst)

    def _follow_atomic(self, dst: int, src: int, imm: int) -> None:
        if imm == _CMPXCHG:
            self.lose(0)
        elif imm == _LOAD_ACQUIRE:
            self.lose(dst)
        elif imm & 1:
            self.lose(src)


def access_of(key: int, imm: int) -> tuple[int, int, bool, bool]:
    """Base register, size, whether it writes, whether it is atomic: of an instruction that touches memory."""
    atomic = key & 0xE7 == _ATOMIC | 3
    load = key & 7 == 1 or (atomic and imm == _LOAD_ACQUIRE)
    return (key >> 12 if load else key >> 8 & 15), _SIZES[key >> 3 & 3], not load, atomic


class Checker:
    """Goes through a program's blocks in order, and writes the code of what lies in them.

    `wide_slots` are displacements of slots for checks of several accesses, each used for one number of bytes only.
    """

    def __init__(self, items: list[tuple[int, int, Any]], codes: bytes, wide_slots: list[int]) -> None:
        self.items = items
        self.touches = codes.translate(_TOUCHES)
        self.sites: list[Site] = []
        self.copies: list[Copy] = []
        self.landings: list[tuple[int, int]] = []  # block and offset in it
        self.known = Known()
        self._wide_slots = wide_slots
        self._wide: dict[tuple[int, int, bool], int] = {}
        self._pairs: dict[int, int] = {1: 0}  # base register → pair of slots (read, write)

    @property
    def maybe(self) -> dict[int, tuple[int, bool]]:
        return self.known.maybe

    @maybe.setter
    def maybe(self, registers: dict[int, tuple[int, bool]]) -> None:
        self.known.maybe = registers

    def forget(self) -> None:
        self.known = Known()

    def after_call(self) -> None:
        """Regions may have changed, and r0 to r5 have; where r6 to r9 point in the stack is still known."""
        self.known.windows.clear()
        for reg in range(6):
            self.known.lose(reg)

    def block(self, start: int, end: int, number: int, joined: bool) -> bytes:
        """The code of slots [start, end), which is block `number`; `joined` when jumps lead to it."""
        if joined:
            self.forget()
        touching = self.touches.count(1, start, end)
        if not touching:
            return self._untouched(start, end)
        groups = self._groups(start, end) if touching > 1 and self._wide_slots else {}
        return self._checked(start, end, number, groups, self.sites)

    def _untouched(self, start: int, end: int) -> bytes:
        items, follow = self.items[start:end], self.known.follow
        for key, off, imm in items:
            follow(key, off, imm)
        return b"".join([EMITTERS[key](off, imm) for key, off, imm in items])

    def _checked(self, start: int, end: int, number: int, groups: dict[int, _Group], sites: list[Site]) -> bytes:
        parts: list[bytes] = []
        length = 0
        items, touches, known = self.items, self.touches, self.known
        for pc in range(start, end):
            key, off, imm = items[pc]
            if touches[pc] and key < 0x10000:
                group = groups.get(pc)
                if group is not None:
                    check = self._together(group, pc, end, number, length, sites)
                    parts.append(check)
                    length += len(check)
                check = self._one(key, off, imm, pc, number, length, sites)
                parts.append(check)
                length += len(check)
            code = EMITTERS[key](off, imm)
            parts.append(code)
            length += len(code)
            known.follow(key, off, imm)
        return b"".join(parts)

    # ── one access ───────────────────────────────────────────────────────────────────────────────────────

    def _one(self, key: int, off: int, imm: int, pc: int, number: int, length: int, sites: list[Site]) -> bytes:
        base, size, write, atomic = access_of(key, imm)
        known = self.known
        code = b""
        if atomic and size > 1 and not (known.in_frame(base, off, size) and (known.frame[base] + off) % size == 0):
            code = lea(R11, REGISTERS[base], off) + b"\x41\xf6\xc3" + bytes((size - 1,)) + b"\x0f\x85\0\0\0\0"
            sites.append(Site(number, length + len(code), "fault", state.ALIGNMENT, pc))
        if known.in_frame(base, off, size) or known.is_checked(base, off, size, write):
            return code
        known.windows.setdefault(base, []).append((off, off + size, write))
        slot = self._slot(base, write)
        code += self._start(base, off) + _compare(slot, slot + state.LIMIT_OF[size])
        what = slot & 0xFFFF | size << 16 | write << 31
        sites.append(Site(number, length + len(code), "check", what, pc))
        return code

    def _slot(self, base: int, write: bool) -> int:
        register = self.known.alias.get(base, base)
        pair = self._pairs.get(register)
        if pair is None:
            pair = self._pairs[register] = len(self._pairs)
        return state.slot_offset(2 * pair + write)

    def _start(self, base: int, off: int) -> bytes:
        return lea(R11, REGISTERS[base], off) if off else mov(R11, REGISTERS[base])

    # ── several at once ──────────────────────────────────────────────────────────────────────────────────

    def land(self, block: int, offset: int) -> int:
        """A place where code goes on after a check that failed."""
        self.landings.append((block, offset))
        return len(self.landings) - 1

    def _wide_slot(self, base: int, size: int, write: bool) -> int | None:
        slot = self._wide.get((base, size, write))
        if slot is None and self._wide_slots:
            slot = self._wide[base, size, write] = self._wide_slots.pop()
        return slot

    def argument(self, reg: int, size: int, pc: int, number: int, length: int, landing: int) -> bytes | None:
        """A check that a helper may read `size` bytes at a register; on failure the code goes on at a landing.
        None: it cannot be checked here."""
        if self.known.in_frame(reg, 0, size) or self.known.is_checked(reg, 0, size, False):
            return b""
        slot = self._wide_slot(reg, size, False) if size <= _WIDEST else None
        if slot is None:
            return None
        code = self._start(reg, 0) + _compare(slot, slot + 8)
        self.sites.append(Site(number, length + len(code), "check_wide", slot & 0xFFFF | size << 16, pc, landing))
        return code

    def result(self, size: int, writable: bool) -> None:
        """r0 is 0, or the address of `size` bytes; the fall-through of a comparison with 0 tells which."""
        self.maybe = {0: (size, writable)}

    def not_null(self, reg: int) -> None:
        found = self.maybe.get(reg)
        for other, what in self.maybe.items():
            if what is found:
                self.known.windows[other] = [(0, what[0], what[1])]

    def _groups(self, start: int, end: int) -> dict[int, _Group]:
        """Accesses through one value of a register, by the slot of the first; only where there are several."""
        known = self.known.copy()
        open_groups: dict[int, _Group] = {}
        found: list[_Group] = []
        for pc in range(start, end):
            key, off, imm = self.items[pc]
            if self.touches[pc] and key < 0x10000:
                base, size, write, _ = access_of(key, imm)
                if not (known.in_frame(base, off, size) or known.is_checked(base, off, size, write)):
                    group = open_groups.get(base)
                    if group is None:
                        group = open_groups[base] = _Group(pc, base)
                        found.append(group)
                    group.add(off, size, write)
            known.follow(key, off, imm)
            written = _written(key, imm)
            if written is not None:
                open_groups.pop(written, None)
        worth = [group for group in found if len(group.accesses) > 1 and group.size <= _WIDEST]
        return {group.pc: group for group in worth[:_MOST_GROUPS]}

    def _together(self, group: _Group, pc: int, end: int, number: int, length: int, sites: list[Site]) -> bytes:
        """One check for all of a group, and the copy for when it fails."""
        slot = self._wide_slot(group.base, group.size, group.write)
        if slot is None:
            return b""
        before = self.known
        own: list[Site] = []
        self.known = before.copy()
        body = self._checked(pc, end, -1, {}, own)
        self.known = before
        landing = self.land(-1, 0)
        self.copies.append(Copy(landing, number, body, own))
        code = self._start(group.base, group.low) + _compare(slot, slot + 8)
        what = slot & 0xFFFF | group.size << 16 | group.write << 31
        sites.append(Site(number, length + len(code), "check_wide", what, pc, landing))
        before.windows.setdefault(group.base, []).extend(group.accesses)
        return code


class _Group:
    """Accesses through one value of register `base`, the first at slot `pc`."""

    __slots__ = ("accesses", "base", "pc")

    def __init__(self, pc: int, base: int) -> None:
        self.pc = pc
        self.base = base
        self.accesses: list[Window] = []

    def add(self, off: int, size: int, write: bool) -> None:
        self.accesses.append((off, off + size, write))

    @property
    def low(self) -> int:
        return min(low for low, _, _ in self.accesses)

    @property
    def size(self) -> int:
        return max(high for _, high, _ in self.accesses) - self.low

    @property
    def write(self) -> bool:
        return any(write for _, _, write in self.accesses)


def _written(key: int, imm: int) -> int | None:
    """The register that an instruction changes."""
    kind = key & 7
    if key == NOTHING or (kind in (2, 3) and not key >> 16 and key & 0xE0 != _ATOMIC):
        return None
    if not key >> 16 and kind == 3:
        if imm == _CMPXCHG:
            return 0
        if imm == _LOAD_ACQUIRE:
            return key >> 8 & 15
        return key >> 12 if imm & 1 else None
    return key >> 8 & 15


_compares: dict[tuple[int, int], bytes] = {}


def _compare(slot: int, limit: int) -> bytes:
    """r11 -= the slot's start; out when it is not below the limit."""
    found = _compares.get((slot, limit))
    if found is None:
        found = mem(b"\x2b", R11, R9, slot, wide=True) + mem(b"\x3b", R11, R9, limit, wide=True) + b"\x0f\x83\0\0\0\0"
        _compares[slot, limit] = found
    return found
