"""`cygnet trace`: run a program of the tracing language."""

from __future__ import annotations

import gc
import os
import sys

from cygnet.cli.options import Request, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.kernel.target import LiveTarget
    from cygnet.loader.runtime import KernelRuntime
    from cygnet.session.options import Options
    from cygnet.session.signals import Signals
    from cygnet.source import Source
    from cygnet.spec.objects import ObjectSpec

_PREFIXES = ("BPFTRACE_", "CYGNET_")


def main(args: list[str]) -> int:
    if not args:
        from cygnet.cli.trace_help import TEXT

        print(TEXT, file=sys.stderr)
        return 1
    gc.disable()  # compiling makes many objects and no rubbish
    verbose = False
    try:
        request = parse(args)
        verbose = request.options.verbose
        return _ACTIONS[request.action](request)
    except Exception as error:
        from cygnet.cli.failures import report

        return report(error, running=_Progress.running, verbose=verbose)
    finally:
        gc.enable()


class _Progress:
    """Whether loading had begun, which decides the exit status of an error."""

    running = False


def _run(request: Request) -> int:
    from cygnet.session.signals import Signals

    signals = Signals()  # from here on an interrupt is an event
    try:
        return _compile_and_run(request, signals)
    finally:
        signals.close()


def _compile_and_run(request: Request, signals: Signals) -> int:
    from cygnet.kernel.target import LiveTarget
    from cygnet.session.run import run
    from cygnet.session.world import LiveWorld
    from cygnet.source import Source

    options = request.options
    source = Source(*_text(request))
    target = LiveTarget()
    spec = compiled(source, options, target)
    _Progress.running = True
    try:
        from cygnet.loader.runtime import kernel_runtime

        gc.freeze()
        return run(
            spec,
            options,
            LiveWorld(spec.settings),
            lambda numbers: _told(kernel_runtime(spec, target=target, session=numbers, source=source), options.verbose),
            signals,
        )
    finally:
        gc.unfreeze()


def _told(runtime: KernelRuntime, verbose: bool) -> KernelRuntime:
    """With -v, what works less well than it could here."""
    for note in runtime.notes if verbose else ():
        print(f"NOTE: {note}", file=sys.stderr)
    return runtime


def compiled(source: Source, options: Options, target: LiveTarget) -> ObjectSpec:
    """Compile. Warnings go to stdout, as the peer's do, unless that is to be JSON."""
    from cygnet.lang.trace.compile import compile_program
    from cygnet.lang.trace.instances import Params

    dump = None
    if options.debug:
        from cygnet.lang.trace.dump import Dump

        dump = Dump(options.debug, sys.stdout.write)
    named = {name: value if isinstance(value, str) else "" for name, value in options.named.items()}
    environment = {name: value for name, value in os.environ.items() if name.startswith(_PREFIXES)}
    result = compile_program(
        source,
        target,
        params=Params(options.params, named),
        environment=environment,
        pid=options.pid,
        unsafe=options.unsafe,
        include_dirs=options.include_dirs,
        includes=options.includes,
        dump=dump,
    )
    if result.warnings and options.warnings:
        from cygnet.cli.failures import warn

        for warning in result.warnings:
            warn(warning, sys.stderr if options.format == "json" else sys.stdout)
    return result.spec


def _text(request: Request) -> tuple[str, str]:
    """(name, text) of the program; what has no file is called stdin."""
    from cygnet.errors import UsageError

    if request.program is not None:
        return "stdin", request.program
    if request.file == "-":
        return "stdin", sys.stdin.read()
    try:
        with open(request.file, encoding="utf-8", errors="surrogateescape") as file:
            return request.file, file.read()
    except OSError as error:
        raise UsageError(f"failed to open file '{request.file}': {error.strerror}") from None


def _list(request: Request) -> int:
    from cygnet.cli.list import show, show_program

    if request.program is not None or request.file:
        name, text = _text(request)
        return show_program(name, text, request.options)
    return show(request.search, request.options.verbose)


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
    from cygnet.lang.trace.parser import parse as parse_program
    from cygnet.lang.trace.printer import to_text
    from cygnet.source import Source

    sys.stdout.write(to_text(parse_program(Source(*_text(request)))))
    return 0


_ACTIONS = {"run": _run, "list": _list, "help": _help, "version": _version, "info": _info, "format": _format}
