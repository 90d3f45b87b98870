"""Events: perf output, counters, stacks."""

from __future__ import annotations

from errno import E2BIG, EFAULT, EINVAL, ENOENT
from struct import pack

from cygnet.maps.memory import fill, write
from cygnet.uapi import bpf_flags
from cygnet.vm.helpers.common import MASK32, map_of
from cygnet.vm.helpers.registry import helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host

_MAX_RECORD = 0xFFFF  # what a perf sample's raw data may have
_SKIP, _USER = bpf_flags.BPF_F_SKIP_FIELD_MASK, bpf_flags.BPF_F_USER_STACK
_STACKID = _SKIP | _USER | bpf_flags.BPF_F_FAST_STACK_CMP | bpf_flags.BPF_F_REUSE_STACKID
_NETWORK = frozenset(
    ("socket_filter", "sched_cls", "sched_act", "cgroup_skb", "lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local",
     "sk_skb", "xdp")
)  # fmt: skip


def _output(machine: Host, map: int, flags: int, data: int, size: int, with_packet: bool) -> int:
    """A record; of a network program, flags may ask for so many bytes of the packet after it."""
    of = map_of(machine, map, "output")
    wanted = (flags & bpf_flags.BPF_F_CTXLEN_MASK) >> 32
    packet = machine.world.packet
    if flags & ~(bpf_flags.BPF_F_INDEX_MASK | (bpf_flags.BPF_F_CTXLEN_MASK if with_packet else 0)):
        return -EINVAL
    if with_packet and (packet is None or wanted > packet.length):
        return -EFAULT
    record = machine.readable(data, size, "data")
    if not with_packet and size > _MAX_RECORD:
        return -E2BIG
    if packet is not None and wanted:
        record += packet.payload()[:wanted]
    return int(of.output(record, flags & MASK32, machine.cpu))


@helper("perf_event_output")
def perf_event_output(machine: Host, context: int, map: int, flags: int, data: int, size: int) -> int:
    return _output(machine, map, flags, data, size, machine.world.program_type in _NETWORK)


@helper("skb_output")
def skb_output(machine: Host, skb: int, map: int, flags: int, data: int, size: int) -> int:
    return _output(machine, map, flags, data, size, True)


@helper("xdp_output")
def xdp_output(machine: Host, xdp: int, map: int, flags: int, data: int, size: int) -> int:
    return _output(machine, map, flags, data, size, True)


@helper("perf_event_read")
def perf_event_read(machine: Host, map: int, flags: int) -> int:
    found = map_of(machine, map, "counter").counter(flags, machine.cpu)
    return int(found) if isinstance(found, int) else int(found[0])


@helper("perf_event_read_value")
def perf_event_read_value(machine: Host, map: int, flags: int, out: int, size: int) -> int:
    """{counter, enabled, running}: struct bpf_perf_event_value."""
    size &= MASK32
    machine.check(out, size, write=True, what="struct bpf_perf_event_value")
    found = map_of(machine, map, "counter").counter(flags, machine.cpu) if size == 24 else -EINVAL
    if isinstance(found, int):
        fill(out, size)
        return found
    write(out, pack("<3Q", *found))
    return 0


@helper("perf_prog_read_value")
def perf_prog_read_value(machine: Host, context: int, out: int, size: int) -> int:
    """Of the event that the program is attached to: `world.counter`."""
    size &= MASK32
    machine.check(out, size, write=True, what="struct bpf_perf_event_value")
    if size != 24:
        fill(out, size)
        return -EINVAL
    write(out, pack("<3Q", *machine.world.counter))
    return 0


# ── stacks ───────────────────────────────────────────────────────────────────────────────────────────────


def _frames(machine: Host, flags: int) -> tuple[int, ...]:
    task = machine.world.task
    frames = task.user_stack if flags & _USER else task.kernel_stack
    return frames[flags & _SKIP :]


@helper("get_stackid")
def get_stackid(machine: Host, context: int, map: int, flags: int) -> int:
    """The number of the stack that the world's task has; -EFAULT when it has none."""
    of = map_of(machine, map, "stackid")
    if flags & ~_STACKID:
        return -EINVAL
    frames = _frames(machine, flags)[: of.depth]
    if not frames:
        return -EFAULT
    return int(of.stackid(pack(f"<{len(frames)}Q", *frames), flags))


@helper("get_stack")
def get_stack(machine: Host, context: int, out: int, size: int, flags: int) -> int:
    """The frames as u64s; how many bytes they are. The rest is zeros."""
    size &= MASK32
    machine.check(out, size, write=True, what="buffer")
    frames = _frames(machine, flags)[: size // 8]
    bad = flags & ~(_SKIP | _USER) or size % 8
    if bad or not frames:
        fill(out, size)
        return -EINVAL if bad else -EFAULT
    data = pack(f"<{len(frames)}Q", *frames)
    write(out, data.ljust(size, b"\0"))
    return len(data)


@helper("get_task_stack")
def get_task_stack(machine: Host, task: int, out: int, size: int, flags: int) -> int:
    """Of the current task only: no other is known."""
    if task != machine.world.task_address:
        machine.check(out, size & MASK32, write=True, what="buffer")
        fill(out, size & MASK32)
        return -EFAULT
    return get_stack(machine, 0, out, size, flags)


@helper("read_branch_records")
def read_branch_records(machine: Host, context: int, out: int, size: int, flags: int) -> int:
    """No branches are recorded here."""
    return -EINVAL if flags & ~1 else -ENOENT


@helper("get_branch_snapshot")
def get_branch_snapshot(machine: Host, out: int, size: int, flags: int) -> int:
    return -EINVAL if flags else -ENOENT
