"""The functions that the semantics column of the opcode table calls, and that column compiled."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.isa.opcodes import Opcode


def sx8(value: int) -> int:
    return ((value & 0xFF) ^ 0x80) - 0x80


def sx16(value: int) -> int:
    return ((value & 0xFFFF) ^ 0x8000) - 0x8000


def sx32(value: int) -> int:
    return ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


def sx64(value: int) -> int:
    return ((value & 0xFFFFFFFFFFFFFFFF) ^ 0x8000000000000000) - 0x8000000000000000


def bswap16(value: int) -> int:
    return int.from_bytes((value & 0xFFFF).to_bytes(2, "little"), "big")


def bswap32(value: int) -> int:
    return int.from_bytes((value & 0xFFFFFFFF).to_bytes(4, "little"), "big")


def bswap64(value: int) -> int:
    return int.from_bytes((value & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little"), "big")


def quotient(dividend: int, divisor: int) -> int:
    """Signed division that drops the fraction (Python's rounds down)."""
    result = abs(dividend) // abs(divisor)
    return result if (dividend < 0) == (divisor < 0) else -result


def remainder(dividend: int, divisor: int) -> int:
    """What `quotient` leaves: it has the dividend's sign."""
    result = abs(dividend) % abs(divisor)
    return -result if dividend < 0 else result


NAMESPACE: dict[str, object] = {
    function.__name__: function for function in (sx8, sx16, sx32, sx64, bswap16, bswap32, bswap64, quotient, remainder)
}

_compiled: dict[str, Callable[[int, int], int]] = {}


def evaluator(row: Opcode) -> Callable[[int, int], int]:
    """A function (dst, src) → result for an arithmetic or conditional-jump row.

    Takes unsigned 64-bit register values (for an immediate form, the sign-extended immediate as the
    second) and cuts them to the row's width. An arithmetic result is the new 64-bit register value.
    """
    found = _compiled.get(row.name)
    if found is None:
        mask = (1 << row.bits) - 1
        body = row.semantics.format(d=f"(d & {mask:#x})", s=f"(s & {mask:#x})")
        found = _compiled[row.name] = eval(f"lambda d, s: {body}", NAMESPACE)
    return found
