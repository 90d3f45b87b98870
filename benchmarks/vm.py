"""The user-space machine: six programs against gcc and the kernel's JIT, and what calls and emission cost.

The same C source is compiled three times: by gcc to native code, by clang to bytecode for our engines, and
by clang once more in a form that the kernel's verifier can follow. Times are of one run, or of what the row says.
"""

from __future__ import annotations

import ctypes
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from benchmarks.report import Row
from benchmarks.sides import HERE, Unavailable, run
from cygnet.elf.reader import Elf
from cygnet.errors import CygnetError
from cygnet.isa.asm import assemble
from cygnet.isa.encode import decode, encode
from cygnet.isa.insn import Insn, ld_imm64
from cygnet.kernel import progs
from cygnet.kernel.maps import KernelMap
from cygnet.maps.making import create
from cygnet.uapi import bpf
from cygnet.vm.calls import prepared, run_batch
from cygnet.vm.engines import engine_of
from cygnet.vm.host import Host
from cygnet.vm.interpreter import Execution
from cygnet.vm.jit.compile import Compiler
from cygnet.vm.jit.engine import Jit
from cygnet.vm.program import Program

SOURCES = HERE / "c" / "vm"
NATIVE = ("gcc", "-O2", "-fno-tree-vectorize", "-fno-builtin", "-fPIC", "-shared")
BYTECODE = ("clang", "-O2", "-mcpu=v3", "-target", "bpf", "-c")
MARKER = 0x1122334455667788  # where map.c wants its map
MEMORY_BYTES = 4096
KEYS = 1000
KERNEL_ROUNDS = 10_000
MILLION = 1_000_000
FRAME = (
    bytes(12) + b"\x08\x00" + bytes([0x45, 0, 0, 60, 0, 0, 0, 0, 64, 6]) + bytes(10) + b"\x30\x39\x01\xbb" + bytes(24)
)


class Case(NamedTuple):
    """A program: how often a sample runs it, the size of its memory, and how many operations one run is."""

    name: str
    title: str
    repeat: int
    memory: bytes
    per_run: int = 1
    kernel_flags: tuple[str, ...] = ()
    kernel_per_run: int = 1


DATA = bytes(n * 7 & 0xFF for n in range(1496))
CASES = (
    Case("arith", "arithmetic loop, a round", 1, b"", 10_000_000, (f"-DROUNDS={KERNEL_ROUNDS}",), KERNEL_ROUNDS),
    Case("primes", "primes below 20,000, a run", 3, b""),
    Case("checksum", "copy and checksum 1,496 bytes, a run", 20_000, DATA),
    Case("jhash", "jhash of 1,200 bytes, a run", 10_000, DATA),
    Case("filter", "TCP port filter, a call", MILLION, FRAME),
    Case("map", "hash map look-up and increment, each", 1_000, b"", KEYS, (), KEYS),
)


class Built(NamedTuple):
    """One case, compiled: native code, bytecode, and bytecode for the kernel."""

    case: Case
    native: Callable[[int, int], int]
    address: int
    code: bytes
    kernel_code: bytes


def build(case: Case, folder: Path) -> Built:
    source = SOURCES / f"{case.name}.c"
    library = folder / f"vm_{case.name}.so"
    run(*NATIVE, source, "-o", library)
    codes = []
    for kind, flags in (("", ()), ("kernel", ("-DKERNEL", *case.kernel_flags))):
        target = folder / f"vm_{case.name}_{kind}.o"
        run(*BYTECODE, *flags, source, "-o", target)
        elf = Elf(target.read_bytes(), str(target))
        codes.append(bytes(elf.data(next(section for section in elf.sections if section.name == ".text"))))
    function = ctypes.CDLL(str(library)).run
    function.restype, function.argtypes = ctypes.c_uint64, [ctypes.c_uint64] * 2
    return Built(case, function, ctypes.cast(function, ctypes.c_void_p).value or 0, codes[0], codes[1])


def with_map(code: bytes, value: int, kind: int = 0) -> list[Insn]:
    """The program with a map's number where its source has the marker."""
    insns = decode(code)
    for at, (insn, second) in enumerate(pairwise(insns)):
        if insn.code == 0x18 and (insn.imm & 0xFFFFFFFF) | (second.imm & 0xFFFFFFFF) << 32 == MARKER:
            insns[at : at + 2] = ld_imm64(insn.dst, value, kind)
    return insns


