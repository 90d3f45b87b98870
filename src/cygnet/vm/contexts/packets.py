"""Contexts that have packets: xdp_md, __sk_buff, sk_msg_md, sk_reuseport_md."""

from __future__ import annotations

from struct import unpack_from

from cygnet.vm.contexts.model import Context, structure
from cygnet.vm.packets import ETHERNET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.contexts.model import Value
    from cygnet.vm.host import Host
    from cygnet.vm.world import World

_AF_INET, _AF_INET6 = 2, 10
_IP, _IPV6 = 0x0800, 0x86DD
_HOST, _MULTICAST, _OTHERHOST = 0, 2, 3
LINK_LAYER = ("sched_cls", "sched_act")  # these see the Ethernet header


def xdp(packet: bytes, *, meta: bytes = b"", ingress_ifindex: int = 1, rx_queue_index: int = 0) -> Context:
    """struct xdp_md for a packet with its Ethernet header; `meta` lies right before it."""
    values: dict[str, Value] = {"ingress_ifindex": ingress_ifindex, "rx_queue_index": rx_queue_index}
    pointers = ((0, 4, "data"), (4, 4, "end"), (8, 4, "meta"))
    return Context("xdp_md", structure("xdp_md", values), packet=packet, meta=meta, pointers=pointers)


def skb(packet: bytes, *, program_type: str = "sched_cls", **values: Value) -> Context:
    """struct __sk_buff for a packet with its Ethernet header.

    What the packet says is filled in as eth_type_trans does: protocol, pkt_type, addresses. Programs but those of
    tc see what comes after the Ethernet header.
    """
    known: dict[str, Value] = {"ifindex": 1, **_of_packet(packet)}
    known.update(values)
    data = structure("__sk_buff", known, 192)
    layer2 = program_type in LINK_LAYER

    def setup(world: World, host: Host) -> None:
        seen = world.packet
        if seen is not None:
            seen.mac = seen.data - (0 if layer2 else ETHERNET)
            seen.network = seen.mac + ETHERNET
        if world.socket is not None:
            at = host.context
            from cygnet.maps.memory import store64

            store64(at + 168, world.socket.address(host))

    return Context(
        "__sk_buff",
        data,
        packet=packet,
        pointers=((76, 4, "data"), (80, 4, "end"), (140, 4, "meta")),
        skip=0 if layer2 else ETHERNET,
        length_at=0,
        setup=setup,
    )


def flow_dissector(packet: bytes) -> Context:
    """struct __sk_buff of a flow dissector, which sees the packet from its Ethernet header on, and `world.flow_keys`."""

    def setup(world: World, host: Host) -> None:
        from cygnet.maps.memory import store64

        store64(host.context + 144, world.flow_keys_at(host, ETHERNET, packet[12:14]))

    pointers = ((76, 4, "data"), (80, 4, "end"))
    return Context(
        "__sk_buff", structure("__sk_buff", {}, 192), packet=packet, pointers=pointers, length_at=0, setup=setup
    )


def _of_packet(packet: bytes) -> dict[str, Value]:
    """eth_type_trans (net/ethernet/eth.c) for a device whose address is zeros, and what TEST_RUN sets of the socket."""
    found: dict[str, Value] = {}
    if len(packet) < ETHERNET:
        return found
    kind = unpack_from(">H", packet, 12)[0]
    protocol = kind if kind >= 0x0600 else 0x0001 if packet[14:16] == b"\xff\xff" else 0x0004
    found["protocol"] = int.from_bytes(protocol.to_bytes(2, "big"), "little")
    found["pkt_type"] = _pkt_type(packet[:6])
    if kind == _IP and len(packet) >= ETHERNET + 20:
        found |= {"family": _AF_INET, "local_ip4": packet[26:30], "remote_ip4": packet[30:34]}
    elif kind == _IPV6 and len(packet) >= ETHERNET + 40:
        found |= {"family": _AF_INET6, "local_ip6": packet[22:38], "remote_ip6": packet[38:54]}
    return found


def _pkt_type(destination: bytes) -> int:
    if destination == bytes(6):
        return _HOST
    # to all is a multicast for the loopback device, whose broadcast address is zeros too
    return _MULTICAST if destination[0] & 1 else _OTHERHOST


def sk_msg(data: bytes, **values: Value) -> Context:
    """struct sk_msg_md for a message's bytes."""
    made = structure("sk_msg_md", {"size": len(data), **values})
    return Context("sk_msg_md", made, packet=data, pointers=((0, 8, "data"), (8, 8, "end")), length_at=68)


def sk_reuseport(packet: bytes, **values: Value) -> Context:
    """struct sk_reuseport_md; `packet` from the transport header on."""
    made = structure("sk_reuseport_md", {"len": len(packet), **values})
    return Context("sk_reuseport_md", made, packet=packet, pointers=((0, 8, "data"), (8, 8, "end")))
