"""Arguments of raw tracepoints that may be null, or an error instead of a pointer (kernel/bpf/btf.c)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# tracepoint: numbers of arguments that may be null; after a slash, of those that may be an error
_ROWS: Final = {
    "sched_pi_setprio": "1",
    "sched_stick_numa": "2",
    "sched_swap_numa": "2",
}


def mark(event: str, argument: int) -> str:
    """``null``, ``error`` or nothing."""
    row = _ROWS.get(event, "")
    nulls, _, errors = row.partition("/")
    if str(argument) in errors.split(","):
        return "error"
    return "null" if str(argument) in nulls.split(",") else ""
