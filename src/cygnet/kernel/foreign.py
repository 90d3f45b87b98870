"""The few foreign calls and buffers that bpf(2) wants, made from `_ctypes`, the C half of ctypes.

Importing ctypes itself costs 2 to 3 ms, which is more than the rest of this room; its C half costs a fifth.
"""

from __future__ import annotations

import _ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Char(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "c"


class Long(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "l"


class ULong(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "L"


class Pointer(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "P"


class _Function(_ctypes.CFuncPtr):
    # The call gives errno back in a copy of its own, so that nothing Python does in between can change it.
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = Long


addressof = _ctypes.addressof
errno = _ctypes.get_errno


def system_call(*arguments: type) -> Callable[..., int]:
    """syscall(2) of the C library, with arguments of these types after the number, which is a Long."""
    function: Any = _Function(_ctypes.dlsym(_ctypes.dlopen(None, 0), "syscall"))  # type: ignore[arg-type]
    function.argtypes = (Long, *arguments)
    return function  # type: ignore[no-any-return]


def buffer(size: int) -> Any:
    """An array of char that stays where it is; `.raw` is its bytes."""
    return (Char * size)()
