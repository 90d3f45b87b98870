"""Dynptrs: of packets, and what is done with any of them."""

from __future__ import annotations

from errno import E2BIG, EINVAL, ERANGE

from cygnet.maps.memory import SPACE, copy, fill
from cygnet.vm.helpers.checksums import packet_of
from cygnet.vm.helpers.common import MASK32
from cygnet.vm.helpers.rings import DYNPTR, MAX_SIZE, dynptr, make_dynptr, null_dynptr
from cygnet.vm.kfuncs.registry import kfunc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host

_SKB, _XDP = 3, 4  # BPF_DYNPTR_TYPE_*
# program types that may not write to their packet (may_access_direct_pkt_data, kernel/bpf/verifier.c)
_MAY_WRITE = frozenset(("sched_cls", "sched_act", "xdp", "lwt_xmit", "sk_skb", "sk_msg", "cgroup_sockopt"))
_INVALID = -EINVAL & MASK32


def _of_packet(machine: Host, flags: int, out: int, kind: int) -> int:
    null_dynptr(machine, out)
    if flags:
        return _INVALID
    packet = packet_of(machine)
    make_dynptr(machine, out, packet.data, packet.length, kind, machine.world.program_type not in _MAY_WRITE)
    return 0


@kfunc("dynptr_from_skb")
def dynptr_from_skb(machine: Host, skb: int, flags: int, out: int) -> int:
    return _of_packet(machine, flags, out, _SKB)


@kfunc("dynptr_from_xdp")
def dynptr_from_xdp(machine: Host, xdp: int, flags: int, out: int) -> int:
    return _of_packet(machine, flags, out, _XDP)


@kfunc("dynptr_size")
def dynptr_size(machine: Host, at: int) -> int:
    data, size, _, _ = dynptr(machine, at)
    return size if data else -EINVAL


@kfunc("dynptr_is_null")
def dynptr_is_null(machine: Host, at: int) -> int:
    return int(not dynptr(machine, at)[0])


@kfunc("dynptr_is_rdonly")
def dynptr_is_rdonly(machine: Host, at: int) -> int:
    data, _, _, readonly = dynptr(machine, at)
    return int(bool(data) and readonly)


@kfunc("dynptr_adjust")
def dynptr_adjust(machine: Host, at: int, start: int, end: int) -> int:
    data, size, _, _ = dynptr(machine, at)
    if not data or start > end:
        return _INVALID
    if start > size or end > size:
        return -ERANGE & MASK32
    base, word, offset = DYNPTR.unpack_from(SPACE, at)
    machine.check(at, DYNPTR.size, write=True, what="dynptr")
    DYNPTR.pack_into(SPACE, at, base, word & ~MAX_SIZE | end - start, offset + start)
    return 0


@kfunc("dynptr_clone")
def dynptr_clone(machine: Host, at: int, to: int) -> int:
    null_dynptr(machine, to)
    if not dynptr(machine, at)[0]:
        return _INVALID
    copy(to, at, DYNPTR.size)
    return 0


def _slice(machine: Host, at: int, offset: int, length: int, write: bool) -> int:
    """The memory itself, since packets lie in one piece here; the buffer is never needed."""
    data, size, _, readonly = dynptr(machine, at)
    length &= MASK32
    if not data or (write and readonly) or length > size or offset > size - length:
        return 0
    return data + offset


@kfunc("dynptr_slice")
def dynptr_slice(machine: Host, at: int, offset: int, buffer: int, length: int) -> int:
    return _slice(machine, at, offset, length, False)


@kfunc("dynptr_slice_rdwr")
def dynptr_slice_rdwr(machine: Host, at: int, offset: int, buffer: int, length: int) -> int:
    return _slice(machine, at, offset, length, True)


@kfunc("dynptr_copy")
def dynptr_copy(machine: Host, to: int, to_offset: int, source: int, offset: int, length: int) -> int:
    into, room, _, readonly = dynptr(machine, to)
    data, size, _, _ = dynptr(machine, source)
    if not into or not data or readonly:
        return _INVALID
    if length > room or to_offset > room - length or length > size or offset > size - length:
        return -E2BIG & MASK32
    machine.check(data + offset, length, what="dynptr's data")
    machine.check(into + to_offset, length, write=True, what="dynptr's data")
    copy(into + to_offset, data + offset, length)
    return 0


@kfunc("dynptr_memset")
def dynptr_memset(machine: Host, at: int, offset: int, length: int, value: int) -> int:
    data, size, _, readonly = dynptr(machine, at)
    if not data or readonly:
        return _INVALID
    if length > size or offset > size - length:
        return -E2BIG & MASK32
    machine.check(data + offset, length, write=True, what="dynptr's data")
    fill(data + offset, length, value & 0xFF)
    return 0
