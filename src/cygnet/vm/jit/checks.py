"""Bounds checks: which accesses of a block need one, and its code.

An access through r10, or through a register known to be r10 plus a number, is judged when it is emitted. Every other
compares its address with the slot of its base register (see `state`); a miss goes to a stub that asks the
table of regions. What was checked through a register need not be checked again before the register changes.

Several accesses of a block through one register are checked together, with a slot of their own, as one access to all
that lies between the first byte and the last. When that is not allowed, a copy of the rest of the block checks
each for itself, so a fault is still that of the one access.
"""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

from cygnet.vm.jit import state
from cygnet.vm.jit.emitters import NOTHING, SUM
from cygnet.vm.jit.encoding import R9, R11, lea, mem, mov
from cygnet.vm.jit.peephole import either
from cygnet.vm.jit.x86_64 import REGISTERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    Window = tuple[int, int, bool]

    class Source(Protocol):
        """The program: instructions as (first two bytes, off, imm), and the code of each."""

        items: list[tuple[int, int, Any]]
        emitted: list[bytes]


FRAME = 512
_SIZES = (4, 2, 1, 8)  # by the size bits of the opcode
_ATOMIC = 0xC0
_LOAD_ACQUIRE, _STORE_RELEASE, _CMPXCHG = 0x100, 0x110, 0xF1
_WIDEST = 0x7FFF
_MOST_GROUPS = 2  # of one block: each copies its rest
# 1 for the opcodes that touch memory
_TOUCHES = bytes(1 if c & 7 in (1, 2, 3) and c & 0xE0 in (0x60, 0x80, 0xC0) else 0 for c in range(256))
# 1 for the pairs of registers whose second is r10
_FROM_R10 = bytes(c >> 4 == 10 for c in range(256))


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


class Fact(NamedTuple):
    """What is known of a register: that it is r10 + `place`; what memory was checked through it (from, to, writing);
    whose slots are filled for what it points to; that it is 0 or the address of (bytes, writable)."""

    place: int | None = None
    windows: tuple[Window, ...] = ()
    alias: int | None = None
    maybe: tuple[int, bool] | None = None


_FRAME_POINTER = Fact(0)
_UNKNOWN = 15  # registers, of 16 with what follows r10, when only r10 is known
_NOTHING = Fact()
# what following an instruction means: nothing, a new value of dst, or a closer look
_NONE, _LOSES, _LOOK = 0, 1, 2
_EFFECTS = [_LOSES if c & 7 in (0, 1, 4, 7) else _NONE for c in range(256)]
for _code in (0xBF, 0x07, 0x17, 0xC3, 0xDB, 0xCB, 0xD3):
    _EFFECTS[_code] = _LOOK
# 1 for the opcodes to look at; 0 for those that change dst, f0 for others; the register dst
_LOOKS = bytes(effect == _LOOK for effect in _EFFECTS)
_WRITES_NOTHING = bytes(0 if effect else 0xF0 for effect in _EFFECTS)
_DST = bytes(c & 15 for c in range(256))
_LONG = 10  # instructions that are not followed one by one


