"""`cygnet disasm`: eBPF instructions as text."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

HELP = "disassemble eBPF instructions"
_MACHINE_BPF = 247
_SHF_EXECINSTR = 4


def _options(argv: Sequence[str]) -> Namespace:
    from cygnet.cli.arguments import Parser

    parser = Parser("cygnet disasm", HELP)
    parser.add_argument(
        "file", nargs="?", default="-", help="raw bytes, hex digits or a BPF object; - is standard input"
    )
    parser.add_argument("-e", dest="hex", metavar="HEX", help="the instructions themselves, in hex")
    parser.add_argument("-k", "--kernel", action="store_true", help="print exactly as the kernel does, no more")
    parser.add_argument("-p", "--plain", action="store_true", help="instructions alone, as `cygnet asm` takes them")
    parser.add_argument("--big-endian", action="store_true", help="raw bytes are in big-endian order")
    return parser.parse_args(argv)


def _read(options: Namespace) -> bytes:
    from cygnet.cli.machine import read, unhex

    return unhex(options.hex, "-e") if options.hex is not None else read(options.file)


def _unhex(data: bytes, name: str) -> bytes:
    """Bytes written as hex digits, or the data itself when it is no text."""
    from cygnet.cli.machine import text_of, unhex

    text = text_of(data)
    return data if text is None else unhex(text, "the standard input" if name == "-" else name)


def _parts(options: Namespace) -> Iterator[tuple[str, bytes, str]]:
    """(title, instructions, byte order) of each piece of code in the input."""
    data = _read(options)
    if data[:4] != b"\x7fELF":
        code = data if options.hex is not None else _unhex(data, options.file)
        yield "", code, "big" if options.big_endian else "little"
        return
    from cygnet.elf.reader import Elf
    from cygnet.errors import ElfError

    elf = Elf(data, options.file)
    if elf.machine != _MACHINE_BPF:
        raise ElfError(f"{options.file} holds code for machine {elf.machine}, not for BPF")
    order = "big" if data[5] == 2 else "little"
    for section in elf.sections:
        if section.flags & _SHF_EXECINSTR and section.size:
            yield section.name, bytes(elf.data(section)), order


def _text(options: Namespace) -> Iterator[str]:
    from cygnet.facts.helpers import helper_name
    from cygnet.isa.disasm import disassemble, listing
    from cygnet.isa.encode import decode

    for title, code, order in _parts(options):
        insns = decode(code, order)
        if title:
            yield f"{'; ' if options.plain else ''}section {title}:\n"
        if options.plain:
            lines = disassemble(insns, helper_name=helper_name, kernel=options.kernel)
            yield "".join(f"{text}\n" for _, text in lines)
        else:
            yield listing(insns, helper_name=helper_name, kernel=options.kernel)


def run(argv: list[str]) -> int:
    """Disassemble to the standard output; references of an object file are shown unresolved."""
    options = _options(argv)
    try:
        for text in _text(options):
            sys.stdout.write(text)
    except Exception as error:
        from cygnet.cli.failures import report

        return report(error)
    return 0


main = run
