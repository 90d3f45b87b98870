"""`cygnet asm`: assemble eBPF text."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from cygnet.isa.insn import Insn

HELP = "assemble eBPF text to instructions"

_EPILOG = """\
The text is what the kernel's verifier prints, one instruction a line:
  start: r0 = *(u32 *)(r1 +8)      label, load
         if r0 s> 5 goto start     also goto +3, goto pc+3
         call bpf_ktime_get_ns     helpers by name or number
         exit                      ; # // begin a comment"""


def _options(argv: Sequence[str]) -> Namespace:
    from cygnet.cli.arguments import Parser

    parser = Parser("cygnet asm", HELP, _EPILOG)
    parser.add_argument("file", nargs="?", default="-", help="the text; - is the standard input, and the default")
    parser.add_argument("-e", dest="text", metavar="LINE", action="append", help="a line of text; may be repeated")
    parser.add_argument("-o", dest="output", metavar="FILE", help="write there")
    parser.add_argument(
        "-f", dest="form", choices=("hex", "bin", "c", "list"), help="hex, raw bytes, C initialisers, or a listing"
    )
    return parser.parse_args(argv)


def _source(options: Namespace) -> tuple[str, str]:
    """(name, text) of what to assemble."""
    if options.text is not None:
        return "stdin", "\n".join(options.text)
    if options.file == "-":
        return "stdin", sys.stdin.read()
    from cygnet.errors import UsageError

    try:
        with open(options.file, encoding="utf-8") as file:
            return options.file, file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {options.file}: {getattr(error, 'strerror', None) or 'not a text'}") from None


def _rendered(insns: Sequence[Insn], form: str) -> bytes:
    from cygnet.isa.encode import encode

    code = encode(insns)
    if form == "bin":
        return code
    if form == "c":
        return "".join(f"{{ {i.code:#04x}, {i.dst}, {i.src}, {i.off}, {i.imm} }},\n" for i in insns).encode()
    if form == "list":
        from cygnet.facts.helpers import helper_name
        from cygnet.isa.disasm import listing

        return listing(insns, helper_name=helper_name).encode()
    return "".join(f"{code[at : at + 8].hex(' ')}\n" for at in range(0, len(code), 8)).encode()


def _write(data: bytes, path: str | None) -> None:
    if path is None:
        sys.stdout.buffer.write(data)
        return
    from cygnet.errors import UsageError

    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def run(argv: list[str]) -> int:
    """Assemble; hex on the standard output, raw bytes into a file, unless -f says otherwise."""
    options = _options(argv)
    try:
        from cygnet.facts.helpers import helper_id
        from cygnet.isa.asm import assemble_source
        from cygnet.source import Source

        done = assemble_source(Source(*_source(options)), helper_id)
        data = _rendered(done.insns, options.form or ("bin" if options.output else "hex"))
        _write(data, options.output)
    except Exception as error:
        from cygnet.cli.failures import report

        return report(error)
    return 0


main = run
