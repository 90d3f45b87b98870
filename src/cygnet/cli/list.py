"""`cygnet list PATTERN`: what can be probed."""

from __future__ import annotations

_HELP = """\
List what can be probed, and the kernel's types.

Usage: cygnet list [-v] [--json] [PATTERN…]

  PATTERN   tracepoint:sched:*, uprobe:/bin/bash:read*, a provider's name, a word to look for, or a type: 'struct sock*'
  -v        show fields and their types, and what is in a type
  --json    an object a line (docs/json.md)

The exit status is 1 when nothing matches.

Example: the fields of a tracepoint
  cygnet list -v tracepoint:sched:sched_switch"""
_VERBOSE = ("-v", "--verbose", "-lv", "-vl")
_OPTIONS = (*_VERBOSE, "-l", "--list", "--json")


def main(args: list[str]) -> int:
    if any(arg in ("-h", "--help") for arg in args):
        print(_HELP)
        return 0
    verbose = any(arg in _VERBOSE for arg in args)
    try:
        patterns = [arg for arg in args if not arg.startswith("-")]
        for arg in args:
            if arg.startswith("-") and arg not in _OPTIONS:
                raise _unknown(arg)
        from cygnet.cli.listed import show

        return max([show(pattern, verbose, "--json" in args) for pattern in patterns or [""]])
    except Exception as error:
        from cygnet.cli.failures import report

        return report(error)


def _unknown(option: str) -> Exception:
    from cygnet.errors import UsageError

    error = UsageError(f"unknown option {option}")
    error.hints = ("cygnet list [-v] [--json] [PATTERN…]",)
    return error
