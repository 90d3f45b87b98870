"""`cygnet tools`: list ready-made tools, show their scripts."""

from __future__ import annotations

import sys

_HELP = """\
Ready-made tools, each a script of the tracing language.

Usage: cygnet tools [--json]     list them
       cygnet tools show NAME    print a tool's script
       cygnet NAME [OPTION…]     run a tool; cygnet NAME --help tells its options

Example: what is there?
  cygnet tools"""


def main(args: list[str]) -> int:
    try:
        return _main(args)
    except Exception as error:
        from cygnet.cli.failures import report

        return report(error)


def _main(args: list[str]) -> int:
    from cygnet.errors import UsageError
    from cygnet.tools import names, read
    from cygnet.tools.header import load

    if "-h" in args or "--help" in args:
        print(_HELP)
    elif not args or args == ["list"]:
        for name in names():
            print(f"{name:<16}{load(name).summary}")
    elif args in (["--json"], ["list", "--json"]):
        import json

        from cygnet.tools.helptext import as_data

        print(json.dumps([as_data(load(name)) for name in names()], indent=2))
    elif args[0] == "show" and len(args) == 2:
        _must_exist(args[1])
        sys.stdout.write(read(args[1]))
    elif args == ["show"]:
        raise UsageError("cygnet tools show wants the name of a tool")
    else:
        error = UsageError(f"`cygnet tools` does not know {' '.join(args)!r}")
        runs = f"cygnet {args[0]} runs it" if args[0] in names() else ""
        error.hints = (runs or "cygnet tools, cygnet tools --json, cygnet tools show NAME",)
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
