"""Maps after their end: the same object, whose every use is refused instead of touching memory that is gone."""

from __future__ import annotations

from errno import EBADF
from types import FunctionType

from cygnet.maps.failures import map_failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from cygnet.maps.base import UserMap

# what a closed map still answers
_STAYS = frozenset(("close", "closed", "hold", "program_may_read", "program_may_write"))
_made: dict[type[UserMap], type[UserMap]] = {}


def closed_kind(kind: type[UserMap]) -> type[UserMap]:
    """The kind of a closed map of this kind: SystemCallError (EBADF) for whatever would touch its elements."""
    made = _made.get(kind)
    if made is None:
        known = [(name, getattr(kind, name)) for name in dir(kind) if name[0] != "_" and name not in _STAYS]
        refused: dict[str, object] = {name: _gone for name, what in known if isinstance(what, FunctionType)}
        refused |= {name: property(_gone) for name, what in known if isinstance(what, property)}
        made = _made[kind] = type(kind.__name__, (kind,), {"__slots__": (), **refused})
    return made


def _gone(self: UserMap, *_: object, **__: object) -> NoReturn:
    raise map_failure(EBADF, f"use map {self.name!r}, which is closed")
