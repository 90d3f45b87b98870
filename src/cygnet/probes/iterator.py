"""iter: walks over the kernel's own lists, such as all tasks."""

from __future__ import annotations

from cygnet.errors import NotSupported
from cygnet.probes.model import Parsed
from cygnet.probes.syntax import count, no_wildcard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.probes.model import Part, Target
    from cygnet.probes.registry import Provider
    from cygnet.source import Span

#: a kernel iterator TYPE is a function of this name in BTF (include/linux/bpf.h, DEFINE_BPF_ITER_FUNC)
PREFIX = "bpf_iter_"


def parse(row: Provider, parts: list[Part], span: Span | None) -> Parsed:
    count(row, parts, span, 1, 2)
    no_wildcard(row, parts[0], span)
    return Parsed(row, parts, span, target=parts[0].text, name=parts[1].text if len(parts) == 2 else "")


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
