"""The sysctl that a cgroup_sysctl program is asked about: `world.sysctl_name`, `sysctl_value`, `sysctl_new`."""

from __future__ import annotations

from errno import E2BIG, EINVAL

from cygnet.maps.memory import fill, write
from cygnet.uapi import bpf_flags
from cygnet.vm.helpers.common import MASK32
from cygnet.vm.helpers.registry import helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host

_PAGE = 4096


def _give(machine: Host, out: int, size: int, text: bytes | None) -> int:
    """copy_sysctl_value: padded with zeros, and -E2BIG when it is cut."""
    size &= MASK32
    machine.check(out, size, write=True, what="buffer")
    fill(out, size)
    if not text:
        return -EINVAL
    write(out, text[: size - 1])
    return -E2BIG if len(text) >= size else len(text)


@helper("sysctl_get_name")
def sysctl_get_name(machine: Host, context: int, out: int, size: int, flags: int) -> int:
    """Other flags are not looked at."""
    name = machine.world.sysctl_name
    name = name.rpartition("/")[2] if flags & bpf_flags.BPF_F_SYSCTL_BASE_NAME else name
    return _give(machine, out, size, name.encode())


@helper("sysctl_get_current_value")
def sysctl_get_current_value(machine: Host, context: int, out: int, size: int) -> int:
    return _give(machine, out, size, machine.world.sysctl_value)


@helper("sysctl_get_new_value")
def sysctl_get_new_value(machine: Host, context: int, out: int, size: int) -> int:
    """-EINVAL when the sysctl is read."""
    return _give(machine, out, size, machine.world.sysctl_new)


@helper("sysctl_set_new_value")
def sysctl_set_new_value(machine: Host, context: int, value: int, size: int) -> int:
    data = machine.readable(value, size & MASK32, "value")
    if machine.world.sysctl_new is None or not data:
        return -EINVAL
    if len(data) > _PAGE - 1:
        return -E2BIG
    machine.world.sysctl_new = data
    return 0
