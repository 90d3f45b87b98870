"""Time, chance, and which CPU."""

from __future__ import annotations

from cygnet.vm.helpers.registry import helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host


@helper("ktime_get_ns")
def ktime_get_ns(machine: Host) -> int:
    return machine.now_ns()


@helper("get_prandom_u32")
def get_prandom_u32(machine: Host) -> int:
    return machine.random.getrandbits(32)


@helper("get_smp_processor_id")
def get_smp_processor_id(machine: Host) -> int:
    return machine.cpu


@helper("loop")
def loop(machine: Host, count: int, function: int, context: int, flags: int) -> int:
    """Call `function(index, context)` until it gives something else than 0; how often it was called."""
    if flags:
        return -22  # EINVAL
    if count & 0xFFFFFFFF > 1 << 23:
        return -7  # E2BIG
    for index in range(count & 0xFFFFFFFF):
        if machine.call(function, index, context):
            return index + 1
    return count & 0xFFFFFFFF
