"""The word a user may have meant."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate nearest to `word`, or None: near are one typing error in 2 letters, two in 5, three in 9."""
    length = len(word)
    limit = 0 if length < 2 else 1 if length < 5 else 2 if length < 9 else 3
    lowered = word.lower()
    best: str | None = None
    for candidate in candidates:
        if abs(len(candidate) - len(word)) > limit:
            continue
        away = distance(lowered, candidate.lower(), limit)
        if away <= limit and candidate != word:
            if away == 0:
                return candidate
            best, limit = candidate, away - 1
    return best


def distance(a: str, b: str, limit: int) -> int:
    """How many letters to insert, delete, replace or swap with a neighbour; all over `limit` is `limit` + 1."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
    return min(row[-1], limit + 1)
