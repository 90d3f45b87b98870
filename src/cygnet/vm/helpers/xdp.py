"""Packets of XDP programs: their bytes, and where they begin and end (net/core/filter.c)."""

from __future__ import annotations

from errno import EACCES, EINVAL

from cygnet.maps.memory import copy, fill, write
from cygnet.vm.helpers.checksums import packet_of
from cygnet.vm.helpers.common import MASK32, s32
from cygnet.vm.helpers.registry import helper
from cygnet.vm.packets import ETHERNET, FRAME_HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host

_MAX_META = 255


@helper("xdp_adjust_head")
def xdp_adjust_head(machine: Host, context: int, delta: int) -> int:
    packet = packet_of(machine)
    meta = packet.data - packet.meta
    data = packet.data + s32(delta)
    if data < packet.start + FRAME_HEADER + meta or data > packet.end - ETHERNET:
        return -EINVAL
    if meta:
        copy(packet.meta + s32(delta), packet.meta, meta)
    packet.move(data, packet.end, data - meta)
    return 0


@helper("xdp_adjust_tail")
def xdp_adjust_tail(machine: Host, context: int, delta: int) -> int:
    packet = packet_of(machine)
    end = packet.end + s32(delta)
    if end > packet.limit or end < packet.data + ETHERNET:
        return -EINVAL
    if end > packet.end:
        fill(packet.end, end - packet.end)
    packet.move(packet.data, end, packet.meta)
    return 0


@helper("xdp_adjust_meta")
def xdp_adjust_meta(machine: Host, context: int, delta: int) -> int:
    packet = packet_of(machine)
    meta = packet.meta + s32(delta)
    if meta < packet.start + FRAME_HEADER or meta > packet.data:
        return -EINVAL
    length = packet.data - meta
    if length % 4 or length > _MAX_META:
        return -EACCES
    packet.move(packet.data, packet.end, meta)
    return 0


@helper("xdp_get_buff_len")
def xdp_get_buff_len(machine: Host, context: int) -> int:
    return packet_of(machine).length


@helper("xdp_load_bytes")
def xdp_load_bytes(machine: Host, context: int, offset: int, to: int, size: int) -> int:
    size &= MASK32
    machine.check(to, size, write=True, what="buffer")
    data = packet_of(machine).load(offset & MASK32, size)
    if data is None:
        return -EINVAL
    write(to, data)
    return 0


@helper("xdp_store_bytes")
def xdp_store_bytes(machine: Host, context: int, offset: int, source: int, size: int) -> int:
    data = machine.readable(source, size & MASK32, "data")
    return 0 if packet_of(machine).store(offset & MASK32, data) else -EINVAL
