"""Strings of the kernel's address space (kernel/bpf/helpers.c, since Linux 6.17)."""

from __future__ import annotations

from errno import E2BIG, EFAULT, ENOENT, ERANGE

from cygnet.vm.helpers.common import MASK32
from cygnet.vm.kfuncs.registry import kfunc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host

_KERNEL_HALF = (1 << 17) - 1  # the upper bits of the kernel's addresses; others are out of range
_LONGEST = 1 << 16  # XATTR_SIZE_MAX, after which every one gives up


class _Ended(Exception):
    """The function gives this number."""

    def __init__(self, number: int) -> None:
        self.number = number & MASK32


def _string(machine: Host, address: int, limit: int = _LONGEST) -> bytes:
    """Up to its NUL or the limit."""
    data = machine.world.peek_string(machine.regions, address, limit, "kernel")
    if data is None:
        raise _Ended(-EFAULT if address >> 47 == _KERNEL_HALF else -ERANGE)
    return data


def _whole(machine: Host, address: int) -> bytes:
    """A string that ends before it is too long."""
    data = _string(machine, address)
    if len(data) >= _LONGEST:
        raise _Ended(-E2BIG)
    return data


def _lower(data: bytes) -> bytes:
    """tolower of the kernel: Latin-1 letters too (lib/ctype.c)."""
    return bytes(c + 32 if 65 <= c <= 90 or (0xC0 <= c <= 0xDE and c != 0xD7) else c for c in data)


def _compare(machine: Host, first: int, second: int, fold: bool) -> int:
    a, b = _string(machine, first), _string(machine, second)
    if fold:
        a, b = _lower(a), _lower(b)
    if a == b:
        return 0 if len(a) < _LONGEST else -E2BIG & MASK32
    return 1 if a + b"\0" > b + b"\0" else -1 & MASK32


def _given(number: int) -> int:
    return number if number >= 0 else -ENOENT & MASK32


@kfunc("strcmp")
def strcmp(machine: Host, first: int, second: int) -> int:
    return _answer(lambda: _compare(machine, first, second, False))


@kfunc("strcasecmp")
def strcasecmp(machine: Host, first: int, second: int) -> int:
    return _answer(lambda: _compare(machine, first, second, True))


@kfunc("strnchr")
def strnchr(machine: Host, string: int, count: int, char: int) -> int:
    return _answer(lambda: _find(machine, string, count, char))


@kfunc("strchr")
def strchr(machine: Host, string: int, char: int) -> int:
    return _answer(lambda: _find(machine, string, _LONGEST, char))


def _find(machine: Host, string: int, count: int, char: int) -> int:
    """The first place of a character, which may be the NUL."""
    limit = min(count, _LONGEST)
    if not limit:
        return -ENOENT & MASK32
    data = _string(machine, string, limit)
    at = (data + b"\0" if len(data) < limit else data).find(char & 0xFF)
    if at < 0 and len(data) >= _LONGEST:
        return -E2BIG & MASK32
    return _given(at)


@kfunc("strchrnul")
def strchrnul(machine: Host, string: int, char: int) -> int:
    def find() -> int:
        data = _string(machine, string)
        at = data.find(char & 0xFF)
        if at < 0 and len(data) >= _LONGEST:
            return -E2BIG & MASK32
        return at if at >= 0 else len(data)

    return _answer(find)


@kfunc("strrchr")
def strrchr(machine: Host, string: int, char: int) -> int:
    return _answer(lambda: _given((_whole(machine, string) + b"\0").rfind(char & 0xFF)))


@kfunc("strlen")
def strlen(machine: Host, string: int) -> int:
    return _answer(lambda: len(_whole(machine, string)))


@kfunc("strnlen")
def strnlen(machine: Host, string: int, count: int) -> int:
    if count >= _LONGEST:
        return strlen(machine, string)
    return _answer(lambda: len(_string(machine, string, count))) if count else 0


def _span(machine: Host, string: int, others: int, inside: bool) -> int:
    data, known = _whole(machine, string), None
    for at, char in enumerate(data):
        known = _whole(machine, others) if known is None else known
        if (char in known) != inside:
            return at
    return len(data)


@kfunc("strspn")
def strspn(machine: Host, string: int, accept: int) -> int:
    return _answer(lambda: _span(machine, string, accept, True))


@kfunc("strcspn")
def strcspn(machine: Host, string: int, reject: int) -> int:
    return _answer(lambda: _span(machine, string, reject, False))


def _within(machine: Host, string: int, wanted: int, limit: int) -> int:
    needle = _whole(machine, wanted)
    if not needle:
        return 0
    data = _string(machine, string, min(limit, _LONGEST)) if limit else b""
    at = data.find(needle)
    return -E2BIG & MASK32 if at < 0 and len(data) >= _LONGEST else _given(at)


@kfunc("strstr")
def strstr(machine: Host, string: int, wanted: int) -> int:
    return _answer(lambda: _within(machine, string, wanted, _LONGEST))


@kfunc("strnstr")
def strnstr(machine: Host, string: int, wanted: int, limit: int) -> int:
    return _answer(lambda: _within(machine, string, wanted, limit))


def _answer(question: Question) -> int:
    try:
        return question()
    except _Ended as ended:
        return ended.number


if TYPE_CHECKING:
    from collections.abc import Callable

    Question = Callable[[], int]
