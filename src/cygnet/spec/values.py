"""Value types: what bytes in a map or in an event mean once they have left the kernel."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from cygnet.named import NamedTuple


class Field(NamedTuple):
    """A member at byte `offset`. A bit-field has `bits` > 0 bits from bit `shift` of its storage."""

    offset: int
    name: str
    type: VType
    shift: int = 0
    bits: int = 0


#: what follows a stack map's name in that of its second one; the numbers of its stacks have bit 32 set
MORE = "_more"
#: the map of numbers of stacks that user space unwinds, and in a stack's VType the name of its "map"
UNWOUND = "cygnet_unwound"


class VType(NamedTuple):
    """The type of a value of `size` bytes in memory. `kind` and what else it uses::

    int        size 1 2 4 8, signed           bool      size 1
    enum       size, signed, names            ptr       size 8
    str        size: capacity, NUL included; ends at the first NUL (no NUL: it was cut, unless text = whole)
    buf        size: u32 length, then bytes
    tuple      fields, unnamed                record    fields, named
    struct     fields, named                  array     elem, length
    ksym       size 8: address                usym      size 16: address, u32 pid
    kstack     size 8: stack id; text = mode, length = limit, data = name of the stack map
    ustack     size 16: stack id, u32 pid; the same; data = UNWOUND: of an event unwind, from its own tables
    inet       size 20: u32 family (AF_INET 2, AF_INET6 10), 16 bytes of address
    mac        size 6                         username  size 8: uid
    timestamp  size 8: ns + 1, as 0 is unset; text = strftime format, data = clock (boot, tai …)
    cgroup     size 8: cgroup id; text = filter
    gfp        size 8: GFP flags
    none       size 0
    """

    kind: str
    size: int
    signed: bool = False
    fields: tuple[Field, ...] = ()
    elem: VType | None = None
    length: int = 0
    names: tuple[tuple[int, str], ...] = ()
    text: str = ""
    data: Any = None
