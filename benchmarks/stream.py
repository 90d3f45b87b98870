"""Streaming printf: the highest rate without a lost event, and exact losses beyond it."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.programs import PRINT_TWO
from benchmarks.report import Row
from benchmarks.running import Tracer, produce
from benchmarks.sides import Side

PART = "streaming"
LOST = re.compile(r"^Lost (\d+) events", re.MULTILINE)
LINE = re.compile(r"^\d+ \d+$", re.MULTILINE)
FIRST_RATE = 25_000
LAST_RATE = 8_000_000
STEPS = 4  # halvings of the last interval: the result is within 1/16 of it


class Trial(NamedTuple):
    """One second of events at one rate."""

    asked: float
    reached: float
    produced: int
    printed: int
    lost: int

    @property
    def accounted(self) -> bool:
        return self.printed + self.lost == self.produced


def trial(side: Side, producer: Path, folder: Path, rate: float, seconds: float) -> Trial:
    count = int(rate * seconds)
    out = Path(tempfile.mkstemp(prefix="stream-", dir=folder)[1])
    with Tracer(side.ask(PRINT_TWO), side.environ(), out) as tracer:
        took = produce(producer, max(os.sched_getaffinity(0)), count, rate)
        tracer.wait_until_quiet()
        text = tracer.end()
    out.unlink()
    return Trial(rate, count / took * 1e9, count, len(LINE.findall(text)), sum(map(int, LOST.findall(text))))


def highest(side: Side, producer: Path, folder: Path, seconds: float) -> tuple[float, list[Trial]]:
    """The highest rate reached without a loss: doubling until one loses, then halving the interval."""
    trials: list[Trial] = []

    def clean(rate: float) -> bool:
        trials.append(trial(side, producer, folder, rate, seconds))
        return trials[-1].printed == trials[-1].produced

    low, high = 0.0, float(FIRST_RATE)
    while high <= LAST_RATE and clean(high):
        low, high = trials[-1].reached, high * 2
        if trials[-1].reached < 0.9 * trials[-1].asked:  # the producer cannot go faster
            return low, trials
    for _ in range(STEPS):
        middle = (low + high) / 2
        if clean(middle):
            low = trials[-1].reached
        else:
            high = middle
    return low, trials


def measure(sides: list[Side], producer: Path, folder: Path, seconds: float) -> Iterator[Row]:
    rates: dict[str, list[float]] = {}
    notes = []
    for side in sides:
        rate, trials = highest(side, producer, folder, seconds)
        rates[side.name] = [rate]
        losing = [t for t in trials if t.printed < t.produced]
        if trials[-1].reached < 0.9 * trials[-1].asked and not losing:
            notes.append(f"{side.name}: the producer's own limit was reached without a loss")
        wrong = [t for t in losing if not t.accounted]
        notes += [f"{side.name}: {len(losing) - len(wrong)} of {len(losing)} losing trials accounted for exactly"]
        notes += [f"{side.name} at {t.asked:,.0f}/s: {t.produced} ≠ {t.printed} + {t.lost} lost" for t in wrong[:1]]
    yield Row(
        PART, "printf of two integers, highest rate without a loss", "events/s", rates, {"bpftrace": 5.0}, True,
        "; ".join(notes),
    )  # fmt: skip
