"""What an expression gives when it is lowered: a value, a place in memory, or a way to write one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.ir.core import Value
    from cygnet.lang.trace.types import Type


class Mem:
    """Bytes at `addr` + `offset` in an address space, read when they are used.

    space ``bpf`` (stack, map values: read directly), ``ctx`` (the context's record), ``kernel``, ``user``
    or ``none`` (read by helpers). `type` is the layout that lies there; `padded`: a string's bytes after
    its end are zero. `limit`: no more than so many bytes of a string (a value at run time). `unended`: an array of
    characters of the system's, whose last byte need not be a NUL.
    `root` and `path`: the offset is that of ``path`` in the system's type `root`, and is relocated.
    """

    __slots__ = ("addr", "limit", "offset", "padded", "path", "root", "space", "type", "unended")

    def __init__(
        self,
        addr: Value,
        space: str,
        type: Type,
        offset: int = 0,
        *,
        padded: bool = False,
        limit: Value | None = None,
        root: str = "",
        path: str = "",
        unended: bool = False,
    ) -> None:
        self.addr = addr
        self.space = space
        self.type = type
        self.offset = offset
        self.padded = padded
        self.limit = limit
        self.root = root
        self.path = path
        self.unended = unended


class Gen:
    """A value that is written straight to where it is wanted.

    `store(pointer, offset, type, pad)` writes it in the layout of `type`; with `pad` every byte of the
    place is defined (a map key). `once`: evaluating it twice would not do.
    """

    __slots__ = ("once", "store", "type")

    def __init__(self, type: Type, store: Callable[[Value, int, Type, bool], None], *, once: bool = False) -> None:
        self.type = type
        self.store = store
        self.once = once
