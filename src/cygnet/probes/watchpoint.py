"""watchpoint: accesses to an address, by the processor's debug registers."""

from __future__ import annotations

from cygnet.probes.model import Parsed
from cygnet.probes.numbers import number
from cygnet.probes.syntax import count, no_wildcard, wrong

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.probes.model import Part
    from cygnet.probes.registry import Provider
    from cygnet.source import Span


def parse(row: Provider, parts: list[Part], span: Span | None) -> Parsed:
    """``watchpoint:ADDRESS:LENGTH:MODE``; the old form watches a pointer argument: ``FUNCTION+arg0:8:w``."""
    count(row, parts, span, 3, 3)
    where, length, mode = parts
    no_wildcard(row, where, span)
    value = number(length.text)
    if value not in (1, 2, 4, 8):
        raise wrong(length, span, f"a watchpoint's length is 1, 2, 4 or 8, not {length.text}")
    if set(mode.text) - set("rwx") or len(set(mode.text)) != len(mode.text):
        raise wrong(mode, span, f"a watchpoint's mode is made of r, w and x, each at most once, not {mode.text}")
    address = number(where.text)
    if address is not None:
        return Parsed(row, parts, span, address=address, value=value, mode=mode.text)
    function, plus, argument = where.text.rpartition("+")
    if not plus or not function or not argument.startswith("arg") or not argument[3:].isdigit():
        raise wrong(where, span, f"{where.text} is neither an address nor FUNCTION+argN")
    return Parsed(row, parts, span, target=function, name=argument, value=value, mode=mode.text)
