"""Compiled IR on the live kernel, construct by construct."""

from __future__ import annotations

import os
import struct

import pytest
from tests.ir.build_helpers import counted, function, main, when
from tests.ir.kernelrun import RAW_TRACEPOINT, loaded, open_maps, patched, run

from cygnet.codegen.pipeline import compile_module
from cygnet.codegen.scratch import HEADER_BYTES, LEVELS
from cygnet.ir.build import Builder
from cygnet.ir.core import Value
from cygnet.kernel import progs
from cygnet.kernel.btfload import KernelBtf
from cygnet.kernel.maps import KernelMap
from cygnet.loader.debuginfo import DebugInfo
from cygnet.source import Source, Span

U64 = (1 << 64) - 1


def words(data: bytes, count: int) -> list[int]:
    return list(struct.unpack_from(f"<{count}Q", data))


# -- memory operations -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sizes", [range(1, 41), (63, 64, 65, 100, 127, 200), (504, 512)], ids=["small", "mid", "large"]
)
def test_memcpy_and_memzero_touch_exactly_their_bytes(sizes: range) -> None:
    for size in sizes:

        def body(b: Builder, size: int = size) -> None:
            out = b.map_value("out")
            b.memcpy(b.offset(out, 1024), out, size)
            b.memzero(out, size)

        pattern = bytes(range(1, 256)) * 5
        got = run(main(body), [], out=pattern[:1024] + b"\xee" * 1024, out_bytes=2048).out
        assert got[:1024] == bytes(size) + pattern[size:1024]
        assert got[1024:] == pattern[:size] + b"\xee" * (1024 - size)


@pytest.mark.parametrize("offset", range(1, 9))
def test_memzero_at_an_offset(offset: int) -> None:
    got = run(main(lambda b: b.memzero(b.map_value("out"), 21, offset)), [], out=b"\xff" * 512).out
    assert got == b"\xff" * offset + bytes(21) + b"\xff" * (512 - offset - 21)


@pytest.mark.parametrize("size", [1025, 1100, 4096])
def test_large_memory_operations(size: int) -> None:
    def body(b: Builder) -> Value:
        out = b.map_value("out")
        b.memcpy(b.offset(out, 8192), out, size)
        equal = b.memeq(out, b.offset(out, 8192), size)
        b.memzero(out, size)
        return b.add(equal, b.binary("shl", b.memeq(out, b.offset(out, 8192), size), b.const(1)))

    pattern = (bytes(range(1, 252)) * 40)[:8192]
    result = run(main(body), [], out=pattern + b"\xee" * 8192, out_bytes=16384)
    assert result.retval == 1
    assert result.out[:8192] == bytes(size) + pattern[size:]
    assert result.out[8192:] == pattern[:size] + b"\xee" * (8192 - size)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 17, 64])
