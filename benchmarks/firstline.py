"""From an event to its printed line, on an idle tracer."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.programs import PRINT_ONE
from benchmarks.report import Row
from benchmarks.sides import Failed, Side

PART = "first line"
GAP_MS = 120


def lines(launcher: Path, side: Side, count: int) -> list[float]:
    """Milliseconds of each line; the first is the first event of all."""
    command = [str(launcher), "lines", str(count), str(GAP_MS), *side.ask(PRINT_ONE)]
    done = subprocess.run(command, env=side.environ(), capture_output=True, text=True, check=True)
    times = [int(word) / 1e6 for word in done.stdout.split()]
    if any(time < 0 for time in times):
        raise Failed(f"{side.name} did not print a line for an event")
    return times


def measure(launcher: Path, sides: list[Side], rounds: int) -> Iterator[Row]:
    firsts: dict[str, list[float]] = {side.name: [] for side in sides}
    others: dict[str, list[float]] = {side.name: [] for side in sides}
    note = ""
    for _ in range(rounds):
        for side in sides:
            try:
                times = lines(launcher, side, 6)
            except Failed as error:
                note = f"FAILED: {error}"
                continue
            firsts[side.name].append(times[0])
            others[side.name] += times[1:]
    yield Row(PART, "the first event, to its line (wanted under 20 ms)", "ms", firsts, note=note)
    yield Row(PART, f"an event after {GAP_MS} ms of rest, to its line", "ms", others)
