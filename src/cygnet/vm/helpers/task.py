"""The current task: ids, name, cgroups, signals."""

from __future__ import annotations

from errno import EINVAL, EPERM

from cygnet.maps.memory import fill, write
from cygnet.vm.helpers.common import MASK32, map_of, s32
from cygnet.vm.helpers.registry import helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host

_COMM = 16


@helper("get_current_pid_tgid")
def get_current_pid_tgid(machine: Host) -> int:
    task = machine.world.task
    return task.tgid << 32 | task.pid


@helper("get_current_uid_gid")
def get_current_uid_gid(machine: Host) -> int:
    task = machine.world.task
    return task.gid << 32 | task.uid


@helper("get_current_comm")
def get_current_comm(machine: Host, buffer: int, size: int) -> int:
    """At most 15 bytes, and always a NUL: strscpy_pad of task->comm."""
    size &= MASK32
    machine.check(buffer, size, write=True, what="buffer")
    name = machine.world.task.comm.encode()[: _COMM - 1][: max(size - 1, 0)]
    fill(buffer, size)
    write(buffer, name)
    return 0


@helper("get_current_task")
def get_current_task(machine: Host) -> int:
    return machine.world.task_address


@helper("get_current_task_btf")
def get_current_task_btf(machine: Host) -> int:
    return machine.world.task_address


@helper("task_pt_regs")
def task_pt_regs(machine: Host, task: int) -> int:
    return machine.world.object_address("pt_regs", task)


@helper("get_current_cgroup_id")
def get_current_cgroup_id(machine: Host) -> int:
    return machine.world.task.cgroups[-1]


@helper("get_current_ancestor_cgroup_id")
def get_current_ancestor_cgroup_id(machine: Host, level: int) -> int:
    return ancestor(machine.world.task.cgroups, level)


def ancestor(cgroups: tuple[int, ...], level: int) -> int:
    """The cgroup `level` steps below the root; 0 when there is none."""
    level = s32(level)
    return cgroups[level] if 0 <= level < len(cgroups) else 0


@helper("current_task_under_cgroup")
def current_task_under_cgroup(machine: Host, map: int, index: int) -> int:
    of = map_of(machine, map)
    if index & MASK32 >= of.max_entries:
        return -7  # E2BIG
    return -11  # EAGAIN: a cgroup array means something in a kernel only, so its slots are empty


@helper("get_cgroup_classid")
def get_cgroup_classid(machine: Host, context: int) -> int:
    return machine.world.task.classid


@helper("skb_cgroup_classid")
def skb_cgroup_classid(machine: Host, context: int) -> int:
    return machine.world.task.classid


@helper("get_ns_current_pid_tgid")
def get_ns_current_pid_tgid(machine: Host, device: int, inode: int, out: int, size: int) -> int:
    """{u32 pid, u32 tgid} in the namespace that is named by the device and inode of its file."""
    world, size = machine.world, size & MASK32
    machine.check(out, size, write=True, what="struct bpf_pidns_info")
    if size != 8 or (device, inode) != world.pid_namespace:
        fill(out, size)
        return -EINVAL
    task = world.task
    write(out, task.ns_pid.to_bytes(4, "little") + task.ns_tgid.to_bytes(4, "little"))
    return 0


def _signal(machine: Host, number: int, thread: bool) -> int:
    number &= MASK32
    if machine.world.task.pid == 0:
        return -EPERM
    if number > 64:
        return -EINVAL
    machine.world.signals.append((number, thread))
    return 0


@helper("send_signal")
def send_signal(machine: Host, number: int) -> int:
    """Recorded in `world.signals`; nothing is sent."""
    return _signal(machine, number, False)


@helper("send_signal_thread")
def send_signal_thread(machine: Host, number: int) -> int:
    return _signal(machine, number, True)
