"""rawtracepoint: tracepoints with their arguments as the kernel's code passes them."""

from __future__ import annotations

from cygnet.btf.kinds import FUNC, TYPEDEF
from cygnet.errors import ProbeError
from cygnet.probes.model import Arg, Match, Parsed
from cygnet.probes.syntax import count
from cygnet.uapi.bpf import BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from cygnet.probes.model import Options, Part, Target
    from cygnet.probes.registry import Provider
    from cygnet.source import Span

#: a tracepoint EVENT has a typedef of this name in BTF: a pointer to its prototype
PREFIX = "btf_trace_"
CALLER = "__traceiter_"  # include/linux/tracepoint.h
KERNEL = "vmlinux"
_BPF_MAX_ARGS = 12  # include/linux/bpf.h: MAX_BPF_FUNC_ARGS


def parse(row: Provider, parts: list[Part], span: Span | None) -> Parsed:
    count(row, parts, span, 1, 2)
    module = parts[0].text if len(parts) == 2 else ""
    return Parsed(row, parts, span, target=module, name=parts[-1].text)


def expand(parsed: Parsed, target: Target, options: Options) -> list[Match]:
    """The event is looked up in BTF; without BTF the attachment itself decides whether it exists."""
    if parsed.is_wild:
        return _expand_wild(parsed, target)
    btf = _btf(target, parsed.target)
    if btf is None and parsed.target not in ("", KERNEL):
        from cygnet.probes.kprobe import check_module

        check_module(parsed, parsed.target, target)
    if btf is not None and btf.find(PREFIX + parsed.name, TYPEDEF) is None:
        owner = "" if parsed.target else _owner(parsed.name, target)
        if owner:
            return [_match(parsed, owner, parsed.name)]
        from cygnet.probes.closest import did_you_mean

        hints = did_you_mean(parsed.name, _events(btf), "rawtracepoint:{}")
        raise ProbeError(f"raw tracepoint not found: {parsed.text.partition(':')[2]}", parsed.span, hints)
    return [_match(parsed, parsed.target or (KERNEL if btf is not None else ""), parsed.name)]


def _expand_wild(parsed: Parsed, target: Target) -> list[Match]:
    from cygnet.probes.wildcard import matcher

    in_module = matcher(parsed.target or "*")
    wanted = matcher(parsed.name)
    found = []
    for module in filter(in_module, [KERNEL, *_modules(target)]):
        btf = _btf(target, module)
        known = set() if btf is None else set(_events(btf))
        if module != KERNEL:
            known = {name for name in known if _own(btf, name)}
        found += [_match(parsed, module, name) for name in sorted(known) if wanted(name)]
    if not found:
        raise ProbeError(f"no raw tracepoint matches {parsed.text.partition(':')[2]}", parsed.span)
    return found


def _modules(target: Target) -> list[str]:
    ask: Any = getattr(target, "modules", None)
    return ask() if ask else []


def _own(btf: Any, event: str) -> bool:
    """Whether an event is a module's, and not the kernel's, whose types a module's BTF has too."""
    found = btf.find(PREFIX + event, TYPEDEF)
    return found is not None and found.btf is btf


def _owner(event: str, target: Target) -> str:
    """The module that has the event."""
    for module in _modules(target):
        btf = _btf(target, module)
        if btf is not None and _own(btf, event):
            return module
    return ""


def _btf(target: Target, module: str) -> Any:
    """The BTF that holds the module's events, or None where the system has none."""
    from cygnet.errors import NotSupported

    try:
        if module in ("", KERNEL):
            return target.btf()
        of_module = getattr(target, "module_btf", None)
        return of_module(module) if of_module else None
    except (NotSupported, FileNotFoundError):
        return None


def _events(btf: Any) -> Iterator[str]:
    for name in btf.names_starting(PREFIX):
        yield name[len(PREFIX) :]


def _match(parsed: Parsed, module: str, event: str) -> Match:
    name = f"{module}:{event}" if module else event
    data = ({"event": event, "module": "" if module == KERNEL else module},)
    return Match(parsed, f"rawtracepoint:{name}", BPF_PROG_TYPE_RAW_TRACEPOINT, "raw_tracepoint", data, context="raw",
                 space="kernel", per_cpu_exact=False)  # fmt: skip


def make_typed(match: Match) -> None:
    """Let the verifier know the types of the arguments, as some helpers want: a program of another type, which is
    attached by the event's typedef."""
    data = match.targets[0]
    match.prog_type, match.attach_type = BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP
    match.attach_to = f"{data['module']}:{data['event']}" if data["module"] else data["event"]
    match.targets = ({**data, "typed": True},)


# ── arguments ────────────────────────────────────────────────────────────────────────────────────────────


def arguments(match: Match, target: Target) -> tuple[Arg, ...]:
    """The arguments of the event's prototype: each is a u64 of the context, `btf` its type."""
    data = match.targets[0]
    btf = _btf(target, data["module"])
    return () if btf is None else prototype(btf, data["event"])


def prototype(btf: Any, event: str) -> tuple[Arg, ...]:
    """Arguments of a tracepoint, from ``typedef void (*btf_trace_EVENT)(void *, …)``.

    Pointers to functions have no parameter names in BTF, but the function that calls the probes has.
    """
    caller = btf.find(CALLER + event, FUNC)
    typedef = caller or btf.find(PREFIX + event, TYPEDEF)
    if typedef is None:
        return ()
    proto = caller.type if caller else typedef.type.type
    params = proto.params[1 : 1 + _BPF_MAX_ARGS]  # the first is the probe's own data
    return tuple([_arg(btf, index, param.name, param.type_id) for index, param in enumerate(params)])


def _arg(btf: Any, index: int, name: str, type_id: int) -> Arg:
    from cygnet.btf.render import c_decl

    type = btf.type(type_id)
    plain = btf.resolve(type)
    return Arg(name, c_decl(type), 8 * index, 8, plain.is_signed, index=index, btf=type,
               value_size=min(8, btf.size_of(plain)), value_signed=plain.is_signed)  # fmt: skip


# ── listing ──────────────────────────────────────────────────────────────────────────────────────────────


def names(row: Provider, target: Target) -> Iterator[str]:
    btf = _btf(target, "")
    return iter([]) if btf is None else iter([f"{KERNEL}:{name}" for name in sorted(_events(btf))])


def describe(row: Provider, name: str, target: Target) -> Iterator[str]:
    module, _, event = name.partition(":")
    btf = _btf(target, module)
    for arg in () if btf is None else prototype(btf, event):
        yield arg.c_text
