"""`cygnet list PATTERN`: what can be probed."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.session.options import Options
    from cygnet.source import Source

_HELP = """\
List what can be probed.

Usage: cygnet list [-v] [PATTERN…]

  PATTERN   tracepoint:sched:*, uprobe:/bin/bash:read*, a provider's name, or a word to look for
  -v        show fields and their types"""


def main(args: list[str]) -> int:
    if any(arg in ("-h", "--help") for arg in args):
        print(_HELP)
        return 0
    verbose = any(arg in ("-v", "--verbose", "-lv", "-vl") for arg in args)
    patterns = [arg for arg in args if not arg.startswith("-")]
    unknown = [arg for arg in args if arg.startswith("-") and arg not in ("-v", "--verbose", "-l", "-lv", "-vl")]
    if unknown:
        print(f"ERROR: unknown option {unknown[0]}", file=sys.stderr)
        return 1
    try:
        return max([show(pattern, verbose) for pattern in patterns or [""]])
    except Exception as error:
        from cygnet.cli.failures import report

        return report(error)


def show(pattern: str, verbose: bool) -> int:
    """Print the probes that match; 0 even when there are none, as the peer does."""
    from cygnet.kernel.target import LiveTarget
    from cygnet.probes.listing import list_probes

    target = LiveTarget()
    write = sys.stdout.write
    for part in pattern.split(",") if pattern else [""]:
        for line in list_probes(part.strip() or None, target, verbose):
            write(line + "\n")
    return 0


def show_program(source: Source, options: Options) -> int:
    """Print the probes that a program would attach."""
    from cygnet.cli.program import compiled
    from cygnet.kernel.target import LiveTarget

    for link in compiled(source, options, LiveTarget()).links:
        print(link.probe)
    return 0
