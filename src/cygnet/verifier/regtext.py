"""Registers and numbers in the words of the kernel's log."""

from __future__ import annotations

from cygnet.verifier import reg as r
from cygnet.verifier.bits import unsigned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mypy_extensions import i64

_PREFIXES = (
    (r.RDONLY, "rdonly_"),
    (r.RINGBUF, "ringbuf_"),
    (r.USER, "user_"),
    (r.PERCPU, "percpu_"),
    (r.RCU, "rcu_"),
    (r.UNTRUSTED, "untrusted_"),
    (r.TRUSTED, "trusted_"),
)


def type_text(type: i64) -> str:
    """``map_value_or_null``, ``trusted_ptr_``, ``scalar``."""
    kind = type & r.KIND
    name: str = r.KIND_NAMES[kind]
    tail = ""
    if type & r.MAYBE_NULL:
        tail = "or_null_" if kind == r.BTF else "_or_null"
    head = ""
    for flag, prefix in _PREFIXES:
        if type & flag:
            head += prefix
    return f"{head}{name}{tail}"


def tnum_text(value: i64, mask: i64) -> str:
    if mask == 0:
        return str(unsigned(value)) if unsigned(value) < 1 << 16 else f"{unsigned(value):#x}"
    return f"({unsigned(value):#x}; {unsigned(mask):#x})"
