"""Storage of sockets, tasks, inodes and cgroups, and pointers kept in maps."""

from __future__ import annotations

from errno import EINVAL

from cygnet.maps.memory import load64, store64
from cygnet.vm.helpers.common import map_of
from cygnet.vm.helpers.registry import helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host

_GET_FLAGS = 1  # BPF_LOCAL_STORAGE_GET_F_CREATE


def owner_number(machine: Host, kind: str, address: int) -> int:
    """The descriptor of the simulated object at an address, which map keys and storage know it by."""
    known = machine.world.descriptors
    number = known.get((kind, address))
    if number is None:
        number = known[kind, address] = machine.map_host.add(kind, address)
    return number


def _get(machine: Host, map: int, kind: str, owner: int, value: int, flags: int) -> int:
    of = map_of(machine, map, "storage_ptr")
    if flags & ~_GET_FLAGS or not owner:
        return 0
    if value:
        machine.check(value, of.value_size, what="first value")
    return int(of.storage_ptr(owner_number(machine, kind, owner), value, flags))


def _delete(machine: Host, map: int, kind: str, owner: int) -> int:
    of = map_of(machine, map, "delete_of")
    return int(of.delete_of(owner_number(machine, kind, owner))) if owner else -EINVAL


@helper("sk_storage_get")
def sk_storage_get(machine: Host, map: int, owner: int, value: int, flags: int) -> int:
    return _get(machine, map, "socket", owner, value, flags)


@helper("sk_storage_delete")
def sk_storage_delete(machine: Host, map: int, owner: int) -> int:
    return _delete(machine, map, "socket", owner)


@helper("task_storage_get")
def task_storage_get(machine: Host, map: int, owner: int, value: int, flags: int) -> int:
    return _get(machine, map, "task", owner, value, flags)


@helper("task_storage_delete")
def task_storage_delete(machine: Host, map: int, owner: int) -> int:
    return _delete(machine, map, "task", owner)


@helper("inode_storage_get")
def inode_storage_get(machine: Host, map: int, owner: int, value: int, flags: int) -> int:
    return _get(machine, map, "inode", owner, value, flags)


@helper("inode_storage_delete")
def inode_storage_delete(machine: Host, map: int, owner: int) -> int:
    return _delete(machine, map, "inode", owner)


@helper("cgrp_storage_get")
def cgrp_storage_get(machine: Host, map: int, owner: int, value: int, flags: int) -> int:
    return _get(machine, map, "cgroup", owner, value, flags)


@helper("cgrp_storage_delete")
def cgrp_storage_delete(machine: Host, map: int, owner: int) -> int:
    return _delete(machine, map, "cgroup", owner)


@helper("get_local_storage")
def get_local_storage(machine: Host, map: int, flags: int) -> int:
    """The value for the cgroup that the program is attached to: the current task's."""
    of, world = map_of(machine, map, "local_ptr"), machine.world
    return int(of.local_ptr(world.task.cgroups[-1], world.attach_type, machine.cpu))


@helper("kptr_xchg")
def kptr_xchg(machine: Host, slot: int, pointer: int) -> int:
    machine.check(slot, 8, write=True, what="pointer's place")
    old = load64(slot)
    store64(slot, pointer)
    return old
