"""Memory that may not be there: probe reads of kernel and user memory, and writes to user memory."""

from __future__ import annotations

from errno import EFAULT, ERANGE

from cygnet.maps.memory import fill, write
from cygnet.vm.helpers.common import MASK32, SIGN64
from cygnet.vm.helpers.registry import helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host


def _read(machine: Host, to: int, size: int, address: int, where: str) -> int:
    size &= MASK32
    machine.check(to, size, write=True, what="destination")
    if not size:
        return 0
    data = machine.world.peek(machine.regions, address, size, where)
    if data is None:
        fill(to, size)
        return _fault(address, where)
    write(to, data)
    return 0


def _read_string(machine: Host, to: int, size: int, address: int, where: str) -> int:
    """The length with its NUL; a longer string is cut. What fails leaves zeros."""
    size &= MASK32
    machine.check(to, size, write=True, what="destination")
    if not size:
        return 0
    text = machine.world.peek_string(machine.regions, address, size, where)
    if text is None:
        fill(to, size)
        return _fault(address, where)
    text = text[: size - 1]
    write(to, text + b"\0")
    if where == "user" or (where == "any" and machine.world.peek(machine.regions, address, 1, "kernel") is None):
        # strncpy_from_user copies whole words, and what is behind the NUL in the last one is zeros
        rest = min(len(text) + 8 & ~7, size & ~7) - len(text) - 1
        fill(to + len(text) + 1, max(rest, 0))
    return len(text) + 1


def _fault(address: int, where: str) -> int:
    """-ERANGE where kernel memory cannot be: copy_from_kernel_nofault_allowed."""
    return -ERANGE if where == "kernel" and not address & SIGN64 else -EFAULT


def _side(address: int) -> str:
    """Which memory an address of the old helpers belongs to."""
    return "kernel" if address & SIGN64 else "any"


@helper("probe_read")
def probe_read(machine: Host, to: int, size: int, address: int) -> int:
    return _read(machine, to, size, address, _side(address))


@helper("probe_read_kernel")
def probe_read_kernel(machine: Host, to: int, size: int, address: int) -> int:
    return _read(machine, to, size, address, "kernel")


@helper("probe_read_user")
def probe_read_user(machine: Host, to: int, size: int, address: int) -> int:
    return _read(machine, to, size, address, "user")


@helper("probe_read_str")
def probe_read_str(machine: Host, to: int, size: int, address: int) -> int:
    return _read_string(machine, to, size, address, _side(address))


@helper("probe_read_kernel_str")
def probe_read_kernel_str(machine: Host, to: int, size: int, address: int) -> int:
    return _read_string(machine, to, size, address, "kernel")


@helper("probe_read_user_str")
def probe_read_user_str(machine: Host, to: int, size: int, address: int) -> int:
    return _read_string(machine, to, size, address, "user")


@helper("copy_from_user")
def copy_from_user(machine: Host, to: int, size: int, address: int) -> int:
    return _read(machine, to, size, address, "user")


@helper("copy_from_user_task")
def copy_from_user_task(machine: Host, to: int, size: int, address: int, task: int, flags: int) -> int:
    """Of the current task only: another's memory is not known."""
    if flags:
        return -22  # EINVAL
    if task != machine.world.task_address:
        machine.check(to, size & MASK32, write=True, what="destination")
        fill(to, size & MASK32)
        return -EFAULT
    return _read(machine, to, size, address, "user")


@helper("probe_write_user")
def probe_write_user(machine: Host, address: int, source: int, size: int) -> int:
    """Changes a snippet of user memory that is there."""
    data = machine.readable(source, size & MASK32, "source")
    return 0 if machine.world.user.write(address, data) else -EFAULT
