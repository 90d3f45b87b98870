"""What can be probed, as text: one name a line, its fields below it when asked."""

from __future__ import annotations

from cygnet.errors import ProbeError, TraceSyntaxError
from cygnet.probes.registry import ROWS, Provider, provider
from cygnet.probes.wildcard import matcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cygnet.probes.model import Target

INDENT = "    "
_USER = ("uprobe", "usdt")  # what a process has; return probes are at the same functions


def list_probes(pattern: str | None, target: Target, verbose: bool = False, pid: int = -1) -> Iterator[str]:
    """The lines of ``-l``: every probe that matches the pattern, with its fields below it when `verbose`."""
    return _lines(find_probes(pattern, target, pid), target, verbose)


def find_probes(pattern: str | None, target: Target, pid: int = -1) -> Iterator[tuple[Provider, str]]:
    """(provider, name) of every probe that matches the pattern, by provider.

    ``PROVIDER:REST`` lists one provider (or, with a wildcard in it, several); a lone provider's name all
    of its probes; text without a colon is looked for in all names, whole names when it holds a wildcard.
    With `pid` a lack of pattern, or a wildcard as provider, means the functions and static probes of that process.
    Raises TraceSyntaxError for an unknown provider, ProbeError for a binary that cannot be read.
    """
    if not pattern or pattern in ("*", "*:*"):
        return _of_process(target, pid) if pid > 0 else _everywhere(lambda name: True, target)
    head, colon, rest = pattern.partition(":")
    row = provider(head)
    if row is not None:
        return _of_provider(row, rest, target, pid)
    if not colon:
        wanted = matcher(pattern) if "*" in pattern else matcher(f"*{pattern}*")
        return _everywhere(wanted, target)
    rows = [row for row in ROWS if matcher(head)(row.name) and (pid <= 0 or row.name in _USER)]
    if not rows:
        from cygnet.probes.closest import did_you_mean

        raise TraceSyntaxError(f"unknown probe type: {head}", None, did_you_mean(head, [row.name for row in ROWS]))
    return (found for row in rows for found in _if_any(row, rest, target, pid))


def _of_process(target: Target, pid: int) -> Iterator[tuple[Provider, str]]:
    for row in ROWS:
        if row.name in _USER:
            yield from _of_provider(row, "*:*", target, pid)


def _everywhere(wanted: Callable[[str], bool], target: Target) -> Iterator[tuple[Provider, str]]:
    for row in ROWS:
        if row.file == "special":  # these are always there
            continue
        for name in row.names(target):
            if wanted(name):
                yield row, name


def _if_any(row: Provider, rest: str, target: Target, pid: int) -> Iterator[tuple[Provider, str]]:
    """As `_of_provider`, for one of several providers: what is no binary to it is no mistake."""
    try:
        yield from _of_provider(row, rest, target, pid)
    except ProbeError:
        return


def _of_provider(row: Provider, rest: str, target: Target, pid: int = -1) -> Iterator[tuple[Provider, str]]:
    select = getattr(row.module, "select", None)
    if select is not None and rest:
        chosen: Iterator[str] = select(row, rest, target, pid)
    else:
        chosen = filter(_pattern(rest), row.names(target))
    for name in chosen:
        yield row, name


def _pattern(rest: str) -> Callable[[str], bool]:
    """Tests names that may end in a colon (where a count may stand), and events named without their module."""
    if not rest:
        return lambda name: True
    test = matcher(rest)
    return lambda name: test(name) or test(name.rstrip(":")) or test(name.partition(":")[2])


def full_name(row: Provider, name: str) -> str:
    return f"{row.name}:{name}" if name else row.name


def fields(row: Provider, name: str, target: Target) -> list[str]:
    """What a program finds at a probe, each as a C declaration; empty where nothing is known."""
    describe = getattr(row.module, "describe", None)
    return list(describe(row, name, target)) if describe is not None else []


def _lines(found: Iterator[tuple[Provider, str]], target: Target, verbose: bool) -> Iterator[str]:
    for row, name in found:
        yield full_name(row, name)
        for line in fields(row, name, target) if verbose else ():
            yield INDENT + line
