"""tracepoint: the kernel's static events, with the fields of their records."""

from __future__ import annotations

from cygnet.errors import ProbeError
from cygnet.probes.model import Arg, Match, Parsed, Part
from cygnet.probes.syntax import count
from cygnet.uapi.bpf import BPF_PROG_TYPE_TRACEPOINT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from cygnet.probes.model import Options, Target
    from cygnet.probes.registry import Provider
    from cygnet.source import Span

#: the fields that every record begins with; ``args`` does not have them
COMMON = "common_"

# Types narrower than the 8 bytes in which a system call's record holds each argument.
_NARROW = {
    "int": (4, True), "pid_t": (4, True), "key_t": (4, True), "clockid_t": (4, True), "mqd_t": (4, True),
    "const clockid_t": (4, True), "timer_t": (4, True), "rwf_t": (4, True), "key_serial_t": (4, True),
    "unsigned int": (4, False), "unsigned": (4, False), "uid_t": (4, False), "gid_t": (4, False), "u32": (4, False),
    "__u32": (4, False), "uint32_t": (4, False), "qid_t": (4, False), "uint": (4, False), "const __u32": (4, False),
    "umode_t": (2, False), "unsigned short": (2, False), "short": (2, True), "char": (1, True), "bool": (1, False),
}  # fmt: skip


def parse(row: Provider, parts: list[Part], span: Span | None) -> Parsed:
    """``tracepoint:SUBSYSTEM:EVENT``; a lone pattern stands for matching events of every subsystem."""
    if len(parts) == 1 and "*" in parts[0].text:
        return Parsed(row, [Part("*", span), *parts], span, target="*", name=parts[0].text)
    count(row, parts, span, 2, 2)
    return Parsed(row, parts, span, target=parts[0].text, name=parts[1].text)


def expand(parsed: Parsed, target: Target, options: Options) -> list[Match]:
    if not parsed.is_wild:
        if not _exists(target, parsed.target, parsed.name):
            raise _missing(parsed, target)
        return [_match(parsed, parsed.target, parsed.name)]
    from cygnet.probes.wildcard import matcher

    wanted_subsys, wanted_event = matcher(parsed.target), matcher(parsed.name)
    events = [event.split(":", 1) for event in sorted(target.tracepoint_events())]
    found = [_match(parsed, subsys, event) for subsys, event in events if wanted_subsys(subsys) and wanted_event(event)]
    if not found:
        raise ProbeError(f"no tracepoint matches {parsed.target}:{parsed.name}", parsed.span)
    return found


def _exists(target: Target, subsys: str, event: str) -> bool:
    # A live target can look for one event without reading the list of all of them.
    ask = getattr(target, "has_tracepoint", None)
    return ask(subsys, event) if ask else f"{subsys}:{event}" in target.tracepoint_events()


def _match(parsed: Parsed, subsys: str, event: str) -> Match:
    data = ({"subsys": subsys, "event": event},)
    probe = f"tracepoint:{subsys}:{event}"
    return Match(parsed, probe, BPF_PROG_TYPE_TRACEPOINT, "tracepoint", data, context="record", space="kernel")


def _missing(parsed: Parsed, target: Target) -> ProbeError:
    name = f"{parsed.target}:{parsed.name}"
    return ProbeError(f"tracepoint not found: {name}", parsed.span, _hints(parsed, target.tracepoint_events()))


def _hints(parsed: Parsed, events: Sequence[str]) -> tuple[str, ...]:
    """The nearest event of that subsystem; else that event elsewhere; else the nearest subsystem, or event of all."""
    from cygnet.probes.closest import closest

    pairs = [event.split(":", 1) for event in events]
    siblings = [event for subsys, event in pairs if subsys == parsed.target]
    near = closest(parsed.name, siblings)
    if near:
        return (f"did you mean tracepoint:{parsed.target}:{near}?",)
    elsewhere = [subsys for subsys, event in pairs if event == parsed.name]
    if elsewhere:
        return (f"did you mean tracepoint:{elsewhere[0]}:{parsed.name}?",)
    if siblings:
        return (f'list the events of {parsed.target} with: -l "tracepoint:{parsed.target}:*"',)
    subsys = closest(parsed.target, dict.fromkeys(subsys for subsys, _ in pairs))
    if subsys:
        event = closest(parsed.name, [event for owner, event in pairs if owner == subsys])
        return (f"did you mean tracepoint:{subsys}:{event or '*'}?",)
    return ()


# ── fields ───────────────────────────────────────────────────────────────────────────────────────────────


def arguments(match: Match, target: Target) -> tuple[Arg, ...]:
    """The event's fields without the common ones, in the order of the record."""
    subsys, event = match.targets[0]["subsys"], match.targets[0]["event"]
    return fields(target.tracepoint_format(subsys, event), subsys, event)


def fields(format: Any, subsys: str, event: str) -> tuple[Arg, ...]:
    """From what TargetInfo.tracepoint_format gives: an object whose `fields` are kernel.tracefs.TracepointField."""
    rows = [field for field in format.fields if not field.name.startswith(COMMON)]
    full = f"{subsys}:{event}"
    return tuple([_arg(field, full, subsys == "syscalls", index) for index, field in enumerate(rows)])


def _arg(field: Any, event: str, syscall: bool, index: int) -> Arg:
    type = field.type.removesuffix("[]").rstrip() if field.data_loc else field.type
    narrow = _NARROW.get(type) if syscall and field.size == 8 else None
    size, signed = narrow or (field.size, field.signed)
    return Arg(field.name, type, field.offset, field.size, field.signed, length=field.length, data_loc=field.data_loc,
               rel_loc=field.rel_loc, event=event, index=index, value_size=size, value_signed=signed)  # fmt: skip


# ── listing ──────────────────────────────────────────────────────────────────────────────────────────────


def names(row: Provider, target: Target) -> Iterator[str]:
    return iter(sorted(target.tracepoint_events()))


def describe(row: Provider, name: str, target: Target) -> Iterator[str]:
    subsys, _, event = name.partition(":")
    for field in target.tracepoint_format(subsys, event).fields:
        if not field.name.startswith(COMMON):
            where = "__data_loc " if field.data_loc else "__rel_loc " if field.rel_loc else ""
            yield f"{where}{field.type} {field.name}{f'[{field.length}]' if field.length else ''}"
