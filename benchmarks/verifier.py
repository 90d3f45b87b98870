"""The verifier: explored instructions a second as plain Python, compiled, and in the kernel; a whole process; memory.

Both builds are of this tree: `scripts/compile_verifier.py` compiles one, the other is the same without native modules.
The kernel's time is that of BPF_PROG_LOAD without a log, less that of an empty program; it counts alike
(bpf_prog_info.verified_insns), and its figure contains what it does besides: rewriting and its JIT.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report import Row
from benchmarks.sides import Failed, Unavailable
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.kernel.objects import prog_info
from cygnet.kernel.progs import load

PART = "verifier"
ROOT = Path(__file__).resolve().parents[1]
SOCKET_FILTER = 1
FASTER = 10.0  # what compiling must bring

# Arithmetic and branches on a number that nobody knows, counted out: 22 to 23 instructions are explored for a round.
LOOP = """
call 7
r2 = r0
r4 = 0
r1 = 0
again:
r3 = r2
r3 &= 255
r4 += r3
r4 <<= 3
r4 >>= 7
if r3 > 100 goto over
r4 += 5
over:
r4 ^= 85
r1 += 1
if r1 < {rounds} goto again
r0 = 0
exit
"""

# Every round is explored, until the limit: nothing may be forgotten of a counter that decides.
COUNT = """
call 7
r2 = r0
r1 = 0
again:
r3 = r2
r3 &= 255
*(u64 *)(r10 - 8) = r3
r1 += 1
if r1 < 1000000 goto again
r0 = 0
exit
"""

EMPTY = "r0 = 0\nexit\n"

# Headers, a key, a count: about 35 instructions, as often as asked for.
PARSE_HEAD = """
# type: xdp
# map: counts hash 8 16 1024
r6 = r1
r7 = *(u32 *)(r1 + 0)
r8 = *(u32 *)(r1 + 4)
"""
PARSE = """
r2 = r7
r2 += {reach}
if r2 > r8 goto out
r3 = *(u16 *)(r7 + 12)
if r3 != 8 goto next{n}
r4 = *(u8 *)(r7 + 14)
r4 &= 15
r4 <<= 2
if r4 < 20 goto next{n}
r5 = *(u8 *)(r7 + 23)
if r5 == 6 goto known{n}
if r5 != 17 goto next{n}
known{n}:
r9 = *(u32 *)(r7 + 26)
*(u64 *)(r10 - 8) = r9
r2 = r10
r2 += -8
r1 = map[fd:0]
call 1
if r0 != 0 goto found{n}
*(u64 *)(r10 - 24) = 1
*(u64 *)(r10 - 16) = {n}
r2 = r10
r2 += -8
r3 = r10
r3 += -24
r4 = 0
r1 = map[fd:0]
call 2
goto next{n}
found{n}:
r1 = 1
lock *(u64 *)(r0 + 0) += r1
r1 = *(u64 *)(r0 + 8)
r1 += {n}
*(u64 *)(r0 + 8) = r1
next{n}:
"""
PARSE_END = "out:\nr0 = 2\nexit\n"

CHILD = """
import resource, sys, time
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.verifier import explore
from cygnet.verifier.program import ProgramSpec
from cygnet.verifier.verify import verify
spec = ProgramSpec("socket_filter", encode(assemble(sys.stdin.read())))
for _ in range(int(sys.argv[1])):
    began = time.process_time()
    verdict = verify(spec)
    print(verdict.insns_processed, time.process_time() - began)
