"""Is what the verifier says true? Accepted programs are run with random inputs, three ways::

    python -m tests.verifier.soundness START COUNT

1. under the interpreter, which checks every access: a fault is a finding;
2. beside it the verifier once more, without pruning, so that it passes every point of every path: at each instruction
   executed there must be a state whose scalars all hold the real registers' numbers;
3. as unchecked machine code, which trusts the verdict: the result must be the same. (It runs in this process, which a
   wrong verdict may end: whoever started it sees the signal.)

Prints a line of JSON: how many programs, how many accepted, how many runs and states compared, and the findings.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from typing import Any

from tests.verifier import runnable

from cygnet.errors import RuntimeFault
from cygnet.facts.progtypes import program_type
from cygnet.spec.objects import MapSpec, ObjectSpec
from cygnet.spec.objects import ProgramSpec as Blueprint
from cygnet.spec.relocs import MAP, Reloc
from cygnet.verifier import explore, verify, visited
from cygnet.verifier.bits import unsigned
from cygnet.verifier.env import Env
from cygnet.verifier.program import ProgramSpec
from cygnet.verifier.reg import SCALAR, RegState
from cygnet.verifier.state import Reject
from cygnet.verifier.target import Target
from cygnet.vm.coverage import Coverage
from cygnet.vm.interpreter import Execution
from cygnet.vm.machine import Machine

INPUTS = 4
FOLLOWED = 4000  # instructions of a verification without pruning
EDGES = (0, 1, 7, 8, 23, 24, 63, 64, 127, 128, 255, 256, 4095, 4096, 0x7FFF, 0x8000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
         1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, (1 << 64) - 8)  # fmt: skip
M64 = (1 << 64) - 1


class Points:
    """In place of a log: the registers at each instruction, as often as it was passed. (An Env's log may be any object.)"""

    def __init__(self) -> None:
        self.at: dict[int, list[list[RegState]]] = {}

    def insn(self, env: Env, before: int, at: int) -> None:
        self.at.setdefault(at, []).append(env.regs()[:10])

    def mark(self) -> int:
        return 0

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def points(spec: ProgramSpec) -> dict[int, list[list[RegState]]] | None:
    """Every state of every path; None when there are too many."""
    env = Env([])
    env.target = Target()
    env.budget = FOLLOWED
    env.log = found = Points()
    pruning, explore.visited.visited = visited.visited, lambda env, insn: False  # type: ignore[assignment]
    try:
        verify.prepare(env, spec)
        verify.follow(env)
    except Reject:
        return None
    finally:
        explore.visited.visited = pruning
    return found.at


def holds(reg: RegState, number: int) -> bool:
    """May the register be this unsigned 64-bit number, as far as the verifier knows?"""
    if reg.type != SCALAR:
        return True
    low = number & 0xFFFFFFFF
    signed, signed_low = number - (number >> 63 << 64), low - (low >> 31 << 32)
    return (
        number & ~unsigned(reg.mask) & M64 == unsigned(reg.value)
        and unsigned(reg.umin) <= number <= unsigned(reg.umax)
        and reg.smin <= signed <= reg.smax
        and reg.u32_min <= low <= reg.u32_max
        and reg.s32_min <= signed_low <= reg.s32_max
    )


class Watching(Coverage):
    """Compares while the interpreter runs: it counts an instruction just before it executes it."""

    def __init__(self, seen: dict[int, list[list[RegState]]]) -> None:
        super().__init__()
        self.seen, self.compared = seen, 0
        self.findings: list[str] = []

    def run(self, host: Any, program: Any, r1: int = 0, r2: int = 0) -> int:
        execution = Execution(host, program, r1, r2)
        before, host.context = host.context, execution.registers[1]
        try:
            while not execution.finished:
                self.look(execution.pc, execution.registers)
                execution.step()
        finally:
            host.context = before
        return int(execution.registers[0])

    def look(self, pc: int, registers: Any) -> None:
        states = self.seen.get(pc)
        self.compared += 1
        if states is None:
            self.findings.append(f"instruction {pc} is executed, and the verifier never came there")
        elif not any(all(map(holds, state, registers)) for state in states):
            numbers = " ".join(f"r{number}={registers[number]:#x}" for number in range(10))
            self.findings.append(f"at instruction {pc}: {numbers} is in none of {len(states)} states")


def blueprint(spec: ProgramSpec) -> ObjectSpec:
    """The program and its maps, by relocations, for a machine."""
    maps: dict[str, MapSpec] = {each.name: each for each in spec.maps.values()}
    relocs = tuple(Reloc(at, MAP, each.name, "imm64") for at, each in spec.maps.items() if isinstance(at, int))
    return ObjectSpec((Blueprint(spec.name, program_type(spec.type).id, spec.insns, relocs),), tuple(maps.values()))


def number(rng: random.Random) -> int:
    pick = rng.random()
    if pick < 0.5:
        return (rng.choice(EDGES) + rng.randrange(-2, 3)) & M64
    return rng.randrange(300) if pick < 0.75 else rng.getrandbits(64) >> rng.randrange(64)


def inputs(rng: random.Random, kind: str) -> bytes:
    """A packet, or a context of numbers."""
    if program_type(kind).context in ("xdp_md", "__sk_buff"):
        return rng.randbytes(rng.choice((14, 15, 20, 34, 60, 100, 300)))
    return b"".join(number(rng).to_bytes(8, "little") for _ in range(64))


def fill(machine: Machine, rng: random.Random) -> None:
    """Numbers in the maps' only values, the same for a seed."""
    for name in ("small", "array", "big"):
        if name in machine.maps:
            size = len(machine.map(name).lookup(bytes(4)) or b"")
            data = b"".join(number(rng).to_bytes(8, "little") for _ in range(size // 8))
            machine.map(name).update(bytes(4), data)


def run(machine: Machine, name: str, seed: int, data: bytes) -> int | str:
    machine.world.clock_ns = 1_000_000_007
    fill(machine, random.Random(seed))
    try:
        return machine.run(name, data)
    except RuntimeFault as fault:
        return str(fault)


def check(spec: ProgramSpec, seed: int, counts: dict[str, int]) -> Iterator[str]:
    """Findings about an accepted program."""
    verdict = verify.verify(spec)
    seen = points(spec)
    what = blueprint(spec)
    rng = random.Random(seed)
    data = [inputs(rng, str(spec.type)) for _ in range(INPUTS)]
    results = []
    with Machine(what, "interpreter", seed=seed) as machine:
        if seen is not None:
            machine.coverage = watching = Watching(seen)
        for at, each in enumerate(data):
            results.append(run(machine, spec.name, seed + at, each))
            counts["runs"] += 1
            if isinstance(results[-1], str):
                yield f"fault: {results[-1]}"
                return
        if seen is not None:
            counts["compared"] += watching.compared
            yield from watching.findings[:1]
    if verdict.self_contained:
        with Machine(what, "jit", seed=seed, verdicts={spec.name: verdict}) as free:
            assert free.program(spec.name).code.verdict is verdict
            counts["unchecked"] += 1
            again = [run(free, spec.name, seed + at, each) for at, each in enumerate(data)]
            if again != results and not tells_addresses(what, seed, data, results):
                yield f"unchecked machine code gives {again}, the interpreter {results}"


def tells_addresses(what: ObjectSpec, seed: int, data: list[bytes], results: list[int | str]) -> bool:
    """Does r0 depend on where memory lies? Then another machine, beside the one before, has another result."""
    with Machine(what, "interpreter", seed=seed) as machine:
        return [run(machine, what.programs[0].name, seed + at, each) for at, each in enumerate(data)] != results


def main(start: int, count: int) -> None:
    counts = dict.fromkeys(("programs", "accepted", "runs", "compared", "unchecked"), 0)
    findings = []
    for seed in range(start, start + count):
        spec = runnable.program(seed)
        counts["programs"] += 1
        if verify.verify(spec, budget=50_000).accepted:
            counts["accepted"] += 1
            findings += [(seed, text) for text in check(spec, seed, counts)]
    print(json.dumps({**counts, "findings": findings}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
