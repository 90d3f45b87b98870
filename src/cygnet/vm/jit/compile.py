"""A program to machine code: blocks, what ends each, and where they lie.

Emission is a table look-up an instruction (`emitters`). Jumps, calls and exits end blocks; their distances are filled
in when all sizes are known. After the blocks lie the stubs: where a check that failed goes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from cygnet.vm.host import FRAME_BYTES, FUNCTIONS, MAY_GOTO_ROUNDS
from cygnet.vm.jit import state
from cygnet.vm.jit.checks import Checker, Site
from cygnet.vm.jit.emitters import NOTHING, WIDE, Codes
from cygnet.vm.jit.encoding import (
    I8,
    R9,
    R10,
    R11,
    R12,
    RAX,
    RBP,
    alu_imm,
    imm32,
    lea,
    load_imm64,
    mem,
    mov,
    pop,
    push,
    rr,
)
from cygnet.vm.jit.layout import ALWAYS, CALL, FALL, STOP, Blocks, Compiled, add_stubs
from cygnet.vm.jit.natives import OPERATIONS
from cygnet.vm.jit.peephole import improve
from cygnet.vm.jit.x86_64 import CALLEE_SAVED, CONDITIONS, REGISTERS, Unfit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.jit.natives import Natives
    from cygnet.vm.program import Program

AT = state.OFFSETS
_TAIL_CALL, _MAY_GOTO, _EQUAL = 12, 0xE5, 0x4
_INSN = struct.Struct("<Hhi")
# the registers to be kept that the second byte of an instruction names, as bits
_MENTIONED = bytes(sum(1 << reg - 6 for reg in CALLEE_SAVED if reg in (b & 15, b >> 4)) for b in range(256))
# keys of blocks beside slots: a function's entry, and what ends a block that was copied
_ENTRY, _BLOCK = -(1 << 40), 1 << 40
# every opcode of the two classes of jumps, and the packet loads: what ends a block
_PACKET_LOADS = (0x20, 0x28, 0x30, 0x40, 0x48, 0x50)
_ENDS = re.compile(
    b"[%s]" % b"".join(re.escape(bytes((c,))) for c in range(256) if c & 7 in (5, 6) or c in _PACKET_LOADS)
)
_WIDE = re.compile(b"\x18")
_CONDITION_CODES = {
    0x10: CONDITIONS["jeq"], 0x20: CONDITIONS["jgt"], 0x30: CONDITIONS["jge"], 0x40: CONDITIONS["jset"],
    0x50: CONDITIONS["jne"], 0x60: CONDITIONS["jsgt"], 0x70: CONDITIONS["jsge"], 0xA0: CONDITIONS["jlt"],
    0xB0: CONDITIONS["jle"], 0xC0: CONDITIONS["jslt"], 0xD0: CONDITIONS["jsle"],
}  # fmt: skip


class Compiler:
    """One program on its way to machine code.

    `constants` resolves a 64-bit load that refers to something, `native` gives the address of a helper that is
    machine code (0: none). Raises Unfit for a malformed program; the careful decoder then says why.
    """

    def __init__(
        self,
        program: Program,
        checked: bool,
        constant: Callable[[int], int],
        functions: int = 0,
        wide_slots: list[int] | None = None,
        natives: Natives | None = None,
    ) -> None:
        self.program = program
        self.checked = checked
        self.constant = constant
        self.function_table = functions
        self.natives = natives
        self.items: list[tuple[int, int, Any]] = list(_INSN.iter_unpack(program.code))
        self.emitted: list[bytes] = []  # the code of each instruction that does not end a block
        self.codes = program.code[::8]
        self.pairs = program.code[1::8]  # registers
        self.count = len(self.items)
        self.starts = {0}
        self.leaders: set[int] = set()
        self.loops: set[int] = set()  # targets of jumps back
        self.checker = Checker(self, program.code, [] if wide_slots is None else wide_slots)
        self.indirect = False  # whether calls go through the table of functions
        self.function = (0, 0)
        self.lengths: dict[int, int] = {}  # of functions, by their first slots
        self.copied = 0  # how many copies of blocks there are so far
        self.first_copy = 0  # that has no block yet
        self.skipped = -1  # a jump that is not reached
        self.epilogue = b""
        self.empties = False  # whether the function has packet loads
        # blocks, in order: code, branch kind, target (a slot, or a key of `places`), code after the branch
        self.bodies: list[bytes] = []
        self.branches: list[int] = []
        self.targets: list[int] = []
        self.tails: list[bytes] = []
        self.block_of: dict[int, int] = {}  # slot, or another key (see _ENTRY) → block
        self.entry_of: dict[int, int] = {}  # function's slot → its first block
        self.calls: list[tuple[int, int, int]] = []  # block, offset in it, slot

    def compile(self) -> Compiled:
        self._wide_loads()
        ends = [match.start() for match in _ENDS.finditer(self.codes)]
        self._find_leaders(ends)
        improve(self.items, self.program.code, self.leaders)
        self.emitted = list(map(CODES.__getitem__, self.items))
        self._emit(ends)
        return self._lay_out()

    # ── what jumps where ─────────────────────────────────────────────────────────────────────────────────

    def _wide_loads(self) -> None:
        items = self.items
        for match in _WIDE.finditer(self.codes):
            pc = match.start()
            if pc + 1 >= self.count or items[pc][1] or items[pc + 1][:2] != (0, 0):
                raise Unfit
            key, _, low = items[pc]
            if key >> 12 == 4:
                self.starts.add(pc + 1 + low)
            value = low & 0xFFFFFFFF | (items[pc + 1][2] & 0xFFFFFFFF) << 32 if key < 1 << 12 else self.constant(pc)
            items[pc] = (WIDE | key & 0xF00, 0, value)
            items[pc + 1] = (NOTHING, 0, 0)

    def _find_leaders(self, ends: list[int]) -> None:
        items, leaders, codes = self.items, self.leaders, self.codes
        for pc in ends:
            if _KINDS[codes[pc]] >= 0:
                target = pc + 1 + items[pc][1]
            else:
                special = self._target_of(pc)
                if special is None:
                    continue
                target = special
            leaders.add(target)
            if target <= pc:
                self.loops.add(target)
        for target in leaders | self.starts:
            if not 0 <= target < self.count or items[target][0] == NOTHING:
                raise Unfit

    def _target_of(self, pc: int) -> int | None:
        """Where what ends a block, and is no condition, jumps to; functions that are called are noted."""
        key, off, imm = self.items[pc]
        code = key & 0xFF
        if code == 0x85:
            if key == 0x1085:
                self.starts.add(pc + 1 + imm)
            if off and key != 0x2085:
                raise Unfit
            return None
        if code in (0x95, 0x8D) or code & 7 == 0:
            return None
        return pc + 1 + (imm if code == 6 else off)

    # ── emission ─────────────────────────────────────────────────────────────────────────────────────────

    def _emit(self, ends: list[int]) -> None:
        starts = [*sorted(self.starts), self.count, -1]
        self.lengths = {start: end - start for start, end in pairwise(starts)}
        bounds = sorted({*self.leaders, *self.starts, *[pc + 1 for pc in ends], self.count})
        function, begin = -1, 0
        next_start = 0
        block = self._checked_block if self.checked else self._plain_block
        for end in bounds:
            if end == begin:
                continue
            if begin == next_start:
                function += 1
                next_start = starts[function + 1]
                self._begin_function(begin, next_start)
            if begin != self.skipped:
                block(begin, end)
            if end == next_start:
                self._end_function()
            begin = end

    def _begin_function(self, start: int, end: int) -> None:
        self.function = (start, end)
        saved, begin, self.epilogue = _frame(frozenset(self.pairs[start:end].translate(_MENTIONED)))
        self.entry_of[start] = self.block_of[_ENTRY - start] = len(self.bodies)
        self.empties = False
        if start == 0:
            begin += b"".join([rr(b"\x31", reg, reg, wide=False) for reg in saved])
            if _MAY_GOTO in self.codes:
                begin += mem(b"\xc7", 0, R9, AT["rounds"], wide=True) + imm32(MAY_GOTO_ROUNDS)
        self._add(begin)
        self.checker.forget()

    def _end_function(self) -> None:
        if self.branches[-1] not in (ALWAYS, STOP):
            raise Unfit
        for copy in self.checker.copies[self.first_copy :]:
            for site in copy.sites:
                site.block = len(self.bodies)
            self.checker.sites += copy.sites
            self.checker.landings[copy.landing] = (len(self.bodies), 0)
            self.block_of[_BLOCK + copy.of] = copy.of + 1
            self._add(copy.body, ALWAYS, _BLOCK + copy.of)
        self.first_copy = len(self.checker.copies)
        if self.empties:
            self.block_of[self._empty_exit()] = len(self.bodies)
            self._add(rr(b"\x31", RAX, RAX, wide=False) + self.epilogue, STOP)

    def _empty_exit(self) -> int:
        """The key of the block that leaves the function with 0, where packet loads beyond the end go."""
        return -1 - self.function[0]

    def _add(self, body: bytes, branch: int = FALL, target: int = 0, tail: bytes = b"") -> None:
        self.bodies.append(body)
        self.branches.append(branch)
        self.targets.append(target)
        self.tails.append(tail)

    def _plain_block(self, begin: int, end: int) -> None:
        """Without checks: a condition's comparison is emitted like any other instruction."""
        number = self.block_of[begin] = len(self.bodies)
        last = end - 1
        code = self.codes[last]
        kind = _KINDS[code]
        if kind >= 0:
            off = self.items[last][1]
            target, low_high = end + off, self.function
            if off == 1 and (over := self._jumps_over(last)) is not None:
                target, kind, self.skipped = over, kind ^ 1, end
            if not low_high[0] <= target < low_high[1]:
                raise Unfit
            self.bodies.append(b"".join(self.emitted[begin:end]))
            self.branches.append(kind)
            self.targets.append(target)
            self.tails.append(b"")
        elif kind == _PLAIN:
            self._add(b"".join(self.emitted[begin:end]))
        else:
            body = b"".join(self.emitted[begin:last])
            self._special(code, body, last, number)

    def _checked_block(self, begin: int, end: int) -> None:
        number = self.block_of[begin] = len(self.bodies)
        last = end - 1
        code = self.codes[last]
        kind = _KINDS[code]
        body = self.checker.block(begin, end if kind == _PLAIN else last, number, begin in self.leaders)
        if self.copied < len(self.checker.copies):  # copies go on with what ends the block
            self.copied = len(self.checker.copies)
            self._add(body)
            number, body = number + 1, b""
        if kind >= 0:
            self._conditional(body, last, number, kind)
        elif kind == _PLAIN:
            self._add(body)
        else:
            self._special(code, body, last, number)

    def _special(self, code: int, body: bytes, pc: int, number: int) -> None:
        special = _SPECIAL.get(code)
        if special is None:
            raise Unfit
        more, branch, target, tail = special(self, pc, number, len(body))
        self._add(body + more, branch, target, tail)

    def _conditional(self, body: bytes, pc: int, number: int, branch: int) -> None:
        key, off, imm = self.items[pc]
        target = pc + 1 + off
        if off == 1 and (over := self._jumps_over(pc)) is not None:
            target, branch, self.skipped = over, branch ^ 1, pc + 1
        low, high = self.function
        if not low <= target < high:
            raise Unfit
        if target <= pc:
            body += self._spend(pc - target + 1, pc, number, len(body))
        if branch == _EQUAL and imm == 0 and key & 0xFF == 0x15:
            self.checker.not_null(key >> 8 & 15)
        self._add(body + self.emitted[pc], branch, target)

    def _jumps_over(self, pc: int) -> int | None:
        """Where the jump goes that alone lies between the condition at `pc` and its target: the condition turned
        round goes there itself, and the jump is never reached."""
        if pc + 1 in self.leaders or pc + 2 >= self.function[1]:
            return None
        key, off, imm = self.items[pc + 1]
        if key not in (5, 6):
            return None
        return pc + 2 + (off if key == 5 else imm)

    def _charge(self, pc: int, target: int, number: int, length: int) -> bytes:
        """Take the length of a loop from the budget, where it jumps back."""
        self._check_target(target)
        if not self.checked or target > pc:
            return b""
        return self._spend(pc - target + 1, pc, number, length)

    def _spend(self, count: int, pc: int, number: int, length: int) -> bytes:
        code = _spending.get(count)
        if code is None:
            code = _spending[count] = alu_imm(5, R12, count) + b"\x0f\x88\0\0\0\0"
        self.checker.sites.append(Site(number, length + len(code), "fault", state.BUDGET, pc))
        return code

    def _check_target(self, target: int) -> None:
        if not self.function[0] <= target < self.function[1]:
            raise Unfit

    # ── what ends a block: code, kind of branch, target, code after the branch ───────────────────────────

    def _exit(self, pc: int, number: int, length: int) -> _End:
        if self.items[pc] != (0x95, 0, 0):
            raise Unfit
        return self.epilogue, STOP, 0, b""

    def _goto(self, pc: int, number: int, length: int) -> _End:
        key, off, imm = self.items[pc]
        if key not in (5, 6) or (imm if key == 5 else off):
            raise Unfit
        target = pc + 1 + (off if key == 5 else imm)
        return self._charge(pc, target, number, length), ALWAYS, target, b""

    def _may_goto(self, pc: int, number: int, length: int) -> _End:
        key, off, imm = self.items[pc]
        if key != 0xE5 or imm:
            raise Unfit
        self._check_target(pc + 1 + off)
        left = mem(b"\x83", 7, R9, AT["rounds"], wide=True) + I8[0]
        return left, _CONDITION_CODES[0x10], pc + 1 + off, mem(b"\xff", 1, R9, AT["rounds"], wide=True)

    def _call(self, pc: int, number: int, length: int) -> _End:
        key, _, imm = self.items[pc]
        if key == 0x1085:
            spend = self._spend(self.lengths[pc + 1 + imm], pc, number, length) if self.checked else b""
            more = spend + self._deeper(pc, number, length + len(spend))
            self.checker.after_call()
            return more, CALL, _ENTRY - (pc + 1 + imm), _UP
        if key not in (0x85, 0x2085):
            raise Unfit
        code = load_imm64(R10, imm & 0xFFFFFFFF | (key == 0x2085) << 63)
        if key == 0x85 and imm in OPERATIONS and self.natives:
            native = self._native_call(pc, imm, number, length, code)
            if native is not None:
                return native, FALL, 0, b""
        tail = key == 0x85 and imm == _TAIL_CALL
        code += _PY_TAIL if tail else _PY_CALL
        self.calls.append((number, length + len(code), pc))
        self.checker.after_call()
        if tail:
            go = self.epilogue[:-1] + rr(b"\xff", 4, R11, wide=False)
            code += rr(b"\x85", R11, R11) + b"\x74" + I8[len(go)] + go
        return code, FALL, 0, b""

    def _native_call(self, pc: int, helper: int, number: int, length: int, python: bytes) -> bytes | None:
        """A helper of the map in r1 as machine code, if there is one; through Python when an argument is not as
        it should be, since that tells what is wrong."""
        handle, sure = self._map_in_r1(pc)
        native = self.natives.find(helper, handle) if self.natives and handle else None
        if native is None:
            return None
        code = b"" if sure else load_imm64(R11, handle) + rr(b"\x39", R11, REGISTERS[1]) + b"\x0f\x85\0\0\0\0"
        jump = len(code)
        landing = -1
        for reg, size in native.reads if self.checked else ():
            landing = landing if landing >= 0 else self.checker.land(number, 0)
            check = self.checker.argument(reg, size or self._number_in(3, pc), pc, number, length + len(code), landing)
            if check is None:
                return None
            code += check
        code += load_imm64(R11, native.address) + rr(b"\xff", 2, R11, wide=False)
        python += _PY_CALL
        if jump or landing >= 0:
            code += b"\xeb" + I8[len(python)]
            if landing >= 0:
                self.checker.landings[landing] = (number, length + len(code))
            if jump:
                code = code[: jump - 4] + imm32(len(code) - jump) + code[jump:]
            code += python
            self.calls.append((number, length + len(code), pc))
        self.checker.after_call()
        if sure and native.value_bytes:
            self.checker.result(native.value_bytes, native.writable)
        return code

    def _map_in_r1(self, pc: int) -> tuple[int, bool]:
        """The map that a call at `pc` is about, and whether that is sure: r1 was loaded, or copied from a register
        that a map was loaded into."""
        reg, sure = 1, True
        for at in range(pc - 1, self.function[0] - 1, -1):
            key, _, imm = self.items[at]
            if key & ~0xFFF == WIDE and key >> 8 & 15 == reg:
                return (imm, sure) if self.natives and self.natives.is_map(imm) else (0, False)
            if self.codes[at] & 7 in (5, 6):
                if reg < 6 and self.codes[at] & 0xF7 == 0x85:  # a call changes r0 to r5
                    return 0, False
                sure = False
            elif sure and key & 0xFFF == 0xBF | reg << 8 and not key >> 16:
                reg = key >> 12
            elif sure and self._changes(key, reg):
                return 0, False
            if at in self.leaders:
                sure = False
        return 0, False

    def _changes(self, key: int, reg: int) -> bool:
        if key == NOTHING:
            return False
        if not key >> 16 and key & 7 in (2, 3):  # an atomic operation may change its source, or r0
            return key & 0xE7 == 0xC3 and (key >> 12 == reg or reg == 0)
        return key >> 8 & 15 == reg

    def _number_in(self, reg: int, pc: int) -> int:
        """The number that a register was set to in this block; one too large to check when that is not known."""
        for at in range(pc - 1, self.function[0] - 1, -1):
            key, off, imm = self.items[at]
            if key in (0xB7 | reg << 8, 0xB4 | reg << 8) and off == 0 and imm > 0:
                return int(imm)
            if at in self.leaders or self.codes[at] & 7 in (5, 6) or self._changes(key, reg):
                break
        return 1 << 30

    def _deeper(self, pc: int, number: int, length: int) -> bytes:
        """One frame down; a fault when there is none."""
        if not self.checked:
            return _DOWN
        self.checker.sites.append(Site(number, length + len(_IS_DEEP), "fault", state.DEPTH, pc))
        return _IS_DEEP + _DOWN

    def _call_register(self, pc: int, number: int, length: int) -> _End:
        """A function by its address (see Host.function_address), else a helper by its number."""
        key, off, imm = self.items[pc]
        if key & 0xF0FF != 0x8D or off or imm or key >> 8 & 15 > 10:
            raise Unfit
        register, program = REGISTERS[key >> 8 & 15], self.program
        self.indirect = True
        first = FUNCTIONS | program.number << 32
        code = load_imm64(R11, first) + mov(R10, register) + rr(b"\x29", R11, R10) + alu_imm(7, R10, self.count)
        spend = self._spend(self.count, pc, number, length) if self.checked else b""
        helper = mov(R10, register) + _NO_KFUNC + _PY_CALL
        look = load_imm64(R11, self.function_table) + b"\x4f\x8b\x14\xd3"  # mov r10, [r11 + r10 * 8]
        look += rr(b"\x85", R10, R10) + b"\x0f\x84\0\0\0\0"
        skip = b"\x0f\x83"  # to the helper
        before = length + len(spend) + len(code) + 6
        self.checker.sites.append(Site(number, before + len(look), "fault", state.NO_FUNCTION, pc))
        go = self._deeper(pc, number, before + len(look)) + rr(b"\xff", 2, R10, wide=False)
        go += alu_imm(5, RBP, -FRAME_BYTES) + b"\xeb" + I8[len(helper)]
        code = spend + code + skip + imm32(len(look) + len(go)) + look + go + helper
        self.calls.append((number, length + len(code), pc))
        self.checker.after_call()
        return code, FALL, 0, b""

    def _packet(self, pc: int, number: int, length: int) -> _End:
        key, off, imm = self.items[pc]
        size = _PACKET_SIZES[key & 0x18]
        source = key >> 12
        if off or key >> 8 & 15 or source > 10 or (source and key & 0xFF < 0x40):
            raise Unfit
        code = lea(R10, REGISTERS[source], imm, wide=False) if key & 0xFF >= 0x40 else load_imm64(R10, imm & 0xFFFFFFFF)
        code += lea(R11, R10, size) + mem(b"\x3b", R11, R9, AT["packet_bytes"], wide=True)
        load = mem(b"\x8b", R11, R9, AT["packet"], wide=True) + _PACKET_CODE[size]
        self.checker.known.lose(0)
        self.empties = True
        return code, _CONDITION_CODES[0x20], self._empty_exit(), load

    # ── layout ───────────────────────────────────────────────────────────────────────────────────────────

    def _lay_out(self) -> Compiled:
        targets = list(map(self.block_of.__getitem__, self.targets))
        loops = {self.block_of[slot] for slot in self.loops}
        blocks = Blocks(self.bodies, self.branches, targets, self.tails)
        code, at = blocks.join(loops)
        stubs = len(code)
        add_stubs(code, at, self.checker.sites, self.checker.landings)
        entries = {slot: at[block] for slot, block in self.entry_of.items()}
        calls = {at[block] + offset: pc for block, offset, pc in self.calls}
        sites = [site for site in self.checker.sites if site.slow < 0]
        compiled = Compiled(bytes(code), entries, stubs, sites, calls)
        compiled.lengths = self.lengths
        return compiled


