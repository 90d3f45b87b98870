"""How an error reaches the person: one clear line (or a place in the text), an exit status, no traceback."""

from __future__ import annotations

import os
import sys

from cygnet.errors import CygnetError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

INTERNAL = 2
ATTACH = 255  # the kernel refused what we made


def report(error: BaseException, *, running: bool = False, verbose: bool = False) -> int:
    """Print an error on stderr; gives the exit status. `running`: loading or attaching had begun."""
    if isinstance(error, BrokenPipeError):
        return stop_writing()
    if os.environ.get("CYGNET_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    if not isinstance(error, CygnetError):
        return _unexpected(error)
    from cygnet.lang.trace.diagnostics import render

    print(render(error, color=colour()), file=sys.stderr)
    log = getattr(error, "log", "")
    if log:
        print(log.rstrip() if verbose else "HINT: -v shows the kernel's whole log", file=sys.stderr)
    return status_of(error, running)


def warn(warning: CygnetError, stream: TextIO) -> None:
    """A warning of the compiler."""
    from cygnet.lang.trace.diagnostics import render

    print(render(warning, color=colour(), severity="WARNING"), file=stream, flush=True)


def status_of(error: CygnetError, running: bool) -> int:
    """1 for what the person can mend (text, options, permission, a missing probe or process), 255 for what the
    kernel refused to load or attach."""
    if error.exit_status != 1 or not running:
        return error.exit_status
    from cygnet.errors import PermissionDenied, ProbeError, SourceError, UsageError

    return 1 if isinstance(error, (SourceError, UsageError, PermissionDenied, ProbeError)) else ATTACH


def _unexpected(error: BaseException) -> int:
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        print(f"ERROR: {error.strerror}{where}", file=sys.stderr)
        return INTERNAL
    kind = type(error).__name__
    print(
        f"ERROR: internal: {kind}: {error}\n"
        "HINT: this is a mistake in Cygnet; please report it with your program and what CYGNET_DEBUG=1 prints",
        file=sys.stderr,
    )
    return INTERNAL


def stop_writing() -> int:
    """The reader of our output has gone, which is no error: let nothing more be flushed at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def colour() -> bool:
    """BPFTRACE_COLOR (or CYGNET_COLOR): always, never, or auto: both streams are terminals that can show it, and
    NO_COLOR (no-color.org) is not set.
    """
    mode = os.environ.get("CYGNET_COLOR") or os.environ.get("BPFTRACE_COLOR", "auto")
    if mode in ("always", "never"):
        return mode == "always"
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return os.isatty(1) and os.isatty(2)