def repeated(insns: Sequence[Insn], times: int) -> bytes:
    """A program that calls another `times` times with its own r1 and r2."""
    text = f"""
        r6 = {times}
        r7 = r1
        r8 = r2
again:  r1 = r7
        r2 = r8
        call end
        r6 += -1
        if r6 != 0 goto again
        exit
end:    exit"""
    return encode([*assemble(text)[:-1], *insns])


def nanoseconds(function: Callable[[], object]) -> float:
    """Of this thread's own time: what other processes take does not count."""
    start = time.thread_time_ns()
    function()
    return time.thread_time_ns() - start


# ── the six programs ─────────────────────────────────────────────────────────────────────────────────────────


class Ours:
    """A case in a machine of its own, checked or not."""

    def __init__(self, built: Built, unsafe: bool) -> None:
        self.host = Host()
        self.jit = Jit(self.host, unsafe)
        self.host.closing.append(self.jit.close)
        case = built.case
        memory = self.host.memory.block(MEMORY_BYTES, "memory")
        memory.view[: len(case.memory)] = case.memory
        handle = 0
        if case.name == "map":
            store = create(self.host.map_host, bpf.BPF_MAP_TYPE_HASH, 8, 8, KEYS, 0, "counts")
            for key in range(KEYS):
                store.update(struct.pack("=Q", key), bytes(8))
            handle = store.handle
        insns = with_map(built.code, handle)
        self.program = Program(repeated(insns, case.repeat))
        size = len(case.memory) if case.name == "filter" else MEMORY_BYTES
        self.arguments = (memory.address, size)
        self.result = self.jit.run(self.program, *self.arguments)

    def sample(self) -> float:
        return nanoseconds(lambda: self.jit.run(self.program, *self.arguments))

    def close(self) -> None:
        self.host.close()


class Native:
    def __init__(self, built: Built, folder: Path) -> None:
        library = folder / "vm_repeat.so"
        if not library.exists():
            run(*NATIVE, SOURCES / "repeat.c", "-o", library)
        self.repeat = ctypes.CDLL(str(library)).repeat
        self.repeat.restype, self.repeat.argtypes = ctypes.c_uint64, [ctypes.c_uint64] * 4
        self.memory = (ctypes.c_ubyte * MEMORY_BYTES)(*built.case.memory)
        size = len(built.case.memory) if built.case.name == "filter" else MEMORY_BYTES
        self.arguments = (built.address, ctypes.addressof(self.memory), size, built.case.repeat)
        self.result = built.native(self.arguments[1], size)

    def sample(self) -> float:
        return nanoseconds(lambda: self.repeat(*self.arguments))


