"""The program of a command line: its text, and what the compiler makes of it."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.cli.options import Request
    from cygnet.kernel.target import LiveTarget
    from cygnet.session.options import Options
    from cygnet.source import Source
    from cygnet.spec.objects import ObjectSpec

_PREFIXES = ("BPFTRACE_", "CYGNET_")


def compiled(source: Source, options: Options, target: LiveTarget) -> ObjectSpec:
    """Compile. Warnings go to stdout, as the peer's do, unless that is to be JSON."""
    from cygnet.lang.trace.compile import compile_program
    from cygnet.lang.trace.instances import Params

    if options.no_features or options.traceable_functions or options.debuginfo:
        from cygnet.cli.choices import prepare

        prepare(options, target)
    dump = None
    if options.debug:
        from cygnet.lang.trace.dump import Dump

        dump = Dump(options.debug, _shown)
    named = {name: value if isinstance(value, str) else "" for name, value in options.named.items()}
    environment = {name: value for name, value in os.environ.items() if name.startswith(_PREFIXES)}
    _check_colours(environment)
    result = compile_program(
        source,
        target,
        params=Params(options.params, named, [name for name, value in options.named.items() if value is True]),
        environment=environment,
        pid=options.pid,
        command=options.cmd,
        unsafe=options.unsafe,
        include_dirs=options.include_dirs,
        includes=options.includes,
        runtime_warnings=options.warnings,
        mode="test" if options.test else "bench" if options.bench else "",
        dump=dump,
    )
    if result.warnings and options.warnings:
        from cygnet.cli.failures import warn

        for warning in result.warnings:
            warn(warning, sys.stderr if options.format == "json" else sys.stdout)
    if options.probe_filter:
        from cygnet.cli.choices import filtered

        return filtered(result.spec, options.probe_filter)
    return result.spec


def _check_colours(environment: dict[str, str]) -> None:
    from cygnet.errors import UsageError

    for name in ("CYGNET_COLOR", "BPFTRACE_COLOR"):
        if environment.get(name, "auto") not in ("auto", "always", "never", ""):
            error = UsageError(f"{name} is auto, always or never, not {environment[name]!r}")
            error.exit_status = 2  # as for other settings in the environment
            raise error


def _shown(text: str) -> None:
    """Before what the program itself will print, which does not go through Python's buffer."""
    sys.stdout.write(text)
    sys.stdout.flush()


def text(request: Request) -> tuple[str, str]:
    """(name, text) of the program; what has no file is called stdin."""
    from cygnet.errors import UsageError
    from cygnet.lang.trace.parser import MAX_CHARACTERS

    for remark in request.remarks:
        print(f"WARNING: {remark}", file=sys.stderr)
    if request.program is not None:
        program = request.program
        if sys.getfilesystemencoding() != "utf-8":  # the shell's text is UTF-8 all the same
            program = os.fsencode(program).decode("utf-8", "surrogateescape")
        return "stdin", program
    try:
        if request.file == "-":
            return "stdin", sys.stdin.buffer.read(4 * MAX_CHARACTERS + 4).decode("utf-8", "surrogateescape")
        with open(request.file, encoding="utf-8", errors="surrogateescape") as file:
            return request.file, file.read(MAX_CHARACTERS + 1)  # a device may have no end
    except OSError as error:
        name = "the standard input" if request.file == "-" else f"'{request.file}'"
        raise UsageError(
            f"failed to {'read' if request.file == '-' else 'open file'} {name}: {error.strerror}"
        ) from None
