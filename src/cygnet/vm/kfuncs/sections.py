"""Sections, casts, locks, and what else needs no state: nothing runs beside a program here."""

from __future__ import annotations

from errno import EDEADLK, EFAULT, EINVAL, EOPNOTSUPP

from cygnet.maps.memory import load32, store32, store64, write
from cygnet.vm.helpers.common import MASK32, map_of
from cygnet.vm.helpers.flow import spin_unlock
from cygnet.vm.kfuncs.registry import kfunc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host

_PAD_ZEROS = 1  # BPF_F_PAD_ZEROS


@kfunc("rcu_read_lock", "rcu_read_unlock", "preempt_disable", "preempt_enable")
def nothing(machine: Host) -> int:
    """A section that nothing could interrupt in any case."""
    return 0


@kfunc("local_irq_save")
def local_irq_save(machine: Host, flags: int) -> int:
    machine.check(flags, 8, write=True, what="flags")
    store64(flags, 0)
    return 0


@kfunc("local_irq_restore")
def local_irq_restore(machine: Host, flags: int) -> int:
    machine.check(flags, 8, what="flags")
    return 0


@kfunc("cast_to_kern_ctx")
def cast_to_kern_ctx(machine: Host, context: int) -> int:
    return context


@kfunc("rdonly_cast")
def rdonly_cast(machine: Host, pointer: int, type: int) -> int:
    return pointer


@kfunc("res_spin_lock")
def res_spin_lock(machine: Host, lock: int) -> int:
    """The lock that may be refused: taken twice by the same program it is a deadlock."""
    machine.check(lock, 4, write=True, what="lock")
    if load32(lock):
        return -EDEADLK & MASK32
    store32(lock, 1)
    return 0


@kfunc("res_spin_unlock")
def res_spin_unlock(machine: Host, lock: int) -> int:
    return spin_unlock(machine, lock)


@kfunc("res_spin_lock_irqsave")
def res_spin_lock_irqsave(machine: Host, lock: int, flags: int) -> int:
    local_irq_save(machine, flags)
    return res_spin_lock(machine, lock)


@kfunc("res_spin_unlock_irqrestore")
def res_spin_unlock_irqrestore(machine: Host, lock: int, flags: int) -> int:
    local_irq_restore(machine, flags)
    return res_spin_unlock(machine, lock)


@kfunc("map_sum_elem_count")
def map_sum_elem_count(machine: Host, map: int) -> int:
    """Only hashes count their elements."""
    found = map_of(machine, map)
    return int(found.count) if hasattr(found, "shares") else 0


@kfunc("copy_from_user_str")
def copy_from_user_str(machine: Host, to: int, size: int, source: int, flags: int) -> int:
    """A string of user memory, NUL included; how many bytes, or a negative errno."""
    size &= MASK32
    if flags & ~_PAD_ZEROS:
        return -EINVAL & MASK32
    if not size:
        return 0
    machine.check(to, size, write=True, what="destination")
    found = machine.world.peek_string(machine.regions, source, size - 1, "user")
    if found is None:
        write(to, bytes(size if flags else 0))
        return -EFAULT & MASK32
    write(to, found.ljust(size, b"\0") if flags else found + b"\0")
    return len(found) + 1


@kfunc("xdp_metadata_rx_timestamp", "xdp_metadata_rx_hash", "xdp_metadata_rx_vlan_tag")
def no_metadata(machine: Host, context: int) -> int:
    """What a driver says that has none."""
    return -EOPNOTSUPP & MASK32


@kfunc("task_acquire", "cgroup_acquire")
def acquire(machine: Host, object: int) -> int:
    return object


@kfunc("task_release", "cgroup_release")
def release(machine: Host, object: int) -> int:
    return 0


@kfunc("task_from_pid", "task_from_vpid")
def task_from_pid(machine: Host, pid: int) -> int:
    """Of the current task only: no other is known."""
    world = machine.world
    return world.task_address if pid & MASK32 == world.task.pid else 0
