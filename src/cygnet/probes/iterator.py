"""iter: walks over the kernel's own lists, such as all tasks."""

from __future__ import annotations

from cygnet.errors import NotSupported, ProbeError
from cygnet.probes.model import Match, Parsed
from cygnet.probes.syntax import count, no_wildcard
from cygnet.uapi.bpf import BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.probes.model import Options, Part, Target
    from cygnet.probes.registry import Provider
    from cygnet.source import Span

#: a kernel iterator TYPE is a function of this name in BTF (include/linux/bpf.h, DEFINE_BPF_ITER_FUNC)
PREFIX = "bpf_iter_"
BPFFS = "/sys/fs/bpf"
_OF_MAPS = frozenset(("bpf_map_elem", "bpf_sk_storage_map", "sockmap"))


def parse(row: Provider, parts: list[Part], span: Span | None) -> Parsed:
    count(row, parts, span, 1, 2)
    for part in parts:
        no_wildcard(row, part, span)
    return Parsed(row, parts, span, target=parts[0].text, name=parts[1].text if len(parts) == 2 else "")


def context(name: str) -> str:
    """The structure that a program of an iterator is given."""
    return f"{PREFIX}_{name}"


def expand(parsed: Parsed, target: Target, options: Options) -> list[Match]:
    known = list(names(parsed.provider, target))
    if parsed.target not in known:
        if not known:
            raise NotSupported(parsed.text, "a kernel with BPF iterators (5.8) and BTF; the same program works there")
        from cygnet.probes.closest import did_you_mean

        hints = did_you_mean(parsed.target, known, "iter:{}")
        raise ProbeError(
            f"the kernel has no iterator {parsed.target}", parsed.span, hints or ("-l 'iter:*' lists them",)
        )
    if parsed.target in _OF_MAPS:
        raise ProbeError(f"iter:{parsed.target} walks over a map that a program cannot name here", parsed.span)
    pin = parsed.name if not parsed.name or parsed.name.startswith("/") else f"{BPFFS}/{parsed.name}"
    data = ({"name": parsed.target, "pin": pin},)
    probe = f"iter:{parsed.target}"
    return [Match(parsed, probe, BPF_PROG_TYPE_TRACING, "iter", data, context="iter", space="kernel",
                  attach_type=BPF_TRACE_ITER, attach_to=parsed.target, preemptible=True, per_cpu_exact=False)]  # fmt: skip


def names(row: Provider, target: Target) -> Iterator[str]:
    """An iterator has a function that marks it, and a context structure, both called ``bpf_iter_TYPE``
    and ``bpf_iter__TYPE``."""
    try:
        btf = target.btf()
    except NotSupported:
        return
    context = PREFIX + "_"
    for name in sorted(btf.names_starting(context)):
        kind = name[len(context) :]
        if btf.find(PREFIX + kind) is not None:
            yield kind


def describe(row: Provider, name: str, target: Target) -> Iterator[str]:
    """The members of the context, without the metadata that each begins with."""
    from cygnet.btf.layout import all_members
    from cygnet.btf.render import c_decl

    context = target.btf().find(f"{PREFIX}_{name}")
    for member in () if context is None else all_members(context):
        field = member.steps[-1].name
        if field != "meta":
            yield f"{c_decl(member.type)} {field}"
