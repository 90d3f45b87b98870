"""What goes with the instructions: relocations, function and line information; and encodings judged by llvm-objdump."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.ir.build_helpers import counted, function, main, when
from tests.ir.randomir import Shape, random_module

from cygnet.codegen import isel
from cygnet.codegen.pipeline import compile_module
from cygnet.errors import CygnetError, NotSupported
from cygnet.ir.build import Builder
from cygnet.ir.core import Function, Module, Value
from cygnet.isa.encode import decode
from cygnet.isa.opcodes import find
from cygnet.source import Source, Span
from cygnet.spec.objects import ProgramSpec
from cygnet.spec.relocs import RelocTemplate
from cygnet.uapi import bpf_func


def compile(module: Module, **options: object) -> ProgramSpec:
    return compile_module(module, name="p", prog_type=17, **options)[0]  # type: ignore[arg-type]


def test_relocations_say_where() -> None:
    field = RelocTemplate("tp_field", "sched:sched_switch", "off", ("prev_pid", 4, True))
    session = RelocTemplate("session", "cpid", "imm64")
    number = RelocTemplate("core", "task_struct", "imm", ("size", "", 0))

    def body(b: Builder) -> Value:
        x = b.load(b.ctx(), 4, 0, reloc=field)
        y = b.add(b.reloc(session), b.reloc(number))
        b.kfunc("bpf_task_release", b.call("map_lookup_elem", b.map("m"), b.slot(8)))
        b.store(b.map_value("v", 24), b.add(x, y), 8)
        return x

    spec = compile(main(body))
    insns = decode(spec.insns)
    found = {(reloc.kind, reloc.name): reloc for reloc in spec.relocs}
    assert [reloc.insn for reloc in spec.relocs] == sorted(reloc.insn for reloc in spec.relocs)
    kinds = {reloc.kind: (reloc.where, reloc.data, insns[reloc.insn].code) for reloc in spec.relocs}
    assert kinds == {
        "tp_field": ("off", ("prev_pid", 4, True), 0x61),
        "session": ("imm64", None, 0x18),
        "core": ("imm", ("size", "", 0), 0xB7),
        "kfunc": ("imm", None, 0x85),
        "map": ("imm64", None, 0x18),
        "map_value": ("imm64", 24, 0x18),
    }
    assert insns[found["kfunc", "bpf_task_release"].insn].src == 2


def test_lines_follow_the_spans() -> None:
    source = Source("x.bt", "first line\n  second line\nthird\n")
    where = {name: Span(source, at, at + 4) for name, at in (("a", 0), ("b", 13), ("c", 25))}

    def body(b: Builder) -> Value:
        b.span = where["a"]
        x = b.load(b.ctx(), 8)
        b.span = where["b"]
        b.call("ktime_get_ns")
        b.store(b.map_value("v"), x, 8)
        b.span = where["c"]
        return b.callsub("f", x)

    def sub(b: Builder) -> Value:
        b.span = where["b"]
        return b.binary("mul", b.param(0), b.const(3))

    spec = compile(main(body, function("f", "sub", ("i64",), sub)))
    rows = [(row.line, row.col, row.text, row.start, row.end) for row in spec.lines]
    first, second, third = (1, 1, "first line", 0, 4), (2, 3, "  second line", 13, 17), (3, 1, "third", 25, 29)
    assert rows == [first, second, third, second]
    assert spec.lines[0].insn == 0
    assert spec.lines[-1].insn == spec.functions[1].insn
    assert [row.insn for row in spec.lines] == sorted({row.insn for row in spec.lines})


def test_every_function_begins_with_a_line_or_there_are_none() -> None:
    source = Source("x.bt", "only here")

    def body(b: Builder) -> Value:
        x = b.load(b.ctx(), 8)
        b.span = Span(source, 0, 4)
        return b.callsub("f", x)

    callee = function("f", "sub", ("i64",), lambda b: b.binary("mul", b.param(0), b.const(3)))
    spec = compile(main(body, callee))
    assert {info.insn for info in spec.functions} <= {row.insn for row in spec.lines}
    assert compile(main(lambda b: b.load(b.ctx(), 8))).lines == ()


def test_a_line_never_points_into_a_wide_load() -> None:
    source = Source("x.bt", "x" * 200)

    def body(b: Builder) -> Value:
        total = b.const(0)
        for i in range(20):
            b.span = Span(source, i, i + 1)
            total = b.binary("xor", b.add(b.load(b.map_value("v", 8 * i), 8), total), b.const(1 << 40 + i))
        return total

    spec = compile(main(body))
    insns = decode(spec.insns)
    assert all(row.insn == 0 or insns[row.insn - 1].code != 0x18 for row in spec.lines)


def test_same_input_same_bytes() -> None:
    first, second = (compile(random_module(7, Shape(20, 2, 8))) for _ in range(2))
    assert first == second


def test_frames_that_cannot_fit_are_refused() -> None:
    module = main(lambda b: b.memzero(b.slot(40_000), 8))
    with pytest.raises(CygnetError, match="main needs 40000 bytes of scratch memory; there are 32768"):
        compile(module)


def test_frames_larger_than_a_pools_entry_are_refused() -> None:
    module = main(lambda b: b.memzero(b.slot(5 << 20), 8))
    with pytest.raises(CygnetError, match="main needs 5242880 bytes of scratch memory; there are 4194288"):
        compile(module, pools={})


def test_recursion_is_refused() -> None:
    again = function("f", "sub", ("i64",), lambda b: b.callsub("f", b.param(0)))
    with pytest.raises(CygnetError, match="f calls itself"):
        compile(main(lambda b: b.callsub("f", b.const(1)), again))


def test_a_value_of_another_function_is_noticed() -> None:
    strangers: list[Value] = []
    callee = function("f", "sub", ("i64",), lambda b: strangers.append(b.binary("mul", b.param(0), b.const(3))))
    with pytest.raises(AssertionError, match="main uses a value that is not defined"):
        compile(main(lambda b: b.add(strangers[0], b.callsub("f", b.const(1))), callee))


def test_helpers_have_the_kernels_numbers() -> None:
    assert isel.helper_id("map_lookup_elem") == bpf_func.BPF_FUNC_map_lookup_elem == 1
    with pytest.raises(CygnetError, match="no helper 'frobnicate'"):
        compile(main(lambda b: b.call("frobnicate")))


@pytest.mark.parametrize("seed", range(5))
def test_every_instruction_is_one(seed: int) -> None:
    """Our own table knows each instruction that was emitted."""
    insns = decode(compile(random_module(seed, Shape(20, 2, 6))).insns)
    second = False
    for insn, after in zip(insns, [*insns[1:], None]):
        assert second or find(insn, after) is not None, insn
        second = insn.code == 0x18 and not second


def test_llvm_reads_it(tmp_path: Path) -> None:
    if shutil.which("clang") is None or shutil.which("llvm-objdump") is None:
        raise NotSupported("comparison with llvm", "clang and llvm-objdump")

    def body(b: Builder) -> Value:
        b.write("x", b.load(b.ctx(), 4, signed=True))
        counted(b, b.load(b.ctx(), 8, 8), lambda i: b.write("x", b.binary("xor", b.read("x"), i)))
        when(b, "slt", b.read("x"), b.const(-5), lambda: b.atomic("or", b.slot(8), b.read("x")))
        return b.bswap(b.zext(b.read("x"), 4), 4)

    spec = compile(main(body))
    code = spec.insns
    lines = [f".byte {','.join(map(str, code[at : at + 8]))}\n" for at in range(0, len(code), 8)]
    (tmp_path / "p.s").write_text(".text\n" + "".join(lines))
    subprocess.run(["clang", "-target", "bpf", "-c", "p.s", "-o", "p.o"], cwd=tmp_path, check=True)
    command = ["llvm-objdump", "-d", "--mattr=+alu32", "--no-show-raw-insn", "p.o"]
    listing = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert "<unknown>" not in listing
    assert "s>>= 32" in listing and "lock *(u64 *)" in listing and "exit" in listing


def test_unused_callbacks_are_left_out() -> None:
    unused = Function("unused", "callback", ("i64",))
    Builder(unused).ret(Value("const", (), 0, "i64", None))
    spec = compile(Module([*main(lambda b: None).functions, unused]))
    assert [info.name for info in spec.functions] == ["main"]
