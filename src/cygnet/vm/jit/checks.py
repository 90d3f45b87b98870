"""Bounds checks: which accesses of a block need one, and its code.

An access through r10, or through a register known to be r10 plus a number, is judged when it is emitted. Every other
compares its address with the slot of its base register (see `state`); a miss goes to a stub that asks the
table of regions. What was checked through a register need not be checked again before the register changes.
"""

from __future__ import annotations

from cygnet.vm.jit import state
from cygnet.vm.jit.emitters import EMITTERS, SUM
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


class Site:
    """A place that a stub belongs to: its jump's distance ends at `at` in block `block`."""

    __slots__ = ("at", "block", "number", "pc", "routine")

    def __init__(self, block: int, at: int, routine: str, number: int, pc: int) -> None:
        self.block = block
        self.at = at
        self.routine = routine
        self.number = number
        self.pc = pc


class Checker:
    """Goes through a program's blocks in order, and writes the code of what lies in them."""

    def __init__(self, items: list[tuple[int, int, Any]]) -> None:
        self.items = items
        self.sites: list[Site] = []
        self.pairs: dict[int, int] = {1: 0}  # base register → pair of slots (read, write)
        self.frame: dict[int, int] = {}  # registers that are r10 + number
        self.windows: dict[int, list[Window]] = {}  # what was checked: from, to, writing
        self._pending: list[tuple[int, str, int]] = []  # sites of a check: bytes after its jump, routine, number
        self.alias: dict[int, int] = {}  # registers that hold what another's slots were filled for

    def block(self, start: int, end: int, number: int, joined: bool) -> bytes:
        """The code of slots [start, end), which is block `number`; `joined` when jumps lead to it."""
        if joined:
            self.forget()
        parts: list[bytes] = []
        length = 0
        for pc in range(start, end):
            key, off, imm = self.items[pc]
            kind = key & 7 if key < 1 << 16 else 8
            if kind in _MEMORY and key:
                check = self._memory(key, off, imm)
                if check:
                    length += len(check)
                    parts.append(check)
                    self._place(number, length, pc)
            code = EMITTERS[key](off, imm)
            parts.append(code)
            length += len(code)
            self._follow(kind, key, off, imm)
        return b"".join(parts)

    def forget(self) -> None:
        self.frame = {10: 0}
        self.windows.clear()
        self.alias.clear()

    def after_call(self) -> None:
        """Regions may have changed, and r0 to r5 have; where r6 to r9 point in the stack is still known."""
        self.windows.clear()
        for reg in range(6):
            self.lose(reg)

    def _place(self, block: int, at: int, pc: int) -> None:
        """Enter the sites of the check that was just made."""
        for back, routine, what in self._pending:
            self.sites.append(Site(block, at - back, routine, what, pc))

    # ── one access ───────────────────────────────────────────────────────────────────────────────────────

    def _memory(self, key: int, off: int, imm: int) -> bytes:
        size = _SIZES[key >> 3 & 3]
        atomic = key & 0xE7 == _ATOMIC | 3
        load = key & 7 == 1 or (atomic and imm == _LOAD_ACQUIRE)
        base = key >> 12 if load else key >> 8 & 15
        self._pending = []
        place = self.frame.get(base)
        if place is not None and place + off >= -FRAME and place + off + size <= 0:
            return self._always(state.ALIGNMENT) if atomic and place + off & size - 1 else b""
        code = self._alignment(base, off, size) if atomic and size > 1 else b""
        windows = self.windows.setdefault(base, [])
        for low, high, write in windows:
            if low <= off and off + size <= high and (load or write):
                return code
        windows.append((off, off + size, not load))
        return code + self._bounds(base, off, size, not load)

    def _always(self, fault: int) -> bytes:
        self._pending.append((0, "fault", fault))
        return b"\xe9\0\0\0\0"

    def _alignment(self, base: int, off: int, size: int) -> bytes:
        self._pending.append((0, "fault", state.ALIGNMENT))
        reg = REGISTERS[base]
        return lea(R11, reg, off) + b"\x41\xf6\xc3" + bytes((size - 1,)) + b"\x0f\x85\0\0\0\0"

    def _bounds(self, base: int, off: int, size: int, write: bool) -> bytes:
        register = self.alias.get(base, base)
        pair = self.pairs.get(register)
        if pair is None:
            pair = self.pairs[register] = len(self.pairs)
        slot = state.slot_offset(2 * pair + write)
        reg = REGISTERS[base]
        code = lea(R11, reg, off) if off else mov(R11, reg)
        code += _COMPARES.get(slot, size)
        self._pending = [(back + len(code), routine, what) for back, routine, what in self._pending]
        self._pending.append((0, "check", slot & 0xFFFF | size << 16 | write << 31))
        return code

    # ── what instructions do to what is known ────────────────────────────────────────────────────────────

    def _follow(self, kind: int, key: int, off: int, imm: int) -> None:
        dst, src = key >> 8 & 15, key >> 12 & 15
        if kind == 7 and key & 0xFF == 0xBF and off == 0:
            self._copy(dst, src, 0)
        elif kind == 7 and key & 0xFF in (0x07, 0x17):
            self._copy(dst, dst, imm if key & 0xFF == 0x07 else -imm)
        elif key & ~0xFFFF == SUM:
            self._copy(dst, src, imm)
        elif kind == 3 and key & 0xE0 == _ATOMIC:
            if imm == _CMPXCHG:
                self.lose(0)
            elif imm == _LOAD_ACQUIRE:
                self.lose(dst)
            elif imm & 1:
                self.lose(src)
        elif kind not in (2, 3):
            self.lose(dst)

    def _copy(self, dst: int, src: int, more: int) -> None:
        place, windows = self.frame.get(src), self.windows.get(src)
        alias = self.alias.get(src, src)
        self.lose(dst)
        if place is not None:
            self.frame[dst] = place + more
        if windows:
            self.windows[dst] = [(low - more, high - more, write) for low, high, write in windows]
        if dst != src or alias != src:
            self.alias[dst] = alias

    def lose(self, reg: int) -> None:
        self.frame.pop(reg, None)
        self.windows.pop(reg, None)
        self.alias.pop(reg, None)


_MEMORY = frozenset((1, 2, 3))


class _Compares(dict[tuple[int, int], bytes]):
    """slot and size → r11 -= start; compare with the limit; jump out when it is not below."""

    def get(self, slot: int, size: int) -> bytes:  # type: ignore[override]
        found = dict.get(self, (slot, size))
        if found is None:
            less = mem(b"\x2b", R11, R9, slot, wide=True)
            compare = mem(b"\x3b", R11, R9, slot + state.LIMIT_OF[size], wide=True)
            found = self[slot, size] = less + compare + b"\x0f\x83\0\0\0\0"
        return found


_COMPARES = _Compares()
