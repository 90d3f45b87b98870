"""Where a traced program is: arguments and result of its function, instruction pointer, cookie."""

from __future__ import annotations

from errno import EINVAL, EOPNOTSUPP

from cygnet.maps.memory import store64
from cygnet.vm.helpers.common import MASK32, s32
from cygnet.vm.helpers.registry import helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host


@helper("get_func_ip")
def get_func_ip(machine: Host, context: int) -> int:
    return machine.world.function_ip


@helper("get_attach_cookie")
def get_attach_cookie(machine: Host, context: int) -> int:
    return machine.world.cookie


@helper("get_func_arg")
def get_func_arg(machine: Host, context: int, number: int, out: int) -> int:
    machine.check(out, 8, write=True, what="result")
    arguments = machine.world.arguments
    if number & MASK32 >= len(arguments):
        return -EINVAL
    store64(out, arguments[number & MASK32])
    return 0


@helper("get_func_ret")
def get_func_ret(machine: Host, context: int, out: int) -> int:
    """What the function gave; -EOPNOTSUPP before it has (fentry), as `world.function_result` None says."""
    machine.check(out, 8, write=True, what="result")
    if machine.world.function_result is None:
        return -EOPNOTSUPP
    store64(out, machine.world.function_result)
    return 0


@helper("get_func_arg_cnt")
def get_func_arg_cnt(machine: Host, context: int) -> int:
    return len(machine.world.arguments)


@helper("override_return")
def override_return(machine: Host, context: int, result: int) -> int:
    """Recorded in `world.overridden`."""
    machine.world.overridden.append(result)
    return 0


@helper("get_retval")
def get_retval(machine: Host) -> int:
    return machine.world.retval


@helper("set_retval")
def set_retval(machine: Host, value: int) -> int:
    """An error number, or 0 where that is allowed (kernel/bpf/cgroup.c)."""
    machine.world.retval = s32(value)
    return 0


@helper("bprm_opts_set")
def bprm_opts_set(machine: Host, program: int, flags: int) -> int:
    if flags & ~1:
        return -EINVAL
    machine.world.did.append(("bprm_opts_set", (flags,)))
    return 0
