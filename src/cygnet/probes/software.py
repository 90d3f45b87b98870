"""software: events that the kernel itself counts."""

from __future__ import annotations

from cygnet.probes.events import expand_event, list_events, parse_event
from cygnet.uapi import perf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.probes.model import Match, Options, Parsed, Part, Target
    from cygnet.probes.registry import Provider
    from cygnet.source import Span

#: name → (other name, PERF_COUNT_SW number, events for one firing when no count is written)
EVENTS = {
    "alignment-faults": ("", perf.PERF_COUNT_SW_ALIGNMENT_FAULTS, 1),
    "bpf-output": ("", perf.PERF_COUNT_SW_BPF_OUTPUT, 1),
    "context-switches": ("cs", perf.PERF_COUNT_SW_CONTEXT_SWITCHES, 1000),
    "cpu-clock": ("cpu", perf.PERF_COUNT_SW_CPU_CLOCK, 1_000_000),
    "cpu-migrations": ("", perf.PERF_COUNT_SW_CPU_MIGRATIONS, 1),
    "dummy": ("", perf.PERF_COUNT_SW_DUMMY, 1),
    "emulation-faults": ("", perf.PERF_COUNT_SW_EMULATION_FAULTS, 1),
    "major-faults": ("", perf.PERF_COUNT_SW_PAGE_FAULTS_MAJ, 1),
    "minor-faults": ("", perf.PERF_COUNT_SW_PAGE_FAULTS_MIN, 100),
    "page-faults": ("faults", perf.PERF_COUNT_SW_PAGE_FAULTS, 100),
    "task-clock": ("", perf.PERF_COUNT_SW_TASK_CLOCK, 1),
}


def parse(row: Provider, parts: list[Part], span: Span | None) -> Parsed:
    return parse_event(row, parts, span, EVENTS)


def expand(parsed: Parsed, target: Target, options: Options) -> list[Match]:
    return expand_event(parsed, options, EVENTS)


def names(row: Provider, target: Target) -> Iterator[str]:
    return list_events(EVENTS)
