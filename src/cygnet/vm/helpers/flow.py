"""The flow of a program: loops, locks, timers on the world's clock."""

from __future__ import annotations

from errno import E2BIG, EBUSY, EDEADLK, EINVAL

from cygnet.errors import HelperFault
from cygnet.maps.memory import load32, store32
from cygnet.uapi import bpf_flags
from cygnet.vm.helpers.common import MASK32, map_of
from cygnet.vm.helpers.registry import helper
from cygnet.vm.world import Timer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host

_MAX_LOOPS = 8 * 1024 * 1024  # BPF_MAX_LOOPS
_CLOCKS = (0, 1, 7)  # CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME
_TIMER_BYTES = 16


@helper("loop")
def loop(machine: Host, count: int, function: int, context: int, flags: int) -> int:
    """Call `function(index, context)` until it gives something else than 0; how often it was called."""
    rounds = count & MASK32
    if flags:
        return -EINVAL
    if rounds > _MAX_LOOPS:
        return -E2BIG & MASK32  # the verifier puts 32-bit code in the call's place (inline_bpf_loop)
    for index in range(rounds):
        if machine.call(function, index, context):
            return index + 1
    return rounds


@helper("spin_lock")
def spin_lock(machine: Host, lock: int) -> int:
    machine.check(lock, 4, write=True, what="lock")
    if load32(lock):
        raise HelperFault(f"the lock at {lock:#x} is held already: the program would wait for ever")
    store32(lock, 1)
    return 0


@helper("spin_unlock")
def spin_unlock(machine: Host, lock: int) -> int:
    machine.check(lock, 4, write=True, what="lock")
    if not load32(lock):
        raise HelperFault(f"the lock at {lock:#x} is not held")
    store32(lock, 0)
    return 0


# ── timers ───────────────────────────────────────────────────────────────────────────────────────────────


@helper("timer_init")
def timer_init(machine: Host, timer: int, map: int, flags: int) -> int:
    """kernel/bpf/helpers.c: __bpf_async_init."""
    machine.check(timer, _TIMER_BYTES, write=True, what="timer")
    if flags not in _CLOCKS:
        return -EINVAL
    if timer in machine.world.timers:
        return -EBUSY
    machine.world.timers[timer] = Timer(map_of(machine, map))
    return 0


@helper("timer_set_callback")
def timer_set_callback(machine: Host, timer: int, function: int) -> int:
    known = machine.world.timers.get(timer)
    if known is None:
        return -EINVAL
    known.callback = function
    return 0


@helper("timer_start")
def timer_start(machine: Host, timer: int, nanoseconds: int, flags: int) -> int:
    known = machine.world.timers.get(timer)
    if flags & ~(bpf_flags.BPF_F_TIMER_ABS | bpf_flags.BPF_F_TIMER_CPU_PIN) or known is None or not known.callback:
        return -EINVAL
    known.due = nanoseconds if flags & bpf_flags.BPF_F_TIMER_ABS else machine.world.now_ns() + nanoseconds
    return 0


@helper("timer_cancel")
def timer_cancel(machine: Host, timer: int) -> int:
    """1 when it was running, 0 when not; -EDEADLK from inside its own callback."""
    known = machine.world.timers.get(timer)
    if known is None:
        return -EINVAL
    if machine.world.firing == timer:
        return -EDEADLK
    was_running, known.due = known.due is not None, None
    return int(was_running)
