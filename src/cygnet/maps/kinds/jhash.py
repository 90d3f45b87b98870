"""The kernel's hash function (include/linux/jhash.h), for maps whose answers depend on it: bloom filters, stack traces.

By Bob Jenkins, in the public domain.
"""

from __future__ import annotations

import struct

_M = 0xFFFFFFFF
_INITIAL = 0xDEADBEEF


def _rotate(x: int, by: int) -> int:
    return (x << by | x >> 32 - by) & _M


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    a = (a - c & _M) ^ _rotate(c, 4)
    c = c + b & _M
    b = (b - a & _M) ^ _rotate(a, 6)
    a = a + c & _M
    c = (c - b & _M) ^ _rotate(b, 8)
    b = b + a & _M
    a = (a - c & _M) ^ _rotate(c, 16)
    c = c + b & _M
    b = (b - a & _M) ^ _rotate(a, 19)
    a = a + c & _M
    c = (c - b & _M) ^ _rotate(b, 4)
    b = b + a & _M
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    c = (c ^ b) - _rotate(b, 14) & _M
    a = (a ^ c) - _rotate(c, 11) & _M
    b = (b ^ a) - _rotate(a, 25) & _M
    c = (c ^ b) - _rotate(b, 16) & _M
    a = (a ^ c) - _rotate(c, 4) & _M
    b = (b ^ a) - _rotate(a, 14) & _M
    return (c ^ b) - _rotate(b, 24) & _M


def jhash(data: bytes, seed: int = 0) -> int:
    """A hash of 32 bits. jhash2() of the kernel, which takes words, gives the same for the same bytes."""
    a = b = c = _INITIAL + len(data) + seed & _M
    if not data:
        return c
    words = struct.unpack(f"<{-(-len(data) // 4)}I", data + bytes(-len(data) % 4))
    at = 0
    while len(words) - at > 3:
        a, b, c = _mix(a + words[at] & _M, b + words[at + 1] & _M, c + words[at + 2] & _M)
        at += 3
    last = (*words[at:], 0, 0)
    return _final(a + last[0] & _M, b + last[1] & _M, c + last[2] & _M)
