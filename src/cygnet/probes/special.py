"""begin, end and self: probes that Cygnet itself fires."""

from __future__ import annotations

from cygnet.probes.model import Match, Parsed
from cygnet.probes.syntax import count, wrong
from cygnet.uapi.bpf import BPF_PROG_TYPE_RAW_TRACEPOINT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.probes.model import Options, Part, Target
    from cygnet.probes.registry import Provider
    from cygnet.source import Span


def parse(row: Provider, parts: list[Part], span: Span | None) -> Parsed:
    if row.name != "self":
        count(row, parts, span, 0, 0)
        return Parsed(row, parts, span)
    count(row, parts, span, 2, 2)
    if parts[0].text != "signal":
        raise wrong(parts[0], span, f"self knows no event {parts[0].text}", f"write {row.syntax}")
    return Parsed(row, parts, span, target=parts[1].text, value=_signal(parts[1], span))


def _signal(part: Part, span: Span | None) -> int:
    import signal

    name = part.text.upper()
    known = {member.name: int(member) for member in signal.Signals}
    value = known.get(name) or known.get("SIG" + name)
    if value is None:
        from cygnet.probes.closest import did_you_mean

        raise wrong(part, span, f"there is no signal {part.text}", *did_you_mean(name, known))
    if value in (signal.SIGKILL, signal.SIGSTOP):
        raise wrong(part, span, f"{part.text} cannot be caught")
    return value


def expand(parsed: Parsed, target: Target, options: Options) -> list[Match]:
    """These run by BPF_PROG_TEST_RUN, which raw tracepoint programs allow; `target` is not asked."""
    name = parsed.provider.name
    kind, data = (name, {}) if name != "self" else ("signal", {"signal": parsed.value})
    probetype = "self" if name == "self" else "special"
    return [
        Match(parsed, parsed.text, BPF_PROG_TYPE_RAW_TRACEPOINT, kind, (data,), probetype=probetype, preemptible=True)
    ]


def names(row: Provider, target: Target) -> Iterator[str]:
    if row.name != "self":
        yield ""
