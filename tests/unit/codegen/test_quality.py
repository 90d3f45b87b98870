"""The code is about as short as what clang -O2 makes of the same program in C (it is the witness, not the rule)."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.ir.build_helpers import counted, main, when

from cygnet.codegen.pipeline import compile_module
from cygnet.errors import NotSupported
from cygnet.ir.build import Builder
from cygnet.ir.core import Module, Value

SOURCE = """
typedef unsigned long u64; typedef unsigned int u32;
#define SEC(n) __attribute__((section(n), used))
struct { int (*type)[1]; } m SEC(".maps");
static void *(*lookup)(void *, const void *) = (void *)1;
static long (*update)(void *, const void *, const void *, u64) = (void *)2;
static long (*comm)(void *, u32) = (void *)16;
static u64 (*pidtgid)(void) = (void *)14;

SEC("p") int by_comm(void *ctx) {
    char key[16] = {};
    comm(key, 16);
    u64 *value = lookup(&m, key), one = 1;
    if (value) *value += 1; else update(&m, key, &one, 1);
    return 0;
}
SEC("p") int hist(u64 *ctx) {
    u64 v = ctx[2], more, bucket = 0;
    if ((long)v < 0) return 0;
    more = v > 0xFFFFFFFFul; bucket = more << 5; v >>= more << 5;
    more = v > 0xFFFF; bucket |= more << 4; v >>= more << 4;
    more = v > 0xFF; bucket |= more << 3; v >>= more << 3;
    more = v > 0xF; bucket |= more << 2; v >>= more << 2;
    more = v > 3; bucket |= more << 1; v >>= more << 1;
    bucket |= v >> 1;
    u32 zero = 0;
    char *place = lookup(&m, &zero);
    if (place && bucket < 64) ((u64 *)place)[bucket] += 1;
    return 0;
}
SEC("p") int filter(u64 *ctx) {
    if ((pidtgid() >> 32) != 1234) return 0;
    u64 key = ctx[1], more = ctx[2];
    u64 *value = lookup(&m, &key);
    if (value) __sync_fetch_and_add(value, more); else update(&m, &key, &more, 1);
    return 0;
}
SEC("p") int loop(u64 *ctx) {
    u64 a = ctx[0], b = ctx[1], n = ctx[3] & 15;
    for (u64 i = 0; i < n; i++) { a = a * b + i; b ^= a >> 3; }
    return a + b;
}
"""


def by_comm(b: Builder) -> None:
    key = b.slot(16)
    b.memzero(key, 16)
    b.call("get_current_comm", key, b.const(16))
    count(b, key, b.const(1), atomic=False)


def count(b: Builder, key: Value, more: Value, atomic: bool) -> None:
    value = b.call("map_lookup_elem", b.map("m"), key)
    there, missing, after = b.new_block(), b.new_block(), b.new_block()
    b.br("ne", value, b.const(0), there, missing)
    b.open(there)
    if atomic:
        b.atomic("add", value, more)
    else:
        b.store(value, b.add(b.load(value, 8), more), 8)
    b.jump(after)
    b.open(missing)
    first = b.slot(8)
    b.store(first, more, 8)
    b.call("map_update_elem", b.map("m"), key, first, b.const(1))
    b.jump(after)
    b.open(after)


def hist(b: Builder) -> None:
    v = b.load(b.ctx(), 8, 16)

    def rest() -> None:
        x, bucket = v, b.const(0)
        for bits in (32, 16, 8, 4, 2):
            step = b.binary("shl", b.cmp("uge", x, b.const(1 << bits)), b.const(bits.bit_length() - 1))
            bucket = b.binary("or", bucket, step)
            x = b.binary("shr", x, step)
        bucket = b.binary("or", bucket, b.binary("shr", x, b.const(1)))
        zero = b.slot(4)
        b.store(zero, b.const(0), 4)
        place = b.call("map_lookup_elem", b.map("m"), zero)
        when(b, "ne", place, b.const(0), lambda: when(b, "ult", bucket, b.const(64), lambda: bump(place, bucket)))

    def bump(place: Value, bucket: Value) -> None:
        at = b.add(place, b.binary("shl", bucket, b.const(3)))
        b.store(at, b.add(b.load(at, 8), b.const(1)), 8)

    when(b, "sge", v, b.const(0), rest)


def filter_by_pid(b: Builder) -> None:
    context = b.ctx()
    pid = b.binary("shr", b.call("get_current_pid_tgid"), b.const(32))

    def rest() -> None:
        key = b.slot(8)
        b.store(key, b.load(context, 8, 8), 8)
        count(b, key, b.load(context, 8, 16), atomic=True)

    when(b, "eq", pid, b.const(1234), rest)


def loop(b: Builder) -> Value:
    context = b.ctx()
    b.write("a", b.load(context, 8, 0))
    b.write("b", b.load(context, 8, 8))
    bound = b.binary("and", b.load(context, 8, 24), b.const(15))

    def turn(i: Value) -> None:
        b.write("a", b.add(b.binary("mul", b.read("a"), b.read("b")), i))
        b.write("b", b.binary("xor", b.read("b"), b.binary("shr", b.read("a"), b.const(3))))

    counted(b, bound, turn)
    return b.add(b.read("a"), b.read("b"))


PROGRAMS: dict[str, Callable[[Builder], Value | None]] = {
    "by_comm": by_comm,
    "hist": hist,
    "filter": filter_by_pid,
    "loop": loop,
}


@pytest.fixture(scope="module")
def clang_counts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Instruction slots of each function as clang compiles it."""
    if shutil.which("clang") is None:
        raise NotSupported("comparison with clang", "clang")
    folder: Path = tmp_path_factory.mktemp("clang")
    (folder / "p.c").write_text(SOURCE)
    command = ["clang", "-O2", "-target", "bpf", "-mcpu=v3", "-w", "-c", "p.c", "-o", "p.o"]
    subprocess.run(command, cwd=folder, check=True)
    listing = subprocess.run(["readelf", "-sW", "p.o"], cwd=folder, check=True, capture_output=True, text=True).stdout
    return {name: int(size) // 8 for size, name in re.findall(r"(\d+) FUNC .* (\w+)$", listing, re.M)}


def slots(module: Module) -> int:
    return len(compile_module(module, name="p", prog_type=17)[0].insns) // 8


@pytest.mark.parametrize("name", PROGRAMS)
def test_about_as_short_as_clang(name: str, clang_counts: dict[str, int]) -> None:
    ours = slots(main(PROGRAMS[name]))
    print(f"{name}: {ours} instructions, clang {clang_counts[name]}")
    assert ours <= clang_counts[name] * 1.15 + 1
