"""Time, chance, and which CPU."""

from __future__ import annotations

from cygnet.errors import HelperFault
from cygnet.vm.helpers.registry import helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host

_COARSE_NS = 4_000_000  # one tick at 250 a second


@helper("ktime_get_ns")
def ktime_get_ns(machine: Host) -> int:
    return machine.now_ns()


@helper("ktime_get_boot_ns")
def ktime_get_boot_ns(machine: Host) -> int:
    return machine.world.boot_ns()


@helper("ktime_get_coarse_ns")
def ktime_get_coarse_ns(machine: Host) -> int:
    return machine.world.now_ns() // _COARSE_NS * _COARSE_NS


@helper("ktime_get_tai_ns")
def ktime_get_tai_ns(machine: Host) -> int:
    return machine.world.tai_ns()


@helper("jiffies64")
def jiffies64(machine: Host) -> int:
    return machine.world.jiffies()


@helper("get_prandom_u32")
def get_prandom_u32(machine: Host) -> int:
    return machine.random.getrandbits(32)


@helper("get_smp_processor_id")
def get_smp_processor_id(machine: Host) -> int:
    return machine.cpu


@helper("get_numa_node_id")
def get_numa_node_id(machine: Host) -> int:
    return machine.world.numa_node


@helper("per_cpu_ptr")
def per_cpu_ptr(machine: Host, variable: int, cpu: int) -> int:
    """The address of a kernel variable on a CPU; 0 for a CPU that does not exist."""
    if cpu & 0xFFFFFFFF >= machine.map_host.cpus:
        return 0
    for address, stride in machine.world.variable_places.values():
        if address == variable:
            return address + (cpu & 0xFFFFFFFF) * stride
    raise HelperFault(f"{variable:#x} is no per-CPU variable")


@helper("this_cpu_ptr")
def this_cpu_ptr(machine: Host, variable: int) -> int:
    return per_cpu_ptr(machine, variable, machine.cpu)
