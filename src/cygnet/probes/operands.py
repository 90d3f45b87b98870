"""Where the arguments of a USDT probe lie: the assembler's operands of its note, for x86-64.

``-4@%eax`` is 4 signed bytes of a register, ``8@-16(%rbp)`` and ``1@8(%rax,%rbx,4)`` lie in memory, ``4@$5`` is a
constant, ``8@counter(%rip)`` a variable. The form is <sys/sdt.h>'s.
"""

from __future__ import annotations

from cygnet.facts.registers import offsets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, NamedTuple
else:
    from cygnet.named import NamedTuple

CONST, REGISTER, MEMORY, UNKNOWN = "const", "register", "memory", "unknown"
_MACHINE: Final = "x86_64"
_SIZES = (1, 2, 4, 8)


class Operand(NamedTuple):
    """`size` in bytes. `value`: the constant; the register's offset in pt_regs; or what is added to the address, which
    is the sum of `base` (an offset in pt_regs, or -1) and `other` (likewise) times `scale`. `shift`: bits above which
    a part of a register lies (%ah). An operand of kind ``unknown`` cannot be read; `text` is how it was written."""

    kind: str
    size: int
    signed: bool
    value: int = 0
    base: int = -1
    other: int = -1
    scale: int = 1
    shift: int = 0
    text: str = ""


def parse(text: str, symbol: Callable[[str], int | None] = lambda name: None) -> tuple[Operand, ...]:
    """The operands of a probe's note. `symbol` gives a variable's address relative to the probe's."""
    return tuple([_operand(word, symbol) for word in text.split()])


def _operand(word: str, symbol: Callable[[str], int | None]) -> Operand:
    size_text, _, place = word.rpartition("@")
    number = _integer(size_text) if size_text else 8  # the oldest notes have no size
    if number is None or abs(number) not in _SIZES or not place:
        return Operand(UNKNOWN, 8, False, text=word)
    size, signed = abs(number), number < 0
    if place.startswith("$"):
        value = _integer(place[1:])
        return Operand(UNKNOWN if value is None else CONST, size, signed, _of_size(value or 0, size, signed), text=word)
    if place.startswith("%"):
        found = _registers().get(place[1:])
        if found is None:
            return Operand(UNKNOWN, size, signed, text=word)
        return Operand(REGISTER, size, signed, found[0], shift=found[1], text=word)
    return _memory(place, size, signed, symbol) or Operand(UNKNOWN, size, signed, text=word)


def _of_size(value: int, size: int, signed: bool) -> int:
    """A constant as its size and sign say: compilers write ``4@$-1`` for an unsigned number too."""
    if size == 8:
        return value
    value &= (1 << 8 * size) - 1
    return value - (1 << 8 * size) if signed and value >> (8 * size - 1) else value


def _memory(place: str, size: int, signed: bool, symbol: Callable[[str], int | None]) -> Operand | None:
    """``DISPLACEMENT(%BASE,%INDEX,SCALE)``; a symbol stands only before ``(%rip)`` or alone."""
    displacement, paren, rest = place.partition("(")
    if paren and not rest.endswith(")"):
        return None
    words = [word.strip() for word in rest[:-1].split(",")] if paren else []
    names = [word[1:] if word.startswith("%") else word for word in words[:2]]
    if any(name and name not in _registers() for name in names) or len(words) > 3:
        return None
    registers = [_registers()[name][0] if name else -1 for name in names] + [-1, -1]
    scale = _integer(words[2]) if len(words) == 3 and words[2] else 1
    value = _integer(displacement) if displacement else 0
    if value is None:  # the address of a variable is known from where the probe stands
        value, registers[0] = _variable(displacement, symbol), offsets(_MACHINE)["ip"]
    if value is None or scale is None:
        return None
    return Operand(MEMORY, size, signed, value, registers[0], registers[1], scale, text=place)


def _variable(text: str, symbol: Callable[[str], int | None]) -> int | None:
    name, sign = text, 0
    for at, char in enumerate(text):
        if char in "+-" and at:
            name, sign = text[:at], at
            break
    address = symbol(name)
    more = _integer(text[sign:]) if sign else 0
    return None if address is None or more is None else address + more


def _integer(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None


_known: dict[str, tuple[int, int]] = {}


def _registers() -> dict[str, tuple[int, int]]:
    """Every name of a register or part of one → (offset in pt_regs, bits to shift right)."""
    if not _known:
        at = offsets(_MACHINE)
        for name in ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp"):
            parts = [f"r{name}", f"e{name}", name, name[0] + "l" if name[1] == "x" else name + "l"]
            _known.update((part, (at[name], 0)) for part in parts)
            if name[1] == "x":
                _known[name[0] + "h"] = (at[name], 8)
        for number in range(8, 16):
            _known.update((f"r{number}{end}", (at[f"r{number}"], 0)) for end in ("", "d", "w", "b"))
        _known["rip"] = _known["eip"] = (at["ip"], 0)
    return _known
