"""From exec to attached, from exec to exit, and peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks import programs
from benchmarks.report import Row
from benchmarks.sides import Failed, Side

PART = "start-up"


class Start(NamedTuple):
    attached_ms: float
    exit_ms: float
    processor_ms: float
    peak_mib: float


def launch(launcher: Path, how: str, command: list[str], environment: dict[str, str]) -> Start:
    """One start, as `launch` saw it."""
    done = subprocess.run([launcher, how, *command], env=environment, capture_output=True, text=True, check=True)
    attached, end, used_us, kib, status = (int(word) for word in done.stdout.split())
    if how == "attach" and attached < 0:
        raise Failed(f"ended with wait status {status} before its probes were attached")
    return Start(attached / 1e6, end / 1e6, used_us / 1e3, kib / 1024)


def cold(side: Side) -> dict[str, str]:
    return side.environ(XDG_CACHE_HOME=tempfile.mkdtemp(prefix="cold-", dir=side.environment["XDG_CACHE_HOME"]))


Variant = tuple[Side, Callable[[], dict[str, str]]]


def variants(sides: list[Side]) -> dict[str, Variant]:
    """What to start, and with which environment: Cygnet twice, with an empty cache and with a filled one."""
    found: dict[str, Variant] = {}
    for side in sides:
        if side.name == "cygnet":
            found["cygnet cold"] = (side, lambda side=side: cold(side))  # type: ignore[misc]
            found["cygnet warm"] = (side, side.environ)
        else:
            found[side.name] = (side, side.environ)
    return found


CASES = (
    ("hello", programs.HELLO, "attach", 1.5),
    ("opensnoop", programs.OPENSNOOP, "attach", 0.4),
    ("ten probes", programs.TEN_PROBES, "attach", 0.4),
    ("biolatency", programs.BLOCK_LATENCY, "attach", 0.4),
    ("runqlat", programs.RUNQLAT, "attach", 0.4),
    ("hello, whole run", programs.HELLO, "run", 0.5),
)


def starts_of(
    launcher: Path, how: str, program: str, runs: Mapping[str, Variant], rounds: int
) -> tuple[dict[str, list[Start]], str]:
    """Every variant's starts, in turns; a variant that fails drops out, and the note says why."""
    seen: dict[str, list[Start]] = {variant: [] for variant in runs}
    failures: dict[str, str] = {}
    for _ in range(rounds):
        for variant, (side, environment) in runs.items():
            if variant not in failures:
                try:
                    seen[variant].append(launch(launcher, how, side.ask(program), environment()))
                except Failed as error:
                    failures[variant] = str(error)
    return seen, "; ".join(f"{variant} FAILED: {why}" for variant, why in failures.items())


def measure(launcher: Path, sides: list[Side], rounds: int) -> Iterator[Row]:
    """Rows of time and memory; sides take turns within a round, and the first round only warms up."""
    runs = variants(sides)
    for name, text, how, limit in CASES:
        program = programs.for_pid(text, os.getpid())
        seen, note = starts_of(launcher, how, program, runs, rounds + 1)
        times = {v: [s.exit_ms if how == "run" else s.attached_ms for s in starts[1:]] for v, starts in seen.items()}
        used = {v: [s.processor_ms for s in starts[1:]] for v, starts in seen.items()}
        peaks = {v: [s.peak_mib for s in starts[1:]] for v, starts in seen.items()}
        wanted = {"bpftrace": limit} if limit else {}
        yield Row(PART, f"{name}: exec to {'exit' if how == 'run' else 'attached'}", "ms", times, wanted, note=note)
        yield Row(PART, f"{name}: processor time, exec to exit", "ms", used)
        yield Row(PART, f"{name}: peak memory", "MiB", peaks, {"bpftrace": 0.4})
    yield bare_interpreter(launcher, rounds)


def bare_interpreter(launcher: Path, rounds: int) -> Row:
    """What Python itself costs: the floor of every start."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    starts = [launch(launcher, "run", [sys.executable, "-c", "pass"], environment) for _ in range(rounds + 1)]
    return Row(PART, "a bare Python, exec to exit (for comparison)", "ms", {"python": [s.exit_ms for s in starts[1:]]})
