"""The programs of a command line of `cygnet verify`: from files, the standard input, and --hex."""

from __future__ import annotations

import os

from cygnet.errors import UsageError
from cygnet.verifier.files import Judged, of_bytes, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MOST_BYTES = 64 << 20  # eight times what a program may have


def each(
    paths: list[str], digits: str | None, kind: str | None, attach: str | None, failed: Callable[[Exception], None]
) -> Iterator[Judged]:
    """All programs of a command line; a file that gives none is told to `failed`, and the next one is taken."""
    from cygnet.cli.machine import unhex
    from cygnet.errors import CygnetError

    if digits is not None:
        yield plain("hex", unhex(digits, "--hex"), kind, attach)
    for path in paths:
        try:
            yield from _programs(path, kind, attach)
        except CygnetError as error:
            failed(error)


def _programs(path: str, kind: str | None, attach: str | None) -> Iterator[Judged]:
    data = _read(path)
    if path.endswith(".bt"):
        yield from _traced(path, data)
        return
    from cygnet.cli.machine import text_of

    yield of_bytes(path, data, text_of(data), kind, attach)


def _read(path: str) -> bytes:
    import sys

    if path == "-":
        return sys.stdin.buffer.read(_MOST_BYTES)
    try:
        if os.path.getsize(path) > _MOST_BYTES:
            raise UsageError(f"{path} is too large for a program: {os.path.getsize(path)} bytes")
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if not data.strip():
        raise UsageError(f"{path} is empty")
    return data


def _traced(path: str, data: bytes) -> Iterator[Judged]:
    from cygnet.kernel.target import LiveTarget
    from cygnet.lang.trace.compile import compile_program
    from cygnet.source import Source
    from cygnet.verifier.program import from_object

    text = data.decode(errors="surrogateescape")
    source = Source(path, text)
    spec = compile_program(source, LiveTarget()).spec
    names = {link.program: link.probe for link in spec.links}
    for program in spec.programs:
        name = names.get(program.name, program.name)
        yield Judged(f"{path} ({name})", from_object(program, spec.maps, source), source)
