"""Functions of libraries that glibc 2.34 merged into libc: of those only the names were left."""

from __future__ import annotations

from cygnet.errors import ProbeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cygnet.probes.model import Match, Options, Parsed, Target

#: what is left of them has no functions (glibc's NEWS for 2.34)
_MERGED = frozenset(("libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libanl.so.1"))


def successor(path: str) -> str:
    """The libc beside such a library, which has its functions now; empty for any other file."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/libc.so.6" if folder and name in _MERGED else ""


def find(points: Sequence[Parsed], target: Target, options: Options) -> list[Match]:
    """The events of attach points of which none was found where it was looked for; a warning tells of each.

    Only for a probe as a whole: one that names both libraries wants the one that has the function.
    """
    return [match for parsed in points for match in _in_successor(parsed, target, options)]


def _in_successor(parsed: Parsed, target: Target, options: Options) -> list[Match]:
    if parsed.provider.name not in ("uprobe", "uretprobe") or not parsed.target or parsed.mode or not parsed.name:
        return []
    from cygnet.probes.binary import resolve

    before = parsed.target
    try:
        old = resolve(before, options.pid)
        parsed.target = successor(old)
        found = parsed.provider.expand(parsed, target, options) if parsed.target else []
    except ProbeError:
        return []
    finally:
        parsed.target = before
    if found:
        message = f"{old} has no {parsed.name}: it was merged into {found[0].targets[0]['path']}, which has"
        options.warnings.append(ProbeError(message, parsed.span))
    return found
