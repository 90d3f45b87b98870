"""A ten-line program from text to instructions, in one process."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

from benchmarks.programs import TEN_LINES
from benchmarks.report import Row
from benchmarks.sides import Failed, Side

PART = "compiler"

# Run by the interpreter of the installed package: prints microseconds of processor time. The garbage
# collector rests, as it does in `cygnet trace`.
SCRIPT = """
import gc, sys, time
gc.disable()
text, rounds = sys.stdin.read(), int(sys.argv[1])

def timed(target):
    began = time.process_time()
    compile_program(Source("bench", text), target or LiveTarget())
    print(1e6 * (time.process_time() - began))

began = time.process_time()
from cygnet.kernel.target import LiveTarget
from cygnet.lang.trace.compile import compile_program
from cygnet.source import Source
target = LiveTarget()
compile_program(Source("bench", text), target)
print(1e6 * (time.process_time() - began))
for _ in range(rounds):
    timed(None)
for _ in range(rounds):
    timed(target)
"""


def once(side: Side, rounds: int) -> list[float]:
    """Milliseconds: the first of a process with its imports, `rounds` with a fresh target, `rounds` with the same."""
    python = side.python()
    command = [python, "-c", SCRIPT, str(rounds)]
    done = subprocess.run(command, env=side.environ(), input=TEN_LINES, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(done.stderr.strip().splitlines()[-1])
    return [float(word) / 1000 for word in done.stdout.split()]


def measure(sides: list[Side], rounds: int) -> Iterator[Row]:
    """The peer cannot be asked for this alone, so there is no ratio: the wish is under 15 ms."""
    first: dict[str, list[float]] = {}
    fresh: dict[str, list[float]] = {}
    same: dict[str, list[float]] = {}
    note = ""
    for side in sides:
        if side.name != "cygnet":
            continue
        try:
            runs = [once(side, rounds) for _ in range(3)]
        except Failed as error:
            note = f"{side.name} FAILED: {error}"
            continue
        first[side.name] = [times[0] for times in runs]
        fresh[side.name] = [time for times in runs for time in times[1 : rounds + 1]]
        same[side.name] = [time for times in runs for time in times[rounds + 1 :]]
    name = "ten lines, text to instructions"
    yield Row(PART, f"{name}: the first of a process, imports included", "ms", first, note=note)
    yield Row(PART, f"{name}: again, with nothing known about the system", "ms", fresh, note=note)
    yield Row(PART, f"{name}: again, types known (wanted under 15 ms)", "ms", same, note=note)
