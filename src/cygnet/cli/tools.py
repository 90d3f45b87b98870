"""`cygnet tools` lists ready-made tools and shows their scripts; `cygnet NAME` runs one."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.tools.header import Tool

_HELP = """\
Ready-made tools, each a script of the tracing language.

Usage: cygnet tools [--json]     list them
       cygnet tools show NAME    print a tool's script
       cygnet NAME [OPTION…]     run a tool; cygnet NAME --help tells its options"""


def main(args: list[str]) -> int:
    try:
        return _main(args)
    except Exception as error:
        from cygnet.cli.failures import report

        return report(error)


def _main(args: list[str]) -> int:
    from cygnet.errors import UsageError
    from cygnet.tools import names, read

    if "-h" in args or "--help" in args:
        print(_HELP)
    elif not args or args == ["list"]:
        for name in names():
            print(f"{name:<16}{_load(name).summary}")
    elif args in (["--json"], ["list", "--json"]):
        import json

        from cygnet.tools.helptext import as_data

        print(json.dumps([as_data(_load(name)) for name in names()], indent=2))
    elif args[0] == "show" and len(args) == 2:
        _must_exist(args[1])
        sys.stdout.write(read(args[1]))
    else:
        error = UsageError(f"`cygnet tools` does not know {' '.join(args)!r}")
        error.hints = ("cygnet tools, cygnet tools --json, cygnet tools show NAME",)
        raise error
    return 0


def _must_exist(name: str) -> None:
    """UsageError when there is no script of this name: a tool's, or a form's such as vfsstat.fentry."""
    import os

    from cygnet.errors import UsageError
    from cygnet.tools import names, path

    if os.path.basename(name) == name and os.path.isfile(path(name)):
        return
    from difflib import get_close_matches

    close = get_close_matches(name, names(), 1)
    error = UsageError(f"there is no tool {name!r}")
    error.hints = (f"did you mean {close[0]}?",) if close else ("cygnet tools lists them",)
    raise error


def _load(name: str) -> Tool:
    from cygnet.tools import read
    from cygnet.tools.header import Tool

    return Tool(name, read(name))


def run(name: str, args: list[str]) -> int:
    """Run a tool by its command line; gives the exit status."""
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
    from cygnet.tools.arguments import read

    tool = _load(name)
    command = read(tool, args)
    if command.help:
        from cygnet.tools.helptext import text

        print(text(tool))
        return None
    _must_live(command.named.get("pid", "0"))
    from cygnet.tools import path

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
    if number and not os.path.exists(f"/proc/{number}"):
        from cygnet.errors import UsageError

        raise UsageError(f"there is no process {number}")
