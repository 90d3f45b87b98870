"""From exec to attached, from exec to exit, and peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import programs
from benchmarks.report import Row
from benchmarks.sides import Side

PART = "start-up"


class Start(NamedTuple):
    attached_ms: float
    exit_ms: float
    peak_mib: float


def launch(launcher: Path, how: str, command: list[str], environment: dict[str, str]) -> Start:
    """One start, as `launch` saw it."""
    done = subprocess.run([launcher, how, *command], env=environment, capture_output=True, text=True, check=True)
    attached, end, kib, status = (int(word) for word in done.stdout.split())
    if how == "attach" and attached < 0:
        raise RuntimeError(f"{command[0]} ended with wait status {status} before its probes were attached")
    return Start(attached / 1e6, end / 1e6, kib / 1024)


def cold(side: Side) -> dict[str, str]:
    return side.environ(XDG_CACHE_HOME=tempfile.mkdtemp(prefix="cold-", dir=side.environment["XDG_CACHE_HOME"]))


def variants(sides: list[Side]) -> dict[str, tuple[Side, Callable[[], dict[str, str]]]]:
    """What to start, and with which environment: Cygnet twice, with an empty cache and with a filled one."""
    found: dict[str, tuple[Side, Callable[[], dict[str, str]]]] = {}
    for side in sides:
        if side.name == "cygnet":
            found["cygnet cold"] = (side, lambda side=side: cold(side))  # type: ignore[misc]
            found["cygnet warm"] = (side, side.environ)
        else:
            found[side.name] = (side, side.environ)
    return found


CASES = (
    ("hello", programs.HELLO, "attach", 1.5),
    ("opensnoop", programs.OPENSNOOP, "attach", 0.5),
    ("ten probes", programs.TEN_PROBES, "attach", 0.5),
    ("block latency", programs.BLOCK_LATENCY, "attach", None),
    ("hello, whole run", programs.HELLO, "run", 0.5),
)


def measure(launcher: Path, sides: list[Side], rounds: int) -> Iterator[Row]:
    """Rows of time and memory; sides take turns within a round, and the first round only warms up."""
    runs = variants(sides)
    for name, text, how, limit in CASES:
        program = programs.for_pid(text, os.getpid())
        seen: dict[str, list[Start]] = {variant: [] for variant in runs}
        for _ in range(rounds + 1):
            for variant, (side, environment) in runs.items():
                seen[variant].append(launch(launcher, how, side.ask(program), environment()))
        times = {v: [s.exit_ms if how == "run" else s.attached_ms for s in starts[1:]] for v, starts in seen.items()}
        peaks = {v: [s.peak_mib for s in starts[1:]] for v, starts in seen.items()}
        wanted = {"bpftrace": limit} if limit else {}
        yield Row(PART, f"{name}: exec to {'exit' if how == 'run' else 'attached'}", "ms", times, wanted)
        yield Row(PART, f"{name}: peak memory", "MiB", peaks, {"bpftrace": 0.5})
    yield bare_interpreter(launcher, rounds)


def bare_interpreter(launcher: Path, rounds: int) -> Row:
    """What Python itself costs: the floor of every start."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    starts = [launch(launcher, "run", [sys.executable, "-c", "pass"], environment) for _ in range(rounds + 1)]
    return Row(PART, "a bare Python, exec to exit (for comparison)", "ms", {"python": [s.exit_ms for s in starts[1:]]})
