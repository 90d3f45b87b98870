"""Constants that kernel headers define and BTF lacks: address families, protocols, error numbers, signals."""

from __future__ import annotations

_NAMED = {
    "AF_UNSPEC": 0, "AF_UNIX": 1, "AF_LOCAL": 1, "AF_INET": 2, "AF_NETLINK": 16, "AF_INET6": 10, "AF_PACKET": 17,
    "SOCK_STREAM": 1, "SOCK_DGRAM": 2, "SOCK_RAW": 3,
    "IPPROTO_IP": 0, "IPPROTO_ICMP": 1, "IPPROTO_TCP": 6, "IPPROTO_UDP": 17, "IPPROTO_IPV6": 41, "IPPROTO_ICMPV6": 58,
    "ETH_P_IP": 0x0800, "ETH_P_ARP": 0x0806, "ETH_P_IPV6": 0x86DD,
    "O_RDONLY": 0, "O_WRONLY": 1, "O_RDWR": 2, "O_CREAT": 0o100, "O_EXCL": 0o200, "O_TRUNC": 0o1000,
    "O_APPEND": 0o2000, "O_NONBLOCK": 0o4000, "O_DIRECTORY": 0o200000, "O_NOFOLLOW": 0o400000, "O_CLOEXEC": 0o2000000,
    "AT_FDCWD": -100, "NULL": 0,
    "S_IFMT": 0o170000, "S_IFREG": 0o100000, "S_IFDIR": 0o040000, "S_IFLNK": 0o120000, "S_IFSOCK": 0o140000,
}  # fmt: skip


def constant(name: str) -> int | None:
    """The value of a well-known constant."""
    if name in _NAMED:
        return _NAMED[name]
    if name.startswith("E") and name.isupper():
        from cygnet.facts.errnos import error_number

        return error_number(name)
    if name.startswith("SIG"):
        from cygnet.facts.signals import signal_number

        return signal_number(name)
    return None
