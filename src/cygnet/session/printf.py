"""printf: a format becomes one unpack layout and one ``%`` template.

A format is taken apart once. Each conversion gives a piece of a struct layout that reads the argument
at its place in the record, a piece of a bytes template, and, where the C meaning is not the one of
Python's ``%``, a function that turns the unpacked value into bytes (a *fix*). Truncation to a length
modifier is done by the layout: ``%d`` of a 64-bit field reads its low 32 bits.

So a record is ``template % unpack(record)``, and a batch of n records is one unpack and one ``%`` of
the template repeated n times.
"""

from __future__ import annotations

from struct import Struct

from cygnet.session.text import escape, texter
from cygnet.session.values import CODES, buffer_of, decoder, scalar_code
from cygnet.spec.formats import LENGTHS, Spec, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from cygnet.session.text import Context
    from cygnet.session.values import Buffer
    from cygnet.spec.values import VType

    Fix = Callable[[Any], Any]

_INTEGERS = frozenset("diuoxX")


class Column:
    """How one argument is read (`code`, a struct code at `offset`), shown (`piece`) and fixed."""

    __slots__ = ("code", "fix", "offset", "piece", "size")

    def __init__(self, offset: int, size: int, code: str, piece: bytes, fix: Fix | None) -> None:
        self.offset = offset
        self.size = size
        self.code = code
        self.piece = piece
        self.fix = fix


class Format:
    """A compiled format: a record's text is `template` with the record's columns put in.

    `layout` is the struct code of a record up to its last column, which ends at byte `size`; `fixes` are
    the (column, function) pairs to apply first, `columns` how many there are.
    """

    __slots__ = ("_unpack", "columns", "fixes", "layout", "size", "template")

    def __init__(self, template: bytes, columns: Sequence[Column]) -> None:
        self.template = template
        self.columns = len(columns)
        self.fixes = tuple((at, c.fix) for at, c in enumerate(columns) if c.fix is not None)
        self.layout = _layout(columns)
        self.size = columns[-1].offset + columns[-1].size if columns else 0
        self._unpack = Struct("<" + self.layout).unpack_from

    def one(self, record: Buffer, offset: int = 0) -> bytes:
        """The text of the record at `offset`."""
        values: Any = self._unpack(record, offset)
        if self.fixes:
            values = list(values)
            for at, fix in self.fixes:
                values[at] = fix(values[at])
            values = tuple(values)
        text: bytes = self.template % values
        return text

    def padded(self, before: int, stride: int) -> str:
        """The struct code of a record that lies `before` bytes into a slot of `stride` bytes."""
        return f"{before}x{self.layout}{stride - before - self.size}x"


def _layout(columns: Sequence[Column]) -> str:
    at, out = 0, []
    for column in columns:
        if column.offset < at:
            raise ValueError("the fields of a record overlap or are out of order")
        out.append(f"{column.offset - at}x{column.code}" if column.offset > at else column.code)
        at = column.offset + column.size
    return "".join(out)


def compile_format(text: str, fields: Sequence[tuple[int, VType]], context: Context) -> Format:
    """`fields` are the arguments' (offset, type), in order and with ascending offsets.

    A format that asks for more arguments than there are is a ValueError: the compiler checked it.
    """
    template, columns = [], []
    args = iter(fields)
    for literal, spec in parse(text):
        template.append(literal.encode("utf-8", "surrogateescape").replace(b"%", b"%%"))
        if spec is None:
            continue
        field = next(args, None)
        if field is None:
            raise ValueError(f"the format {text!r} has more conversions than arguments")
        column = _column(spec, field[0], field[1], context)
        columns.append(column)
        template.append(column.piece)
    return Format(b"".join(template), columns)


def value_line(offset: int, vtype: VType, context: Context) -> Format:
    """print(value): its text and a newline, as a format of one conversion."""
    column = _column(Spec("", 0, -1, "ll", "s"), offset, vtype, context)
    return Format(column.piece + b"\n", [column])


# ── one conversion of one argument ──


def _column(spec: Spec, offset: int, vtype: VType, context: Context) -> Column:
    return _LETTERS[spec.letter](spec, offset, vtype, context)


def _int_code(vtype: VType) -> str:
    return "B" if vtype.kind == "bool" else scalar_code(vtype)


def _integer(spec: Spec, offset: int, vtype: VType, context: Context) -> Column:
    """d i u o x X: cut or extended to the length modifier's width, then shown signed or unsigned."""
    want, have = LENGTHS[spec.length], vtype.size
    signed = spec.letter in "di"
    read = min(want, have)
    code = CODES[read, signed] if want <= have else _int_code(vtype)
    if not code:
        raise ValueError(f"a value of kind {vtype.kind!r} is no integer")
    mask = (1 << 8 * want) - 1 if want > have and vtype.signed and not signed else 0
    odd = spec.precision >= 0 or "#" in spec.flags or (not signed and ("+" in spec.flags or " " in spec.flags))
    if odd:
        return Column(offset, read, code, b"%b", lambda value: _c_integer(value & mask if mask else value, spec))
    letter = "d" if spec.letter in "diu" else spec.letter
    piece = f"%{spec.flags}{spec.width or ''}{letter}".encode()
    return Column(offset, read, code, piece, (lambda value: value & mask) if mask else None)


