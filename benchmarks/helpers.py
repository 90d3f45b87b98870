"""What the kernel's helpers and kinds of places cost here: the tables of session/costs.py, measured again.

Run as root: ``python -m benchmarks.helpers``. A helper is called some dozens of times in a row by a raw tracepoint
program that only this process runs (BPF_PROG_TEST_RUN), and the kernel counts the time. A place is measured from
outside: the same system call or function, with an empty program on it and without.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.report import describe_machine
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.kernel.maps import KernelMap
from cygnet.kernel.progs import Program, RunStats, load
from cygnet.kernel.target import LiveTarget
from cygnet.lang.trace.compile import compile_program
from cygnet.loader.runtime import kernel_runtime
from cygnet.source import Source
from cygnet.spec.objects import MapSpec
from cygnet.uapi import bpf

CALLS = 48  # in a row in one program
RUNS = 400
ROUNDS = 7
CALL_ROUNDS, CALLS_EACH = 60, 2_000
ONE_INSN = 500  # moves in a row, of which one instruction's time is taken

# name → what comes before each call; r6 holds the current task, r7 an address of this process
HELPERS: dict[str, str] = {
    **dict.fromkeys(
        ("ktime_get_ns", "ktime_get_boot_ns", "ktime_get_tai_ns", "get_current_pid_tgid", "get_current_uid_gid",
         "get_smp_processor_id", "get_current_task", "get_current_cgroup_id", "get_prandom_u32", "get_numa_node_id"),
        "",
    ),
    "get_current_comm": "r1 = r10; r1 += -16; r2 = 16",
    "get_ns_current_pid_tgid": "r1 = {dev} ll; r2 = {ino} ll; r3 = r10; r3 += -8; r4 = 8",
    "probe_read_kernel": "r1 = r10; r1 += -8; r2 = 8; r3 = r6",
    "probe_read_user": "r1 = r10; r1 += -8; r2 = 8; r3 = r7",
    "probe_read_kernel_str": "r1 = r10; r1 += -64; r2 = 64; r3 = r6",
    "probe_read_user_str": "r1 = r10; r1 += -64; r2 = 64; r3 = r7",
    "map_lookup_elem": "r1 = map[fd:{hash}]; r2 = r10; r2 += -16",
    "map_update_elem": "r1 = map[fd:{hash}]; r2 = r10; r2 += -16; r3 = r10; r3 += -8; r4 = 0",
    "get_stackid": "r1 = r8; r2 = map[fd:{stacks}]; r3 = 0x200",
    "get_stack": "r1 = r8; r2 = r10; r2 += -256; r3 = 240; r4 = 0",
}  # fmt: skip


def _code(body: str) -> bytes:
    return encode(assemble(body, _helper_id))


def _helper_id(name: str) -> int | None:
    from cygnet.facts.helpers import helper_id

    return helper_id(name)


def _run_ns(code: bytes, runs: int = RUNS) -> float:
    """Nanoseconds of one run: the least of some rounds' means."""
    program = load(code, bpf.BPF_PROG_TYPE_RAW_TRACEPOINT, "GPL", "cost")
    try:
        return min(_round(program, runs) for _ in range(ROUNDS))
    finally:
        program.close()


def _round(program: Program, runs: int) -> float:
    before = program.info()
    for _ in range(runs):
        program.test_run()
    after = program.info()
    return (after.run_time_ns - before.run_time_ns) / (after.run_cnt - before.run_cnt)


