"""`cygnet NAME`: run a ready-made tool."""

from __future__ import annotations

import sys


def run(name: str, args: list[str]) -> int:
    """Run a tool by its command line; gives the exit status."""
    from cygnet.tools import is_tool

    if not is_tool(name):
        print(_unknown(name), file=sys.stderr)
        return 1
    try:
        words = _trace_words(name, args)
    except Exception as error:
        from cygnet.cli.failures import report

        return report(error)
    if words is None:
        return 0
    from cygnet.cli.trace import main as trace

    return trace(words)


def _trace_words(name: str, args: list[str]) -> list[str] | None:
    """The words for `cygnet trace`, or None when help was all that was asked for."""
    from cygnet.tools import path
    from cygnet.tools.arguments import read
    from cygnet.tools.header import load

    tool = load(name)
    command = read(tool, args)
    if command.help:
        from cygnet.tools.helptext import text

        print(text(tool))
        return None
    if "pid" in command.named:
        _must_live(command.named["pid"])
    script = path(name)
    if tool.variants:
        from cygnet.kernel.target import LiveTarget
        from cygnet.tools.variants import choose

        script, why = choose(tool, LiveTarget())
        if command.verbose:
            print(f"{name}: {script}, by {why}", file=sys.stderr)
    return command.arguments(script)


def _must_live(pid: str) -> None:
    import os

    number = int(pid, 0)
    if number == 0 or not os.path.exists(f"/proc/{number}"):  # 0 would be every process
        from cygnet.errors import UsageError

        raise UsageError(f"there is no process {number}")


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    from cygnet.cli import COMMANDS
    from cygnet.tools import names

    close = get_close_matches(name, [*COMMANDS, *names()], 1, 0.5)
    hint = f"HINT: did you mean `{close[0]}`?" if close else f"HINT: the commands are {', '.join(COMMANDS)}"
    return f"ERROR: there is no command {name!r}\n{hint}"
