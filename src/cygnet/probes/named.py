"""test and bench: probes that only a test or benchmark run fires, told apart by names."""

from __future__ import annotations

from cygnet.probes.model import Match, Parsed
from cygnet.probes.syntax import count, no_wildcard
from cygnet.uapi.bpf import BPF_PROG_TYPE_RAW_TRACEPOINT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.probes.model import Options, Part, Target
    from cygnet.probes.registry import Provider
    from cygnet.source import Span


def parse(row: Provider, parts: list[Part], span: Span | None) -> Parsed:
    count(row, parts, span, 1, 1)
    no_wildcard(row, parts[0], span)
    return Parsed(row, parts, span, name=parts[0].text)


def expand(parsed: Parsed, target: Target, options: Options) -> list[Match]:
    """As begin and end: run by BPF_PROG_TEST_RUN; `target` is not asked."""
    kind = parsed.provider.name
    return [Match(parsed, parsed.text, BPF_PROG_TYPE_RAW_TRACEPOINT, kind, ({},), preemptible=True)]
