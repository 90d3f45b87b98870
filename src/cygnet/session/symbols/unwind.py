"""Stacks of processes by their unwind tables: from the registers and a copy of the stack to return addresses.

x86-64. The registers are numbered as its psABI numbers them for DWARF (figure 3.36).
"""

from __future__ import annotations

from struct import unpack_from

from cygnet.elf.dwarf.framerules import EXPRESSION, OFFSET, REGISTER, SAME, UNDEFINED, VALUE, VALUE_EXPRESSION
from cygnet.errors import ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cygnet.elf.dwarf.framerules import Row
    from cygnet.session.symbols.user import UserSymbols

#: where the registers 0 to 16 stand in the kernel's struct pt_regs (arch/x86/include/asm/ptrace.h), in words
PT_REGS = (10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0, 16)
PT_REGS_BYTES = 168
BP, SP, IP = 6, 7, 16
_MASK = (1 << 64) - 1
MOST_FRAMES = 1024  # the language's limit
_TRAMPOLINE = "[uprobes]"


class _Outside(Exception):
    """A place that is not in the copy of the stack."""


class Snapshot:
    """The registers of a thread in user mode, and the part of its stack from `base` on."""

    __slots__ = ("base", "registers", "stack")

    def __init__(self, registers: list[int | None], base: int, stack: bytes) -> None:
        self.registers = registers
        self.base = base
        self.stack = stack

    @classmethod
    def of(cls, pt_regs: bytes, base: int, stack: bytes) -> Snapshot:
        words = unpack_from("<21Q", pt_regs)
        return cls([words[place] for place in PT_REGS], base, stack)

    def memory(self, address: int, size: int = 8) -> int:
        at = address - self.base
        if at < 0 or at + size > len(self.stack):
            raise _Outside
        return int.from_bytes(self.stack[at : at + size], "little")


def unwind(symbols: UserSymbols, pid: int, start: Snapshot, limit: int = MOST_FRAMES) -> tuple[list[int], str]:
    """(addresses, the innermost first; why there are no more). At most `limit` addresses.

    The second is empty where the outermost function is reached, or the limit.
    """
    registers, exact = list(start.registers), True
    out: list[int] = []
    while len(out) < limit:
        address = registers[IP]
        if not address:
            break
        out.append(address)
        # All but the first address, and where a signal came, are behind a call: the call says which rules hold.
        path, row = symbols.frame(pid, address if exact else address - 1)
        try:
            if row is None:
                if not _by_frame_pointer(registers, start, path):
                    return out, _no_rules(path, address)
                exact = False
                continue
            registers, more = _caller(row, registers, start)
        except _Outside:
            return out, _outside(start)
        except ElfError as error:
            return out, f"unwinding failed: {error}"
        if not more:
            break
        exact = row.signal
    return out, ""


def _no_rules(path: str, address: int) -> str:
    if path == _TRAMPOLINE:
        return "unwinding failed: a uretprobe hides the caller"
    if not path:
        return f"unwinding failed: nothing is mapped at {address:#x}"
    return f"unwinding failed: {path} has no unwind table for {address:#x}"


def _outside(start: Snapshot) -> str:
    if not start.stack:
        return "unwinding failed: the stack could not be read"
    return f"unwinding failed: the frame is not in the {len(start.stack)} bytes of stack that were copied"


def _by_frame_pointer(registers: list[int | None], start: Snapshot, path: str) -> bool:
    """Code that a JIT made has no tables, and mostly keeps the frame pointer; True when there was a caller."""
    frame, stack = registers[BP], registers[SP]
    if path == _TRAMPOLINE or not path or frame is None or stack is None or frame < stack or frame & 7:
        return False
    before, back = start.memory(frame), start.memory(frame + 8)
    if not back or (before and before <= frame):
        return False
    registers[BP], registers[SP], registers[IP] = before, frame + 16, back
    return True


def _caller(row: Row, registers: list[int | None], start: Snapshot) -> tuple[list[int | None], bool]:
    """(the registers in the caller, whether there is one)."""

    def register(number: int) -> int:
        value = registers[number] if number < len(registers) else None
        if value is None:
            raise ElfError(f"register {number} is not known")
        return value

    kind, what, offset = row.cfa
    if kind == EXPRESSION:
        from cygnet.elf.dwarf.expressions import evaluate

        cfa = evaluate(what, register, start.memory, [])
    else:
        cfa = register(what) + offset & _MASK
    made = list(registers)
    for number in (0, 1, 2, 4, 5, 8, 9, 10, 11):  # the callee may have changed these
        made[number] = None
    made[SP] = cfa
    if row.column not in row.rules:
        raise ElfError("the unwind table does not say where the return address is")
    for number, (rule, value) in row.rules.items():
        if number < len(made):
            made[number] = _restored(rule, value, cfa, registers[number], register, start)
    made[IP] = made[row.column] if row.column < len(made) else None
    stack, frame = registers[SP], made[SP]
    if made[IP] is not None and stack is not None and frame is not None and frame <= stack and not row.signal:
        raise ElfError("the stack does not grow")
    return made, made[IP] is not None


def _restored(
    rule: int, value: Any, cfa: int, now: int | None, register: Callable[[int], int], start: Snapshot
) -> int | None:
    if rule == OFFSET:
        return start.memory(cfa + value & _MASK)
    if rule == UNDEFINED:
        return None
    if rule == SAME:
        return now
    if rule == VALUE:
        return int(cfa + value & _MASK)
    if rule == REGISTER:
        return int(register(value))
    from cygnet.elf.dwarf.expressions import evaluate

    assert rule in (EXPRESSION, VALUE_EXPRESSION)
    found = evaluate(value, register, start.memory, [cfa])
    return start.memory(found) if rule == EXPRESSION else found
