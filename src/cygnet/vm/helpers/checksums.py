"""Checksums of packets (net/core/filter.c)."""

from __future__ import annotations

from errno import EACCES, EFAULT, EINVAL

from cygnet.errors import HelperFault
from cygnet.uapi import bpf_flags
from cygnet.vm.helpers.common import ENOTSUPP, MASK32
from cygnet.vm.helpers.registry import helper
from cygnet.vm.packets import checksum_add, checksum_fold, checksum_partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host
    from cygnet.vm.packets import Packet

_L4_FLAGS = (
    bpf_flags.BPF_F_MARK_MANGLED_0 | bpf_flags.BPF_F_MARK_ENFORCE | bpf_flags.BPF_F_PSEUDO_HDR
    | bpf_flags.BPF_F_HDR_FIELD_MASK | bpf_flags.BPF_F_IPV6
)  # fmt: skip


def packet_of(machine: Host) -> Packet:
    """The packet of the running program."""
    if machine.world.packet is None:
        raise HelperFault("the program has no packet")
    return machine.world.packet


def _fold_once(total: int) -> int:
    """32 bits to 16, not inverted (csum_from32to16)."""
    total += (total >> 16 | total << 16) & MASK32
    return (total & MASK32) >> 16


@helper("csum_diff")
def csum_diff(machine: Host, old: int, old_size: int, new: int, new_size: int, seed: int) -> int:
    old_size, new_size, seed = old_size & MASK32, new_size & MASK32, seed & MASK32
    before, after = machine.readable(old, old_size, "old"), machine.readable(new, new_size, "new")
    if old_size and new_size:
        total = checksum_add(checksum_partial(after, seed), ~checksum_partial(before) & MASK32)
    elif new_size:
        total = checksum_partial(after, seed)
    elif old_size:
        total = ~checksum_partial(before, ~seed & MASK32) & MASK32
    else:
        total = seed
    return _fold_once(total)


def _replace_diff(current: int, diff: int) -> int:
    """csum_replace_by_diff."""
    return checksum_fold(checksum_add(diff, ~current & MASK32))


def _replace(current: int, old: int, new: int, size: int) -> int:
    """csum_replace4 and csum_replace2."""
    mask = MASK32 if size == 4 else 0xFFFF
    old, new = old & mask, new & mask
    if size == 2:
        total = (~current & 0xFFFF) + (~old & 0xFFFF)
        total = (total & 0xFFFF) + (total >> 16) + new
        return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return checksum_fold(checksum_add(checksum_add(~current & 0xFFFF, ~old & MASK32), new))


def _place(machine: Host, offset: int) -> int | None:
    """The checksum at an offset of the packet, or None."""
    if offset > 0xFFFF or offset & 1:
        return None
    found = packet_of(machine).load(offset, 2)
    return None if found is None else int.from_bytes(found, "little")


@helper("l3_csum_replace")
def l3_csum_replace(machine: Host, skb: int, offset: int, old: int, new: int, flags: int) -> int:
    size = flags & bpf_flags.BPF_F_HDR_FIELD_MASK
    if flags & ~bpf_flags.BPF_F_HDR_FIELD_MASK:
        return -EINVAL
    current = _place(machine, offset & MASK32)
    if current is None:
        return -EFAULT
    if size not in (0, 2, 4) or (not size and old):
        return -EINVAL
    changed = _replace(current, old, new, size) if size else _replace_diff(current, new & MASK32)
    packet_of(machine).store(offset & MASK32, changed.to_bytes(2, "little"))
    return 0


@helper("l4_csum_replace")
def l4_csum_replace(machine: Host, skb: int, offset: int, old: int, new: int, flags: int) -> int:
    size = flags & bpf_flags.BPF_F_HDR_FIELD_MASK
    mangled = bool(flags & bpf_flags.BPF_F_MARK_MANGLED_0)
    if flags & ~_L4_FLAGS:
        return -EINVAL
    current = _place(machine, offset & MASK32)
    if current is None:
        return -EFAULT
    if mangled and not flags & bpf_flags.BPF_F_MARK_ENFORCE and not current:
        return 0
    if size not in (0, 2, 4) or (not size and old):
        return -EINVAL
    # 2 bytes go through inet_proto_csum_replace2, which is the one of 4
    changed = (
        _replace(current, old & (0xFFFF if size == 2 else MASK32), new & (0xFFFF if size == 2 else MASK32), 4)
        if size
        else _replace_diff(current, new & MASK32)
    )
    if mangled and not changed:
        changed = 0xFFFF  # CSUM_MANGLED_0
    packet_of(machine).store(offset & MASK32, changed.to_bytes(2, "little"))
    return 0


@helper("csum_update")
def csum_update(machine: Host, skb: int, checksum: int) -> int:
    """Packets here never have CHECKSUM_COMPLETE."""
    return -ENOTSUPP


@helper("csum_level")
def csum_level(machine: Host, skb: int, level: int) -> int:
    packet = packet_of(machine)
    if level == bpf_flags.BPF_CSUM_LEVEL_QUERY:
        return packet.csum_level if packet.unnecessary else -EACCES
    if level == bpf_flags.BPF_CSUM_LEVEL_INC:
        packet.csum_level = min(packet.csum_level + 1, 3) if packet.unnecessary else 0
        packet.unnecessary = True
    elif level == bpf_flags.BPF_CSUM_LEVEL_DEC:
        packet.unnecessary = packet.unnecessary and packet.csum_level > 0
        packet.csum_level = max(packet.csum_level - 1, 0)
    elif level == bpf_flags.BPF_CSUM_LEVEL_RESET:
        packet.unnecessary, packet.csum_level = False, 0
    else:
        return -EINVAL
    return 0