class Known:
    """What is known of the registers at a point."""

    __slots__ = ("facts",)

    def __init__(self, facts: list[Fact | None] | None = None) -> None:
        self.facts: list[Fact | None] = facts or [*[None] * 10, _FRAME_POINTER, *[None] * 5]

    def copy(self) -> Known:
        return Known(list(self.facts))

    def lose(self, reg: int) -> None:
        self.facts[reg] = None

    def fact(self, reg: int) -> Fact:
        return self.facts[reg] or _NOTHING

    def move(self, dst: int, src: int, more: int) -> None:
        """dst = src + more"""
        fact = self.facts[src]
        if fact is None:
            self.facts[dst] = Fact(alias=src) if dst != src else None
            return
        place = fact.place + more if fact.place is not None else None
        windows = tuple((low - more, high - more, write) for low, high, write in fact.windows) if more else fact.windows
        alias = fact.alias if fact.alias is not None else src
        self.facts[dst] = Fact(place, windows, alias if alias != dst else None, None if more else fact.maybe)

    def in_frame(self, base: int, off: int, size: int) -> bool:
        fact = self.facts[base]
        if fact is None or fact.place is None:
            return False
        return fact.place + off >= -FRAME and fact.place + off + size <= 0

    def is_checked(self, base: int, off: int, size: int, write: bool) -> bool:
        fact = self.facts[base]
        if fact is None:
            return False
        return any(low <= off and off + size <= high and (wrote or not write) for low, high, wrote in fact.windows)

    def check(self, base: int, windows: tuple[Window, ...]) -> None:
        fact = self.facts[base] or _NOTHING
        self.facts[base] = Fact(fact.place, fact.windows + windows, fact.alias, fact.maybe)

    def follow(self, key: int, off: int, imm: int) -> None:
        """What an instruction does to all this, when it is one to look at (see _EFFECTS) or a pseudo one."""
        dst, src = key >> 8 & 15, key >> 12 & 15
        if key >> 16:
            if key & ~0xFFFF == SUM:
                self.move(dst, src, imm)
            elif key != NOTHING:
                self.facts[dst] = None
        elif key & 7 == 7:
            if key & 0xFF != 0xBF:
                self.move(dst, dst, imm if key & 0xFF == 0x07 else -imm)
            elif off == 0:
                self.move(dst, src, 0)
            else:
                self.facts[dst] = None
        else:
            written = _changed_by_atomic(key, imm)
            if written is not None:
                self.facts[written] = None


def _changed_by_atomic(key: int, imm: int) -> int | None:
    if imm == _CMPXCHG:
        return 0
    if imm == _LOAD_ACQUIRE:
        return key >> 8 & 15
    return key >> 12 if imm & 1 else None


def access_of(key: int, imm: int) -> tuple[int, int, bool, bool]:
    """Base register, size, whether it writes, whether it is atomic: of an instruction that touches memory."""
    atomic = key & 0xE7 == _ATOMIC | 3
    load = key & 7 == 1 or (atomic and imm == _LOAD_ACQUIRE)
    return (key >> 12 if load else key >> 8 & 15), _SIZES[key >> 3 & 3], not load, atomic


