"""Rarer options that change what a program meets: features, lists of functions, debug folders, a filter of probes."""

from __future__ import annotations

from cygnet.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.kernel.target import LiveTarget
    from cygnet.session.options import Options
    from cygnet.spec.objects import ObjectSpec

_ALWAYS = frozenset(("begin", "end"))


def prepare(options: Options, target: LiveTarget) -> None:
    """Before compiling: --no-feature, --traceable-functions and --debuginfo. UsageError for what makes no sense."""
    if options.no_features:
        _without(options.no_features)
    if options.traceable_functions:
        from cygnet.kernel.tracefs import functions_in

        try:
            with open(options.traceable_functions, encoding="utf-8", errors="surrogateescape") as file:
                target.trace_only(functions_in(file.read()))
        except OSError as error:
            raise UsageError(f"cannot read {options.traceable_functions!r}: {error.strerror}") from None
    if options.debuginfo:
        from cygnet.elf.lookup import search_also

        search_also([folder for folder in options.debuginfo if folder])


def _without(names: list[str]) -> None:
    from cygnet.kernel import features

    unknown = [name for name in names if name not in features.names()]
    if unknown:
        error = UsageError(f"--no-feature knows no {unknown[0]!r}")
        error.hints = (f"features are {', '.join(features.names())}",)
        raise error
    features.do_without(names)


def filtered(spec: ObjectSpec, pattern: str) -> ObjectSpec:
    """Only the probes whose names match the regular expression; begin and end stay. UsageError when none is left."""
    if not pattern:
        return spec
    import re

    try:
        wanted = re.compile(pattern).search
    except re.error as error:
        raise UsageError(f"--probe-filter: {pattern!r} is no regular expression: {error}") from None
    links = tuple(link for link in spec.links if link.kind in _ALWAYS or wanted(link.probe))
    if spec.links and not any(link.kind not in _ALWAYS for link in links):
        raise UsageError(f"--probe-filter: no probe matches {pattern!r}")
    gone = {link.program for link in spec.links} - {link.program for link in links}
    return spec._replace(links=links, programs=tuple(one for one in spec.programs if one.name not in gone))
