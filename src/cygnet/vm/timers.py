"""Timers on the world's clock: they fire when `Machine.advance` moves it past them."""

from __future__ import annotations

from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.maps.memory import read, store64, write
from cygnet.vm.program import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.vm.host import Host
    from cygnet.vm.machine import Machine
    from cygnet.vm.world import Timer

# Enters a function of the program behind it with three arguments that r1 points to.
_ENTRY = "r3 = *(u64 *)(r1 +16)\nr2 = *(u64 *)(r1 +8)\nr1 = *(u64 *)(r1 +0)\ncall pc{slot:+d}\nexit\n"
_ENTRY_SLOTS = 5


def entry_program(host: Host, function: int, made: dict[tuple[int, int], Program]) -> Program:
    """A program that calls a function, given by its address, of a program of this host."""
    number, slot = function >> 32 & 0xFFFFFF, function & 0xFFFFFFFF
    program = host.programs[number]
    for (base, _), known in made.items():
        if known is program:  # a callback that names itself again
            program, slot = host.programs[base], slot - _ENTRY_SLOTS
            break
    key = program.number, slot
    if key not in made:
        made[key] = _shifted(program, slot)
    return made[key]


def _shifted(program: Program, slot: int) -> Program:
    head = encode(assemble(_ENTRY.format(slot=slot + 1)))
    shift = _ENTRY_SLOTS
    return Program(
        head + program.code,
        name=f"{program.name} timer",
        type=program.type,
        lines=[line._replace(insn=line.insn + shift) for line in program.lines],
        functions=[info._replace(insn=info.insn + shift) for info in program.function_infos],
        constants={at + shift: value for at, value in program.constants.items()},
        verdict=program.verdict,
    )


def key_of(timer: Timer, address: int) -> bytes | None:
    """The key of the element that a timer lies in; None when the element is gone."""
    of: Any = timer.map
    value = address - (of.field_at("timer") or 0)
    for key, at in of.each_ptr(0):
        if at == value:
            return read(key, of.key_size)
    return None


def advance(machine: Machine, nanoseconds: int) -> int:
    """Fire what becomes due, in order; a timer that is started again meanwhile fires again."""
    world = machine.world
    until = world.now_ns() + nanoseconds
    fired = 0
    while due := world.due(until):
        timer = world.timers[due[0]]
        world.clock_ns = max(world.now_ns(), timer.due or 0) if world.clock_ns is not None else timer.due
        timer.due = None
        fired += _fire(machine, timer, due[0])
    world.clock_ns = until
    return fired


def _fire(machine: Machine, timer: Timer, address: int) -> int:
    world, host = machine.world, machine.host
    key = key_of(timer, address)
    if key is None:
        del world.timers[address]
        return 0
    block = host.memory.block(24 + len(key), "arguments of a timer's callback")
    value = address - (timer.map.field_at("timer") or 0)
    for index, word in enumerate((timer.map.handle, block.address + 24, value)):
        store64(block.address + 8 * index, word)
    write(block.address + 24, key)
    world.firing = address
    try:
        machine.engine.run(entry_program(host, timer.callback, world.entries), block.address, 0)
    finally:
        world.firing = 0
        host.memory.free(block)
    return 1
