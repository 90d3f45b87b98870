"""What providers share: parts of an attach point, the parsed form, matches and their arguments."""

from __future__ import annotations

from cygnet.errors import ProbeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Protocol

    from cygnet.probes.operands import Operand
    from cygnet.probes.registry import Provider
    from cygnet.source import Span
    from cygnet.spec.objects import LinkSpec
    from cygnet.spec.relocs import RelocTemplate

    class PartLike(Protocol):
        """One colon-divided part of an attach point in a syntax tree."""

        @property
        def span(self) -> Span: ...
        @property
        def quoted(self) -> bool: ...
        def fill(self, parameters: list[str] | tuple[str, ...]) -> str: ...

    class PointLike(Protocol):
        """An attach point of a syntax tree: `parts[0]` names the provider."""

        @property
        def span(self) -> Span: ...
        @property
        def parts(self) -> Sequence[PartLike]: ...

    class Target(Protocol):
        """The system that probes are looked up on: spec.protocols.TargetInfo, live or saved."""

        def tracepoint_events(self) -> Sequence[str]: ...
        def tracepoint_format(self, subsys: str, event: str) -> Any: ...
        def btf(self) -> Any: ...


class NotCompiledYet(ProbeError):
    """An attach point that is read, and that no program can be compiled for yet. Never passed over, whatever
    ``missing_probes`` says: that would be a wrong answer."""


class Part:
    """One part of an attach point with the script's parameters filled in."""

    __slots__ = ("quoted", "span", "text")

    def __init__(self, text: str, span: Span | None = None, quoted: bool = False) -> None:
        self.text = text
        self.span = span
        self.quoted = quoted


class Options:
    """What expansion may need to know beside the target.

    `pid` scopes user-space probes and perf events (-1: every process); `command` is that of ``-c``; `missing` is the
    language's ``missing_probes``: error, warn or ignore; or alternatives, where it is an error when no point of a probe
    finds anything, and a warning when another does: scripts list the names that a function has had. `warnings`
    collects what did not stop us.
    """

    __slots__ = ("command", "missing", "pid", "unsafe", "warnings")

    def __init__(self, *, pid: int = -1, missing: str = "error", unsafe: bool = False, command: str = "") -> None:
        self.pid = pid
        self.command = command
        self.missing = missing
        self.unsafe = unsafe
        self.warnings: list[ProbeError] = []


class Parsed:
    """An attach point that its provider has read; nothing of the system was asked yet.

    provider                        target            name            others
    tracepoint                      subsystem         event
    rawtracepoint                   module or ""      event
    kprobe kretprobe fentry fexit   module or ""      function        offset, address
    uprobe uretprobe                binary            function        offset, address, mode: "", "cpp" or "line"
    usdt                            binary            probe           mode: namespace
    profile interval                unit as written                   value; mode: "hz" or "ns"
    software hardware               event as written                  value: count, 0 when not written
    watchpoint                      address or function  "argN"       address, value: length, mode
    iter                            type              pin
    self                            signal as written                 value: its number
    test bench                                        name

    `address` is -1 when none was written. `text` is the probe's name as the language shows it, for a
    point that needs no expansion.
    """

    __slots__ = ("address", "mode", "name", "offset", "parts", "provider", "span", "target", "text", "value")

    def __init__(
        self,
        provider: Provider,
        parts: Sequence[Part],
        span: Span | None,
        *,
        target: str = "",
        name: str = "",
        offset: int = 0,
        address: int = -1,
        value: int = 0,
        mode: str = "",
    ) -> None:
        self.provider = provider
        self.parts = parts
        self.span = span
        self.target = target
        self.name = name
        self.offset = offset
        self.address = address
        self.value = value
        self.mode = mode
        self.text = ":".join([provider.name, *[part.text for part in parts]])

    @property
    def is_wild(self) -> bool:
        """Whether a part holds a `*`, so that finding nothing is less of a surprise."""
        return any("*" in part.text for part in self.parts)


