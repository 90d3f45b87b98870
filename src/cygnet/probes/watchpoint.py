"""watchpoint: accesses to an address, by the processor's debug registers."""

from __future__ import annotations

from cygnet.errors import ProbeError
from cygnet.probes.model import Match, Parsed
from cygnet.probes.numbers import number
from cygnet.probes.syntax import count, wrong
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
    value = number(length.text)
    if value not in (1, 2, 4, 8):
        raise wrong(length, span, f"a watchpoint's length is 1, 2, 4 or 8, not {length.text}")
    if set(mode.text) - set("rwx") or len(set(mode.text)) != len(mode.text):
        raise wrong(mode, span, f"a watchpoint's mode is made of r, w and x, each at most once, not {mode.text}")
    address = number(where.text)
    if address == 0:
        raise wrong(where, span, "a watchpoint's address can not be 0")
    if address is not None:
        return Parsed(row, parts, span, address=address, value=value, mode=mode.text)
    function, plus, argument = where.text.rpartition("+")
    if not plus or not function or not argument.startswith("arg") or not argument[3:].isdigit():
        raise wrong(where, span, f"{where.text} is neither an address nor FUNCTION+argN")
    return Parsed(row, parts, span, target=function, name=argument, value=value, mode=mode.text)


def expand(parsed: Parsed, target: Target, options: Options) -> list[Match]:
    """In each thread of the process that is watched; without one the address is the kernel's."""
    if parsed.mode == "r":
        raise ProbeError(f"{parsed.text}: x86-64 processors cannot watch reads alone", parsed.span, ("write rw",))
    if "x" in parsed.mode and (parsed.mode != "x" or parsed.value != 8):
        raise ProbeError(f"{parsed.text}: mode x stands alone, with a length of 8", parsed.span)
    if parsed.address < 0:
        return _of_argument(parsed, target, options)
    if parsed.address % parsed.value:
        why = f"the address is not a multiple of {parsed.value}"
        raise ProbeError(f"{parsed.text}: {why}", parsed.span)
    data: dict[str, Any] = {"address": parsed.address, "len": parsed.value, "mode": parsed.mode, "pid": options.pid}
    return [Match(parsed, parsed.text, BPF_PROG_TYPE_PERF_EVENT, "watchpoint", (data,), context="perf")]


def _of_argument(parsed: Parsed, target: Target, options: Options) -> list[Match]:
    """What a pointer that a function of the program gets points to: known when the function is called. A wildcard
    stands for several functions."""
    from cygnet.facts import registers
    from cygnet.probes import uprobe
    from cygnet.probes.registry import provider

    number = int(parsed.name[3:])
    if registers.argument_offset(str(getattr(target, "machine", "x86_64")), number) is None:
        raise ProbeError(f"{parsed.text}: a function has not so many arguments in registers", parsed.span)
    if options.pid <= 0 and not options.command:
        raise ProbeError(f"{parsed.text}: whose {parsed.target} is it? No process was given with -p or -c", parsed.span,
                         ("write -p PID or -c COMMAND, or watch an address of the kernel",))  # fmt: skip
    row = provider("uprobe")
    assert row is not None
    try:
        places = uprobe.expand(Parsed(row, parsed.parts[:1], parsed.span, name=parsed.target), target, options)
    except ProbeError as error:
        error.hints = tuple([hint.replace("uprobe:", "") for hint in error.hints])
        raise
    return [_set_at(place, parsed, number) for place in places]


def _set_at(place: Match, parsed: Parsed, number: int) -> Match:
    name = parsed.text.replace(parsed.target, place.func, 1) if parsed.is_wild else parsed.text
    match = Match(parsed, name, BPF_PROG_TYPE_PERF_EVENT, "watchpoint", (), context="perf")
    match.place = place
    match.place.probe = name
    match.watch = {"argument": number, "len": parsed.value, "mode": parsed.mode,
                   "stop": parsed.provider.name == "watchpoint"}  # fmt: skip
    return match
