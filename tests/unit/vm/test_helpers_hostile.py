"""Arguments that no verifier would let through: a helper refuses them with a fault, or an error number; Python lives on."""

from __future__ import annotations

import random

import pytest

from cygnet.errors import RuntimeFault
from cygnet.spec.objects import MapSpec
from cygnet.testing import assemble_object
from cygnet.vm.helpers.registry import table
from cygnet.vm.machine import Machine

_VALUES = (0, 1, -1, 8, 64, 0x7FFFFFFF, 1 << 63, 0xFFFF888000000000, 0x400000000000, "fp", "ctx", "map")
_MAPS = (MapSpec("hash", 1, 4, 8, 4), MapSpec("ring", 27, 0, 0, 4096), MapSpec("queue", 22, 0, 8, 2))
_ROUNDS = 6
_LONG = ("loop",)  # a random count may be millions


def program(number: int, chance: random.Random) -> str:
    lines = ["r6 = r1"]
    for register in range(1, 6):
        value = chance.choice(_VALUES)
        if isinstance(value, int):
            lines.append(f"r{register} = {value & (1 << 64) - 1:#x} ll")
        elif value == "map":
            lines.append(f"r{register} = map[idx:{chance.randrange(len(_MAPS))}]")
        else:
            lines.append(f"r{register} = r6" if value == "ctx" else f"r{register} = r10\nr{register} += -64")
    return "\n".join([*lines, f"call {number}", "exit", ""])


@pytest.mark.parametrize("kind", ["raw_tracepoint", "sched_cls", "xdp"])
def test_no_argument_harms_python(kind: str) -> None:
    chance = random.Random(kind)
    for number, made in sorted(table().items()):
        if number > 211 or made.name.removeprefix("bpf_") in _LONG:
            continue
        for _ in range(_ROUNDS):
            with Machine(assemble_object(program(number, chance), kind, _MAPS), "interpreter") as machine:
                try:
                    machine.run("program", bytes(64))
                except RuntimeFault:
                    pass
