"""One row for each provider: its names, its file, its syntax, and whether programs there can be compiled."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NamedTuple

    from cygnet.probes.model import Arg, Match, Options, Parsed, Part, Target
    from cygnet.source import Span
else:
    from cygnet.named import NamedTuple


class Provider(NamedTuple):
    """A row. `aliases` are the short and the old names; `reason`, when not empty, says why programs
    there cannot be compiled yet. The module `cygnet.probes.FILE` has these functions::

        parse(row, parts, span) -> Parsed        raises TraceSyntaxError
        expand(parsed, target, options) -> list[Match]   raises ProbeError
        arguments(match, target) -> tuple[Arg, …]        where ``args`` has fields
        names(row, target) -> Iterator[str]              what can be listed, without the provider's name
        select(row, pattern, target, pid) -> Iterator[str]   likewise, where the pattern must say where to look
        describe(row, name, target) -> Iterator[str]     the lines under a name in a verbose listing
    """

    name: str
    aliases: tuple[str, ...]
    file: str
    syntax: str
    reason: str = ""

    @property
    def supported(self) -> bool:
        return not self.reason

    @property
    def module(self) -> Any:
        return __import__(f"cygnet.probes.{self.file}", fromlist=["parse"])

    def parse(self, parts: list[Part], span: Span | None) -> Parsed:
        parsed: Parsed = self.module.parse(self, parts, span)
        return parsed

    def expand(self, parsed: Parsed, target: Target, options: Options) -> list[Match]:
        """Raises ProbeError: a provider without support names itself and why."""
        if self.reason:
            from cygnet.probes.model import NotCompiledYet

            raise NotCompiledYet(f"{parsed.text}: {self.reason}", parsed.span)
        found: list[Match] = self.module.expand(parsed, target, options)
        return found

    def arguments(self, match: Match, target: Target) -> tuple[Arg, ...]:
        function = getattr(self.module, "arguments", None)
        return function(match, target) if function else ()

    def names(self, target: Target) -> Iterator[str]:
        function = getattr(self.module, "names", None)
        return function(self, target) if function else iter(())


ROWS = (
    Provider("begin", (), "special", "begin"),
    Provider("end", (), "special", "end"),
    Provider("self", (), "special", "self:signal:SIGUSR1"),
    Provider("tracepoint", ("t",), "tracepoint", "tracepoint:SUBSYSTEM:EVENT"),
    Provider("rawtracepoint", ("rt",), "rawtracepoint", "rawtracepoint[:MODULE]:EVENT"),
    Provider("uprobe", ("u",), "uprobe", "uprobe:BINARY:FUNCTION[+OFFSET]"),
    Provider("uretprobe", ("ur",), "uprobe", "uretprobe:BINARY:FUNCTION"),
    Provider("profile", ("p",), "timer", "profile:hz|s|ms|us|ns:NUMBER"),
    Provider("interval", ("i",), "timer", "interval:hz|s|ms|us|ns:NUMBER"),
    Provider("software", ("s",), "software", "software:EVENT[:COUNT]"),
    Provider("hardware", ("h",), "hardware", "hardware:EVENT[:COUNT]"),
    Provider("kprobe", ("k",), "kprobe", "kprobe[:MODULE]:FUNCTION[+OFFSET]"),
    Provider("kretprobe", ("kr",), "kprobe", "kretprobe[:MODULE]:FUNCTION"),
    Provider("fentry", ("f", "kfunc"), "fentry", "fentry[:MODULE]:FUNCTION"),
    Provider("fexit", ("fr", "kretfunc"), "fentry", "fexit[:MODULE]:FUNCTION"),
    Provider("usdt", ("U",), "usdt", "usdt:BINARY[:NAMESPACE]:PROBE"),
    Provider("watchpoint", ("w",), "watchpoint", "watchpoint:ADDRESS:LENGTH:MODE"),
    Provider("asyncwatchpoint", ("aw",), "watchpoint", "asyncwatchpoint:FUNCTION+argN:LENGTH:MODE"),
    Provider("iter", ("it",), "iterator", "iter:TYPE[:PIN]"),
    Provider("test", (), "named", "test:NAME"),
    Provider("bench", (), "named", "bench:NAME"),
)  # fmt: skip

_by_name: dict[str, Provider] = {}


def provider(name: str) -> Provider | None:
    """The row for a name or alias. Long names in any case; of the short ones only ``U`` and ``u`` differ."""
    if not _by_name:
        for row in ROWS:
            for known in (row.name, *row.aliases):
                _by_name[known] = row
    return _by_name.get(name) or _by_name.get(name.lower())


def names() -> list[str]:
    """All names and aliases."""
    provider("begin")
    return list(_by_name)
