"""The command line: argument parsing and nothing else, one file for each sub-command."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130  # as shells count: 128 and the number of SIGINT
#: sub-command → (module, what it is for); a module has main(args) -> exit status
COMMANDS = {
    "trace": ("cygnet.cli.trace", "ask a running system a question in the tracing language"),
    "list": ("cygnet.cli.list", "list what can be probed; -v shows fields and types"),
    "tools": ("cygnet.cli.tools", "list ready-made tools (opensnoop, biolatency …); `cygnet NAME` runs one"),
    "doctor": ("cygnet.cli.doctor", "tell what this machine can do, and what mends what it cannot"),
    "asm": ("cygnet.cli.asm", "assemble eBPF text to instructions"),
    "disasm": ("cygnet.cli.disasm", "disassemble eBPF instructions"),
    "run": ("cygnet.cli.run", "run eBPF instructions in user space and print r0"),
    "debug": ("cygnet.cli.debug", "step through eBPF instructions in user space"),
    "verify": ("cygnet.cli.verify", "tell whether Linux would accept a program, and if not, why"),
    "explain": ("cygnet.cli.explain_log", "explain the log of a verifier that refused a program"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; gives the exit status. Without `argv`, that of the process, which then ends at once."""
    if argv is not None:
        return _checked([*argv])
    from cygnet.cli.process import leave, prepare

    prepare()
    leave(_checked(sys.argv[1:]))
    return 0


def _checked(args: list[str]) -> int:
    """Run a command; what it does not tell of itself ends as one line."""
    try:
        return _dispatch(args)
    except SystemExit as end:  # of argparse
        return end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        from cygnet.cli.failures import report

        return report(error)


def _dispatch(args: list[str]) -> int:
    if not args:
        print(_help(), file=sys.stderr)
        return 1
    name, rest = args[0], args[1:]
    if name in ("-h", "--help", "help"):
        print(_help())
        return 0
    if name in ("-V", "--version", "version"):
        print(version())
        return 0
    if name not in COMMANDS:  # it may be a ready-made tool
        from cygnet.cli.tool import run

        return run(name, rest)
    from cygnet import lazy

    try:
        module = lazy.module(COMMANDS[name][0])
    except ModuleNotFoundError as error:
        if error.name != COMMANDS[name][0]:
            raise
        print(f"ERROR: `cygnet {name}` is not there yet", file=sys.stderr)
        return 1
    status: int = module.main(rest)
    return status


def version() -> str:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return f"cygnet {installed('cygnet')}"
    except PackageNotFoundError:
        return "cygnet (not installed)"


def _help() -> str:
    rows = "\n".join([f"  {name:<10}{text}" for name, (_, text) in COMMANDS.items()])
    return f"Usage: cygnet COMMAND [ARGUMENT…]\n\nCommands:\n{rows}\n\n`cygnet COMMAND --help` tells more."
