"""From an attach point of the syntax tree to the events that it names."""

from __future__ import annotations

from cygnet.errors import ProbeError, TraceSyntaxError
from cygnet.probes.closest import did_you_mean
from cygnet.probes.model import NotCompiledYet, Options, Parsed, Part
from cygnet.probes.registry import ROWS, names, provider

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cygnet.probes.model import Match, PointLike, Target
    from cygnet.source import Span


def parse(point: PointLike, parameters: Sequence[str] = ()) -> Parsed:
    """Read an attach point, with the script's positional parameters filled in.

    Raises TraceSyntaxError with the span of the part that is wrong.
    """
    return parse_parts(_filled(point, parameters), point.span)


def _filled(point: PointLike, parameters: Sequence[str]) -> list[Part]:
    """The parts of an attach point, parameters filled in. One in the first part may be all of it (``$1``)."""
    filled = tuple(parameters)
    parts = [Part(part.fill(filled), part.span, part.quoted) for part in point.parts]
    first = parts[0]
    return [*(Part(piece, first.span, first.quoted) for piece in first.text.split(":")), *parts[1:]]


def parse_wild(point: PointLike, parameters: Sequence[str] = ()) -> list[Parsed]:
    """As `parse`; a wildcard in place of the provider (``t*point:sched:sched_switch``) names all that it fits."""
    first, *rest = _filled(point, parameters)
    if "*" not in first.text:
        return [parse(point, parameters)]
    from cygnet.probes.wildcard import matcher

    fits = matcher(first.text)
    found: list[Parsed] = []
    for row in ROWS:
        if fits(row.name):
            try:
                found.append(row.parse(rest, point.span))
            except TraceSyntaxError:
                continue  # what follows is for another kind
    return found or [parse(point, parameters)]


def parse_text(text: str) -> Parsed:
    """Read an attach point from plain text, without a source: for tests and for tools."""
    return parse_parts([Part(piece) for piece in text.split(":")], None)


def parse_parts(parts: list[Part], span: Span | None) -> Parsed:
    """Read an attach point from its parts; the first names the provider."""
    first = parts[0]
    row = provider(first.text)
    if row is None:
        hints = did_you_mean(first.text, [name for name in names() if len(name) > 2])
        raise TraceSyntaxError(f"unknown probe type: {first.text}", first.span or span, hints)
    return row.parse(parts[1:], span)


def expand(parsed: Parsed, target: Target, options: Options | None = None) -> list[Match]:
    """Every event that a parsed attach point names, at least one.

    Raises ProbeError when there is none; that says what is missing, and what may have been meant.
    """
    return parsed.provider.expand(parsed, target, options or Options())


def expand_all(points: Sequence[Parsed], target: Target, options: Options) -> list[Match]:
    """The events of all attach points of one probe, in the order written; two points may name the same one.

    What finds nothing is an error, a warning (collected in `options`) or nothing, as ``missing_probes``
    says. A wildcard that finds nothing is passed over silently when another point of the probe finds
    something.
    """
    found: list[Match] = []
    missing: list[tuple[Parsed, ProbeError]] = []
    for parsed in points:
        try:
            found.extend(parsed.provider.expand(parsed, target, options))
        except NotCompiledYet:
            raise
        except ProbeError as error:
            if not parsed.is_wild and options.missing == "error":
                raise
            missing.append((parsed, error))
    if missing and not found and options.missing == "alternatives":
        from cygnet.probes.mergedlibs import find

        if found := find([parsed for parsed, _ in missing], target, options):
            return found
    if missing and not found and options.missing in ("error", "alternatives"):
        raise missing[0][1]
    if options.missing in ("warn", "alternatives"):
        options.warnings.extend([error for parsed, error in missing if not (found and parsed.is_wild)])
    return found
