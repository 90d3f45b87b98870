"""What an event costs in the kernel, by the kernel's own count of program run time."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.programs import ENTER, ENTER_PATH, EXIT, PRINT_TWO
from benchmarks.report import Row
from benchmarks.running import Tracer, produce, run_times, statistics_on
from benchmarks.sides import NOTIFY, Failed, Side
from benchmarks.stream import lost, printed

PART = "event cost"
SHORT = "/nonexistent/" + "p" * 27  # 40 bytes
LONG = "/nonexistent/" + "p" * 137  # 150 bytes
PINNED = {"BPFTRACE_STRLEN": "64", "BPFTRACE_MAX_STRLEN": "64"}
# bpftrace 0.17 takes at most 200; later versions, and Cygnet, have 1,024 when nothing is said.
UNPINNED = {"BPFTRACE_STRLEN": "200"}


class Case(NamedTuple):
    name: str
    program: str
    in_c: str
    settings: Mapping[str, str] = {}
    path: str = ""
    rate: float = 0
    wanted: Mapping[str, float] = {}


BOTH = {"bpftrace": 1.0, "C": 1.3}
CASES = (
    Case("empty", ENTER + " { }", "empty"),
    Case("keyless count", ENTER + " { @ = count(); }", "count", wanted={"bpftrace": 1.0}),
    Case("count by comm", ENTER + " { @[comm] = count(); }", "by_comm", wanted=BOTH),
    Case("hist", ENTER + " { @ = hist(args->pid); }", "hist", wanted=BOTH),
    Case(
        "count by str(path), 40 of 64 bytes",
        ENTER_PATH + " { @[str(args->pathname)] = count(); }",
        "by_path",
        PINNED,
        SHORT,
        wanted=BOTH,
    ),
    Case(
        "count by str(path), 40 bytes, unpinned",
        ENTER_PATH + " { @[str(args->pathname)] = count(); }",
        "by_long_path",
        UNPINNED,
        SHORT,
    ),
    Case(
        "count by str(path), 150 bytes, unpinned",
        ENTER_PATH + " { @[str(args->pathname)] = count(); }",
        "by_long_path",
        UNPINNED,
        LONG,
    ),
    Case("count by kstack", ENTER + " { @[kstack] = count(); }", "kstack", wanted=BOTH),
    Case(
        "latency with a start map (two programs)",
        f"{ENTER} {{ @s[tid] = nsecs; }} {EXIT} /@s[tid]/ {{ @ = hist(nsecs - @s[tid]); delete(@s[tid]); }}",
        "latency",
        wanted=BOTH,
    ),
    Case("printf of two integers, 20,000/s", PRINT_TWO, "print", rate=20_000, wanted=BOTH),
)


class Bench(NamedTuple):
    """What every measurement here needs."""

    tools: Mapping[str, Path]
    objects: Mapping[str, Path]
    sides: list[Side]
    folder: Path
    rounds: int
    events: int


class Seen(NamedTuple):
    """Rounds of one side: nanoseconds and program runs an event, and what it printed at the end."""

    ns: list[float]
    runs: float
    produced: int
    output: str


def start(bench: Bench, case: Case, side: Side | None) -> Tracer:
    out = Path(tempfile.mkstemp(prefix="out-", dir=bench.folder)[1])
    if side:
        return Tracer(side.ask(case.program), side.environ(**case.settings), out)
    command = [str(bench.tools["run_bpf"]), str(bench.objects[case.in_c])]
    return Tracer(command, dict(os.environ) | {NOTIFY: "1"}, out)


def all_processors(bench: Bench, case: Case, count: int) -> int:
    """A producer on every processor at once; how many events that makes."""
    words = [str(count), str(case.rate), *([case.path] if case.path else [])]
    cpus = sorted(os.sched_getaffinity(0))
    procs = [subprocess.Popen([bench.tools["produce"], str(c), *words], stdout=subprocess.DEVNULL) for c in cpus]
    return sum(count for proc in procs if proc.wait() == 0)


def observe(bench: Bench, case: Case, side: Side | None) -> Seen:
    """Attach one side, and take `rounds` readings of its programs' run time."""
    events = min(bench.events, int(case.rate)) if case.rate else bench.events
    cpus = sorted(os.sched_getaffinity(0))
    per_event, runs = [], 0
    with start(bench, case, side) as tracer:
        ids = tracer.program_ids()
        produce(bench.tools["produce"], cpus[-1], min(events, 1000), case.rate, case.path)
        produced = min(events, 1000)
        for turn in range(bench.rounds):
            before = run_times(ids)
            produce(bench.tools["produce"], cpus[turn % len(cpus)], events, case.rate, case.path)
            after = run_times(ids)
            per_event.append((after[0] - before[0]) / events)
            runs += after[1] - before[1]
            produced += events
        produced += all_processors(bench, case, min(events, 20_000))
        output = tracer.end()
    return Seen(per_event, runs / (events * bench.rounds), produced, output)


# `@: 3`, `@[key]: 3`, and a stack's `]: 3` at the end of its lines; a histogram's `[4, 8)   3 |@@@|`.
VALUE = re.compile(r"^(?:@.*|\]): (\d+)$", re.MULTILINE)
BUCKET = re.compile(r"^[\[(].*\s(\d+) \|", re.MULTILINE)


def arrived(case: Case, output: str) -> int:
    """How many events the printed maps account for, or the lines and the reported losses."""
    if "printf" in case.program:
        return printed(output) + lost(output)
    pattern = BUCKET if "hist(" in case.program else VALUE
    return sum(int(number) for number in pattern.findall(output))


def account(case: Case, seen: Mapping[str, Seen]) -> str:
    """Whether every event was counted, on all processors, by the sides that print."""
    wrong = [
        f"{name} has {arrived(case, one.output)} of {one.produced}"
        for name, one in seen.items()
        if name != "C" and arrived(case, one.output) != one.produced
    ]
    return f"counted inexactly: {', '.join(wrong)}" if wrong else "counted exactly, on all processors"


def measure(bench: Bench) -> Iterator[Row]:
    with statistics_on():
        floor = statistics.median(observe(bench, CASES[0], None).ns)
        for case in CASES:
            seen, failures = {}, []
            for side in [*bench.sides, None]:
                name = side.name if side else "C"
                try:
                    seen[name] = observe(bench, case, side)
                except Failed as error:
                    failures.append(f"{name} FAILED: {error}")
            row = row_of(case, seen, floor)
            yield row._replace(note="; ".join([*failures, *([row.note] if row.note else [])]))


def row_of(case: Case, seen: Mapping[str, Seen], floor: float) -> Row:
    notes = []
    odd = [name for name, one in seen.items() if abs(one.runs - round(one.runs)) > 0.01]
    if odd:
        notes.append(f"others made this call too, or runs were missed: {', '.join(odd)}")
    if case.name == "empty":
        notes.append(f"the floor that is taken off below: {floor:.1f} ns a run")
        return Row(PART, case.name, "ns", {name: one.ns for name, one in seen.items()}, note="; ".join(notes))
    notes.append(account(case, seen))
    above = {name: [ns - floor * one.runs for ns in one.ns] for name, one in seen.items()}
    return Row(PART, case.name, "ns", above, case.wanted, note="; ".join(notes))
