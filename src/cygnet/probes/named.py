"""test and bench: probes that only a test or benchmark run fires, told apart by names."""

from __future__ import annotations

from cygnet.probes.model import Parsed
from cygnet.probes.syntax import count, no_wildcard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.probes.model import Part
    from cygnet.probes.registry import Provider
    from cygnet.source import Span


def parse(row: Provider, parts: list[Part], span: Span | None) -> Parsed:
    count(row, parts, span, 1, 1)
    no_wildcard(row, parts[0], span)
    return Parsed(row, parts, span, name=parts[0].text)
