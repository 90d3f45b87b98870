"""DWARF expressions (DWARF 5, 2.5), as far as unwind tables use them."""

from __future__ import annotations

from cygnet.elf.dwarf.cursor import Cursor
from cygnet.errors import ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_MASK = (1 << 64) - 1
_MOST_STEPS = 1 << 12


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _quotient(a: int, b: int) -> int:
    return a // b if (a < 0) == (b < 0) else -(-a // b)


#: operator -> what it makes of (second, top)
_BINARY: dict[int, Callable[[int, int], int]] = {
    0x1A: lambda a, b: a & b,
    0x1C: lambda a, b: a - b,
    0x1B: lambda a, b: _quotient(_signed(a), _signed(b)),
    0x1D: lambda a, b: a % b,
    0x1E: lambda a, b: a * b,
    0x21: lambda a, b: a | b,
    0x22: lambda a, b: a + b,
    0x24: lambda a, b: a << b if b < 64 else 0,
    0x25: lambda a, b: a >> b,
    0x26: lambda a, b: _signed(a) >> b,
    0x27: lambda a, b: a ^ b,
    0x29: lambda a, b: int(a == b),
    0x2A: lambda a, b: int(_signed(a) >= _signed(b)),
    0x2B: lambda a, b: int(_signed(a) > _signed(b)),
    0x2C: lambda a, b: int(_signed(a) <= _signed(b)),
    0x2D: lambda a, b: int(_signed(a) < _signed(b)),
    0x2E: lambda a, b: int(a != b),
}
_UNARY: dict[int, Callable[[int], int]] = {
    0x19: lambda a: abs(_signed(a)),
    0x1F: lambda a: -a,
    0x20: lambda a: ~a,
}
#: constants: operator -> (bytes, signed)
_CONSTANTS = {
    0x03: (8, False), 0x08: (1, False), 0x09: (1, True), 0x0A: (2, False), 0x0B: (2, True), 0x0C: (4, False),
    0x0D: (4, True), 0x0E: (8, False), 0x0F: (8, True),
}  # fmt: skip


def evaluate(code: bytes, registers: Callable[[int], int], memory: Callable[[int, int], int], stack: list[int]) -> int:
    """The value on top of the stack when the expression is done.

    `registers(number)` and `memory(address, size)` answer for the frame; `stack` is what lies there at first (the
    frame address, for a register's rule). Raises ElfError when the expression makes no sense.
    """
    cursor = Cursor(code)
    try:
        for _ in range(_MOST_STEPS):
            if cursor.at >= len(code):
                return stack[-1]
            _step(cursor, cursor.uint(1), registers, memory, stack)
    except (IndexError, ZeroDivisionError, ValueError, OverflowError):
        raise ElfError("an expression of unwind tables makes no sense", cursor.at) from None
    raise ElfError("an expression of unwind tables has no end")


def _step(
    cursor: Cursor, op: int, registers: Callable[[int], int], memory: Callable[[int, int], int], stack: list[int]
) -> None:
    if op in _BINARY:
        top = stack.pop()
        stack.append(_BINARY[op](stack.pop(), top) & _MASK)
    elif op in _UNARY:
        stack.append(_UNARY[op](stack.pop()) & _MASK)
    elif 0x30 <= op <= 0x4F:
        stack.append(op - 0x30)
    elif 0x70 <= op <= 0x8F:
        stack.append(registers(op - 0x70) + cursor.sleb() & _MASK)
    elif op in _CONSTANTS:
        size, signed = _CONSTANTS[op]
        stack.append((cursor.sint(size) if signed else cursor.uint(size)) & _MASK)
    elif op in (0x10, 0x11):
        stack.append((cursor.uleb() if op == 0x10 else cursor.sleb()) & _MASK)
    elif op == 0x92:
        register = cursor.uleb()
        stack.append(registers(register) + cursor.sleb() & _MASK)
    elif op == 0x06:
        stack.append(memory(stack.pop(), 8))
    elif op == 0x94:
        size = cursor.uint(1)
        stack.append(memory(stack.pop(), size))
    elif op == 0x23:
        stack.append(stack.pop() + cursor.uleb() & _MASK)
    else:
        _move(cursor, op, stack)


def _move(cursor: Cursor, op: int, stack: list[int]) -> None:
    """What only moves things on the stack, or the place in the expression."""
    if op == 0x12:
        stack.append(stack[-1])
    elif op == 0x13:
        stack.pop()
    elif op == 0x14:
        stack.append(stack[-2])
    elif op == 0x15:
        stack.append(stack[-1 - cursor.uint(1)])
    elif op == 0x16:
        stack[-1], stack[-2] = stack[-2], stack[-1]
    elif op == 0x17:
        stack[-3:] = stack[-1], stack[-3], stack[-2]
    elif op in (0x28, 0x2F):
        by = cursor.sint(2)
        if op == 0x2F or stack.pop():
            cursor.at += by
            if cursor.at < 0:
                raise ElfError("an expression of unwind tables leaves itself", cursor.at)
    elif op != 0x96:  # nop
        raise ElfError(f"an expression of unwind tables has an operator {op:#x} that is not known", cursor.at)