def test_memeq_sees_every_byte(size: int) -> None:
    module = lambda: main(lambda b: b.memeq(b.map_value("out"), b.map_value("out", 256), size))  # noqa: E731
    same = bytes(range(size))
    assert run(module(), [], out=same.ljust(256, b"a") + same.ljust(256, b"b")).retval == 1
    for at in {0, size // 2, size - 1}:
        other = same[:at] + b"\xff" + same[at + 1 :]
        assert run(module(), [], out=same.ljust(256) + other.ljust(256)).retval == 0


@pytest.mark.parametrize("to", [0, 1, 4, 12])
@pytest.mark.parametrize("source", [0, 2, 4])
def test_memory_operations_on_unaligned_stack(to: int, source: int) -> None:
    """The verifier refuses an unaligned access to the stack."""

    def body(b: Builder) -> Value:
        x, y = b.slot(40), b.slot(40)
        b.memcpy(x, b.map_value("out"), 40)
        b.memzero(y, 40)
        b.memcpy(b.offset(y, to), b.offset(x, source), 21)
        b.memcpy(b.map_value("out", 64), y, 40)
        equal = b.memeq(b.offset(y, to), b.offset(x, source), 21)
        b.memzero(b.offset(x, source), 21)
        b.memcpy(b.map_value("out"), x, 40)
        return equal

    pattern = bytes(range(1, 41))
    result = run(main(body), [], out=pattern.ljust(512, b"\0"))
    assert result.retval == 1
    assert result.out[:40] == pattern[:source] + bytes(21) + pattern[source + 21 :]
    assert result.out[64:104] == (bytes(to) + pattern[source : source + 21]).ljust(40, b"\0")


# -- registers ---------------------------------------------------------------------------------------


def test_many_values_live_across_calls() -> None:
    def body(b: Builder) -> None:
        values = [b.binary("mul", b.load(b.ctx(), 8, 8 * (i % 8)), b.const(i + 3)) for i in range(30)]
        b.call("ktime_get_ns")
        for i, value in enumerate(values):
            b.store(b.map_value("out"), value, 8, 8 * i)

    args = [i * 0x1000_0001 + 7 for i in range(8)]
    assert words(run(main(body), args).out, 30) == [args[i % 8] * (i + 3) & U64 for i in range(30)]


def test_loop_variables_are_exchanged() -> None:
    """A cycle of block parameters, short enough for registers and so long that some are in memory."""
    for count in (2, 3, 9, 14):

        def body(b: Builder, count: int = count) -> None:
            for i in range(count):
                b.write(i, b.add(b.load(b.ctx(), 8, 8 * (i % 8)), b.const(i)))

            def turn(_: Value) -> None:
                old = [b.read(i) for i in range(count)]
                b.call("ktime_get_ns")
                for i in range(count):
                    b.write(i, old[(i + 1) % count])

            counted(b, b.const(5), turn)
            for i in range(count):
                b.store(b.map_value("out"), b.read(i), 8, 8 * i)

        args = [1000 * i for i in range(8)]
        start = [args[i % 8] + i for i in range(count)]
        assert words(run(main(body), args).out, count) == [start[(i + 5) % count] for i in range(count)]


def test_pointers_survive_calls_and_spills() -> None:
    """Looked-up values stay usable after being spilled: the null check holds in memory too."""

    def body(b: Builder) -> None:
        found = []
        for i in range(8):
            key = b.slot(8)
            b.store(key, b.const(i), 8)
            value = b.call("map_lookup_elem", b.map("hash"), key)
            there, missing = b.new_block(), b.new_block()
            b.br("ne", value, b.const(0), there, missing)
            b.open(missing)
            b.ret(b.const(99))
            b.open(there)
            found.append(value)
        for i, value in enumerate(found):
            b.store(b.map_value("out"), b.load(value, 8), 8, 8 * i)

    result = run(main(body), [], {i: (i * 11, 0) for i in range(8)})
    assert (result.retval, words(result.out, 8)) == (0, [i * 11 for i in range(8)])


def test_bounded_index_into_map_value() -> None:
    """What a comparison showed still holds when the value is used, also after a call."""

    def body(b: Builder) -> Value:
        index = b.load(b.ctx(), 8)
        inside, outside = b.new_block(), b.new_block()
        b.br("ult", index, b.const(32), inside, outside)
        b.open(outside)
        b.ret(b.const(1))
        b.open(inside)
        b.call("ktime_get_ns")
        place = b.add(b.map_value("out"), b.binary("mul", index, b.const(8)))
        b.store(place, b.const(-2), 8)
        return b.const(0)

    assert words(run(main(body), [5]).out, 7) == [0, 0, 0, 0, 0, U64 - 1, 0]
    assert run(main(body), [32]).retval == 1


# -- atomics and loops -------------------------------------------------------------------------------


@pytest.mark.parametrize("op,want", [("add", 12), ("or", 7), ("and", 5), ("xor", 2), ("xchg", 7)])
@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("fetch", [False, True])
def test_atomics(op: str, want: int, size: int, fetch: bool) -> None:
    if op == "xchg" and not fetch:
        return

    def body(b: Builder) -> Value | None:
        new = b.load(b.ctx(), 8)
        old = b.atomic(op, b.map_value("out"), new, size, 8, fetch=fetch)
        b.store(b.map_value("out"), new, 8, 16)  # the operand is unharmed
        return old if fetch else None

    result = run(main(body), [7], out=struct.pack("<3Q", 0, 5, 0).ljust(512, b"\0"))
    assert words(result.out, 3) == [0, want, 7]
    assert result.retval == (5 if fetch else 0)


def test_may_goto_bounds_an_endless_loop() -> None:
    def body(b: Builder) -> Value:
        b.write("n", b.const(0))
        head, inside, more, out = b.new_block(), b.new_block(), b.new_block(), b.new_block()
        b.jump(head)
        b.start(head)
        b.may_goto(inside, out)
        b.open(inside)
        b.write("n", b.add(b.read("n"), b.const(1)))
        b.br("ne", b.read("n"), b.load(b.ctx(), 8), more, out)
        b.open(more)
        b.jump(head)
        b.seal(head)
        b.open(out)
        return b.read("n")

    assert run(main(body), [1000]).retval == 1000
    assert run(main(body), [0]).retval > 1000


# -- callbacks and functions -------------------------------------------------------------------------


def test_bpf_loop_with_context_on_the_stack() -> None:
    def each(b: Builder) -> Value:
        index, context = b.param(0), b.param(1)
        b.store(context, b.add(b.load(context, 8), b.binary("mul", index, b.load(context, 8, 8))), 8)
        return b.cmp("uge", index, b.const(9))

    def body(b: Builder) -> Value:
        context = b.slot(16)
        b.store(context, b.const(0), 8)
        b.store(context, b.load(b.ctx(), 8), 8, 8)
        b.call("loop", b.const(100), b.func("each"), context, b.const(0))
        return b.load(context, 8)

    callback = function("each", "callback", ("i64", "stack"), each)
    assert run(main(body, callback), [3]).retval == 3 * 45


def test_for_each_map_elem_with_its_own_slots() -> None:
    """A callback with a frame of its own, larger than what fits: part of it is in scratch memory."""
    for size in (64, 400):

        def each(b: Builder, size: int = size) -> Value:
            copy = b.slot(size)
            b.memzero(copy, size)
            b.store(copy, b.load(b.param(2), 8), 8, size - 8)
            b.call("ktime_get_ns")
            b.atomic("add", b.param(3), b.load(copy, 8, size - 8))
            return b.const(0)

        def body(b: Builder) -> Value:
            total = b.slot(8)
            b.store(total, b.const(0), 8)
            spare = b.slot(300)
            b.memzero(spare, 300)
            done = b.call("for_each_map_elem", b.map("hash"), b.func("each"), total, b.const(0))
            b.store(b.map_value("out"), b.load(total, 8), 8)
            return b.add(done, b.load(spare, 4, 296))

        callback = function("each", "callback", ("map", "stack", "map_value", "stack"), each)
        result = run(main(body, callback), [], {i: (10**i, 0) for i in range(6)})
        assert (result.retval, words(result.out, 1)) == (6, [111111])


def test_functions_call_functions() -> None:
    def square(b: Builder) -> Value:
        return b.binary("mul", b.param(0), b.param(0))

    def sum_of_squares(b: Builder) -> Value:
        return b.add(b.callsub("square", b.param(0)), b.callsub("square", b.param(1)))

    module = main(
        lambda b: b.callsub("sum", b.load(b.ctx(), 8), b.load(b.ctx(), 8, 8)),
        function("sum", "sub", ("i64", "i64"), sum_of_squares),
        function("square", "sub", ("i64",), square),
    )
    assert run(module, [3, 4]).retval == 25


# -- stack and scratch memory ------------------------------------------------------------------------


def fill_and_check(b: Builder, sizes: list[int]) -> Value:
    """Slots that are all alive at once: each is filled with its number and read back at the end."""
    slots = [(b.slot(size, name=f"s{i}"), size) for i, size in enumerate(sizes)]
    for i, (slot, size) in enumerate(slots):
        b.memzero(slot, size)
        b.store(slot, b.const(i + 1), 8)
        b.store(slot, b.const(i + 101), 8, size - 8)
    b.call("ktime_get_ns")
    total = b.const(0)
    for slot, size in slots:
        total = b.add(total, b.add(b.load(slot, 8), b.load(slot, 8, size - 8)))
    return total


@pytest.mark.parametrize("preemptible", [False, True])
@pytest.mark.parametrize("sizes", [[512], [256, 256, 8], [1024, 2048, 64], [64] * 40], ids=str)
def test_what_does_not_fit_the_stack_goes_to_scratch(sizes: list[int], preemptible: bool) -> None:
    want = sum(2 * i + 102 if size > 8 else 2 * i + 202 for i, size in enumerate(sizes))
    for _ in range(2):  # a level that was not given back would be missed
        module = main(lambda b: fill_and_check(b, sizes), preemptible=preemptible)
        assert run(module, []).retval == want


@pytest.mark.parametrize("sizes", [[40_000], [64, 20_000, 30_000, 512], [300_000, 8]], ids=str)
def test_what_does_not_fit_a_value_goes_to_a_pool(sizes: list[int]) -> None:
    """More runs than a CPU has entries to look at: each is given back."""
    want = sum(2 * i + 102 if size > 8 else 2 * i + 202 for i, size in enumerate(sizes))
    pools: dict[str, int] = {}
    module = main(lambda b: fill_and_check(b, sizes))
    spec, scratch_bytes = compile_module(module, name="test", prog_type=RAW_TRACEPOINT, lost=("out", 0), pools=pools)
    assert scratch_bytes == 0 and len(pools) == 1
    with open_maps(0, 8, pools) as maps, loaded(spec, maps) as program:
        assert [program.test_run(ctx_in=b"").retval for _ in range(9)] == [want] * 9
        assert maps["out"].lookup(bytes(4)) == bytes(8)
        (pool,) = pools
        taken = maps[pool].lookup(bytes(4)) or b""
        maps[pool].update(bytes(4), b"\x01".ljust(8, b"\0") * (len(taken) // 8))
        assert program.test_run(ctx_in=b"").retval == 0
        assert maps["out"].lookup(bytes(4)) == (1).to_bytes(8, "little")


def test_slots_share_the_stack_by_lifetime() -> None:
    def body(b: Builder) -> Value:
        total = b.const(0)
        for i in range(10):
            slot = b.slot(256)
            b.memzero(slot, 256)
            b.store(slot, b.const(i), 8, 248)
            b.call("ktime_get_ns")
            total = b.add(total, b.load(slot, 8, 248))
        return total

    _, scratch_bytes = compile_module(main(body), name="test", prog_type=RAW_TRACEPOINT)
    assert scratch_bytes == 0
    assert run(main(body), []).retval == 45


def test_a_slot_keeps_its_bytes_through_a_loop() -> None:
    """`kept` is mentioned early in the loop, `other` late; they must not share although they do not overlap."""

    def body(b: Builder) -> Value:
        kept, b0 = b.slot(80), b.load(b.ctx(), 8)
        b.memzero(kept, 80)
        b.store(kept, b0, 8, 72)
        b.write("sum", b.const(0))

        def turn(i: Value) -> None:
            b.write("sum", b.add(b.read("sum"), b.load(kept, 8, 72)))
            other = b.slot(80)
            b.memzero(other, 80)
            b.store(other, i, 8, 72)
            b.call("ktime_get_ns")
            b.write("sum", b.add(b.read("sum"), b.load(other, 8, 72)))

        counted(b, b.const(4), turn)
        return b.read("sum")

    assert run(main(body), [1000]).retval == 4006


@pytest.mark.parametrize("main_bytes,callback_bytes,scratch", [(352, 152, False), (360, 152, True), (352, 168, True)])
def test_frames_of_a_chain_share_512_bytes(main_bytes: int, callback_bytes: int, scratch: bool) -> None:
    def each(b: Builder) -> None:
        slot = b.slot(callback_bytes)
        b.memzero(slot, callback_bytes)
        b.call("ktime_get_ns")
        b.atomic("add", b.param(1), b.add(b.load(slot, 8, callback_bytes - 8), b.const(1)))

    def body(b: Builder) -> Value:
        slot, sum = b.slot(main_bytes - 8), b.slot(8)
        b.memzero(slot, main_bytes - 8)
        b.store(sum, b.const(0), 8)
        b.call("loop", b.const(5), b.func("each"), sum, b.const(0))
        return b.add(b.load(sum, 8), b.load(slot, 8, main_bytes - 16))

    callback = function("each", "callback", ("i64", "stack"), each)
    spec, scratch_bytes = compile_module(main(body, callback), name="test", prog_type=RAW_TRACEPOINT)
    assert (scratch_bytes > 0) == scratch
    with open_maps(scratch_bytes) as maps, loaded(spec, maps) as program:
        assert program.test_run().retval == 5


def test_scratch_levels_are_counted_when_lost() -> None:
    """With every level marked busy, the program does nothing and counts one lost event."""
    module = main(lambda b: fill_and_check(b, [1024]), preemptible=True)
    spec, scratch_bytes = compile_module(module, name="test", prog_type=RAW_TRACEPOINT, lost=("out", 40))
    stride = 1024 + HEADER_BYTES
    assert scratch_bytes == LEVELS * stride
    with open_maps(scratch_bytes) as maps, loaded(spec, maps) as program:
        assert program.test_run().retval == 102
        for taken in range(1, LEVELS + 1):
            set_busy(maps["scratch"], taken, stride, scratch_bytes)
            assert program.test_run().retval == (102 if taken < LEVELS else 0)
        assert words(maps["out"].lookup(bytes(4)) or b"", 6) == [0, 0, 0, 0, 0, 1]
        set_busy(maps["scratch"], 0, stride, scratch_bytes)
        assert program.test_run().retval == 102


def set_busy(store: KernelMap, taken: int, stride: int, size: int) -> None:
    value = bytearray(size)
    for level in range(taken):
        value[level * stride] = 1
    cpus = len(store.lookup_percpu(bytes(4)) or ())
    store.update_percpu(bytes(4), [bytes(value)] * cpus)


def test_spills_push_slots_out_of_the_stack() -> None:
    def body(b: Builder) -> Value:
        values = [b.load(b.ctx(), 8, 8 * (i % 8)) for i in range(20)]
        slots = [b.slot(96) for _ in range(5)]
        for slot in slots:
            b.memzero(slot, 96)
        b.call("ktime_get_ns")
        total = b.const(0)
        for i, value in enumerate(values):
            total = b.add(total, b.binary("mul", value, b.const(i + 1)))
        return b.add(total, b.load(slots[4], 8, 88))

    args = list(range(1, 9))
    assert run(main(body), args).retval == sum(args[i % 8] * (i + 1) for i in range(20))


# -- size and lines ----------------------------------------------------------------


def test_long_programs_jump_far() -> None:
    """More instructions than a 16-bit offset reaches."""

    def body(b: Builder) -> Value:
        x = b.load(b.ctx(), 8)
        b.write("x", x)

        def long() -> None:
            for i in range(17_000):
                b.write("x", b.binary("xor", b.add(b.read("x"), b.const(i)), b.const(i)))

        when(b, "ne", x, b.const(0), long)
        return b.read("x")

    want = 5
    for i in range(17_000):
        want = want + i ^ i
    assert run(main(body), [5]).retval == want & 0xFFFFFFFF
    assert run(main(body), [0]).retval == 0


def test_the_kernels_log_shows_the_users_lines() -> None:
    source = Source("words.bt", "hello there\n  good bye\n")
    spans = [Span(source, 0, 5), Span(source, 14, 18)]

    def body(b: Builder) -> Value:
        b.span = spans[0]
        x = b.call("ktime_get_ns")
        b.span = spans[1]
        return b.binary("and", x, b.const(1))

    spec, _ = compile_module(main(body), name="test", prog_type=RAW_TRACEPOINT, source=source.name)
    info = DebugInfo([spec])
    functions, lines = info.infos["test"]
    with KernelBtf.load(info.data) as btf, open_maps() as maps:
        code = patched(spec, maps)
        request = progs._Request(code, "GPL", functions, lines, b"", prog_type=RAW_TRACEPOINT, prog_btf_fd=btf.fd)
        fd = request.load(2)
        assert fd >= 0
        os.close(fd)
    assert "; hello there @ words.bt:1" in request.log
    assert "; good bye @ words.bt:2" in request.log
