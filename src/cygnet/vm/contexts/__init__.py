"""Contexts of programs as typed builders, and the names of what programs return.

::

    contexts.xdp(packet, meta=b"abcd")            contexts.sysctl("net/ipv4/ip_forward", "0", new="1")
    contexts.skb(packet, mark=7)                  contexts.device("read", "char", 1, 3)
    contexts.sock_addr("10.0.0.1", 80)            contexts.registers(di=1, si=2)
"""

from __future__ import annotations

from cygnet.vm.contexts.codes import code_name, code_value
from cygnet.vm.contexts.model import Context, get, structure
from cygnet.vm.contexts.others import (
    device,
    function,
    memory,
    perf_event,
    raw_tracepoint,
    registers,
    sk_lookup,
    sock,
    sock_addr,
    sock_ops,
    sockopt,
    sysctl,
    tracepoint,
)
from cygnet.vm.contexts.packets import flow_dissector, sk_msg, sk_reuseport, skb, xdp

__all__ = [
    "Context", "code_name", "code_value", "device", "flow_dissector", "for_program", "function", "get", "memory", "perf_event",
    "raw_tracepoint", "registers", "sk_lookup", "sk_msg", "sk_reuseport", "skb", "sock", "sock_addr", "sock_ops", "sockopt",
    "structure", "sysctl", "tracepoint", "xdp",
]  # fmt: skip


def for_program(program_type: str, data: bytes) -> Context:
    """The context that bytes stand for: a packet where the type has packets, else the context itself."""
    from cygnet.facts.progtypes import program_type as row

    try:
        name = row(program_type).context
    except KeyError:
        name = ""
    if name == "xdp_md":
        return xdp(data)
    if program_type == "flow_dissector":
        return flow_dissector(data)
    if name == "__sk_buff":
        return skb(data, program_type=program_type)
    if name == "sk_msg_md":
        return sk_msg(data)
    return memory(data)
