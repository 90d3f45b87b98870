"""usdt: static probes that a program's authors left in its binary."""

from __future__ import annotations

from cygnet.probes.model import Parsed
from cygnet.probes.syntax import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.probes.model import Part
    from cygnet.probes.registry import Provider
    from cygnet.source import Span


def parse(row: Provider, parts: list[Part], span: Span | None) -> Parsed:
    """``usdt:BINARY[:NAMESPACE]:PROBE``; the binary may be ``*``."""
    count(row, parts, span, 2, 3)
    namespace = parts[1].text if len(parts) == 3 else ""
    return Parsed(row, parts, span, target=parts[0].text, name=parts[-1].text, mode=namespace)
