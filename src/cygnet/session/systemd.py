"""The readiness message of a service of type notify (sd_notify's protocol: a datagram to a named socket)."""

from __future__ import annotations


def ready(address: str) -> None:
    """Say READY=1. A socket that cannot be reached is no error of the trace."""
    from contextlib import suppress
    from socket import AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, socket

    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC) as sock:
        sock.sendto(b"READY=1", address)
