"""Checks that several providers make when they read an attach point."""

from __future__ import annotations

from cygnet.errors import TraceSyntaxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cygnet.probes.model import Part
    from cygnet.probes.registry import Provider
    from cygnet.source import Span


def count(row: Provider, parts: Sequence[Part], span: Span | None, least: int, most: int, empty: int = 0) -> None:
    """The number of parts after the provider's name must lie in [least, most]; only the first `empty` may be empty."""
    if not least <= len(parts) <= most:
        wanted = str(least) if least == most else f"{least} or {most}" if most == least + 1 else f"{least} to {most}"
        noun = "argument" if wanted == "1" else "arguments"
        verb = "takes no arguments" if most == 0 else f"takes {wanted} {noun}, not {len(parts)}"
        raise TraceSyntaxError(f"{row.name} {verb}", span, (f"write {row.syntax}",))
    for part in parts[empty:]:
        if not part.text:
            raise TraceSyntaxError(f"{row.name} has an empty argument", part.span or span, (f"write {row.syntax}",))


def no_wildcard(row: Provider, part: Part, span: Span | None) -> None:
    if "*" in part.text:
        raise TraceSyntaxError(f"{row.name} takes no wildcards", part.span or span)


def wrong(part: Part, span: Span | None, message: str, *hints: str) -> TraceSyntaxError:
    """An error that points at one part."""
    return TraceSyntaxError(message, part.span or span, hints)


def function_offset(part: Part, span: Span | None) -> tuple[str, int]:
    """``name+off`` as (name, offset); without one the offset is 0."""
    from cygnet.probes.numbers import number

    name, plus, text = part.text.rpartition("+")
    if not plus or not name:
        return part.text, 0
    offset = number(text)
    if offset is None:
        raise wrong(part, span, f"the offset of {name} is not a number: {text}")
    return name, offset
