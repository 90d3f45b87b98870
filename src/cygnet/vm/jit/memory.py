"""Executable memory: written first, made executable then, never both at once."""

from __future__ import annotations

import ctypes
import errno
import os

from cygnet.errors import NotSupported
from cygnet.maps.memory import Mapping, write

_PROT_READ, _PROT_EXEC = 1, 4  # <sys/mman.h> of every system that has mprotect


class Executable:
    """A piece of machine code; `fill` writes it, knowing its address, and it can be run afterwards."""

    __slots__ = ("_pages", "address", "size")

    def __init__(self, size: int) -> None:
        self._pages = Mapping(size)
        self.address = self._pages.address
        self.size = size

    def fill(self, code: bytes) -> None:
        """Write the code and give up the right to write. NotSupported where the system forbids to execute it."""
        write(self.address, code)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(ctypes.c_void_p(self.address), ctypes.c_size_t(self._pages.size), _PROT_READ | _PROT_EXEC):
            number = ctypes.get_errno()
            reason = os.strerror(number) if number != errno.EACCES else "the system forbids it"
            raise NotSupported(f"machine code from Python ({reason})", 'engine="python"', errno=number)

    def close(self) -> None:
        self._pages.close()
