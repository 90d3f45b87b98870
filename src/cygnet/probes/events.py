"""What software and hardware events have in common: a table, aliases, and a count."""

from __future__ import annotations

from cygnet.probes.model import Match, Parsed
from cygnet.probes.syntax import count, no_wildcard, wrong
from cygnet.uapi.bpf import BPF_PROG_TYPE_PERF_EVENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from cygnet.probes.model import Options, Part
    from cygnet.probes.registry import Provider
    from cygnet.source import Span

    Events = dict[str, tuple[str, int, int]]


def parse_event(row: Provider, parts: list[Part], span: Span | None, events: Events) -> Parsed:
    """``software:page-faults:100``; the count may be left out."""
    from cygnet.probes.numbers import number

    count(row, parts, span, 1, 2)
    event = parts[0]
    no_wildcard(row, event, span)
    known = _by_name(events)
    if event.text not in known:
        from cygnet.probes.closest import did_you_mean

        raise wrong(event, span, f"there is no {row.name} event {event.text}", *did_you_mean(event.text, known))
    value = 0
    if len(parts) == 2:
        given = number(parts[1].text)
        if given is None or not 0 < given < 1 << 63:
            raise wrong(parts[1], span, f"{row.name} wants a count above 0, not {parts[1].text}")
        value = given
    return Parsed(row, parts, span, target=event.text, value=value)


def _by_name(events: Events) -> dict[str, tuple[str, int, int]]:
    return {name: row for long, row in events.items() for name in (long, row[0]) if name}


def expand_event(parsed: Parsed, options: Options, events: Events) -> list[Match]:
    _, event, default = _by_name(events)[parsed.target]
    data: dict[str, Any] = {"event": event, "count": parsed.value or default}
    if options.pid > 0:
        data["pid"] = options.pid
    kind = parsed.provider.name
    return [Match(parsed, parsed.text, BPF_PROG_TYPE_PERF_EVENT, kind, (data,), context="perf")]


def list_events(events: Events) -> Iterator[str]:
    """Each name and alias; the colon after it is where a count may stand."""
    for name in sorted(_by_name(events)):
        yield name + ":"