def helper_costs() -> Iterator[tuple[str, float]]:
    """(helper, nanoseconds of a call)."""
    text = ctypes.create_string_buffer(b"/usr/lib/x86_64-linux-gnu/libc.so.6 abcd")
    namespace = os.stat("/proc/self/ns/pid")
    table = KernelMap.from_spec(MapSpec("cost_hash", bpf.BPF_MAP_TYPE_HASH, 16, 8, 4096))
    stacks = KernelMap.from_spec(MapSpec("cost_stacks", bpf.BPF_MAP_TYPE_STACK_TRACE, 4, 1016, 4096))
    table.update(bytes(16), bytes(8))
    values = {"dev": namespace.st_dev, "ino": namespace.st_ino, "hash": table.fd, "stacks": stacks.fd}
    head = f"r8 = r1; call get_current_task; r6 = r0; r7 = {ctypes.addressof(text)} ll; "
    head += "".join(f"*(u64 *)(r10 - {at}) = 0; " for at in range(8, 264, 8))
    with RunStats():
        empty = _run_ns(_code(_lines(head + "r0 = 0; exit")))
        moves = _run_ns(_code(_lines("r0 = 0; " + "r0 += 7; " * ONE_INSN + "r0 = 0; exit")))
        nothing = _run_ns(_code(_lines("r0 = 0; exit")))
        yield "(instruction)", (moves - nothing) / ONE_INSN
        yield "(program)", nothing
        for name, before in HELPERS.items():
            one = f"{before.format(**values)}; call {name}; " if before else f"call {name}; "
            yield name, (_run_ns(_code(_lines(head + one * CALLS + "r0 = 0; exit"))) - empty) / CALLS
        yield from _ring_costs(nothing)
    table.close()
    stacks.close()


def _ring_costs(nothing: float) -> Iterator[tuple[str, float]]:
    ring = KernelMap.from_spec(MapSpec("cost_ring", bpf.BPF_MAP_TYPE_RINGBUF, 0, 0, 1 << 24))
    one = f"r1 = map[fd:{ring.fd}]; r2 = 24; r3 = 0; call ringbuf_reserve; if r0 == 0 goto +4; "
    one += "*(u64 *)(r0 + 0) = 1; r1 = r0; r2 = 1; call ringbuf_submit; "
    runs = 10_000 // CALLS
    code = _code(_lines(one * CALLS + "r0 = 0; exit"))
    yield "ringbuf_reserve", (_run_ns(code, runs) - nothing) / CALLS
    ring.close()


def _lines(text: str) -> str:
    return "\n".join(part.strip() for part in text.split(";") if part.strip())


# ── places ──

PLACES = {
    "tracepoint": "tracepoint:syscalls:sys_enter_getppid {}",
    "raw_tracepoint": "rawtracepoint:sys_enter {}",
    "uprobe": "uprobe:{libc}:getppid {}",
    "uretprobe": "uretprobe:{libc}:getppid {}",
    "kprobe": "kprobe:__x64_sys_getppid {}",
    "kretprobe": "kretprobe:__x64_sys_getppid {}",
    "fentry": "fentry:__x64_sys_getppid {}",
    "fexit": "fexit:__x64_sys_getppid {}",
}


def _call_ns(call: Callable[[], int]) -> float:
    """Nanoseconds of a call, in the best of many short rounds: the machine may have other things to do."""
    times = []
    for _ in range(CALL_ROUNDS):
        begin = time.perf_counter_ns()
        for _ in range(CALLS_EACH):
            call()
        times.append((time.perf_counter_ns() - begin) / CALLS_EACH)
    return min(times)


def place_costs() -> Iterator[tuple[str, float | str]]:
    """(kind of place, nanoseconds that an event on it takes, an empty program's run included), or why not."""
    libc = ctypes.CDLL(None).getppid
    path = next(
        line.split()[-1]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if "libc" in line and "r-xp" in line
    )
    for kind, text in PLACES.items():
        try:
            spec = compile_program(Source("cost", text.replace("{libc}", path)), LiveTarget()).spec
            bare = _call_ns(libc)
            with kernel_runtime(spec, target=LiveTarget()) as runtime:
                runtime.attach_all()
                yield kind, _call_ns(libc) - bare
        except Exception as error:
            yield kind, f"not measured: {error}"


def main() -> None:
    print(describe_machine())
    for name, ns in helper_costs():
        print(f"{name:<26}{ns:8.1f} ns")
    for name, found in place_costs():
        print(f"{name:<26}{found:8.0f} ns" if isinstance(found, float) else f"{name:<26}{found}")


if __name__ == "__main__":
    main()
