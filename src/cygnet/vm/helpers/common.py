"""What helpers share: numbers as C types, maps by handle."""

from __future__ import annotations

from cygnet.errors import HelperFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.vm.host import Host

ENOTSUPP = 524
MASK32 = 0xFFFFFFFF
SIGN64 = 1 << 63


def s32(value: int) -> int:
    """The low half of a register as an int."""
    return (value & MASK32 ^ 0x80000000) - 0x80000000


def s64(value: int) -> int:
    return (value ^ SIGN64) - SIGN64


def map_of(machine: Host, handle: int, method: str = "") -> Any:
    """The map that a program's pointer means; HelperFault for what is no map, or has not got `method`."""
    found = machine.maps.get(handle)
    if found is None:
        raise HelperFault(f"{handle:#x} is no map")
    if method and not hasattr(found, method):
        raise HelperFault(f"map {found.name!r} cannot be used so: it has no {method}")
    return found
