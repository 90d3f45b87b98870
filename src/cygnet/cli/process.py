"""The process of a command: its signals and streams before anything can go wrong, and its end."""

from __future__ import annotations

import sys
from _io import BufferedWriter, FileIO, TextIOWrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import BufferedWriter, FileIO, TextIOWrapper
    from typing import Any


class Output(FileIO):
    """The standard output: what goes wrong with it says so."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OSError(error.errno, f"cannot write the output: {error.strerror}") from None


class Messages(FileIO):
    """The standard error: nobody can be told that it cannot be written to, and it stops nothing."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def prepare() -> None:
    """What a process needs before anything can go wrong in it."""
    import _signal  # type: ignore[import-not-found]  # `signal` itself costs milliseconds

    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # until a session listens, Ctrl-C ends us without a word
    if None in (sys.stdin, sys.stdout, sys.stderr):
        _stand_in_for_closed_streams()
    told = sys.stdout.encoding == "utf-8"
    sys.stdout = _text(Output(1, "wb", closefd=False), sys.stdout, sys.stdout.errors if told else "replace")
    sys.stderr = _text(Messages(2, "wb", closefd=False), sys.stderr, "backslashreplace")


def _text(raw: FileIO, old: Any, errors: str | None) -> TextIOWrapper:
    """A text stream like the old one. What the encoding has not got (an ellipsis) is not worth an error."""
    return TextIOWrapper(BufferedWriter(raw), old.encoding, errors, line_buffering=old.line_buffering)


def _stand_in_for_closed_streams() -> None:
    """Keep numbers 0 to 2 from maps and programs, which would be written to.

    What is read from a closed input or written to a closed output fails, as it should; a closed stderr swallows.
    """
    import os

    for number, name, mode, flags in (
        (0, "stdin", "r", os.O_WRONLY),
        (1, "stdout", "w", os.O_RDONLY),
        (2, "stderr", "w", os.O_WRONLY),
    ):
        if getattr(sys, name) is not None:
            continue
        null = os.open(os.devnull, flags)
        if null != number:
            os.dup2(null, number)
            os.close(null)
        os.set_inheritable(number, True)
        stream = open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)


def leave(status: int) -> None:
    """End now: taking the interpreter apart costs milliseconds and gives nothing."""
    import os

    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        if status == 0:  # otherwise something went wrong before, most likely this, and was told
            from cygnet.cli.failures import report

            status = report(error)
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        status = status or 1
    os._exit(status)
