"""`cygnet run`: run eBPF instructions in the user-space machine."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from cygnet.errors import CygnetError

HELP = "run eBPF instructions in user space and print r0"

_EPILOG = """\
FILE is assembly (as `cygnet asm` takes it), raw instructions, or hex digits; - is the standard input.
The program finds the memory's address in r1 (0 without memory) and its length in r2."""


def _options(argv: Sequence[str]) -> Namespace:
    from cygnet.cli.arguments import Parser
    from cygnet.vm import ENGINES

    parser = Parser("cygnet run", HELP, _EPILOG)
    parser.add_argument("file", nargs="?", help="what to run: FILE.s, FILE.bin")
    parser.add_argument("--hex", metavar="CODE", help="the instructions themselves, in hex")
    parser.add_argument("--memory", metavar="HEX", default="", help="bytes that the program can read and write")
    parser.add_argument("--engine", choices=ENGINES, default="jit", help="what runs it (jit)")
    parser.add_argument("--unsafe", action="store_true", help="machine code without checks: a bad program ends cygnet")
    parser.add_argument("--budget", type=int, metavar="N", help="stop after so many instructions")
    parser.add_argument("--json", action="store_true", help="print an object: r0, hex, memory, or fault")
    options = parser.parse_args(argv)
    if (options.file is None) == (options.hex is None):
        parser.error("give either a file or --hex CODE")
    if options.budget is not None and not 0 < options.budget < 1 << 62:
        parser.error(f"--budget wants a number of instructions above 0 and below 2^62, not {options.budget}")
    return options


def run(argv: list[str]) -> int:
    """Run one program; r0 in hex on the standard output."""
    options = _options(argv)
    try:
        from cygnet.cli.machine import program_of, unhex
        from cygnet.errors import RuntimeFault
        from cygnet.vm import run as run_program

        memory = bytearray(unhex(options.memory, "--memory"))
        program = program_of(options.file, options.hex)
        try:
            r0 = run_program(program, memory, engine=options.engine, unsafe=options.unsafe, budget=options.budget)
        except RuntimeFault as fault:
            if options.json:
                _print_json(fault=_fault(fault), engine=options.engine)
            raise
        if options.json:
            _print_json(r0=r0, hex=hex(r0), memory=memory.hex(), engine=options.engine)
        else:
            print(hex(r0))
    except Exception as error:
        from cygnet.cli.failures import report

        return report(error)
    return 0


def _print_json(**values: object) -> None:
    import json

    print(json.dumps(values))
    sys.stdout.flush()


def _fault(fault: CygnetError) -> dict[str, object]:
    line = getattr(fault, "line", None)
    return {
        "message": str(fault),
        "pc": getattr(fault, "pc", None),
        "line": line.line if line is not None else None,
        "registers": [hex(value) for value in getattr(fault, "registers", ())],
    }


main = run
