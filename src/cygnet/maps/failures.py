"""Errnos as exceptions, the same ones that a kernel map raises."""

from __future__ import annotations

import os
from errno import E2BIG, EACCES, EEXIST, ENOENT, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM

from cygnet import errors

ENOTSUPP = 524  # include/linux/errno.h: the kernel's own, without a text in the C library


def creation_failure(errno: int, what: str) -> errors.CygnetError:
    """The same for making a map, where E2BIG speaks of sizes and not of room."""
    if errno in (E2BIG, ENOENT, EEXIST, ENOSPC):
        return errors.SystemCallError(f"cannot {what}: {os.strerror(errno)}", errno=errno)
    return map_failure(errno, what)


def map_failure(errno: int, what: str, max_entries: int = 0) -> errors.CygnetError:
    """The exception for a positive errno; `what` completes "cannot …"."""
    if errno == ENOENT:
        return errors.KeyMissing(f"cannot {what}: no such key")
    if errno == EEXIST:
        return errors.KeyExists(f"cannot {what}: the key exists")
    if errno in (E2BIG, ENOSPC):
        return errors.MapFull(f"cannot {what}: it is full ({max_entries} entries)")
    if errno in (EPERM, EACCES):
        return errors.PermissionDenied(f"cannot {what}: the map does not allow it", errno=errno)
    if errno in (ENOTSUPP, EOPNOTSUPP, ENOSYS):
        return errors.NotSupported(f"to {what}", "another type of map", errno=errno)
    return errors.SystemCallError(f"cannot {what}: {os.strerror(errno)}", errno=errno)
