"""hardware: events that the processor counts."""

from __future__ import annotations

from cygnet.probes.events import expand_event, list_events, parse_event
from cygnet.uapi import perf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.probes.model import Match, Options, Parsed, Part, Target
    from cygnet.probes.registry import Provider
    from cygnet.source import Span

#: name → (other name, PERF_COUNT_HW number, events for one firing when no count is written)
EVENTS = {
    "backend-stalls": ("", perf.PERF_COUNT_HW_STALLED_CYCLES_BACKEND, 1_000_000),
    "branch-instructions": ("branches", perf.PERF_COUNT_HW_BRANCH_INSTRUCTIONS, 100_000),
    "branch-misses": ("", perf.PERF_COUNT_HW_BRANCH_MISSES, 100_000),
    "bus-cycles": ("", perf.PERF_COUNT_HW_BUS_CYCLES, 100_000),
    "cache-misses": ("", perf.PERF_COUNT_HW_CACHE_MISSES, 1_000_000),
    "cache-references": ("", perf.PERF_COUNT_HW_CACHE_REFERENCES, 1_000_000),
    "cpu-cycles": ("cycles", perf.PERF_COUNT_HW_CPU_CYCLES, 1_000_000),
    "frontend-stalls": ("", perf.PERF_COUNT_HW_STALLED_CYCLES_FRONTEND, 1_000_000),
    "instructions": ("", perf.PERF_COUNT_HW_INSTRUCTIONS, 1_000_000),
    "ref-cycles": ("", perf.PERF_COUNT_HW_REF_CPU_CYCLES, 1_000_000),
}


def parse(row: Provider, parts: list[Part], span: Span | None) -> Parsed:
    return parse_event(row, parts, span, EVENTS)


def expand(parsed: Parsed, target: Target, options: Options) -> list[Match]:
    return expand_event(parsed, options, EVENTS)


def names(row: Provider, target: Target) -> Iterator[str]:
    return list_events(EVENTS)
