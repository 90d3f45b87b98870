"""What lists say: probes and types by pattern, the probes of a program; as text or JSON."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cygnet.kernel.target import LiveTarget
    from cygnet.session.options import Options
    from cygnet.source import Source


def show(pattern: str, verbose: bool, as_json: bool = False, pid: int = -1) -> int:
    """Print the probes (of one process, when `pid` is one) or types that match; 1 when there are none."""
    from cygnet.cli.types import wanted
    from cygnet.kernel.target import LiveTarget

    target, status = LiveTarget(), 0
    for part in pattern.split(",") if pattern else [""]:
        part = part.strip()
        types = wanted(part)
        if not _write((_types if types else _probes)(part, target, verbose, as_json, pid)):
            _nothing(part)
            status = 1
    return status


def _write(lines: Iterator[str]) -> bool:
    """Whether there was anything."""
    write, some = sys.stdout.write, False
    for line in lines:
        write(line + "\n")
        some = True
    return some


def _nothing(pattern: str) -> None:
    print(f"ERROR: nothing matches {pattern or 'at all'!r}", file=sys.stderr)
    if "*" not in pattern:
        print("HINT: a * stands for any letters: 'tracepoint:sched:*', '*open*'", file=sys.stderr)


def _probes(pattern: str, target: LiveTarget, verbose: bool, as_json: bool, pid: int) -> Iterator[str]:
    from cygnet.probes import listing

    if not as_json:
        yield from listing.list_probes(pattern or None, target, verbose, pid)
        return
    encode = _json()
    for row, name in listing.find_probes(pattern or None, target, pid):
        data: dict[str, object] = {"name": listing.full_name(row, name), "provider": row.name}
        if verbose:
            data["fields"] = listing.fields(row, name, target)
        yield encode({"type": "probe", "data": data})


def _types(pattern: str, target: LiveTarget, verbose: bool, as_json: bool, pid: int) -> Iterator[str]:
    from cygnet.cli.types import definitions, matching

    encode = _json() if as_json else None
    for name, found in matching(pattern, target):
        if encode is not None:
            data: dict[str, object] = {"name": name}
            if verbose:
                data["definitions"] = definitions(found)
            yield encode({"type": "ctype", "data": data})
        elif verbose:
            yield from (text + "\n" for text in definitions(found))
        else:
            yield name


def _json() -> Callable[[object], str]:
    from json import dumps

    return dumps


def show_program(source: Source, options: Options) -> int:
    """Print the probes that a program would attach."""
    from cygnet.cli.program import compiled
    from cygnet.kernel.target import LiveTarget

    encode = _json()
    for link in compiled(source, options, LiveTarget()).links:
        data = {"name": link.probe, "provider": link.probe.partition(":")[0]}
        print(encode({"type": "probe", "data": data}) if options.format == "json" else _listed(link.probe))
    return 0


def _listed(probe: str) -> str:
    """A probe's name as lists without a program have it: those of events and timers leave out the count."""
    kind, _, rest = probe.partition(":")
    event, colon, _ = rest.partition(":")
    if kind not in ("software", "hardware", "interval", "profile"):
        return probe
    return f"{kind}:{event}:" if colon or kind in ("software", "hardware") else probe
