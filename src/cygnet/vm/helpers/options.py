"""TCP header options of sock_ops programs: the packet is the TCP header and its options (net/core/filter.c)."""

from __future__ import annotations

from errno import EEXIST, EFAULT, EINVAL, ENOENT, ENOMSG, ENOSPC, EPERM

from cygnet.maps.memory import load32, read, write
from cygnet.uapi import bpf_flags
from cygnet.vm.helpers.common import MASK32
from cygnet.vm.helpers.registry import helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host

_HEADER = 20  # bytes of a TCP header before its options
_EOL, _NOP = 0, 1
_EXPERIMENTAL = (253, 254)  # RFC 6994: a magic number of 16 or 32 bits follows
_LENGTH_CB, _WRITE_CB = 14, 15  # BPF_SOCK_OPS_HDR_OPT_LEN_CB, _WRITE_HDR_OPT_CB


def _search(options: bytes, kind: int, magic: bytes) -> bytes | int:
    """The option of a kind (bpf_search_tcp_opt); -ENOMSG when there is none, -EFAULT for a broken list."""
    at = 0
    while at < len(options):
        if options[at] == _EOL:
            return -ENOMSG
        if options[at] == _NOP:
            at += 1
            continue
        rest = options[at:]
        if len(rest) < 2 or len(rest) < rest[1] or rest[1] < 2:
            return -EFAULT
        found = rest[: rest[1]]
        if found[0] == kind and found[2:].startswith(magic):
            return found
        if found[0] == kind and len(magic) > len(found) - 2:
            return -ENOMSG
        at += len(found)
    return -ENOMSG


def _operation(machine: Host) -> int:
    return load32(machine.context) if machine.context else 0


@helper("load_hdr_opt")
def load_hdr_opt(machine: Host, context: int, result: int, length: int, flags: int) -> int:
    """The option that `result` names by its first bytes, there; its length, -ENOSPC when it was cut."""
    length &= MASK32
    if flags & ~bpf_flags.BPF_LOAD_HDR_OPT_TCP_SYN:
        return -EINVAL
    machine.check(result, length, write=True, what="searchby_res")
    asked = read(result, length)
    if length < 2 or asked[1] > length or asked[0] in (_EOL, _NOP):
        return -EINVAL
    if asked[1] not in ((4, 6) if asked[0] in _EXPERIMENTAL else (0,)):
        return -EINVAL
    packet = machine.world.packet
    if flags:
        header = machine.world.tcp_syn
        if not header:
            return -ENOENT
    elif packet is None or not packet.length or _operation(machine) == _LENGTH_CB:
        return -EPERM
    else:
        header = packet.payload()
    found = _search(header[_HEADER:], asked[0], asked[2 : asked[1]])
    if isinstance(found, int):
        return found
    write(result, found[:length])
    return len(found) if len(found) <= length else -ENOSPC


@helper("store_hdr_opt")
def store_hdr_opt(machine: Host, context: int, source: int, length: int, flags: int) -> int:
    """An option more, in the room that is left (`world.tcp_room`)."""
    length &= MASK32
    world = machine.world
    if _operation(machine) != _WRITE_CB or world.packet is None:
        return -EPERM
    if length < 2 or flags:
        return -EINVAL
    given = machine.readable(source, length, "option")
    option = given[: given[1]]
    if given[1] > length or given[1] < 2 or given[0] in (_EOL, _NOP):
        return -EINVAL
    if len(option) > world.tcp_room:
        return -ENOSPC
    magic = b""
    if given[0] in _EXPERIMENTAL:
        if len(option) < 4:
            return -EINVAL
        magic = option[2:4]
    options = world.packet.payload()[_HEADER:]
    found = _search(options, given[0], magic)
    if not isinstance(found, int):
        return -EEXIST
    if found != -ENOMSG:
        return found
    if _is_ended(options):
        return -ENOSPC
    end = world.packet.length
    world.packet.resize(end + len(option))
    world.packet.store(end, option)
    world.tcp_room -= len(option)
    return 0


def _is_ended(options: bytes) -> bool:
    """Whether the list has its end mark."""
    at = 0
    while at < len(options):
        if options[at] == _EOL:
            return True
        at += 1 if options[at] == _NOP else options[at + 1]
    return False


@helper("reserve_hdr_opt")
def reserve_hdr_opt(machine: Host, context: int, length: int, flags: int) -> int:
    """Room for an option that is written later."""
    length &= MASK32
    if _operation(machine) != _LENGTH_CB:
        return -EPERM
    if flags or length < 2:
        return -EINVAL
    if length > machine.world.tcp_room:
        return -ENOSPC
    machine.world.tcp_room -= length
    return 0
