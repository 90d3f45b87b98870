"""`cygnet debug`: step through eBPF instructions in user space."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

    from cygnet.vm.debug import Debugger

HELP = "step through eBPF instructions in user space"
_EPILOG = "Commands come from the standard input, or from -e; `help` lists them. An empty line repeats the last."


def _options(argv: Sequence[str]) -> Namespace:
    from cygnet.cli.arguments import Parser

    parser = Parser("cygnet debug", HELP, _EPILOG)
    parser.add_argument("file", nargs="?", help="what to run: FILE.s, FILE.bin")
    parser.add_argument("--hex", metavar="CODE", help="the instructions themselves, in hex")
    parser.add_argument("--memory", metavar="HEX", default="", help="bytes that the program can read and write")
    parser.add_argument("-e", dest="commands", metavar="COMMAND", action="append", help="do this; may be repeated")
    options = parser.parse_args(argv)
    if (options.file is None) == (options.hex is None):
        parser.error("give either a file or --hex CODE")
    return options


def _commands(options: Namespace) -> Iterator[str]:
    """Command lines until there are no more."""
    if options.commands is not None:
        yield from options.commands
        return
    prompt = "(cygnet) " if sys.stdin.isatty() else ""
    while True:
        try:
            yield input(prompt)
        except EOFError:
            return


def _converse(debugger: Debugger, commands: Iterator[str]) -> None:
    from cygnet.errors import UsageError

    last = ""
    for line in commands:
        last = line if line.strip() else last
        if last.split()[:1] in (["quit"], ["q"]):
            return
        try:
            print(debugger.execute(last), end="", flush=True)
        except UsageError as error:
            print(f"ERROR: {error}", flush=True)


def run(argv: list[str]) -> int:
    """A conversation with the debugger."""
    options = _options(argv)
    try:
        from cygnet.cli.machine import program_of, unhex
        from cygnet.vm.debug import Debugger
        from cygnet.vm.host import Host

        memory = unhex(options.memory, "--memory")
        with Host() as host:
            block = host.memory.block(len(memory) or 1, "memory")
            block.view[: len(memory)] = memory
            address = block.address if memory else 0
            host.packet = (address, len(memory))
            debugger = Debugger(host, program_of(options.file, options.hex), address, len(memory))
            print(debugger.where([]), end="", flush=True)
            _converse(debugger, _commands(options))
    except Exception as error:
        from cygnet.cli.failures import report

        return report(error)
    return 0


main = run
