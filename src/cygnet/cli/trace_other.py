"""What `cygnet trace` does besides running a program: list, help, version, info, format, compile, explain, parameters."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.cli.options import Request


def _list(request: Request) -> int:
    from cygnet.cli.listed import show, show_program

    if request.program is not None or request.file:
        from cygnet.cli.program import text
        from cygnet.source import Source

        return show_program(Source(*text(request)), request.options)
    if request.search.endswith(".bt"):
        _warn_of_file(request.search)
    options = request.options
    if options.debuginfo:
        from cygnet.elf.lookup import search_also

        search_also([folder for folder in options.debuginfo if folder])
    return show(request.search, options.verbose, options.format == "json", options.pid)


def _warn_of_file(name: str) -> None:
    from cygnet.cli.failures import warn
    from cygnet.errors import UsageError

    text = f"It appears that '{name}' is a filename but the file does not exist. Treating '{name}' as a search pattern."
    warn(UsageError(text), sys.stderr)


def _help(request: Request) -> int:
    from cygnet.cli.trace_help import TEXT

    print(TEXT)
    return 0


def _version(request: Request) -> int:
    from cygnet.cli import version

    print(version())
    return 0


def _info(request: Request) -> int:
    from cygnet.cli.doctor import main as act

    return act([])


def _format(request: Request) -> int:
    from cygnet.cli.program import text
    from cygnet.lang.trace.parser import parse as parse_program
    from cygnet.lang.trace.printer import to_text
    from cygnet.source import Source

    sys.stdout.write(to_text(parse_program(Source(*text(request)))))
    return 0


def _emit(request: Request) -> int:
    from cygnet.cli.emit import emit

    return emit(request)


def _parameters(request: Request) -> int:
    """``-- --help``: the program's named parameters, with their defaults."""
    from cygnet.cli.program import text
    from cygnet.kernel.target import LiveTarget
    from cygnet.lang.trace.compile import compile_program
    from cygnet.lang.trace.instances import Params
    from cygnet.source import Source

    options = request.options
    params = Params(options.params, {})
    compile_program(Source(*text(request)), LiveTarget(), params=params, pid=options.pid, unsafe=options.unsafe)
    if not params.used:
        print("The program has no named parameters.")
    for name, (default, about) in params.used.items():
        shown = default.decode("utf-8", "replace") if isinstance(default, bytes) else str(default).lower()
        print(f"  --{name + ('' if isinstance(default, bool) else '=' + (shown or 'TEXT')):<24} {about}".rstrip())
    return 0


def _explain(request: Request) -> int:
    from cygnet.cli.explain import explain as act

    return act(request)


ACTIONS = {"list": _list, "help": _help, "version": _version, "info": _info, "format": _format, "codegen": _emit,
           "emit": _emit, "parameters": _parameters, "explain": _explain}  # fmt: skip