class Kernel:
    """The same in the kernel: a socket filter that calls the program with a map's value as its memory."""

    def __init__(self, built: Built) -> None:
        case = built.case
        self.case = case
        self.cell = KernelMap.create(bpf.BPF_MAP_TYPE_ARRAY, 4, MEMORY_BYTES, 1, name="vm_bench")
        self.cell.update(bytes(4), case.memory.ljust(MEMORY_BYTES, b"\0"))
        self.counts = KernelMap.create(bpf.BPF_MAP_TYPE_HASH, 8, 8, KEYS, name="vm_counts")
        for key in range(KEYS):
            self.counts.update(struct.pack("=Q", key), bytes(8))
        size = len(case.memory) if case.name == "filter" else MEMORY_BYTES
        call = [*ld_imm64(1, self.cell.fd, 2), Insn(0xB7, 2, 0, 0, size), Insn(0x85, 0, 1, 0, 1), Insn(0x95)]
        insns = with_map(built.kernel_code, self.counts.fd, 1)
        self.program = progs.load(encode([*call, *insns]), bpf.BPF_PROG_TYPE_SOCKET_FILTER, name="vm_bench")
        self.result = self.program.test_run(bytes(64)).retval

    def sample(self) -> float:
        """Nanoseconds of as much work as one sample of ours."""
        repeat = max(self.case.repeat * self.case.per_run // self.case.kernel_per_run, 1)
        if self.case.per_run == self.case.kernel_per_run:
            repeat = self.case.repeat
        return self.program.test_run(bytes(64), repeat=repeat).duration_ns * repeat

    def close(self) -> None:
        self.program.close()
        self.cell.close()
        self.counts.close()


def programs(folder: Path, rounds: int) -> Iterator[Row]:
    for case in CASES:
        built = build(case, folder)
        checked, unchecked, native = Ours(built, False), Ours(built, True), Native(built, folder)
        note = "" if checked.result == unchecked.result == native.result else "FAILED: results differ"
        sides: dict[str, Callable[[], float]] = {
            "cygnet": unchecked.sample,
            "gcc": native.sample,
            "cygnet checked": checked.sample,
        }
        kernel = None
        try:
            kernel = Kernel(built)
            sides["kernel"] = kernel.sample
            if not case.kernel_flags and kernel.result != native.result & 0xFFFFFFFF:
                note = "FAILED: the kernel's result differs"
        except CygnetError as error:
            note = note or f"the kernel does not take it: {str(error)[:80]}"
        operations = case.repeat * case.per_run
        samples: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(rounds):
            for side, sample in sides.items():
                samples[side].append(sample() / operations)
        plain = {side: values for side, values in samples.items() if side != "cygnet checked"}
        yield Row("vm", case.title, "ns", plain, {"gcc": 1.5, "kernel": 1.0}, note=note)
        both = {"cygnet checked": samples["cygnet checked"], "unchecked": samples["cygnet"]}
        yield Row("vm", f"{case.title}, with checks", "ns", both, {"unchecked": 2.5})
        for used in (checked, unchecked, kernel):
            if used is not None:
                used.close()


# ── calls, emission, rates ───────────────────────────────────────────────────────────────────────────────────


def calls(folder: Path, rounds: int) -> Iterator[Row]:
    """A prepared call from Python, and the batch driver, with and without checks."""
    for name, unsafe in (("cygnet", True), ("cygnet checked", False)):
        with Host() as host:
            jit = Jit(host, unsafe)
            host.closing.append(jit.close)
            yield from _calls(jit, name, rounds)


def _calls(jit: Jit, name: str, rounds: int) -> Iterator[Row]:
    """Of a program that reads its context of 64 bytes."""
    program = Program(encode(assemble("r0 = *(u32 *)(r1 +0)\nexit")))
    call, context = prepared(jit, program), bytes(64)

    def many() -> None:
        for _ in range(10_000):
            call(context)

    values = [nanoseconds(many) / 10_000 for _ in range(rounds)]
    yield Row("vm", "prepared call from Python", "ns", {name: values}, note="wanted: under 1,000")
    contexts, large = bytes(64) * 4_000, FRAME * 100_000
    address = jit.host.memory.block(64, "context").address
    jit.batch(program, contexts, 64, address)
    values = [nanoseconds(lambda: jit.batch(program, contexts, 64, address)) / 4_000 for _ in range(20 * rounds)]
    yield Row("vm", "batch driver, a call", "ns", {name: values}, note="wanted: under 10")
    values = [nanoseconds(lambda: run_batch(jit, program, large, len(FRAME))) / 100_000 for _ in range(rounds)]
    yield Row("vm", "batch of 100,000 frames of 64 bytes, each", "ns", {name: values})


def emission(folder: Path, rounds: int) -> Iterator[Row]:
    """Machine code for one program made of many: each of the six as a function, many times."""
    parts = [with_map(build(case, folder).code, 0) for case in CASES]
    bodies = [part for _ in range(20) for part in parts]
    insns = [Insn(0x85, 0, 1, 0, 0)] * len(bodies) + [Insn(0x95)]
    for number, body in enumerate(bodies):
        insns[number] = Insn(0x85, 0, 1, 0, len(insns) - number - 1)
        insns += body
    with Host() as host:
        jit = Jit(host)
        host.closing.append(jit.close)
        program = Program(encode(insns))
        for name, checked in (("cygnet", False), ("cygnet checked", True)):

            def compile_it(checked: bool = checked) -> None:
                Compiler(program, checked, lambda pc: 0, 0, list(jit.wide_slots), jit.natives).compile()

            compile_it()
            values = [nanoseconds(compile_it) / len(program) for _ in range(3 * rounds)]
            yield Row("vm", "emission, an instruction", "ns", {name: values}, note="wanted: under 1,500")


def rates(folder: Path, rounds: int) -> Iterator[Row]:
    """Millions of instructions a second of the engines without machine code."""
    for case in CASES[1:4]:
        code = build(case, folder).code
        for name in ("python", "interpreter"):
            with Host(budget=1 << 30) as host:
                memory = host.memory.block(MEMORY_BYTES, "memory")
                memory.view[: len(case.memory)] = case.memory
                program = Program(code)
                execution = Execution(host, program, memory.address, MEMORY_BYTES)
                execution.run()
                engine = engine_of(name, host)
                engine.run(program, memory.address, MEMORY_BYTES)
                values = []
                for _ in range(rounds):
                    taken = nanoseconds(lambda: engine.run(program, memory.address, MEMORY_BYTES))  # noqa: B023
                    values.append(execution.spent / taken * 1_000)
                wanted = 10 if name == "python" else 2
                title = f"{name} on {case.name}"
                yield Row("vm", title, "M insns/s", {"cygnet": values}, more_is_better=True, note=f"wanted: {wanted}")


INCREMENTS = """
        r6 = r1
        r7 = 0
        r9 = r2
again:  r8 = r7
        r8 *= r9
        r8 %= r6
        *(u64 *)(r10 -8) = r8
        r1 = 0x1122334455667788 ll
        r2 = r10
        r2 += -8
        call 1
        if r0 == 0 goto none
        r1 = *(u64 *)(r0 +0)
        r1 += 1
        *(u64 *)(r0 +0) = r1
none:   r7 += 1
        if r7 < r6 goto again
        exit"""


# an increment of a key that is not there yet: looked up, then inserted with 1
INSERTS = (
    INCREMENTS.replace("goto none", "goto new")
    + """
new:    *(u64 *)(r10 -16) = 1
        r1 = 0x1122334455667788 ll
        r2 = r10
        r2 += -8
        r3 = r10
        r3 += -16
        r4 = 0
        call 2
        goto none"""
)


def distinct_keys(folder: Path, rounds: int) -> Iterator[Row]:
    """A million keys in a hash map: put in, and incremented one after the other and scattered, with checks."""
    samples = [_insert_a_million() for _ in range(rounds)]
    yield Row("vm", "a million new keys, with checks, each", "ns", {"cygnet": samples}, note="wanted: under 60")
    with Host() as host:
        jit = Jit(host)
        host.closing.append(jit.close)
        store = create(host.map_host, bpf.BPF_MAP_TYPE_HASH, 8, 8, MILLION, 0, "counts")
        for key in range(MILLION):
            store.update(key.to_bytes(8, "little"), bytes(8))
        program = Program(encode(with_map(encode(assemble(INCREMENTS)), store.handle)))
        for title, step, note in (("in order", 1, "wanted: under 60"), ("scattered", 0x1E3779B1, "")):
            samples = [nanoseconds(lambda: jit.run(program, MILLION, step)) / MILLION for _ in range(rounds)]  # noqa: B023
            yield Row("vm", f"increment, a million keys {title}, with checks", "ns", {"cygnet": samples}, note=note)


def _insert_a_million() -> float:
    """Nanoseconds for each key of a map that is new: its memory is touched for the first time."""
    with Host() as host:
        jit = Jit(host)
        host.closing.append(jit.close)
        store = create(host.map_host, bpf.BPF_MAP_TYPE_HASH, 8, 8, MILLION, 0, "counts")
        program = Program(encode(with_map(encode(assemble(INSERTS)), store.handle)))
        jit.unit(program)
        return nanoseconds(lambda: jit.run(program, MILLION, 1)) / MILLION


def measure(folder: Path, rounds: int) -> Iterator[Row]:
    """Every row. Unavailable where gcc or clang is missing."""
    for part in (programs, calls, emission, rates, distinct_keys):
        try:
            yield from part(folder, rounds)
        except Unavailable as error:
            yield Row("vm", part.__name__, "", {}, note=str(error))
