"""Measure Cygnet against bpftrace and C, as root: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import compiler, cost, firstline, many, sides, startup, stream, verifier, vm
from benchmarks.report import Row, as_json, describe_machine, show

PARTS = ("startup", "cost", "stream", "firstline", "compiler", "many", "vm", "verifier")


class Setup(NamedTuple):
    """What was built for this run, and how much of everything to do."""

    folder: Path
    tools: dict[str, Path]
    tracers: list[sides.Side]
    quick: bool


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=(__doc__ or "").split(":")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=f"any of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and events: a look, not a record")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too (- for standard output, alone)")
    parser.add_argument("--without", action="append", default=[], metavar="SIDE", help="leave out cygnet or bpftrace")
    parser.add_argument("--cygnet", metavar="COMMAND", help="measure this command, instead of a wheel of this tree")
    return parser.parse_args(words)


def tracers(options: argparse.Namespace, folder: Path) -> list[sides.Side]:
    found = []
    if "cygnet" not in options.without:
        command = options.cygnet or str(sides.install_cygnet(folder))
        cache = folder / "cache"
        cache.mkdir()
        found.append(sides.cygnet(command, cache))
    if "bpftrace" not in options.without:
        found.append(sides.bpftrace())
    return found


def run_cost(setup: Setup) -> Iterator[Row]:
    objects = sides.build_bpf(setup.folder)
    rounds, events = (3, 30_000) if setup.quick else (7, 100_000)
    yield from cost.measure(cost.Bench(setup.tools, objects, setup.tracers, setup.folder, rounds, events))


MEASURES: dict[str, Callable[[Setup], Iterator[Row]]] = {
    "startup": lambda s: startup.measure(s.tools["launch"], s.tracers, 3 if s.quick else 9),
    "cost": run_cost,
    "stream": lambda s: stream.measure(s.tracers, s.tools["produce"], s.folder, 0.5 if s.quick else 1.0),
    "firstline": lambda s: firstline.measure(s.tools["launch"], s.tracers, 2 if s.quick else 5),
    "compiler": lambda s: compiler.measure(s.tracers, 10 if s.quick else 40),
    "many": lambda s: many.measure(s.tools["launch"], s.tracers, s.folder, 1 if s.quick else 3),
    "vm": lambda s: vm.measure(s.folder, 3 if s.quick else 9),
    "verifier": lambda s: verifier.measure(s.folder, 2 if s.quick else 5),
}


def measure(setup: Setup, parts: Sequence[str], quiet: bool) -> list[Row]:
    """Every row of these parts, shown as soon as it is there."""
    rows: list[Row] = []
    for part in parts:
        if not quiet:
            print(f"\n{part}", flush=True)
        for row in MEASURES[part](setup):
            rows.append(row)
            if not quiet:
                print(show(row), flush=True)
    return rows


def main(words: Sequence[str] | None = None) -> int:
    options = parse(words)
    if os.geteuid() != 0:
        print("benchmarks: the kernel lets root measure: try `sudo make bench`", file=sys.stderr)
        return 1
    quiet = options.json == "-"
    machine = describe_machine()
    if not quiet:
        print("\n".join(f"{name:<12} {value}" for name, value in machine.items()))
    try:
        with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
            folder = Path(name)
            setup = Setup(folder, sides.build_tools(folder), tracers(options, folder), options.quick)
            rows = measure(setup, options.parts or PARTS, quiet)
    except sides.Unavailable as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    if options.json:
        text = as_json(rows, machine)
        print(text) if quiet else Path(options.json).write_text(text + "\n")
    return int(any("FAILED" in row.note for row in rows))


if __name__ == "__main__":
    sys.exit(main())
