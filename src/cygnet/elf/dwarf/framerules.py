"""Call frame instructions: from a record of an unwind table to the rules for one address (DWARF 5, 6.4.2)."""

from __future__ import annotations

from cygnet.elf.dwarf.cursor import Cursor
from cygnet.errors import ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: what a rule says of a register: it is lost; it is as it was; it is in memory at CFA + n; it is CFA + n; it is in
#: register n; it is in memory where an expression says; it is what an expression says
UNDEFINED, SAME, OFFSET, VALUE, REGISTER, EXPRESSION, VALUE_EXPRESSION = range(7)

_MOST_STEPS = 1 << 16  # instructions of one record


class Row:
    """The rules for one place. `cfa` is (REGISTER, register, offset) or (EXPRESSION, bytes, 0): the canonical frame
    address; `rules` those of registers that are not the same in the caller; `column` the return address's; `signal`:
    the frame of a signal handler's caller, whose address is not behind a call."""

    __slots__ = ("cfa", "column", "rules", "signal")

    def __init__(self, cfa: tuple[int, Any, int], rules: dict[int, tuple[int, Any]], column: int, signal: bool) -> None:
        self.cfa = cfa
        self.rules = rules
        self.column = column
        self.signal = signal


class Common:
    """A CIE: what the records of many functions share."""

    __slots__ = ("code_align", "column", "data_align", "encoding", "has_extra", "initial", "signal")

    def __init__(self) -> None:
        self.code_align = self.data_align = 1
        self.column = 0
        self.encoding = 0
        self.has_extra = self.signal = False
        self.initial: bytes = b""


def number(cursor: Cursor, form: int, word: int) -> int:
    if form == 1:
        return cursor.uleb()
    if form == 9:
        return cursor.sleb()
    sizes = {0: word, 2: 2, 3: 4, 4: 8, 8: word, 10: 2, 11: 4, 12: 8}
    if form not in sizes:
        raise ElfError(f"numbers of unwind tables are encoded in a way (number {form}) that is not known", cursor.at)
    return cursor.sint(sizes[form]) if form & 8 else cursor.uint(sizes[form])


class Machine:
    """Runs the instructions of a record up to an address (DWARF 5, 6.4.2)."""

    def __init__(self, little: bool, word: int, common: Common, start: int, size: int, code: bytes) -> None:
        self.little = little
        self.word = word
        self.common = common
        self.location = start
        self.code = code
        self.cfa: tuple[int, Any, int] = (UNDEFINED, 0, 0)
        self.rules: dict[int, tuple[int, Any]] = {}
        self.first: dict[int, tuple[int, Any]] = {}
        self.saved: list[tuple[tuple[int, Any, int], dict[int, tuple[int, Any]]]] = []

    def run(self, address: int) -> Row:
        self._run(self.common.initial, address)
        self.first = dict(self.rules)
        self._run(self.code, address)
        if self.cfa[0] == UNDEFINED:
            raise ElfError(f"unwind tables give no frame address for {address:#x}")
        return Row(self.cfa, self.rules, self.common.column, self.common.signal)

    def _run(self, code: bytes, address: int) -> None:
        cursor = Cursor(code, 0, self.little)
        align, data_align = self.common.code_align, self.common.data_align
        for _ in range(_MOST_STEPS):
            if cursor.at >= len(code) or self.location > address:
                return
            op = cursor.uint(1)
            high, low = op >> 6, op & 63
            if high == 1:
                if self.location + low * align > address:
                    return
                self.location += low * align
            elif high == 2:
                self.rules[low] = OFFSET, cursor.uleb() * data_align
            elif high == 3:
                self._restore(low)
            elif op in (1, 2, 3, 4):
                if op == 1:
                    self.location = self._address(cursor)
                else:
                    self.location += cursor.uint(1 << op - 2) * align
                if self.location > address:
                    return
            else:
                self._other(op, cursor, data_align)
        raise ElfError("a record of unwind tables has no end")

    def _address(self, cursor: Cursor) -> int:
        encoding = self.common.encoding
        if encoding & 0x70:  # relative to where it stands, which the copied instructions do not know
            raise ElfError("an unwind table sets a relative address, which is not known")
        return number(cursor, encoding & 15, self.word)

    def _restore(self, register: int) -> None:
        if register in self.first:
            self.rules[register] = self.first[register]
        else:
            self.rules.pop(register, None)

    def _other(self, op: int, cursor: Cursor, data_align: int) -> None:
        handler = _OPS.get(op)
        if handler is None:
            raise ElfError(f"an unwind table has an instruction {op:#x} that is not known", cursor.at)
        handler(self, cursor, data_align)

    # ── one each ──

    def _keep(self, cursor: Cursor, align: int) -> None:
        self.saved.append((self.cfa, dict(self.rules)))

    def _bring_back(self, cursor: Cursor, align: int) -> None:
        self.cfa, self.rules = self.saved.pop()

    def _define(self, cursor: Cursor, align: int) -> None:
        register = cursor.uleb()
        self.cfa = REGISTER, register, cursor.uleb()

    def _define_signed(self, cursor: Cursor, align: int) -> None:
        register = cursor.uleb()
        self.cfa = REGISTER, register, cursor.sleb() * align

    def _cfa_expression(self, cursor: Cursor, align: int) -> None:
        self.cfa = EXPRESSION, bytes(cursor.take(cursor.uleb())), 0

    def _set(self, cursor: Cursor, kind: int, how: str, align: int) -> None:
        register = cursor.uleb()
        value: int | bytes = 0
        if how == "u":
            value = cursor.uleb() * align
        elif how == "s":
            value = cursor.sleb() * align
        elif how == "e":
            value = bytes(cursor.take(cursor.uleb()))
        self.rules[register] = kind, value

    def _restore_extended(self, cursor: Cursor, align: int) -> None:
        self._restore(cursor.uleb())


_OPS: dict[int, Callable[[Machine, Cursor, int], Any]] = {
    0x00: lambda m, c, a: None,
    0x05: lambda m, c, a: m._set(c, OFFSET, "u", a),
    0x06: Machine._restore_extended,
    0x07: lambda m, c, a: m._set(c, UNDEFINED, "", a),
    0x08: lambda m, c, a: m._set(c, SAME, "", a),
    0x09: lambda m, c, a: m._set(c, REGISTER, "u", 1),
    0x0A: Machine._keep,
    0x0B: Machine._bring_back,
    0x0C: Machine._define,
    0x0D: lambda m, c, a: setattr(m, "cfa", (REGISTER, c.uleb(), m.cfa[2])),
    0x0E: lambda m, c, a: setattr(m, "cfa", (REGISTER, m.cfa[1], c.uleb())),
    0x0F: Machine._cfa_expression,
    0x10: lambda m, c, a: m._set(c, EXPRESSION, "e", a),
    0x11: lambda m, c, a: m._set(c, OFFSET, "s", a),
    0x12: Machine._define_signed,
    0x13: lambda m, c, a: setattr(m, "cfa", (REGISTER, m.cfa[1], c.sleb() * a)),
    0x14: lambda m, c, a: m._set(c, VALUE, "u", a),
    0x15: lambda m, c, a: m._set(c, VALUE, "s", a),
    0x16: lambda m, c, a: m._set(c, VALUE_EXPRESSION, "e", a),
    0x2E: lambda m, c, a: c.uleb(),  # GNU_args_size: of no concern to the frame
    0x2F: lambda m, c, a: m._set(c, OFFSET, "u", -a),
}