_End = tuple[bytes, int, int, bytes]
_SPECIAL: dict[int, Callable[[Compiler, int, int, int], _End]] = {
    0x95: Compiler._exit,
    0x05: Compiler._goto,
    0x06: Compiler._goto,
    0xE5: Compiler._may_goto,
    0x85: Compiler._call,
    0x8D: Compiler._call_register,
    **dict.fromkeys(_PACKET_LOADS, Compiler._packet),
}
# what an opcode at the end of a block means: nothing, one of _SPECIAL, or the condition code of a jump
_PLAIN, _SPECIAL_END = -1, -2
_KINDS = [
    _SPECIAL_END
    if code in _SPECIAL
    else _CONDITION_CODES.get(code & 0xF0, _SPECIAL_END)
    if code & 7 in (5, 6)
    else _PLAIN
    for code in range(256)
]
CODES = Codes(frozenset(_SPECIAL))
_frames: dict[frozenset[int], tuple[list[int], bytes, bytes]] = {}


def _frame(mentions: frozenset[int]) -> tuple[list[int], bytes, bytes]:
    """The registers to keep of a function whose instructions have these bits of _MENTIONED; what saves them; what takes
    them back and returns."""
    found = _frames.get(mentions)
    if found is None:
        saved = [REGISTERS[reg] for reg in CALLEE_SAVED if any(bits >> reg - 6 & 1 for bits in mentions)]
        leave = b"".join(map(pop, reversed(saved))) + b"\xc3"
        found = _frames[mentions] = saved, b"".join(map(push, saved)), leave
    return found


_DOWN, _UP = alu_imm(0, RBP, -FRAME_BYTES), alu_imm(5, RBP, -FRAME_BYTES)
_IS_DEEP = lea(R11, RBP, -FRAME_BYTES) + mem(b"\x3b", R11, R9, AT["stack_limit"], wide=True) + b"\x0f\x82\0\0\0\0"
_spending: dict[int, bytes] = {}
_PY_CALL, _PY_TAIL = (mem(b"\xff", 2, R9, AT[name]) for name in ("py_call", "py_tail"))
_NO_KFUNC = b"\x49\x0f\xba\xf2\x3f"  # btr r10, 63: with that bit a number is a kernel function's
_PACKET_SIZES = {0x00: 4, 0x08: 2, 0x10: 1}
# movzx eax, byte [r11 + r10] · movzx eax, word; rol ax, 8 · mov eax, dword; bswap eax
_PACKET_CODE = {
    1: b"\x43\x0f\xb6\x04\x13",
    2: b"\x43\x0f\xb7\x04\x13\x66\xc1\xc0\x08",
    4: b"\x43\x8b\x04\x13\x0f\xc8",
}
