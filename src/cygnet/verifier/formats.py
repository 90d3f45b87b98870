"""The format of bpf_snprintf, which must be right before the program runs. Kernel: check_bpf_snprintf_call."""

from __future__ import annotations

from cygnet.verifier import precision
from cygnet.verifier.env import EINVAL, Env
from cygnet.verifier.state import Reject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_PLAIN: Final = "dixXu"


def count(text: bytes) -> int:
    """How many arguments the format takes; -1 when it is malformed. Kernel: bpf_bprintf_prepare."""
    at, number, size = 0, 0, len(text)
    while at < size:
        char = text[at]
        if not (32 <= char < 127 or char in (9, 10, 11, 12, 13)):
            return -1
        if char != 0x25:
            at += 1
            continue
        if text[at + 1 : at + 2] == b"%":
            at += 2
            continue
        at = _conversion(text, at + 1)
        if at < 0:
            return -1
        number += 1
    return number


def _conversion(text: bytes, at: int) -> int:
    """The place after a conversion that begins at `at`, or -1."""
    word = text[at:].decode("latin-1")
    rest = word.lstrip("0+-# ")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    rest = rest[digits:]
    if rest.startswith("p"):
        tail = rest[1:3]
        if tail in ("ks", "us", "i4", "I4", "i6", "I6"):
            rest = rest[3:]
        elif rest[1:2] in ("K", "x", "s", "S", "B"):
            rest = rest[2:]
        else:
            rest = rest[1:]
            if rest and not (rest[0].isspace() or not rest[0].isalnum()):
                return -1
    elif rest[:1] in ("s", "c"):
        rest = rest[1:]
    else:
        for _ in range(2):
            if rest.startswith("l"):
                rest = rest[1:]
        if rest[:1] not in tuple(_PLAIN):
            return -1
        rest = rest[1:]
    return len(text) - len(rest)


def check_snprintf(env: Env) -> None:
    regs = env.regs()
    size, text = regs[5], regs[3]
    if size.mask:
        raise Reject("R5 is not a known constant'", 13)
    precision.mark(env, 5)
    if size.value % 8:  # the kernel says nothing of it
        raise Reject("the arguments of bpf_snprintf are not whole words", EINVAL)
    data = (text.map.data or b"")[text.off + text.value :]
    if not 0 <= count(data.split(b"\0")[0]) <= size.value // 8:
        raise Reject("Invalid format string", EINVAL)