class Checker:
    """Goes through a program's blocks in order, and writes the code of what lies in them.

    `wide_slots` are displacements of slots for checks of several accesses, each used for one number of bytes only.
    """

    def __init__(self, source: Source, code: bytes, wide_slots: list[int]) -> None:
        self.source = source
        self.items = source.items
        self.touches = code[::8].translate(_TOUCHES)
        self.from_frame = code[1::8].translate(_FROM_R10)
        self.looks = code[::8].translate(_LOOKS)
        self.writes = either(code[::8].translate(_WRITES_NOTHING), code[1::8].translate(_DST))
        self.sites: list[Site] = []
        self.copies: list[Copy] = []
        self.landings: list[tuple[int, int]] = []  # block and offset in it
        self.known = Known()
        self._wide_slots = wide_slots
        self._wide: dict[tuple[int, int, bool], int] = {}
        self._pairs: dict[int, int] = {1: 0}  # base register → pair of slots (read, write)

    def forget(self) -> None:
        self.known = Known()

    def after_call(self) -> None:
        """Regions may have changed, and r0 to r5 have; where r6 to r9 point in the stack is still known."""
        facts = self.known.facts
        facts[:6] = (None,) * 6
        for reg in range(6, 10):
            fact = facts[reg]
            if fact is not None and fact.windows:
                facts[reg] = Fact(fact.place, (), fact.alias, fact.maybe)

    def block(self, start: int, end: int, number: int, joined: bool) -> bytes:
        """The code of slots [start, end), which is block `number`; `joined` when jumps lead to it."""
        if joined:
            self.known = Known()
        codes = self.source.emitted[start:end]
        touching = self.touches.count(1, start, end)
        if not touching:
            self._follow(start, end)
            return b"".join(codes)
        groups = self._groups(start, end) if touching > 1 and self._wide_slots else {}
        return self._checked(start, end, codes, number, groups, self.sites)

    def _follow(self, start: int, end: int) -> None:
        """What the instructions of [start, end) do to what is known."""
        known = self.known
        facts = known.facts
        if facts.count(None) == _UNKNOWN and self.from_frame.find(1, start, end) < 0:
            return  # nothing is known, and nothing comes to be
        if end - start > _LONG:
            self._follow_long(start, end)
            return
        for key, off, imm in self.items[start:end]:
            if key < 0x10000:
                effect = _EFFECTS[key & 0xFF]
                if effect == _LOSES:
                    facts[key >> 8 & 15] = None
                elif effect:
                    known.follow(key, off, imm)
            elif key != NOTHING:
                known.follow(key, off, imm)

    def _follow_long(self, start: int, end: int) -> None:
        """The same, in strides from one instruction to look at to the next."""
        known, writes = self.known, self.writes
        facts = known.facts
        while start < end:
            look = self.looks.find(1, start, end)
            stop = end if look < 0 else look
            for reg, fact in enumerate(facts):
                if fact is not None and writes.find(reg, start, stop) >= 0:
                    facts[reg] = None
            if look >= 0:
                known.follow(*self.items[look])
            start = stop + 1

    def _checked(
        self, start: int, end: int, codes: list[bytes], number: int, groups: dict[int, _Group], sites: list[Site]
    ) -> bytes:
        """The instructions' codes, with checks before those that touch memory. Without a place in `sites` of its own
        (a copy) nothing is followed, and every access is checked."""
        own = sites is self.sites
        offsets = list(accumulate(map(len, codes), initial=0))
        parts: list[bytes] = []
        more, done, touches = 0, start, self.touches
        at = touches.find(1, start, end)
        while at >= 0:
            if own:
                self._follow(done, at)
            key, off, imm = self.items[at]
            length = offsets[at - start] + more
            check = b""
            if at in groups:
                check = self._together(groups[at], at, end, codes[at - start :], number, length, sites)
            check += self._one(key, off, imm, at, number, length + len(check), sites)
            parts += codes[done - start : at - start]
            parts.append(check)
            more += len(check)
            done = at
            at = touches.find(1, at + 1, end)
        if own:
            self._follow(done, end)
        parts += codes[done - start :]
        return b"".join(parts)

    # ── one access ───────────────────────────────────────────────────────────────────────────────────────

    def _one(self, key: int, off: int, imm: int, pc: int, number: int, length: int, sites: list[Site]) -> bytes:
        base, size, write, atomic = access_of(key, imm)
        known = self.known
        inside = known.in_frame(base, off, size)
        code = b""
        if atomic and size > 1 and not (inside and ((known.fact(base).place or 0) + off) % size == 0):
            code = lea(R11, REGISTERS[base], off) + b"\x41\xf6\xc3" + bytes((size - 1,)) + b"\x0f\x85\0\0\0\0"
            sites.append(Site(number, length + len(code), "fault", state.ALIGNMENT, pc))
        if inside or known.is_checked(base, off, size, write):
            return code
        if sites is self.sites:
            known.check(base, ((off, off + size, write),))
        slot = self._slot(base, write)
        code += _start(base, off) + _compare(slot, slot + state.LIMIT_OF[size])
        sites.append(Site(number, length + len(code), "check", slot & 0xFFFF | size << 16 | write << 31, pc))
        return code

    def _slot(self, base: int, write: bool) -> int:
        alias = self.known.fact(base).alias
        register = base if alias is None else alias
        pair = self._pairs.get(register)
        if pair is None:
            pair = self._pairs[register] = len(self._pairs)
        return state.slot_offset(2 * pair + write)

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
        code = _start(reg, 0) + _compare(slot, slot + 8)
        self.sites.append(Site(number, length + len(code), "check_wide", slot & 0xFFFF | size << 16, pc, landing))
        return code

    def result(self, size: int, writable: bool) -> None:
        """r0 is 0, or the address of `size` bytes; the fall-through of a comparison with 0 tells which."""
        self.known.facts[0] = Fact(maybe=(size, writable))

    def not_null(self, reg: int) -> None:
        """`reg` is not 0: so neither is what was copied from the same result."""
        maybe = self.known.fact(reg).maybe
        for other, fact in enumerate(self.known.facts):
            if maybe is not None and fact is not None and fact.maybe is maybe:
                self.known.check(other, ((0, *maybe),))

    def _groups(self, start: int, end: int) -> dict[int, _Group]:
        """Accesses through one value of a register, by the slot of the first; only where there are several."""
        open_groups: dict[int, _Group] = {}
        found: list[_Group] = []
        in_stack = {reg for reg, fact in enumerate(self.known.facts) if fact is not None and fact.place is not None}
        touches, writes, from_frame = self.touches, self.writes, self.from_frame
        at = touches.find(1, start, end)
        while at >= 0:
            key, off, imm = self.items[at]
            base, size, write, _ = access_of(key, imm)
            if base not in in_stack and from_frame.find(1, start, at) < 0:
                group = open_groups.get(base)
                if group is None or writes.find(base, group.last, at) >= 0:
                    group = open_groups[base] = _Group(at, base)
                    found.append(group)
                group.accesses.append((off, off + size, write))
                group.last = at
            if key & 7 == 3 and key & 0xE0 == _ATOMIC:
                open_groups.clear()
            at = touches.find(1, at + 1, end)
        worth = [group for group in found if len(group.accesses) > 1]
        return {group.pc: group for group in worth[:_MOST_GROUPS]}

    def _together(
        self, group: _Group, pc: int, end: int, codes: list[bytes], number: int, length: int, sites: list[Site]
    ) -> bytes:
        """One check for all of a group, and the copy for when it fails."""
        known, base = self.known, group.base
        left = [
            window
            for window in group.accesses
            if not known.is_checked(base, window[0], window[1] - window[0], window[2])
        ]
        if len(left) < 2:
            return b""
        low, high = min(window[0] for window in left), max(window[1] for window in left)
        write = any(window[2] for window in left)
        slot = self._wide_slot(base, high - low, write) if high - low <= _WIDEST else None
        if slot is None:
            return b""
        own: list[Site] = []
        self.known = Known()
        body = self._checked(pc, end, codes, -1, {}, own)
        self.known = known
        landing = self.land(-1, 0)
        self.copies.append(Copy(landing, number, body, own))
        code = _start(group.base, low) + _compare(slot, slot + 8)
        what = slot & 0xFFFF | high - low << 16 | write << 31
        sites.append(Site(number, length + len(code), "check_wide", what, pc, landing))
        known.check(base, tuple(left))
        return code


class _Group:
    """Accesses through one value of register `base`, the first at slot `pc`."""

    __slots__ = ("accesses", "base", "last", "pc")

    def __init__(self, pc: int, base: int) -> None:
        self.pc = self.last = pc
        self.base = base
        self.accesses: list[Window] = []


_starts: dict[tuple[int, int], bytes] = {}


def _start(base: int, off: int) -> bytes:
    """r11 = the address"""
    found = _starts.get((base, off))
    if found is None:
        reg = REGISTERS[base]
        found = _starts[base, off] = lea(R11, reg, off) if off else mov(R11, reg)
    return found


_compares: dict[tuple[int, int], bytes] = {}


def _compare(slot: int, limit: int) -> bytes:
    """r11 -= the slot's start; out when it is not below the limit."""
    found = _compares.get((slot, limit))
    if found is None:
        found = mem(b"\x2b", R11, R9, slot, wide=True) + mem(b"\x3b", R11, R9, limit, wide=True) + b"\x0f\x83\0\0\0\0"
        _compares[slot, limit] = found
    return found
