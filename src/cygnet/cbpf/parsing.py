"""The assembler's half that reads one instruction."""

from __future__ import annotations

import re

from cygnet.cbpf.insn import AD, ROWS, Insn
from cygnet.cbpf.text import _ALIASES, _CODES, _INVERTED, _PATTERNS, Parsed
from cygnet.errors import AsmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.source import Span

_MNEMONICS = sorted({row.mnemonic for row in ROWS.values()} | set(_INVERTED) | set(_ALIASES))
_JUMP = re.compile(r"(.*?)(?:\s*,\s*(\w+)(?:\s*,\s*(\w+))?|\s+jt\s+(\d+)\s+jf\s+(\d+))\s*$")


def parse_instruction(text: str, span: Span) -> Parsed:
    mnemonic, _, rest = text.partition(" ")
    mnemonic, rest = mnemonic.lower(), rest.strip()
    if mnemonic not in _MNEMONICS:
        from difflib import get_close_matches

        guess = get_close_matches(mnemonic, _MNEMONICS, 1)
        raise AsmError(f"unknown instruction {mnemonic}", span, [f"did you mean {guess[0]}?"] if guess else [])
    mnemonic = _ALIASES.get(mnemonic, mnemonic)
    if mnemonic == "ja":
        return Parsed(Insn(0x05), rest, "", span)
    if mnemonic in _INVERTED or mnemonic in ("jeq", "jgt", "jge", "jset"):
        return _jump(mnemonic, rest, span)
    if mnemonic in ("ld", "ldb", "ldh") and rest.lower().lstrip("#") in AD:
        return Parsed(Insn({"ld": 0x20, "ldh": 0x28, "ldb": 0x30}[mnemonic], 0, 0, AD[rest.lower().lstrip("#")]),
                      "", "", span)  # fmt: skip
    form, number = _operand(rest, span)
    return Parsed(Insn(_code(mnemonic, form, text, span), 0, 0, number), "", "", span)


def _jump(mnemonic: str, rest: str, span: Span) -> Parsed:
    match = _JUMP.match(rest)
    if match is None:
        raise AsmError(f"{mnemonic} wants a value and where to go", span, [f"{mnemonic} #1, yes, no"])
    form, number = _operand(match[1], span)
    if form not in ("number", "x"):
        raise AsmError(f"{mnemonic} compares with a number (#1) or with x", span)
    then, other = match[2] or match[4] or "", match[3] or match[5] or ""
    if mnemonic in _INVERTED:
        then, other = other, then
    code = _CODES[_INVERTED.get(mnemonic, mnemonic), "jump_x" if form == "x" else "jump_k"]
    return Parsed(Insn(code, 0, 0, number), then, other, span)


def _operand(text: str, span: Span) -> tuple[str, int]:
    """(form, number) of an operand."""
    if not text:
        return "none", 0
    for form, pattern in _PATTERNS:
        match = pattern.match(text)
        if match:
            digits = match[1] if match.groups() and match[1] else "0"
            number = int(digits, 0) if not digits.lstrip("-").startswith("0") or "x" in digits.lower() else int(digits)
            if not -(1 << 31) <= number < 1 << 32:
                raise AsmError(f"{digits} does not fit 32 bits", span)
            return form, number & 0xFFFFFFFF
    raise AsmError(f"not an operand: {text}", span)


def _code(mnemonic: str, form: str, text: str, span: Span) -> int:
    wanted = {
        "number": ("imm", "alu_k", "ret_k"), "x": ("alu_x", "ret_x"), "a": ("ret_a",), "none": ("none", "ret_a"),
        "mem": ("mem", "store"),
    }.get(form, (form,))  # fmt: skip
    for one in wanted:
        if (mnemonic, one) in _CODES:
            return _CODES[mnemonic, one]
    raise AsmError(f"{mnemonic} takes no such operand: {text}", span)
