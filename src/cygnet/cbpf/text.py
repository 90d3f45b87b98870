"""The assembler: text of tcpdump -d, or of the kernel's bpf_asm with labels, to instructions.

::

        ldh [12]
        jneq #0x800, drop        ; or: jeq #0x800, next, drop; or: jeq #0x800 jt 2 jf 5
        ld proto                 ; the kernel's extensions by name
    keep: ret #-1
    drop: ret #0
"""

from __future__ import annotations

import re
from typing import NamedTuple

from cygnet.cbpf.insn import AD, ROWS, Insn
from cygnet.errors import AsmError, FormatError, SourceErrors
from cygnet.source import Source, Span


class Parsed(NamedTuple):
    """An instruction whose jump targets are still names."""

    insn: Insn
    then: str
    other: str
    span: Span


_CODES = {(row.mnemonic, row.form): row.code for row in ROWS.values()}
_INVERTED = {"jne": "jeq", "jneq": "jeq", "jlt": "jge", "jle": "jgt"}
_ALIASES = {"ldi": "ld", "ldxi": "ldx", "jmp": "ja", "len": "len"}
_NUMBER = r"(-?(?:0[xX][0-9a-fA-F]+|\d+))"
_PATTERNS = [
    ("abs", re.compile(rf"\[\s*{_NUMBER}\s*\]$")),
    ("ind", re.compile(rf"\[\s*[xX]\s*(?:\+\s*{_NUMBER})?\s*\]$")),
    ("msh", re.compile(rf"4\s*\*\s*\(\s*\[\s*{_NUMBER}\s*\]\s*&\s*0xf\s*\)$")),
    ("mem", re.compile(rf"M\s*\[\s*{_NUMBER}\s*\]$")),
    ("number", re.compile(rf"#\s*{_NUMBER}$")),
    ("len", re.compile(r"#?(?:len|pktlen)$")),
    ("x", re.compile(r"[%#]?[xX]$")),
    ("a", re.compile(r"[%#]?[aA]$")),
]


def assemble(text: str, name: str = "filter") -> list[Insn]:
    """Instructions from text. Raises SourceErrors (of AsmError) with everything that is wrong."""
    source = Source(name, text)
    labels: dict[str, int] = {}
    parsed: list[Parsed] = []
    errors: list[AsmError] = []
    at = 0
    for raw in text.split("\n"):
        try:
            _line(source, raw, at, labels, parsed)
        except AsmError as error:
            errors.append(error)
        at += len(raw) + 1
    program = []
    for index, item in enumerate(parsed):
        try:
            program.append(_resolve(item, index, labels))
        except AsmError as error:
            errors.append(error)
    if errors:
        raise SourceErrors(errors)
    return program


def _line(source: Source, raw: str, at: int, labels: dict[str, int], parsed: list[Parsed]) -> None:
    line = re.split(r"[;]|//", raw, maxsplit=1)[0]
    line = re.sub(r"^\s*\(\d+\)", lambda m: " " * len(m[0]), line)  # the numbers of a listing
    while match := re.match(r"\s*([A-Za-z_]\w*)\s*:", line):
        label = match[1]
        if label in labels:
            raise AsmError(f"label {label} stands twice", Span(source, at + match.start(1), at + match.end(1)))
        labels[label] = len(parsed)
        line = " " * match.end() + line[match.end() :]
    if line.strip():
        start = at + len(line) - len(line.lstrip())
        parsed.append(_instruction(line.strip(), Span(source, start, at + len(line.rstrip()))))


def _instruction(text: str, span: Span) -> Parsed:
    from cygnet.cbpf.parsing import parse_instruction

    return parse_instruction(text, span)


def _resolve(item: Parsed, index: int, labels: dict[str, int]) -> Insn:
    """Jump targets: labels, or numbers of instructions."""
    insn = item.insn
    form = ROWS[insn.code].form
    if form == "ja":
        return insn._replace(k=_distance(item.then, index, labels, item.span, 1 << 32))
    if form.startswith("jump"):
        there = _distance(item.then, index, labels, item.span, 256)
        other = _distance(item.other, index, labels, item.span, 256)
        return insn._replace(jt=there, jf=other)
    return insn


def _distance(target: str, index: int, labels: dict[str, int], span: Span, limit: int) -> int:
    if not target:
        return 0
    place = int(target) if target.isdigit() else labels.get(target)
    if place is None:
        raise AsmError(f"there is no label {target}", span)
    distance = place - index - 1
    if not 0 <= distance < limit:
        why = "backwards" if distance < 0 else f"{distance} instructions, and {limit - 1} is the most"
        raise AsmError(f"a jump to {target} would go {why}", span, ["classic BPF only jumps forwards, at most 255"])
    return distance


def read_decimal(text: str) -> list[Insn]:
    """A program as tcpdump -ddd or iptables' bpf match write it: a count, then four numbers an instruction.

    Instructions may be divided by newlines or commas. Raises FormatError.
    """
    parts = [part.split() for part in re.split(r"[\n,]", text) if part.strip()]
    try:
        (count,), rows = map(int, parts[0]), [tuple(map(int, part)) for part in parts[1:]]
        program = [Insn(code, jt, jf, k) for code, jt, jf, k in rows]
    except (ValueError, TypeError, IndexError):
        raise FormatError("not a count and four decimal numbers an instruction") from None
    if count != len(program):
        raise FormatError(f"{count} instructions are announced, {len(program)} follow")
    if any(not (0 <= i.code < 1 << 16 and 0 <= i.jt < 256 and 0 <= i.jf < 256 and 0 <= i.k < 1 << 32) for i in program):
        raise FormatError("a number does not fit its field")
    return program


__all__ = ["AD", "assemble", "read_decimal"]
