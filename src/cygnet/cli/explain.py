"""`cygnet trace --explain`: what a program would do, without doing it."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.cli.options import Request


class LiveMachine:
    """The kernel at hand, asked by trying. What may not be tried (no privilege) is not known."""

    def __init__(self) -> None:
        from cygnet.kernel import cpus

        self.cpus = len(cpus.possible())

    def feature(self, name: str) -> bool | None:
        from cygnet.kernel.features import has

        return _tried(lambda: has(name))

    def helper(self, number: int, prog_type: int) -> bool | None:
        from cygnet.kernel.features import has_helper

        return _tried(lambda: has_helper(number, prog_type))

    def map_type(self, number: int) -> bool | None:
        from cygnet.kernel.features import has_map_type

        return _tried(lambda: has_map_type(number))

    def prog_type(self, number: int) -> bool | None:
        from cygnet.kernel.features import has_prog_type

        return _tried(lambda: has_prog_type(number))


def _tried(ask: Callable[[], bool]) -> bool | None:
    from cygnet.errors import SystemCallError

    try:
        return ask()
    except (SystemCallError, OSError):
        return None


def explain(request: Request) -> int:
    """Compile, and print what the object would do. Gives the exit status."""
    from cygnet.cli.program import compiled, text
    from cygnet.kernel.target import LiveTarget
    from cygnet.session.explain import explanation
    from cygnet.session.explain import text as as_text
    from cygnet.source import Source

    options = request.options
    spec = compiled(Source(*text(request)), options, LiveTarget())
    found = explanation(spec, options, LiveMachine())
    if options.format == "json":
        import json

        print(json.dumps({"type": "explanation", "data": found}))
    else:
        sys.stdout.write(as_text(found, verbose=options.verbose))
    return 0
