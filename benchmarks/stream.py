"""Streaming printf: the highest rate without a lost event, and exact losses beyond it."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.programs import PRINT_TWO
from benchmarks.report import Row
from benchmarks.running import Tracer, produce
from benchmarks.sides import Failed, Side

PART = "streaming"
LOST = re.compile(r"^Lost (\d+) events", re.MULTILINE)
LINE = re.compile(r"^\d+ \d+$", re.MULTILINE)
FIRST_RATE = 25_000
LAST_RATE = 8_000_000
TRIES = 3
PRODUCER_CAN = 500_000  # what any machine reaches; below it, a slow trial was a busy machine
SMALL = {"BPFTRACE_PERF_RB_PAGES": "2"}  # a buffer that overflows
STEPS = 4  # halvings of the last interval: the result is within 1/16 of it


def printed(output: str) -> int:
    """Lines of two integers. Not by making a list: there may be millions."""
    return sum(1 for _ in LINE.finditer(output))


def lost(output: str) -> int:
    """Events that a tracer says it lost."""
    return sum(int(number) for number in LOST.findall(output))


class Trial(NamedTuple):
    """One second of events at one rate."""

    asked: float
    reached: float
    produced: int
    printed: int
    lost: int

    @property
    def in_time(self) -> bool:
        """Did the producer keep the pace?"""
        return self.reached > 0.9 * self.asked

    @property
    def losing(self) -> bool:
        return self.printed < self.produced

    @property
    def accounted(self) -> bool:
        return self.printed + self.lost == self.produced


def trial(
    side: Side, producer: Path, folder: Path, rate: float, seconds: float, settings: Mapping[str, str] = {}
) -> Trial:
    count = int((rate or PRODUCER_CAN) * seconds)
    out = Path(tempfile.mkstemp(prefix="stream-", dir=folder)[1])
    with Tracer(side.ask(PRINT_TWO), side.environ(**settings), out) as tracer:
        took = produce(producer, max(os.sched_getaffinity(0)), count, rate)
        tracer.wait_until_quiet()
        text = tracer.end()
    out.unlink()
    return Trial(rate, count / took * 1e9, count, printed(text), lost(text))


def highest(side: Side, producer: Path, folder: Path, seconds: float) -> tuple[float, list[Trial]]:
    """The highest rate reached without a loss: doubling until one loses, then halving the interval."""
    trials: list[Trial] = []

    def clean(rate: float) -> bool:
        """Was nothing lost? A trial that a busy machine slowed down is made again."""
        for _ in range(TRIES):
            trials.append(trial(side, producer, folder, rate, seconds))
            if trials[-1].losing or trials[-1].in_time:
                break
        return not trials[-1].losing

    low, high = 0.0, float(FIRST_RATE)
    while high <= LAST_RATE and clean(high):
        low = max(low, trials[-1].reached)
        if high > PRODUCER_CAN and not trials[-1].in_time:
            return low, trials
        high *= 2
    for _ in range(STEPS):
        middle = (low + high) / 2
        if clean(middle):
            low = max(low, trials[-1].reached)
        else:
            high = middle
    return low, trials


def account(side: str, trials: list[Trial]) -> str:
    """Were losses counted exactly in the trials that had some?"""
    losing = [t for t in trials if t.losing]
    wrong = [t for t in losing if not t.accounted]
    text = f"{side}: losses counted exactly in {len(losing) - len(wrong)} of {len(losing)} losing trials"
    return text + "".join(f" (at {t.asked:,.0f}/s {t.produced} ≠ {t.printed} + {t.lost} lost)" for t in wrong[:1])


def measure(sides: list[Side], producer: Path, folder: Path, seconds: float) -> Iterator[Row]:
    rates: dict[str, list[float]] = {}
    notes = []
    for side in sides:
        try:
            rate, trials = highest(side, producer, folder, seconds)
            if not any(t.losing for t in trials):
                fastest = max(t.reached for t in trials)
                notes.append(f"{side.name}: no loss up to what the producer reached, {fastest:,.0f}/s")
            small = [trial(side, producer, folder, 0, seconds, SMALL) for _ in range(2)]
        except Failed as error:
            notes.append(f"{side.name} FAILED: {error}")
            continue
        rates[side.name] = [rate]
        notes.append(account(side.name, [*trials, *small]))
    name = "printf of two integers, highest rate without a loss"
    yield Row(PART, name, "events/s", rates, {"bpftrace": 5.0}, True, "; ".join(notes))
