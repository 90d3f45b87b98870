"""Tunnel metadata beside a packet: where it came from or will go to (net/core/filter.c, bpf_skb_get_tunnel_key …).

`world.tunnel_key` is the struct bpf_tunnel_key that bpf_skb_get_tunnel_key gives, `world.tunnel_flags` its TUNNEL_* bits.
"""

from __future__ import annotations

from errno import EINVAL, ENOENT, ENOMEM, EPROTO

from cygnet.maps.memory import fill, write
from cygnet.uapi import bpf_flags
from cygnet.vm.helpers.common import MASK32
from cygnet.vm.helpers.registry import helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host

# struct bpf_tunnel_key: u32 id; 16 bytes of remote address; u8 tos, ttl; u16 ext; u32 label; 16 bytes of local address
_SIZE, _REMOTE, _TOS, _EXT, _LABEL, _LOCAL = 44, 4, 20, 22, 24, 28
_OLDER = (_LOCAL, _LABEL, _EXT, _REMOTE + 4)  # sizes of older kernels' struct
_MAX_OPTIONS = 255  # IP_TUNNEL_OPTS_MAX
_FLOW_LABEL = 0xFFFFF
_IPV6 = bpf_flags.BPF_F_TUNINFO_IPV6
# <uapi/linux/if_tunnel.h>, as numbers of the machine
_CSUM, _KEY, _SEQ, _DONT_FRAGMENT, _NOCACHE = 0x01, 0x04, 0x08, 0x100, 0x2000
_PRESENT = 0x5800  # the bits that say that there are options: of geneve, vxlan and erspan


@helper("skb_get_tunnel_key")
def skb_get_tunnel_key(machine: Host, context: int, out: int, size: int, flags: int) -> int:
    """What the packet came with, or what bpf_skb_set_tunnel_key made: its destination is the local address here."""
    size &= MASK32
    machine.check(out, size, write=True, what="struct bpf_tunnel_key")
    world = machine.world
    error = 0
    if not world.tunnel_key or flags & ~(_IPV6 | bpf_flags.BPF_F_TUNINFO_FLAGS):
        error = -EINVAL
    elif bool(flags & _IPV6) != world.tunnel_ipv6:
        error = -EPROTO
    elif (size != _SIZE and size not in _OLDER) or (size == _REMOTE + 4 and world.tunnel_ipv6):
        error = -EINVAL
    fill(out, size)
    if error:
        return error
    key = bytearray(world.tunnel_key.ljust(_SIZE, b"\0"))
    if flags & bpf_flags.BPF_F_TUNINFO_FLAGS:
        key[_EXT:_LABEL] = world.tunnel_flags.to_bytes(2, "big")
    write(out, bytes(key[:size]))
    return 0


@helper("skb_set_tunnel_key")
def skb_set_tunnel_key(machine: Host, context: int, key: int, size: int, flags: int) -> int:
    size &= MASK32
    data = machine.readable(key, size, "struct bpf_tunnel_key")
    if flags & ~0x1F or (size != _SIZE and size not in _OLDER):
        return -EINVAL
    data = data.ljust(_SIZE, b"\0")
    if any(data[_EXT:_LABEL]) or (not flags & _IPV6 and any(data[_LABEL:_LOCAL])):
        return -EINVAL
    world = machine.world
    width = 16 if flags & _IPV6 else 4
    label = int.from_bytes(data[_LABEL:_LOCAL], "little") & _FLOW_LABEL
    made = bytearray(_SIZE)
    made[:_REMOTE] = data[:_REMOTE]
    made[_REMOTE : _REMOTE + width] = data[_LOCAL : _LOCAL + width]
    made[_TOS:_EXT] = data[_TOS:_EXT]
    made[_LABEL:_LOCAL] = label.to_bytes(4, "little")
    made[_LOCAL : _LOCAL + width] = data[_REMOTE : _REMOTE + width]
    world.tunnel_key, world.tunnel_ipv6 = bytes(made), bool(flags & _IPV6)
    world.tunnel_flags = _made_flags(flags)
    world.tunnel_options, world.tunnel_is_own = b"", True
    return 0


def _made_flags(flags: int) -> int:
    made = _NOCACHE
    made |= 0 if flags & bpf_flags.BPF_F_ZERO_CSUM_TX else _CSUM
    made |= 0 if flags & bpf_flags.BPF_F_NO_TUNNEL_KEY else _KEY
    made |= _SEQ if flags & bpf_flags.BPF_F_SEQ_NUMBER else 0
    return made | (_DONT_FRAGMENT if flags & bpf_flags.BPF_F_DONT_FRAGMENT else 0)


@helper("skb_get_tunnel_opt")
def skb_get_tunnel_opt(machine: Host, context: int, out: int, size: int) -> int:
    """The options' length; the rest of the buffer is zeros."""
    size &= MASK32
    machine.check(out, size, write=True, what="options")
    options = machine.world.tunnel_options
    fill(out, size)
    if not options:
        return -ENOENT
    if len(options) > size:
        return -ENOMEM
    write(out, options)
    return len(options)


@helper("skb_set_tunnel_opt")
def skb_set_tunnel_opt(machine: Host, context: int, data: int, size: int) -> int:
    """Only after bpf_skb_set_tunnel_key."""
    world, size = machine.world, size & MASK32
    options = machine.readable(data, size, "options")
    if not world.tunnel_is_own or size & 3:
        return -EINVAL
    if size > _MAX_OPTIONS:
        return -ENOMEM
    world.tunnel_options = options
    world.tunnel_flags |= _PRESENT
    return 0
