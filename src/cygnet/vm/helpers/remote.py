"""Infrared receivers (lirc_mode2): what was decoded is recorded in `world.did`."""

from __future__ import annotations

from cygnet.vm.helpers.common import MASK32, s32
from cygnet.vm.helpers.registry import helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host


@helper("rc_repeat")
def rc_repeat(machine: Host, context: int) -> int:
    machine.world.did.append(("rc_repeat", ()))
    return 0


@helper("rc_keydown")
def rc_keydown(machine: Host, context: int, protocol: int, code: int, toggle: int) -> int:
    machine.world.did.append(("rc_keydown", (protocol & MASK32, code, toggle & MASK32)))
    return 0


@helper("rc_pointer_rel")
def rc_pointer_rel(machine: Host, context: int, x: int, y: int) -> int:
    machine.world.did.append(("rc_pointer_rel", (s32(x), s32(y))))
    return 0
