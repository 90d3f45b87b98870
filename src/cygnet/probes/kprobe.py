"""kprobe and kretprobe: entry to and return from any kernel function."""

from __future__ import annotations

from cygnet.probes.model import Parsed
from cygnet.probes.numbers import number
from cygnet.probes.syntax import count, function_offset, wrong

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from cygnet.probes.model import Part, Target
    from cygnet.probes.registry import Provider
    from cygnet.source import Span


def parse(row: Provider, parts: list[Part], span: Span | None) -> Parsed:
    """``kprobe[:MODULE]:FUNCTION[+OFFSET]`` or ``kprobe:ADDRESS``."""
    count(row, parts, span, 1, 2)
    module = parts[0].text if len(parts) == 2 else ""
    last = parts[-1]
    address = number(last.text)
    if address is not None and (module or row.name == "kretprobe"):
        raise wrong(last, span, f"{row.name} wants a function here, not an address")
    if address is not None:
        return Parsed(row, parts, span, address=address)
    name, offset = function_offset(last, span)
    if offset and (row.name == "kretprobe" or "*" in name):
        raise wrong(last, span, f"{row.name} on {name} takes no offset")
    return Parsed(row, parts, span, target=module, name=name, offset=offset)


def names(row: Provider, target: Target) -> Iterator[str]:
    """Functions that the target's tracer can probe: where the kernel was built without one, none."""
    ask: Any = getattr(target, "traceable_functions", None)
    return iter(sorted(ask())) if ask else iter(())
