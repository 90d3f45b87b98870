"""Wall-clock text: the C library's strftime with fractions of a second."""

from __future__ import annotations

from time import localtime
from time import strftime as _strftime


def strftime(form: str, wall_ns: int) -> str:
    """`wall_ns` (since the epoch) in local time; also ``%f`` microseconds, ``%l`` milliseconds, ``%k`` nanoseconds."""
    seconds, fraction = divmod(wall_ns, 1_000_000_000)
    return _strftime(_fractions(form, fraction), localtime(seconds))


def _fractions(form: str, fraction: int) -> str:
    if "%" not in form:
        return form
    texts = {"f": f"{fraction // 1000:06}", "l": f"{fraction // 1_000_000:03}", "k": f"{fraction:09}"}
    out, at = [], 0
    while True:
        found = form.find("%", at)
        if found < 0 or found + 1 >= len(form):
            out.append(form[at:])
            return "".join(out)
        letter = form[found + 1]
        out.append(form[at:found] + texts.get(letter, "%" + letter))
        at = found + 2
