"""Types of the world's kernel, and mappings of its task."""

from __future__ import annotations

from errno import EINVAL, ENOENT

from cygnet.vm.helpers.common import MASK32, s32
from cygnet.vm.helpers.registry import helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host


@helper("btf_find_by_name_kind")
def btf_find_by_name_kind(machine: Host, name: int, size: int, kind: int, flags: int) -> int:
    """The number of a type of `world.btf`."""
    length = s32(size)
    text = machine.readable(name, length if length > 0 else 0, "name")
    if flags or length <= 1 or text[-1]:
        return -EINVAL
    btf = machine.world.btf
    found = btf.find(text.split(b"\0")[0].decode(errors="replace"), kind & MASK32) if btf else None
    return -ENOENT if found is None else int(found.id)


@helper("find_vma")
def find_vma(machine: Host, task: int, address: int, function: int, context: int, flags: int) -> int:
    """Call `function(task, vma, context)` for the mapping around an address: of the current task only, from
    `world.mappings`."""
    world = machine.world
    if flags:
        return -EINVAL
    if not task or task != world.task_address:
        return -ENOENT
    for number, (start, end, place) in enumerate(world.mappings):
        if start <= address < end:
            machine.call(function, task, place or world.object_address("vma", number), context)
            return 0
    return -ENOENT
