"""Maps in user space: every map type over native memory, with the kernel's semantics and error codes.

`create` makes one in a `MapHost`; `Map` is the mapping with typed keys and values, over these and over the kernel's.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.maps.base import UserMap
    from cygnet.maps.facade import Map
    from cygnet.maps.host import MapHost
    from cygnet.maps.making import create, from_spec, implementation
    from cygnet.maps.pinning import open_pin, unpin

__all__ = ["Map", "MapHost", "UserMap", "create", "from_spec", "implementation", "open_pin", "unpin"]

_HOMES = {
    "Map": "facade",
    "MapHost": "host",
    "UserMap": "base",
    "create": "making",
    "from_spec": "making",
    "implementation": "making",
    "open_pin": "pinning",
    "unpin": "pinning",
}


def __getattr__(name: str) -> object:
    """Public names are found on first use: a program that only needs memory pays for nothing else."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(__import__(f"{__name__}.{_HOMES[name]}", fromlist=[name]), name)
    globals()[name] = value
    return value
