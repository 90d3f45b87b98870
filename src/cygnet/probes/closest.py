"""Did you mean: the names nearest to a misspelt one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


_MOST = 3  # steps away, however long the word is


def distance(a: str, b: str, limit: int = 1 << 30) -> int:
    """Insertions, deletions, replacements and exchanges of neighbours that turn `a` into `b`.

    Gives `limit` + 1 as soon as it must be more than `limit`.
    """
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    older: list[int] = []
    old = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(row[-1] + 1, old[j] + 1, old[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
        older, old = old, row
    return old[-1]


def _first(pair: tuple[int, str]) -> int:
    return pair[0]


def closest(word: str, names: Iterable[str]) -> str | None:
    """The name that `word` was probably meant to be: at most a third of its letters differ.

    Case counts half: a name that differs only in case is nearest of all.
    """
    best, found = min(max(1, len(word) // 3), _MOST), None
    lower = word.lower()
    letters = set(lower)
    near = [name for name in names if abs(len(name) - len(word)) <= best]
    # Each step mends two letters at most that are in one of both only. The likely ones first, so that the others need
    # not be looked at: a kernel has 60,000 names.
    for strange, name in sorted([(len(letters.symmetric_difference(name.lower())), name) for name in near], key=_first):
        if strange > 2 * best:
            break
        cost = distance(lower, name.lower(), best)
        if cost < best or (cost == best and found is None):
            best, found = cost, name
            if cost == 0:
                break
    return found


def did_you_mean(word: str, names: Iterable[str], template: str = "{}") -> tuple[str, ...]:
    """A hint for an error, or none. `template` shows the name in its place."""
    name = closest(word, names)
    return () if name is None else (f"did you mean {template.format(name)}?",)
