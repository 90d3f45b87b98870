"""Simulated sockets: what lookups find, as the struct bpf_sock and bpf_tcp_sock that programs read."""

from __future__ import annotations

from ipaddress import ip_address

from cygnet.maps.memory import SPACE, fill, store32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host

AF_INET, AF_INET6 = 2, 10
TCP, UDP = 6, 17
STREAM, DATAGRAM = 1, 2
LISTEN, ESTABLISHED = 10, 1
_SOCK_BYTES, _TCP_BYTES = 80, 120  # struct bpf_sock, bpf_tcp_sock


class Socket:
    """`local` and `remote` are (address, port). A remote port of 0 listens, or takes from anywhere (UDP).

    `tcp` are members of struct bpf_tcp_sock, by number of the u32 word.
    """

    __slots__ = ("_block", "_tcp_block", "cgroups", "cookie", "family", "local", "mark", "priority", "protocol", "remote",
                 "state", "tcp", "type", "uid")  # fmt: skip

    def __init__(
        self,
        local: tuple[str, int],
        remote: tuple[str, int] = ("", 0),
        *,
        protocol: int = TCP,
        state: int = 0,
        cookie: int = 0,
        uid: int = 0,
    ) -> None:
        self.local, self.remote, self.protocol = local, remote, protocol
        self.state = state or (ESTABLISHED if remote[1] else LISTEN if protocol == TCP else 7)
        self.cookie, self.uid = cookie, uid
        self.family = AF_INET6 if ":" in local[0] else AF_INET
        self.type = STREAM if protocol == TCP else DATAGRAM
        self.mark = self.priority = 0
        self.cgroups: tuple[int, ...] = ()
        self.tcp: dict[int, int] = {}
        self._block = self._tcp_block = 0

    def address(self, host: Host) -> int:
        """Where its struct bpf_sock lies."""
        if not self._block:
            self._block = host.memory.block(_SOCK_BYTES, "socket").address
            self.show()
        return self._block

    def lies_at(self, address: int) -> bool:
        return bool(address) and self._block == address

    def show(self) -> None:
        """Write what the attributes say to where programs look, if they may look already."""
        if self._block:
            fill(self._block, _SOCK_BYTES)
            self._fill(self._block)

    def tcp_address(self, host: Host) -> int:
        """Where its struct bpf_tcp_sock lies; 0 when it is no TCP socket."""
        if self.protocol != TCP:
            return 0
        if not self._tcp_block:
            self._tcp_block = host.memory.block(_TCP_BYTES, "TCP socket", writable=False).address
            for word, value in self.tcp.items():
                store32(self._tcp_block + 4 * word, value)
        return self._tcp_block

    def _fill(self, at: int) -> None:
        for word, value in enumerate((0, self.family, self.type, self.protocol, self.mark, self.priority)):
            store32(at + 4 * word, value)
        _put_address(at + 24, at + 28, self.local[0])
        store32(at + 44, self.local[1])  # in the machine's order
        SPACE[at + 48 : at + 50] = self.remote[1].to_bytes(2, "big")
        _put_address(at + 52, at + 56, self.remote[0])
        store32(at + 72, self.state)
        store32(at + 76, 0xFFFFFFFF)  # no receive queue

    def matches(self, protocol: int, remote: tuple[bytes, int], local: tuple[bytes, int]) -> int:
        """How well it takes a packet from `remote` to `local`: 0 not at all."""
        if self.protocol != protocol or self.local[1] != local[1]:
            return 0
        own, other = packed(self.local[0]), packed(self.remote[0])
        if any(own) and own != local[0]:
            return 0
        if not self.remote[1]:
            return 1 + any(own)
        return 4 if (other, self.remote[1]) == remote else 0


def packed(address: str) -> bytes:
    """An address as bytes; nothing for an empty one."""
    return ip_address(address).packed if address else b""


def _put_address(four: int, sixteen: int, address: str) -> None:
    data = packed(address)
    if len(data) == 4:
        SPACE[four : four + 4] = data
    elif data:
        SPACE[sixteen : sixteen + 16] = data
