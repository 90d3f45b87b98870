"""Much of something: a thousand uprobes, all system calls, ten thousand user stacks, a binary of 500 MB."""

from __future__ import annotations

import os
import re
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import programs
from benchmarks.report import Row
from benchmarks.running import Tracer
from benchmarks.sides import Failed, Side, run
from benchmarks.startup import launch

PART = "many"
UPROBES = 1000
STACKS = 10_000
PATIENCE_S = 30
BIG_BYTES = 500 << 20
# both spellings: bpftrace 0.17 knows the second of each pair
LIMITS = {"BPFTRACE_MAX_PROBES": "2000", "BPFTRACE_MAX_MAP_KEYS": "20000", "BPFTRACE_MAP_KEYS_MAX": "20000"}
_SYMBOL = re.compile(r"^\s+(?:walk|left|right|main)\+\d+", re.M)


def measure(launcher: Path, sides: list[Side], folder: Path, rounds: int) -> Iterator[Row]:
    """Attaching and detaching hundreds of probes takes the kernel long, so there are few rounds."""
    binary = many_functions(folder)
    yield from attaching("uprobes", f"uprobe:{binary}:fn_* {{ @ = count(); }}", launcher, sides, rounds)
    yield from attaching("tracepoints", "tracepoint:syscalls:sys_* { @ = count(); }", launcher, sides, rounds)
    yield stacks(sides, folder, rounds)
    yield from big_binary(launcher, sides, big(binary, folder), rounds)


def many_functions(folder: Path) -> Path:
    """A program with `UPROBES` functions fn_0 …, each of which it calls once."""
    names = [f"fn_{number}" for number in range(UPROBES)]
    text = "".join(f"int __attribute__((noinline)) {name}(int a) {{ return a + {name[3:]}; }}\n" for name in names)
    calls = "".join(f"\ta += {name}(a);\n" for name in names)
    source, target = folder / "many.c", folder / "many"
    source.write_text(f"{text}int main(int a, char **v)\n{{\n\t(void)v;\n{calls}\treturn a == 77;\n}}\n")
    run("gcc", "-O1", "-fno-omit-frame-pointer", "-o", target, source)
    return target


def attaching(what: str, program: str, launcher: Path, sides: list[Side], rounds: int) -> Iterator[Row]:
    """Exec to attached, and on to the end: both sides are interrupted as soon as they are attached."""
    attached: dict[str, list[float]] = {side.name: [] for side in sides}
    ended: dict[str, list[float]] = {side.name: [] for side in sides}
    notes = []
    for _ in range(rounds):
        for side in sides:
            try:
                start = launch(launcher, "attach", side.ask(program), side.environ(**LIMITS))
            except Failed as error:
                notes.append(f"{side.name} FAILED: {error}")
                continue
            attached[side.name].append(start.attached_ms)
            ended[side.name].append(start.exit_ms - start.attached_ms)
    count = {"uprobes": UPROBES, "tracepoints": _syscall_tracepoints()}[what]
    note = "; ".join(dict.fromkeys(notes))
    yield Row(PART, f"{count:,} {what}: exec to attached", "ms", attached, {"bpftrace": 1.0}, note=note)
    yield Row(PART, f"{count:,} {what}: interrupt to exit", "ms", ended)


def _syscall_tracepoints() -> int:
    return sum(path.name.startswith("sys_") for path in Path("/sys/kernel/tracing/events/syscalls").iterdir())


# ── stacks ──


def stacks(sides: list[Side], folder: Path, rounds: int) -> Row:
    """From an interrupt to the end, with ten thousand user stacks to name and print."""
    binary = folder / "deep"
    run("gcc", "-O0", "-fno-omit-frame-pointer", "-o", binary, Path(__file__).parent / "c" / "deep.c")
    times: dict[str, list[float]] = {side.name: [] for side in sides}
    notes = []
    for _ in range(rounds):
        for side in sides:
            try:
                seconds, seen = _one_run(side, binary, folder)
            except Failed as error:
                notes.append(f"{side.name} {error}")
                continue
            times[side.name].append(seconds)
            notes.append(f"{side.name} printed {seen:,} stacks")
    note = "; ".join(dict.fromkeys(notes))
    return Row(PART, f"{STACKS:,} user stacks, 15 to 29 frames: named and printed", "s", times, note=note)


def _one_run(side: Side, binary: Path, folder: Path) -> tuple[float, int]:
    with subprocess.Popen([binary, str(STACKS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as work:
        assert work.stdin is not None and work.stdout is not None
        pid = int(work.stdout.readline())
        program = programs.for_pid(programs.ENTER + " /pid == PID/ { @[ustack] = count(); }", pid)
        with Tracer(side.ask(program), side.environ(**LIMITS), folder / "stacks.out") as tracer:
            work.stdin.write("go\n")
            work.stdin.flush()
            work.stdout.readline()
            begin = time.monotonic()
            tracer.process.send_signal(signal.SIGINT)  # once: a second one would cut the printing short
            ended = tracer.wait(PATIENCE_S)
            took = time.monotonic() - begin
            if not ended:
                tracer.process.kill()
            printed = tracer.end()
        work.stdin.write("end\n")
        work.stdin.flush()
    if not ended:
        raise Failed(f"had not ended {PATIENCE_S} s after the interrupt")
    if not _SYMBOL.search(printed):
        raise Failed("printed no stack with a name in it")
    return took, printed.count("@[\n")


# ── a large binary ──


def big(binary: Path, folder: Path) -> Path:
    """The same program, but its symbols lie behind 500 MB of nothing: a hole, so it takes no room on the disk."""
    data = bytearray(binary.read_bytes())
    (headers_at,) = struct.unpack_from("<Q", data, 40)
    size, count, _ = struct.unpack_from("<HHH", data, 58)
    table = bytearray(data[headers_at : headers_at + size * count])
    moved = bytearray()
    for at in range(0, len(table), size):
        kind, flags, _, offset, length = struct.unpack_from("<IQQQQ", table, at + 4)
        if kind in (2, 3) and not flags:  # SHT_SYMTAB, SHT_STRTAB, not loaded
            struct.pack_into("<Q", table, at + 24, BIG_BYTES + len(moved))
            moved += data[offset : offset + length] + bytes(-length % 8)
    struct.pack_into("<Q", data, 40, BIG_BYTES + len(moved))
    target = folder / "big"
    with target.open("wb") as file:
        file.write(data[:headers_at])
        file.seek(BIG_BYTES)
        file.write(moved + table)
    target.chmod(0o755)
    return target


def big_binary(launcher: Path, sides: list[Side], binary: Path, rounds: int) -> Iterator[Row]:
    """A uprobe by name in it, and a stack of it named."""
    program = f"uprobe:{binary}:fn_7 {{ @[ustack] = count(); }}"
    peaks: dict[str, list[float]] = {side.name: [] for side in sides}
    times: dict[str, list[float]] = {side.name: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            start = launch(launcher, "run", side.ask(program, "-c", str(binary)), side.environ())
            peaks[side.name].append(start.peak_mib)
            times[side.name].append(start.exit_ms)
    size = f"{os.stat(binary).st_size / 1e6:.0f} MB"
    yield Row(PART, f"symbols of a binary of {size}: peak memory", "MiB", peaks, {"bpftrace": 1.0})
    yield Row(PART, f"symbols of a binary of {size}: exec to exit", "ms", times)
