"""Maps: look up, update, delete, push, pop, peek, and for each element."""

from __future__ import annotations

from cygnet.errors import HelperFault
from cygnet.maps.memory import copy
from cygnet.vm.helpers.common import MASK32, map_of
from cygnet.vm.helpers.registry import helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.vm.host import Host


def _key(machine: Host, of: Any, key: int) -> None:
    machine.check(key, of.key_size, what="key")


def _to_write(of: Any) -> None:
    if not of.program_may_write:
        raise HelperFault(f"programs may not write to map {of.name!r}")


@helper("map_lookup_elem")
def map_lookup_elem(machine: Host, map: int, key: int) -> int:
    of = map_of(machine, map)
    _key(machine, of, key)
    if not of.program_may_read:
        raise HelperFault(f"programs may not read map {of.name!r}")
    if hasattr(of, "set_socket"):
        from cygnet.vm.helpers.sockets import socket_in

        return socket_in(machine, of, key)
    return int(of.lookup_ptr(key, machine.cpu))


@helper("map_update_elem")
def map_update_elem(machine: Host, map: int, key: int, value: int, flags: int) -> int:
    of = map_of(machine, map)
    _key(machine, of, key)
    machine.check(value, of.value_size, what="value")
    _to_write(of)
    return int(of.update_ptr(key, value, flags, machine.cpu))


@helper("map_delete_elem")
def map_delete_elem(machine: Host, map: int, key: int) -> int:
    of = map_of(machine, map)
    _key(machine, of, key)
    _to_write(of)
    return int(of.delete_ptr(key, machine.cpu))


@helper("map_lookup_percpu_elem")
def map_lookup_percpu_elem(machine: Host, map: int, key: int, cpu: int) -> int:
    of = map_of(machine, map)
    _key(machine, of, key)
    return int(of.lookup_percpu_ptr(key, cpu & MASK32))


@helper("map_push_elem")
def map_push_elem(machine: Host, map: int, value: int, flags: int) -> int:
    of = map_of(machine, map)
    machine.check(value, of.value_size, what="value")
    _to_write(of)
    return int(of.push_ptr(value, flags))


@helper("map_pop_elem")
def map_pop_elem(machine: Host, map: int, value: int) -> int:
    of = map_of(machine, map)
    machine.check(value, of.value_size, write=True, what="value")
    _to_write(of)
    return int(of.pop_ptr(value))


@helper("map_peek_elem")
def map_peek_elem(machine: Host, map: int, value: int) -> int:
    of = map_of(machine, map)
    machine.check(value, of.value_size, write=True, what="value")
    return int(of.peek_ptr(value))


@helper("for_each_map_elem")
def for_each_map_elem(machine: Host, map: int, function: int, context: int, flags: int) -> int:
    """Call `function(map, key, value, context)` for each element until it gives 1; how often it was called."""
    of = map_of(machine, map)
    if flags or not of.each_is_possible():
        return -22  # EINVAL
    # keys lie beside the bookkeeping of the map, which no program may read: they are handed out as copies
    shown = machine.memory.block(max(of.key_size, 1), "key of an element", writable=False)
    count = 0
    try:
        for key, value in of.each_ptr(machine.cpu):
            copy(shown.address, key, of.key_size)
            count += 1
            if machine.call(function, map, shown.address, value, context):
                break
    finally:
        machine.memory.free(shown)
    return count
