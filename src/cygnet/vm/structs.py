"""Reading and writing numbers of 1, 2, 4 and 8 bytes in a buffer, in the machine's byte order."""

from __future__ import annotations

import struct

_BY_SIZE = {size: struct.Struct("=" + letter) for size, letter in ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))}
LOADS = {size: made.unpack_from for size, made in _BY_SIZE.items()}
STORES = {size: made.pack_into for size, made in _BY_SIZE.items()}
