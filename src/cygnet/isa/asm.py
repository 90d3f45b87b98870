"""Text to instructions: the syntax of the kernel's verifier log, with labels and comments.

One instruction a line. ``name:`` is a label, which jumps, ``call`` and ``subprog[name]`` may name;
``;``, ``#`` and ``//`` begin a comment. A line may begin as in a listing, ``12: (b7)``, or with
llvm-objdump's hexadecimal bytes, so listings can be pasted back. ``.insn code, dst, src, off, imm``
is any instruction at all.

Nothing here spells an instruction: the shapes come from the table's templates, each formatted with
marker values and cut into tokens; where a marker turns up, there its field is.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from cygnet.errors import AsmError, SourceErrors
from cygnet.isa.insn import Insn, ld_imm64, signed32
from cygnet.isa.opcodes import Opcode, rows
from cygnet.source import Source, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_COMMENT = re.compile(r";|//|(?:^|(?<=\s))#")
_PREFIX = re.compile(r"\s*\d+:\s*(?:\([0-9a-f]{2}\)\s*|(?:(?:[0-9a-f]{2}\s+){8}){1,2})?")
_LABEL = re.compile(r"\s*([A-Za-z_.$][\w.$]*)\s*:(?!:)")
_NUMBER = r"0[xX][0-9a-fA-F]+|\d+"
_TOKEN = re.compile(
    r"\s*(?:(?P<signed>s(?:>>=|>=|<=|>|<|/=|%=)(?=[\s\w-]))"
    rf"|(?P<reg>[rw]\d+\b)|(?P<number>(?:\+\s*)?(?:[+-]\s*)?(?:{_NUMBER})\b)"
    r"|(?P<word>[A-Za-z_.$][\w.$]*)"
    r"|(?P<op><<=|>>=|[-+*/%&|^=!<>]=|[-+*/%&|^=<>()\[\]:,#]))"
)
_TARGET = re.compile(
    rf"\s*(?:pc\s*)?(?:(?P<number>[+-]?\s*(?:{_NUMBER}))|(?P<word>[A-Za-z_.$][\w.$]*))(?:\s*<[^>]*>)?\s*$"
)
_CALL = re.compile(
    rf"\s*(?P<kfunc>kfunc\b\s*)?(?P<pc>pc\s*(?=[+-]|\d))?(?P<word>[A-Za-z_.$][\w.$-]*)?\s*#?\s*(?P<number>[+-]?(?:{_NUMBER}))?"
    rf"(?:\s*fd\[(?P<fd>-?(?:{_NUMBER}))\])?(?:\s*<[^>]*>)?\s*$"
)
_GOTO_WORDS = frozenset(("goto", "may_goto", "gotol"))
_MARKERS = {"d": 101, "s": 102, "o": 1003, "i": 1004, "x": 1004, "h": 1006, "q": 1007}
_FIELD_OF = {101: "d", 102: "s", 1003: "o", 1004: "i", 1006: "h", 1007: "q"}


class Assembled(NamedTuple):
    """A program: its slots, the text each came from (both slots of a 64-bit load have one), and its labels."""

    insns: list[Insn]
    spans: list[Span]
    labels: dict[str, int]


class _Token(NamedTuple):
    kind: str  # reg, number, target, or empty for what must be there literally
    shape: str
    value: int | str
    start: int
    end: int


class _Bad(Exception):
    """A fault at columns [start, end) of a line."""

    def __init__(self, message: str, start: int, end: int, hints: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message, self.start, self.end, self.hints = message, start, end, hints


def _integer(text: str) -> int:
    negative = text.count("-") % 2
    digits = text.lstrip("+- \t")
    value = int(digits, 16 if digits[:2] in ("0x", "0X") else 10)
    return -value if negative else value


def _tokens(line: str) -> list[_Token]:
    found: list[_Token] = []
    at, end = 0, len(line.rstrip())
    while at < end:
        match = _TOKEN.match(line, at)
        if match is None:
            raise _Bad(f"unexpected character {line[at:].lstrip()[0]!r}", at, end)
        kind, text = match.lastgroup or "", match[match.lastgroup or 0]
        start, at = match.start(kind), match.end()
        if kind == "reg":
            found.append(_Token("reg", text[0], int(text[1:]), start, at))
        elif kind == "number":
            found.append(_Token("number", "#", _integer(text), start, at))
        else:
            found.append(_Token("", text, text, start, at))
            if text in _GOTO_WORDS:
                found.append(_target(line, at))
                break
    return found


def _target(line: str, at: int) -> _Token:
    match = _TARGET.match(line, at)
    if match is None:
        raise _Bad("expected a label or a distance such as +3", at, max(len(line.rstrip()), at + 1))
    kind = match.lastgroup or ""
    value = _integer(match[kind]) if kind == "number" else match[kind]
    return _Token("target", "@", value, match.start(kind), match.end(kind))


class _Pattern(NamedTuple):
    """One spelling of a row: which field each number or register token is; an int is a literal."""

    row: Opcode
    slots: tuple[str | int, ...]


_patterns: dict[str, list[_Pattern]] = {}


def _shape(tokens: list[_Token]) -> str:
    return " ".join(token.shape for token in tokens)


def _spellings(row: Opcode) -> list[str]:
    texts = [row.text, *row.aliases]
    bare = [text.replace(" {o:+d})", ")") for text in texts if " {o:+d})" in text]
    return texts + bare


def _pattern_table() -> dict[str, list[_Pattern]]:
    if not _patterns:
        for row in rows():
            if row.form == "call":
                continue
            for text in _spellings(row):
                tokens = _tokens(text.format(**_MARKERS))
                slots = tuple(_FIELD_OF.get(t.value, t.value) for t in tokens if isinstance(t.value, int))
                _patterns.setdefault(_shape(tokens), []).append(_Pattern(row, slots))
    return _patterns


def _values(pattern: _Pattern, operands: list[_Token]) -> dict[str, _Token] | None:
    """Which token each field is; None when a literal differs, or a register named twice is not the same."""
    values: dict[str, _Token] = {}
    for slot, token in zip(pattern.slots, operands):
        if isinstance(slot, int):
            if token.value != slot:
                return None
        elif values.setdefault(slot, token).value != token.value:
            return None
    return values


_RANGES = {
    "o": (-0x8000, 0x7FFF, "a 16-bit offset"),
    "h": (-0x80000000, 0xFFFFFFFF, "32 bits"),
    "q": (-0x8000000000000000, 0xFFFFFFFFFFFFFFFF, "64 bits"),
}
_SIGNED = (-0x80000000, 0x7FFFFFFF, "a signed 32-bit immediate; load it with `rN = VALUE ll` first")
_EITHER = (-0x80000000, 0xFFFFFFFF, "32 bits")


def _number(row: Opcode, field: str, token: _Token) -> int:
    value = token.value
    if not isinstance(value, int):
        raise _Bad(f"{value!r} is not a number", token.start, token.end)
    if field in "ds":
        if value > 10:  # the kernel keeps an r11 for itself: `.insn` spells it
            raise _Bad(
                f"there is no register {token.shape}{value}", token.start, token.end, ("registers are r0 to r10",)
            )
        return value
    # an unsigned spelling of a negative immediate is what the kernel prints in jumps
    wide_alu = row.bits == 64 and "{x" not in row.text
    low, high, what = _RANGES.get(field) or (_SIGNED if wide_alu else _EITHER)
    if not low <= value <= high:
        raise _Bad(f"{value} does not fit {what}", token.start, token.end)
    return value


class _Assembler:
    def __init__(self, source: Source, helper_id: Callable[[str], int | None] | None) -> None:
        self.source = source
        self.helper_id = helper_id
        self.insns: list[Insn] = []
        self.spans: list[Span] = []
        self.labels: dict[str, int] = {}
        self.pending: list[tuple[int, str, str, Span]] = []  # slot, field, label, where
        self.errors: list[AsmError] = []

    def run(self) -> Assembled:
        at = 0
        for line in self.source.text.split("\n"):
            try:
                self.line(line, at)
            except _Bad as bad:
                span = Span(self.source, at + bad.start, at + bad.end)
                self.errors.append(AsmError(bad.message, span, bad.hints))
            at += len(line) + 1
        self.resolve()
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise SourceErrors(sorted(self.errors, key=lambda error: error.span.start if error.span else 0))
        return Assembled(self.insns, self.spans, self.labels)

    def line(self, line: str, at: int) -> None:
        comment = _COMMENT.search(line)
        line = (line[: comment.start()] if comment else line).rstrip()
        start = 0
        while match := _LABEL.match(line, start):
            self.label(match)
            start = match.end()
        if match := _PREFIX.match(line, start):
            start = match.end()
        body = " " * start + line[start:]
        if not body.strip():
            return
        begin = len(self.insns)
        self.instruction(body, at)
        span = Span(self.source, at + len(body) - len(body.lstrip()), at + len(body))
        self.spans.extend([span] * (len(self.insns) - begin))

    def label(self, match: re.Match[str]) -> None:
        name = match[1]
        if name in self.labels:
            raise _Bad(f"label {name!r} is already defined", match.start(1), match.end(1))
        self.labels[name] = len(self.insns)

    def instruction(self, body: str, at: int) -> None:
        words = body.split(None, 1)
        if words[0] == "call":
            return self.call(body, body.index("call") + 4, at)
        if words[0] == ".insn":
            return self.raw(body)
        if "subprog[" in body and (match := re.search(r"subprog\[\s*([A-Za-z_.$][\w.$]*)\s*\]", body)):
            span = Span(self.source, at + match.start(1), at + match.end(1))
            self.pending.append((len(self.insns), "imm", match[1], span))
            body = body[: match.start(1)] + "+0".ljust(len(match[1])) + body[match.end(1) :]
        return self.match(body, at)

    def match(self, body: str, at: int) -> None:
        tokens = _tokens(body)
        operands = [token for token in tokens if token.kind]
        for pattern in _pattern_table().get(_shape(tokens), ()):
            values = _values(pattern, operands)
            if values is not None:
                return self.emit(pattern.row, values, at)
        start = len(body) - len(body.lstrip())
        raise _Bad("not an instruction", start, len(body), _hints(tokens))

    def emit(self, row: Opcode, values: dict[str, _Token], at: int) -> None:
        numbers: dict[str, int] = {}
        for field, token in values.items():
            if token.kind == "target" and isinstance(token.value, str):
                span = Span(self.source, at + token.start, at + token.end)
                self.pending.append((len(self.insns), "imm" if field == "i" else "off", token.value, span))
                continue
            numbers[field] = _number(row, field, token)
        dst, src, off, imm = (value or 0 for value in row.fixed)
        dst, src = numbers.get("d", dst), numbers.get("s", src)
        if row.wide:
            value = numbers["q"] if "q" in numbers else (numbers["i"] & 0xFFFFFFFF) | numbers.get("h", 0) << 32
            self.insns.extend(ld_imm64(dst, value, src))
            return
        self.insns.append(Insn(row.code, dst, src, numbers.get("o", off), signed32(numbers.get("i", imm))))

    def raw(self, body: str) -> None:
        start = body.index(".insn") + 5
        parts = body[start:].split(",")
        try:
            code, dst, src, off, imm = (_integer(part.strip()) for part in parts)
        except ValueError:
            raise _Bad("expected .insn code, dst, src, off, imm", start, len(body)) from None
        if not (0 <= code < 256 and 0 <= dst < 16 and 0 <= src < 16 and -0x8000 <= off < 0x8000):
            raise _Bad("a number does not fit its field", start, len(body))
        self.insns.append(Insn(code, dst, src, off, signed32(imm)))

    def call(self, body: str, start: int, at: int) -> None:
        """Helpers by name or number, kfuncs by number, functions of the program by label or distance."""
        match = _CALL.match(body, start)
        number = _integer(match["number"]) if match and match["number"] else None
        if match is None or (match["word"] is None and number is None):
            raise _Bad("expected a helper, a kfunc or a label to call", start, len(body))
        if match["kfunc"]:
            if number is None:
                raise _Bad("a kfunc is called by its BTF id: call kfunc name#1234", start, len(body))
            fd = _integer(match["fd"]) if match["fd"] else 0
            self.insns.append(Insn(0x85, 0, 2, fd, signed32(number)))
        elif match["pc"] or (number is not None and match["word"] is None and match["number"][0] in "+-"):
            self.insns.append(Insn(0x85, 0, 1, 0, signed32(number or 0)))
        elif number is not None:
            self.insns.append(Insn(0x85, 0, 0, 0, signed32(number)))
        else:
            self.call_name(match["word"], match.start("word"), at)

    def call_name(self, name: str, start: int, at: int) -> None:
        helper = self.helper_id(name) if self.helper_id is not None else None
        if helper is not None:
            self.insns.append(Insn(0x85, 0, 0, 0, helper))
            return
        self.pending.append((len(self.insns), "imm", name, Span(self.source, at + start, at + start + len(name))))
        self.insns.append(Insn(0x85, 0, 1, 0, 0))

    def resolve(self) -> None:
        for slot, field, label, span in self.pending:
            if label not in self.labels:
                self.errors.append(AsmError(f"there is no label {label!r}", span, _similar(label, self.labels)))
                continue
            distance = self.labels[label] - slot - 1
            if field == "off" and not -0x8000 <= distance < 0x8000:
                self.errors.append(AsmError(f"{label!r} is {distance} instructions away; use gotol", span))
                continue
            self.insns[slot] = self.insns[slot]._replace(**{field: distance})


def _similar(name: str, known: Mapping[str, int]) -> tuple[str, ...]:
    from difflib import get_close_matches

    return tuple(f"did you mean {match!r}?" for match in get_close_matches(name, known, 1))


def _hints(tokens: list[_Token]) -> tuple[str, ...]:
    """What the likely slip is: mixed widths, or a shape that is near."""
    registers = {token.shape for token in tokens if token.kind == "reg"}
    if len(registers) == 2:
        return ("r and w registers do not mix in one operation",)
    from difflib import get_close_matches

    near = get_close_matches(_shape(tokens), _pattern_table(), 1, 0.75)
    if not near:
        return ()
    pattern = _pattern_table()[near[0]][0]
    example = {"d": 1, "s": 2, "o": 3, "i": 5, "x": 5, "h": 0, "q": 5}
    return (f"the nearest form is `{pattern.row.text.format(**example)}`",)


def assemble_source(source: Source, helper_id: Callable[[str], int | None] | None = None) -> Assembled:
    """Assemble a text; `helper_id` gives a helper's number by its name (``bpf_map_lookup_elem``).

    Raises AsmError, or SourceErrors when there are several.
    """
    return _Assembler(source, helper_id).run()


def assemble(text: str, helper_id: Callable[[str], int | None] | None = None) -> list[Insn]:
    """The instructions of `text`; a 64-bit load is two of them. Raises as `assemble_source`."""
    return assemble_source(Source("asm", text), helper_id).insns
