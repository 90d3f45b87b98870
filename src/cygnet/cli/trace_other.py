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
    return show(request.search, request.options.verbose, request.options.format == "json")


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
    from cygnet.cli import main as command

    return command(["doctor"])


def _format(request: Request) -> int:
    from cygnet.cli.program import text
    from cygnet.lang.trace.parser import parse as parse_program
    from cygnet.lang.trace.printer import to_text
    from cygnet.source import Source

    sys.stdout.write(to_text(parse_program(Source(*text(request)))))
    return 0


def _codegen(request: Request) -> int:
    """Compile, and no more."""
    from cygnet.cli.program import compiled, text
    from cygnet.kernel.target import LiveTarget
    from cygnet.source import Source

    compiled(Source(*text(request)), request.options, LiveTarget())
    return 0


def _emit(request: Request) -> int:
    """Compile, and write the programs and maps as an object file."""
    from cygnet.cli.program import compiled, text
    from cygnet.errors import UsageError
    from cygnet.kernel.target import LiveTarget
    from cygnet.loader.objectfile import for_target
    from cygnet.source import Source

    options, target = request.options, LiveTarget()
    spec = compiled(Source(*text(request)), options, target)
    data = for_target(spec, target, {"start_ns": 0, "cpid": 0, "target_pid": options.pid})
    try:
        with open(options.emit_elf, "wb") as file:
            file.write(data)
    except OSError as error:
        raise UsageError(f"cannot write to {options.emit_elf!r}: {error.strerror}") from None
    return 0


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
    from cygnet.cli.explain import explain

    return explain(request)


ACTIONS = {"list": _list, "help": _help, "version": _version, "info": _info, "format": _format, "codegen": _codegen,
           "emit": _emit, "parameters": _parameters, "explain": _explain}  # fmt: skip
