"""Messages of sk_msg programs: their bytes, and how much of them a verdict is for."""

from __future__ import annotations

from errno import EINVAL, ENOMEM

from cygnet.vm.helpers.checksums import packet_of
from cygnet.vm.helpers.common import MASK32
from cygnet.vm.helpers.registry import helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host

_MAX_PUSH = 1 << 22  # bytes: what one allocation of the kernel gives


@helper("msg_apply_bytes")
def msg_apply_bytes(machine: Host, context: int, size: int) -> int:
    machine.world.did.append(("msg_apply_bytes", (size & MASK32,)))
    return 0


@helper("msg_cork_bytes")
def msg_cork_bytes(machine: Host, context: int, size: int) -> int:
    machine.world.did.append(("msg_cork_bytes", (size & MASK32,)))
    return 0


@helper("msg_pull_data")
def msg_pull_data(machine: Host, context: int, start: int, end: int, flags: int) -> int:
    """The whole message can be reached here; -EINVAL for what is not inside of it."""
    start, end = start & MASK32, end & MASK32
    return -EINVAL if flags or end <= start or end > packet_of(machine).length else 0


@helper("msg_push_data")
def msg_push_data(machine: Host, context: int, start: int, size: int, flags: int) -> int:
    """Room of `size` bytes at `start`."""
    packet, start, size = packet_of(machine), start & MASK32, size & MASK32
    if flags or start > packet.length:
        return -EINVAL
    if size > _MAX_PUSH:
        return -ENOMEM
    if size:
        packet.insert(start, size)
    return 0


@helper("msg_pop_data")
def msg_pop_data(machine: Host, context: int, start: int, size: int, flags: int) -> int:
    packet, start, size = packet_of(machine), start & MASK32, size & MASK32
    if flags or start + size > packet.length:
        return -EINVAL
    if size:
        packet.remove(start, size)
    return 0
