"""`cygnet trace`: run a program of the tracing language."""

from __future__ import annotations

import gc
import sys

from cygnet.cli.options import Request, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.loader.runtime import KernelRuntime
    from cygnet.session.signals import Signals


#: kinds of places that some kernels and machines have not got
_SOME_KERNELS = ("kprobe", "kretprobe", "fentry", "fexit", "hardware")


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
        if request.action == "run":
            return _run(request)
        from cygnet.cli.trace_other import ACTIONS

        return ACTIONS[request.action](request)
    except Exception as error:
        from cygnet.cli.failures import report

        return report(error, running=_Progress.running, verbose=verbose)
    finally:
        gc.enable()


class _Progress:
    """Whether loading had begun, which decides the exit status of an error."""

    running = False


def _run(request: Request) -> int:
    from cygnet.session.signals import Interrupted, Signals

    signals = Signals()  # from here on an interrupt is an event
    try:
        return _compile_and_run(request, signals)
    except Interrupted as stop:
        print("Interrupted before all probes were attached", file=sys.stderr)
        return stop.status
    finally:
        signals.close()


def _compile_and_run(request: Request, signals: Signals) -> int:
    from cygnet.cli.program import compiled, text
    from cygnet.kernel.target import LiveTarget
    from cygnet.session.run import run
    from cygnet.session.world import LiveWorld
    from cygnet.source import Source

    options = request.options
    target = LiveTarget()
    signals.end_at_once()
    source = Source(*text(request))
    spec = compiled(source, options, target)
    signals.at_once = False
    if any(link.kind in _SOME_KERNELS for link in spec.links):
        from cygnet.loader.needs import check

        check(spec, only_load=options.dry_run)
    _Progress.running = True
    try:
        from cygnet.loader.runtime import kernel_runtime

        gc.freeze()
        return run(
            spec,
            options,
            LiveWorld(spec.settings, spec.links),
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
