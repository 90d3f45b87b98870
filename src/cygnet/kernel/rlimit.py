"""Resource limits: locked memory where an old kernel counts maps against it, and file descriptors."""

from __future__ import annotations

import os


def kernel_version() -> tuple[int, int]:
    """The running kernel's (major, minor)."""
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()) or 0)


def raise_memlock() -> bool:
    """Raise RLIMIT_MEMLOCK where the kernel charges maps to it (before 5.11: they moved to memcg then).

    True when it was raised, so that a call that failed is worth another try. Failing is not an error.
    """
    if kernel_version() >= (5, 11):
        return False
    import resource

    soft, _hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft == resource.RLIM_INFINITY:
        return False
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (ValueError, OSError):
        return False
    return True


def raise_nofile(more: int) -> int:
    """Raise the limit of file descriptors by `more`, as far as the hard limit allows (root may raise that too).

    Gives the limit that holds now; a very large number where there is none.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 1 << 30
    wanted = soft + more
    for new_hard in (hard, max(hard, wanted)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, new_hard), new_hard))
        except (ValueError, OSError):
            continue
        if new_hard >= wanted:
            break
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
