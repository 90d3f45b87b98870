"""What the commands of the user-space machine share: programs from files, hex and assembly."""

from __future__ import annotations

import sys

from cygnet.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.program import Program


def unhex(text: str, what: str) -> bytes:
    """Bytes from hex digits: with blanks between them or 0x before them, if one likes."""
    digits = "".join(word.removeprefix("0x") for word in text.split())
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise UsageError(f"{what}: {text[:40]!r} is not an even number of hex digits") from None


def program_of(path: str | None, hex_code: str | None) -> Program:
    """The program in a file (assembly, raw bytes or hex digits), or in hex on the command line."""
    from cygnet.vm.program import Program

    if hex_code is not None:
        return Program(unhex(hex_code, "--hex"))
    data = read(path or "-")
    if path is not None and path.endswith((".s", ".asm")):
        return _assembled(data, path)
    if data[:4] == b"\x7fELF":
        raise UsageError(f"{path or 'the standard input'} is an ELF file: a program of bare instructions is wanted")
    if path is not None and path.endswith(".bin"):
        return Program(data, name=path)
    text = text_of(data)
    if text is None:
        return Program(data, name=path or "stdin")
    try:
        return Program(unhex(text, "the program"))
    except UsageError:
        return _assembled(data, path or "stdin")


def read(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def text_of(data: bytes) -> str | None:
    """The data as text, or None when it is raw instructions."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() or all(c.isprintable() or c.isspace() for c in text) else None


def _assembled(data: bytes, name: str) -> Program:
    """Assembly, whose lines are the program's source lines."""
    from cygnet.facts.helpers import helper_id
    from cygnet.isa.asm import assemble_source
    from cygnet.isa.encode import encode
    from cygnet.source import Source
    from cygnet.spec.objects import LineInfo
    from cygnet.vm.program import Program

    text = text_of(data)
    if text is None:
        raise UsageError(f"cannot read {name}: not a text")
    done = assemble_source(Source(name, text), helper_id)
    lines: list[LineInfo] = []
    for slot, span in enumerate(done.spans):
        row, column = span.source.line_col(span.start)
        if not lines or (lines[-1].line, lines[-1].start) != (row, span.start):
            lines.append(LineInfo(slot, row, column, text[span.start : span.end], span.start, span.end))
    return Program(encode(done.insns), name=name, lines=lines)
