"""The tracing language: text to syntax tree, to types, to IR."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.lang.trace.compile import Result


def compile(text: str, name: str, options: Any, target: Any) -> Result:
    """Compile a text for a system, with what the command line asked for (session.options.Options)."""
    from cygnet.lang.trace.compile import compile_program
    from cygnet.lang.trace.instances import Params
    from cygnet.source import Source

    dump = None
    if options.debug:
        import sys

        from cygnet.lang.trace.dump import Dump

        dump = Dump(options.debug, sys.stdout.write)
    named = {key: value if isinstance(value, str) else "" for key, value in options.named.items()}
    return compile_program(
        Source(name, text),
        target,
        params=Params(options.params, named),
        environment=options.env,
        pid=options.pid,
        unsafe=options.unsafe,
        dump=dump,
    )
