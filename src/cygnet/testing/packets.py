"""Packets as bytes, with right lengths and checksums: Ethernet, VLAN, ARP, IPv4, IPv6, TCP, UDP, ICMP.

Addresses are texts. `tcp`, `udp` and `icmp` take IPv4 or IPv6 addresses and give the whole frame.
"""

from __future__ import annotations

from ipaddress import ip_address
from struct import pack

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
_IP, _IPV6, _ARP, _VLAN = 0x0800, 0x86DD, 0x0806, 0x8100


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ethernet(
    payload: bytes, kind: int = _IP, *, source: str = "02:00:00:00:00:01", destination: str = "00:00:00:00:00:00"
) -> bytes:
    """A frame. The destination of zeros is the loopback device's own address."""
    return mac(destination) + mac(source) + kind.to_bytes(2, "big") + payload


def vlan(frame: bytes, tag: int, *, priority: int = 0, kind: int = _VLAN) -> bytes:
    """The frame with a VLAN tag after its addresses."""
    return frame[:12] + pack(">HH", kind, priority << 13 | tag) + frame[12:]


def ipv4(
    payload: bytes,
    protocol: int,
    *,
    source: str = "10.0.0.1",
    destination: str = "10.0.0.2",
    ttl: int = 64,
    tos: int = 0,
    ident: int = 1,
    fragment: int = 0,
    options: bytes = b"",
) -> bytes:
    """A packet without its frame. `fragment` are flags and offset as the header has them."""
    words = 5 + len(options) // 4
    head = pack(">BBHHHBBH", 0x40 | words, tos, 4 * words + len(payload), ident, fragment, ttl, protocol, 0)
    head += ip_address(source).packed + ip_address(destination).packed + options
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + payload


def ipv6(
    payload: bytes,
    protocol: int,
    *,
    source: str = "fd00::1",
    destination: str = "fd00::2",
    hop_limit: int = 64,
    traffic_class: int = 0,
    flow: int = 0,
) -> bytes:
    head = pack(">IHBB", 6 << 28 | traffic_class << 20 | flow, len(payload), protocol, hop_limit)
    return head + ip_address(source).packed + ip_address(destination).packed + payload


def _pseudo(source: str, destination: str, protocol: int, length: int) -> bytes:
    ends = ip_address(source).packed + ip_address(destination).packed
    return ends + (pack(">BBH", 0, protocol, length) if len(ends) == 8 else pack(">IHBB", length, 0, 0, protocol))


def _frame(segment: bytes, protocol: int, source: str, destination: str) -> bytes:
    if ":" in source:
        return ethernet(ipv6(segment, protocol, source=source, destination=destination), _IPV6)
    return ethernet(ipv4(segment, protocol, source=source, destination=destination))


def tcp(
    payload: bytes = b"",
    *,
    source: str = "10.0.0.1",
    destination: str = "10.0.0.2",
    sport: int = 1234,
    dport: int = 80,
    flags: int = SYN,
    seq: int = 0,
    ack: int = 0,
    window: int = 65535,
    options: bytes = b"",
) -> bytes:
    """A frame with a TCP segment; `options` have a multiple of 4 bytes."""
    offset = 5 + len(options) // 4
    head = pack(">HHIIBBHHH", sport, dport, seq, ack, offset << 4, flags, window, 0, 0) + options
    segment = head + payload
    check = checksum(_pseudo(source, destination, TCP, len(segment)) + segment)
    segment = segment[:16] + check.to_bytes(2, "big") + segment[18:]
    return _frame(segment, TCP, source, destination)


def udp(
    payload: bytes = b"",
    *,
    source: str = "10.0.0.1",
    destination: str = "10.0.0.2",
    sport: int = 1234,
    dport: int = 53,
) -> bytes:
    """A frame with a UDP datagram."""
    segment = pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload
    check = checksum(_pseudo(source, destination, UDP, len(segment)) + segment) or 0xFFFF
    return _frame(segment[:6] + check.to_bytes(2, "big") + payload, UDP, source, destination)


def icmp(
    payload: bytes = b"",
    *,
    source: str = "10.0.0.1",
    destination: str = "10.0.0.2",
    kind: int | None = None,
    code: int = 0,
    ident: int = 1,
    sequence: int = 1,
) -> bytes:
    """A frame with an ICMP message: an echo request unless `kind` says otherwise."""
    six = ":" in source
    message = pack(">BBHHH", (128 if six else 8) if kind is None else kind, code, 0, ident, sequence) + payload
    before = _pseudo(source, destination, ICMPV6, len(message)) if six else b""
    message = message[:2] + checksum(before + message).to_bytes(2, "big") + message[4:]
    return _frame(message, ICMPV6 if six else ICMP, source, destination)


def arp(*, source: str = "10.0.0.1", destination: str = "10.0.0.2", sender: str = "02:00:00:00:00:01") -> bytes:
    """A frame that asks who has an address."""
    body = pack(">HHBBH", 1, _IP, 6, 4, 1) + mac(sender) + ip_address(source).packed
    return ethernet(body + bytes(6) + ip_address(destination).packed, _ARP, destination="ff:ff:ff:ff:ff:ff")
