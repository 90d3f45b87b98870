"""Random IR programs: what the kernel computes is what the interpreter of the IR says."""

from __future__ import annotations

import random
import struct

import pytest
from tests.ir.interp import Interp, Maps
from tests.ir.kernelrun import run
from tests.ir.randomir import ARGS, CONSTANTS, OUT_BYTES, Shape, random_module

from cygnet.ir.check import check

SHAPES = {
    "straight": Shape(8, 0, 3, calls=False),
    "branches": Shape(10, 2, 4, calls=False),
    "calls": Shape(10, 2, 5),
    "pressure": Shape(14, 1, 14),
    "large": Shape(14, 2, 5, large=True),
}


def arguments(seed: int) -> list[int]:
    pick = random.Random(seed ^ 0x5EED)
    return [pick.choice(CONSTANTS) if pick.random() < 0.5 else pick.getrandbits(64) for _ in range(ARGS)]


def expected(seed: int, shape: Shape, args: list[int], entries: dict[int, tuple[int, int]]) -> tuple[int, bytes, dict]:
    context = struct.pack(f"<{ARGS}Q", *[arg & (1 << 64) - 1 for arg in args])
    table = {struct.pack("<Q", key): bytearray(struct.pack("<qq", *pair)) for key, pair in entries.items()}
    out = bytearray(OUT_BYTES)
    interp = Interp(random_module(seed, shape), context, Maps(out={bytes(4): out}, hash=table), {"hash": 8})
    retval = interp.run("main", None)
    return retval & 0xFFFFFFFF, bytes(out), {key: bytes(value) for key, value in table.items()}


def agree(seed: int, shape: Shape) -> None:
    args = arguments(seed)
    entries = {key: (key * 0x1111, -key) for key in range(0, 8, 2)}
    module = random_module(seed, shape)
    assert check(module.functions[0]) == []
    want = expected(seed, shape, args, entries)
    got = run(module, args, entries)
    assert check(module.functions[0], "core") == []
    assert (got.retval, got.out, got.entries) == want, f"seed {seed}"


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("start", range(0, 60, 20))
def test_random(name: str, start: int) -> None:
    for seed in range(start, start + 20):
        agree(seed, SHAPES[name])