print(explore.__file__, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def typical(blocks: int = 6) -> str:
    """A program of some 200 instructions, for `cygnet verify`."""
    body = "".join(PARSE.format(n=n, reach=34 + n) for n in range(blocks))
    return PARSE_HEAD + body + PARSE_END


def builds(folder: Path) -> dict[str, Path]:
    """Folders for PYTHONPATH, by side. Raises Unavailable where nothing can be compiled."""
    native = ROOT / "build" / "verifier-bench"
    done = subprocess.run([sys.executable, str(ROOT / "scripts/compile_verifier.py"), str(native)], capture_output=True)
    if done.returncode == 3:
        raise Unavailable(done.stderr.decode().strip())
    if done.returncode:
        raise Failed(done.stderr.decode().strip())
    plain = folder / "plain" / "cygnet"
    (plain / "verifier").mkdir(parents=True)
    for path in (native / "cygnet").iterdir():
        if path.name != "verifier":
            (plain / path.name).symlink_to(path.resolve())
    for path in (native / "cygnet" / "verifier").iterdir():
        if path.suffix != ".so":
            (plain / "verifier" / path.name).symlink_to(path)
    return {"cygnet plain": plain.parent, "cygnet compiled": native}


def explored(path: Path, text: str, rounds: int) -> tuple[list[tuple[int, float]], int]:
    """(instructions, seconds of processor time) of each round, and the process's peak memory in KiB."""
    command = [sys.executable, "-c", CHILD, str(rounds)]
    done = subprocess.run(command, env={"PYTHONPATH": str(path)}, input=text, capture_output=True, text=True)
    if done.returncode:
        raise Failed(done.stderr.strip().splitlines()[-1])
    *lines, last = done.stdout.splitlines()
    return [(int(line.split()[0]), float(line.split()[1])) for line in lines], int(last.split()[1])


def kernel_once(text: str) -> tuple[int, float]:
    """(verified_insns, seconds of processor time of the system call)."""
    insns = encode(assemble(text))
    began = time.process_time()
    with load(insns, SOCKET_FILTER) as program:
        took = time.process_time() - began
        return prog_info(program.fd).verified_insns, took


def kernel_rates(text: str, rounds: int) -> tuple[int, list[float]]:
    empty = statistics.median(kernel_once(EMPTY)[1] for _ in range(rounds))
    runs = [kernel_once(text) for _ in range(rounds)]
    return runs[0][0], [count / max(seconds - empty, 1e-9) / 1000 for count, seconds in runs]


def speed(paths: dict[str, Path], rounds: int) -> Row:
    text = LOOP.format(rounds=4400)
    count, samples = 0, {}
    for side, path in paths.items():
        runs, _ = explored(path, text, rounds)
        count = runs[0][0]
        samples[side] = [insns / seconds / 1000 for insns, seconds in runs]
    counted, samples["kernel"] = kernel_rates(text, rounds)
    gain = statistics.median(samples["cygnet compiled"]) / statistics.median(samples["cygnet plain"])
    met = "yes" if gain >= FASTER else "NO"
    note = f"compiled ÷ plain = {gain:.1f} (wanted ≥ {FASTER:.0f}: {met}); {count:,} explored, the kernel's count is {counted:,}"
    return Row(PART, "ALU and branches", "thousand/s", samples, more_is_better=True, note=note)


def million(paths: dict[str, Path]) -> Iterator[Row]:
    """To the limit of a million: the program is refused there, as the kernel does."""
    memory, seconds = {}, {}
    for side, path in paths.items():
        runs, kib = explored(path, COUNT, 1)
        if runs[0][0] <= 1_000_000:
            raise Failed(f"{runs[0][0]:,} instructions were explored, not a million")
        memory[side], seconds[side] = [kib / 1024], [runs[0][1]]
    yield Row(PART, "a million explored, then refused: time", "s", seconds)
    yield Row(PART, "a million explored, then refused: peak memory", "MiB", memory)


def children() -> float:
    """Seconds of processor time of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def whole(paths: dict[str, Path], folder: Path, rounds: int) -> Iterator[Row]:
    """From exec to exit of `cygnet verify` on a typical program."""
    file = folder / "typical.s"
    file.write_text(typical())
    samples: dict[str, list[float]] = {side: [] for side in paths}
    busy: dict[str, list[float]] = {side: [] for side in paths}
    command = [sys.executable, str(ROOT / "scripts/bin/cygnet"), "verify", str(file)]
    for _ in range(rounds + 1):  # the first fills the caches
        for side, path in paths.items():
            began, before = time.perf_counter(), children()
            done = subprocess.run(command, env={"PYTHONPATH": str(path)}, capture_output=True, text=True)
            samples[side].append(1000 * (time.perf_counter() - began))
            busy[side].append(1000 * (children() - before))
            if done.returncode:
                raise Failed(done.stdout + done.stderr)
    count = len(assemble(typical()))
    note = f"{count} instructions; wanted: under 300 ms"
    for name, times in (("exec to exit", samples), ("processor time", busy)):
        yield Row(PART, f"cygnet verify: {name}", "ms", {side: each[1:] for side, each in times.items()}, note=note)


def measure(folder: Path, rounds: int) -> Iterator[Row]:
    """Every row; folder is for what is built."""
    paths = builds(folder)
    yield speed(paths, rounds)
    yield from whole(paths, folder, 3 * rounds)
    yield from million(paths)