class Arg:
    """One named argument of a probe.

    `type` is C text: of an array, its element's. `offset` counts bytes from the start of the context,
    `size` is what the field takes there and `signed` what the tracepoint's format says of it (both
    belong in a TP_FIELD relocation, see `reloc`). `length` is an array's number of elements (0: not an
    array). `data_loc` fields hold offset | length << 16 of data in the record; with `rel_loc` the offset
    counts from the field's end. `value_size` and `value_signed` are what the C type says: a system call's
    ``int fd`` lies in 8 bytes, of which the low 4 count. `btf` is the BtfType where there is one.
    """

    __slots__ = (
        "btf", "data_loc", "event", "index", "length", "name", "offset", "rel_loc", "signed", "size", "type",
        "value_signed", "value_size",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        type: str,
        offset: int,
        size: int,
        signed: bool,
        *,
        length: int = 0,
        data_loc: bool = False,
        rel_loc: bool = False,
        event: str = "",
        index: int = 0,
        btf: Any = None,
        value_size: int = 0,
        value_signed: bool | None = None,
    ) -> None:
        self.name = name
        self.type = type
        self.offset = offset
        self.size = size
        self.signed = signed
        self.length = length
        self.data_loc = data_loc
        self.rel_loc = rel_loc
        self.event = event
        self.index = index
        self.btf = btf
        self.value_size = value_size or size
        self.value_signed = signed if value_signed is None else value_signed

    @property
    def is_string(self) -> bool:
        """A character array (of either kind): text that ends at the first NUL."""
        return self.type == "char" and (self.length > 0 or self.data_loc)

    @property
    def is_pointer(self) -> bool:
        return self.type.endswith("*")

    @property
    def c_text(self) -> str:
        """The declaration as the tracepoint's format spells it."""
        if self.data_loc:
            return f"{'__rel_loc' if self.rel_loc else '__data_loc'} {self.type}[] {self.name}"
        return f"{self.type} {self.name}[{self.length}]" if self.length else f"{self.type} {self.name}"

    def reloc(self) -> RelocTemplate:
        """The relocation that gives this field's offset on the machine at hand (tracepoints only)."""
        from cygnet.spec.relocs import TP_FIELD, RelocTemplate

        return RelocTemplate(TP_FIELD, self.event, "off", (self.name, self.size, self.signed))

    def __repr__(self) -> str:
        return f"<Arg {self.c_text} at {self.offset}, {self.size} bytes>"


class Match:
    """One event that an attach point names: what the compiler must know of a program there.

    probe           its full name, as the language shows it
    probetype       the provider's long name; ``special`` for begin and end
    func            the function's name, where there is one
    prog_type       BPF_PROG_TYPE number; `attach_type` likewise, `attach_to` a BTF function
    kind, targets   of its LinkSpecs: one for each place (a symbol may have several addresses)
    context         ``record`` (a tracepoint's), ``raw`` (u64 arguments), ``regs`` (pt_regs),
                    ``perf`` (bpf_perf_event_data), ``iter`` (struct bpf_iter__TYPE) or ``none``
    space           what a plain pointer means there: ``kernel``, ``user`` or ``none``
    preemptible     it may be preempted, and run again on the same CPU before it has ended
    place, watch    where it becomes known what to watch: a match of its own, and {"argument": its number, "len",
                    "mode", "stop": the process waits until it is watched}; there are no targets then
    operands        where the arguments of a usdt probe lie (probes.operands)
    per_cpu_exact   nothing that uses the same per-CPU value can interrupt it on its CPU, so that a plain
                    increment loses nothing (perf-based programs share the bpf_prog_active counter)
    """

    __slots__ = (
        "attach_to", "attach_type", "context", "func", "kind", "operands", "parsed", "per_cpu_exact", "place",
        "preemptible", "probe", "probetype", "prog_type", "space", "targets", "watch",
    )  # fmt: skip

    def __init__(
        self,
        parsed: Parsed,
        probe: str,
        prog_type: int,
        kind: str,
        targets: tuple[dict[str, Any], ...],
        *,
        context: str = "none",
        space: str = "none",
        func: str = "",
        attach_type: int = 0,
        attach_to: str = "",
        preemptible: bool = False,
        per_cpu_exact: bool = True,
        probetype: str = "",
    ) -> None:
        self.parsed = parsed
        self.probe = probe
        self.probetype = probetype or parsed.provider.name
        self.prog_type = prog_type
        self.attach_type = attach_type
        self.attach_to = attach_to
        self.kind = kind
        self.targets = targets
        self.context = context
        self.space = space
        self.func = func
        self.preemptible = preemptible
        self.per_cpu_exact = per_cpu_exact
        self.operands: tuple[Operand, ...] = ()
        self.place: Match | None = None
        self.watch: dict[str, Any] = {}

    @property
    def provider(self) -> Provider:
        return self.parsed.provider

    def arguments(self, target: Target) -> tuple[Arg, ...]:
        """The arguments that ``args`` names here, read from the target now; empty where there are none."""
        return self.provider.arguments(self, target)

    def links(self, program: str) -> tuple[LinkSpec, ...]:
        """The links that attach `program` here."""
        from cygnet.spec.objects import LinkSpec

        span = self.parsed.span
        place = None if span is None else (span.start, span.end)
        return tuple([LinkSpec(program, self.kind, target, self.probe, place) for target in self.targets])

    def __repr__(self) -> str:
        return f"<Match {self.probe}>"
