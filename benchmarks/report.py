"""Rows of figures, and how they are shown: a table with ratios, or JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """One thing measured on several sides; `samples` are in `unit`, smaller is better unless `more_is_better`.

    `wanted` gives, for a peer, the ratio (first side ÷ peer) to stay under (or over).
    """

    part: str
    name: str
    unit: str
    samples: Mapping[str, Sequence[float]]
    wanted: Mapping[str, float] = {}
    more_is_better: bool = False
    note: str = ""

    def medians(self) -> dict[str, float]:
        return {side: statistics.median(values) for side, values in self.samples.items() if values}


def median_of(row: Row, side: str) -> float | None:
    return row.medians().get(side)


def ours(medians: Mapping[str, float]) -> list[str]:
    return [side for side in medians if side.startswith("cygnet")]


def ratios(row: Row) -> dict[str, dict[str, float]]:
    """For each of our sides, its ratio to each peer."""
    medians = row.medians()
    mine = ours(medians)
    peers = [side for side in medians if side not in mine]
    return {side: {peer: medians[side] / medians[peer] for peer in peers if medians[peer] > 0} for side in mine}


def verdict(row: Row, peer: str, ratio: float) -> str:
    limit = row.wanted.get(peer)
    if limit is None:
        return ""
    met = ratio >= limit if row.more_is_better else ratio <= limit
    return f" (wanted {'≥' if row.more_is_better else '≤'} {limit:g}: {'yes' if met else 'NO'})"


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


def show(row: Row) -> str:
    """A line with the medians, and one for each ratio."""
    lines = [f"  {row.name}"]
    for side, values in row.samples.items():
        if not values:
            continue
        spread = f"  ({number(min(values))} … {number(max(values))}, n={len(values)})" if len(values) > 1 else ""
        lines.append(f"      {side:<14} {number(statistics.median(values)):>12} {row.unit}{spread}")
    for side, against in ratios(row).items():
        for peer, ratio in against.items():
            lines.append(f"        {side} ÷ {peer} = {ratio:.2f}{verdict(row, peer, ratio)}")
    if row.note:
        lines.append(f"      {row.note}")
    return "\n".join(lines)


def as_json(rows: Sequence[Row], machine: Mapping[str, str]) -> str:
    table = [row._asdict() | {"medians": row.medians(), "ratios": ratios(row)} for row in rows]
    return json.dumps({"machine": dict(machine), "rows": table}, indent=1, ensure_ascii=False)


def first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "not installed"
    return (done.stdout or done.stderr).strip().splitlines()[0] if done.returncode == 0 else "not installed"


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def describe_machine() -> dict[str, str]:
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return {
        "processor": f"{os.cpu_count()} × {processor()}",
        "kernel": platform.release(),
        "load before": load,
        "python": sys.version.split()[0],
        "bpftrace": first_line("bpftrace", "--version"),
        "clang": first_line("clang", "--version"),
    }
