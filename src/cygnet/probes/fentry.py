"""fentry and fexit: kernel functions with typed arguments, by BPF trampolines."""

from __future__ import annotations

from cygnet.probes.model import Parsed
from cygnet.probes.syntax import count, wrong

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from cygnet.probes.model import Part, Target
    from cygnet.probes.registry import Provider
    from cygnet.source import Span


def parse(row: Provider, parts: list[Part], span: Span | None) -> Parsed:
    """``fentry[:MODULE]:FUNCTION`` or ``fentry:bpf[:ID]:PROGRAM``."""
    count(row, parts, span, 1, 3)
    if len(parts) == 3:
        if parts[0].text != "bpf":
            raise wrong(parts[0], span, f"{row.name} has three arguments only as {row.name}:bpf:ID:PROGRAM")
        if not parts[1].text.isdigit():
            raise wrong(parts[1], span, f"{parts[1].text} is not the id of a BPF program")
        return Parsed(row, parts, span, target="bpf", name=parts[2].text, value=int(parts[1].text))
    return Parsed(row, parts, span, target=parts[0].text if len(parts) == 2 else "", name=parts[-1].text)


def names(row: Provider, target: Target) -> Iterator[str]:
    """The kernel functions that BTF describes and the tracer can patch; none where it cannot patch any."""
    ask: Any = getattr(target, "traceable_functions", None)
    traceable = set(ask()) if ask else set()
    if not traceable:
        return
    known = (function.name for function in target.btf().functions())
    for name in sorted(traceable.intersection(known)):
        yield f"vmlinux:{name}"
