"""watchpoint: accesses to an address, by the processor's debug registers."""

from __future__ import annotations

from cygnet.errors import ProbeError
from cygnet.probes.model import Match, Parsed
from cygnet.probes.numbers import number
from cygnet.probes.syntax import count, no_wildcard, wrong
from cygnet.uapi.bpf import BPF_PROG_TYPE_PERF_EVENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.probes.model import Options, Part, Target
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


def expand(parsed: Parsed, target: Target, options: Options) -> list[Match]:
    """In each thread of the process that is watched; without one the address is the kernel's."""
    if parsed.address < 0:
        raise ProbeError(
            f"{parsed.text}: an argument of a function cannot be watched", parsed.span,
            (f"watch an address: {parsed.provider.name}:0xADDRESS:{parsed.value}:{parsed.mode}",
             f"a uprobe on {parsed.target} shows the argument's value"),
        )  # fmt: skip
    if parsed.mode == "r":
        raise ProbeError(f"{parsed.text}: x86-64 processors cannot watch reads alone", parsed.span, ("write rw",))
    if "x" in parsed.mode and (parsed.mode != "x" or parsed.value != 8):
        raise ProbeError(f"{parsed.text}: mode x stands alone, with a length of 8", parsed.span)
    if parsed.address % parsed.value:
        why = f"the address is not a multiple of {parsed.value}"
        raise ProbeError(f"{parsed.text}: {why}", parsed.span)
    data: dict[str, Any] = {"address": parsed.address, "len": parsed.value, "mode": parsed.mode, "pid": options.pid}
    return [Match(parsed, parsed.text, BPF_PROG_TYPE_PERF_EVENT, "watchpoint", (data,), context="perf")]
