"""C++ names demangled, written the way GNU's tools write them.

Whatever the reader does not know of the grammar makes it give the name back unread.
"""

from __future__ import annotations

from cygnet.elf.cxx.expressions import Reader
from cygnet.elf.cxx.texts import Unread


def demangle_cxx(name: str) -> str | None:
    """The readable form of a name that starts with ``_Z``; None when it cannot be read."""
    try:
        return Reader(name).read()
    except (Unread, IndexError, ValueError):
        return None
