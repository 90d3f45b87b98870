"""profile and interval: timers, on every CPU or on one."""

from __future__ import annotations

from cygnet.probes.model import Match, Parsed
from cygnet.probes.numbers import NS, duration_ns, number
from cygnet.probes.syntax import count, wrong
from cygnet.uapi.bpf import BPF_PROG_TYPE_PERF_EVENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.probes.model import Options, Part, Target
    from cygnet.probes.registry import Provider
    from cygnet.source import Span

MIN_PERIOD_NS = 1000  # a shorter period would keep a CPU busy with its timer alone
_UNITS = ("hz", "s", "ms", "us", "ns")


def parse(row: Provider, parts: list[Part], span: Span | None) -> Parsed:
    """``profile:hz:99``, ``profile:ms:5``, ``profile:5ms`` or a bare number of nanoseconds."""
    count(row, parts, span, 1, 2)
    value, mode = _duration(row, parts[0], span) if len(parts) == 1 else _unit(row, parts, span)
    part = parts[-1]
    if value <= 0:
        raise wrong(part, span, f"{row.name} wants a number above 0, not {part.text}")
    if (value if mode == "ns" else 10**9 // value) < MIN_PERIOD_NS:
        raise wrong(part, span, f"the period of {':'.join(p.text for p in parts)} is below {MIN_PERIOD_NS} ns")
    if value >= 1 << 63:
        raise wrong(part, span, f"{part.text} is too large for {row.name}")
    return Parsed(row, parts, span, target=parts[0].text if len(parts) == 2 else "", value=value, mode=mode)


def _duration(row: Provider, part: Part, span: Span | None) -> tuple[int, str]:
    value = duration_ns(part.text)
    if value is not None:
        return value, "ns"
    if part.text in _UNITS:
        raise wrong(part, span, f"{row.name}:{part.text} wants a number after it", f"write {row.name}:{part.text}:1")
    raise wrong(part, span, f"{part.text} is not a duration", f"write {row.name}:5ms or {row.syntax}")


def _unit(row: Provider, parts: list[Part], span: Span | None) -> tuple[int, str]:
    unit, value = parts[0].text, number(parts[1].text)
    if unit not in _UNITS:
        raise wrong(parts[0], span, f"{row.name} knows no unit {unit}", f"units are {', '.join(_UNITS)}")
    if value is None:
        raise wrong(parts[1], span, f"{parts[1].text} is not a number")
    return (value, "hz") if unit == "hz" else (value * NS[unit], "ns")


def expand(parsed: Parsed, target: Target, options: Options) -> list[Match]:
    """Samples of the CPU clock, in the kernel or out of it. A profile is scoped to `options.pid`."""
    data = {"unit": parsed.mode, "value": parsed.value, "cpus": "all" if parsed.provider.name == "profile" else "one"}
    if data["cpus"] == "all" and options.pid > 0:
        data["pid"] = options.pid
    return [Match(parsed, parsed.text, BPF_PROG_TYPE_PERF_EVENT, "perf_sample", (data,), context="perf")]


def names(row: Provider, target: Target) -> Iterator[str]:
    """The units; any number goes after them."""
    return iter(("hz:", "ms:", "s:", "us:"))
