"""Places in the stack frame: no two slots in use together share a byte, and long programs take no longer a slot."""

from __future__ import annotations

import random
import sys
from types import FrameType
from typing import Any

import pytest
from tests.ir.build_helpers import main

from cygnet.codegen.frame import _pack
from cygnet.ir.build import Builder
from cygnet.ir.core import Value


def slots(sizes: list[int]) -> list[Value]:
    made: list[Value] = []

    def body(b: Builder) -> None:
        made.extend([b.slot(size) for size in sizes])

    main(body)
    return made


@pytest.mark.parametrize("seed", range(20))
def test_slots_in_use_together_lie_apart_and_low(seed: int) -> None:
    choose = random.Random(seed)
    made = slots(sorted([choose.choice([1, 8, 12, 16, 64]) for _ in range(60)], reverse=True))
    uses = {slot: (first, first + choose.randrange(30)) for slot in made for first in [choose.randrange(200)]}
    places, top = _pack(made, uses)
    ends = {slot: place + (slot.imm[0] + 7) // 8 * 8 for slot, place in places.items()}
    assert top == max(ends.values())
    for at, slot in enumerate(made):
        together = [x for x in made[:at] if uses[x][0] <= uses[slot][1] and uses[slot][0] <= uses[x][1]]
        size = ends[slot] - places[slot]
        free = [
            place
            for place in range(0, top + 1, 8)
            if not any(places[other] < place + size and place < ends[other] for other in together)
        ]
        assert places[slot] == free[0]


def test_twice_the_slots_are_twice_the_work() -> None:
    def work(count: int) -> int:
        made = slots([8] * count)
        uses = {slot: (3 * at, 3 * at + 4) for at, slot in enumerate(made)}
        lines = 0

        def line(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal lines
            lines += event == "line"
            return line

        before = sys.gettrace()
        sys.settrace(line)
        try:
            _pack(made, uses)
        finally:
            sys.settrace(before)
        return lines

    assert work(400) < 2.5 * work(200)