def _c_integer(value: int, spec: Spec) -> bytes:
    """An integer by the rules of C's printf: precision is a number of digits and cancels the flag 0."""
    letter = spec.letter
    digits = format(abs(value), letter if letter in "oxX" else "d").rjust(spec.precision, "0")
    if spec.precision == 0 and value == 0:
        digits = ""
    prefix = "-" if value < 0 else ""
    if letter in "di" and value >= 0:
        prefix = "+" if "+" in spec.flags else " " if " " in spec.flags else ""
    if "#" in spec.flags and letter in "xX" and value:
        prefix = "0" + letter
    if "#" in spec.flags and letter == "o" and not digits.startswith("0"):
        digits = "0" + digits
    if "0" in spec.flags and "-" not in spec.flags and spec.precision < 0:
        digits = digits.rjust(spec.width - len(prefix), "0")
    return _pad((prefix + digits).encode(), spec)


def _pad(text: bytes, spec: Spec) -> bytes:
    return text.ljust(spec.width) if "-" in spec.flags else text.rjust(spec.width)


def _char(spec: Spec, offset: int, vtype: VType, context: Context) -> Column:
    return Column(offset, 1, "B", f"%{_aligned(spec)}c".encode(), None)


def _aligned(spec: Spec) -> str:
    """Width and the one flag that strings and characters know."""
    return f"{'-' if '-' in spec.flags else ''}{spec.width or ''}"


def _pointer(spec: Spec, offset: int, vtype: VType, context: Context) -> Column:
    piece = f"%{_aligned(spec)}b".encode()
    return Column(offset, vtype.size, _int_code(vtype), piece, _pointer_text)


def _pointer_text(value: int) -> bytes:
    return b"0x%x" % (value & 0xFFFF_FFFF_FFFF_FFFF) if value else b"0"


def _text(spec: Spec, offset: int, vtype: VType, context: Context) -> Column:
    """s: any value, as print would show it. Width counts bytes; a precision has no effect."""
    piece = f"%{_aligned(spec)}b".encode()
    if vtype.kind == "str":
        return Column(offset, vtype.size, f"{vtype.size}s", piece, _string_fix(context.trailer))
    code = scalar_code(vtype)
    if code and vtype.kind == "int":
        return Column(offset, vtype.size, code, f"%{_aligned(spec)}d".encode(), None)
    show = texter(vtype, context)
    if code:
        return Column(offset, vtype.size, code, piece, lambda value: show(value).encode("utf-8", "surrogateescape"))
    return Column(offset, vtype.size, f"{vtype.size}s", piece, _raw_fix(vtype, context))


def _string_fix(trailer: str) -> Fix:
    cut = trailer.encode()

    def fix(raw: bytes) -> bytes:
        parts = raw.split(b"\0", 1)
        return parts[0] if len(parts) == 2 else raw + cut

    return fix


def _raw_fix(vtype: VType, context: Context) -> Fix:
    read, show = decoder(vtype, context.trailer), texter(vtype, context)
    return lambda raw: show(read(raw, 0)).encode("utf-8", "surrogateescape")


def _buffer(show: Callable[[bytes], str]) -> Callable[[Spec, int, VType, Context], Column]:
    def column(spec: Spec, offset: int, vtype: VType, context: Context) -> Column:
        if vtype.kind != "buf":
            return _text(spec, offset, vtype, context)
        piece = f"%{_aligned(spec)}b".encode()
        return Column(offset, vtype.size, f"{vtype.size}s", piece, lambda raw: show(buffer_of(raw)).encode())

    return column


def _hex_escaped(data: bytes) -> str:
    return "".join([f"\\x{byte:02x}" for byte in data])


def _gfp(spec: Spec, offset: int, vtype: VType, context: Context) -> Column:
    from cygnet.facts.gfp import gfp_text

    code = _int_code(vtype).upper()
    return Column(offset, vtype.size, code, f"%{_aligned(spec)}b".encode(), lambda value: gfp_text(value).encode())


_LETTERS: dict[str, Callable[[Spec, int, VType, Context], Column]] = {
    **dict.fromkeys(_INTEGERS, _integer),
    "c": _char,
    "p": _pointer,
    "s": _text,
    "r": _buffer(escape),
    "rx": _buffer(_hex_escaped),
    "rh": _buffer(lambda data: data.hex(" ")),
    "gr": _gfp,
    "%": _text,  # never reached: parse() makes it text
}
