"""Relocations are applied to bytes by a pure function; what a machine lacks is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from cygnet.btf.builder import Builder
from cygnet.btf.reader import Btf
from cygnet.errors import RelocationError
from cygnet.isa.encode import decode, encode
from cygnet.isa.insn import Insn, imm64, ld_imm64
from cygnet.kernel.tracefs import parse_format
from cygnet.loader.ksyms import address
from cygnet.spec.apply import apply
from cygnet.spec.objects import ProgramSpec
from cygnet.spec.relocs import Reloc
from cygnet.spec.resolver import SystemResolver

FORMAT = (
    "ID: 1\nformat:\n\tfield:int a;\toffset:24;\tsize:4;\tsigned:1;\n\tfield:u64 b;\toffset:40;\tsize:8;\tsigned:0;\n"
)
MAP_FDS = {"counts": 7, "ring": 1 << 20}


class SavedTarget:
    """A target in a file would answer the same."""

    def __init__(self) -> None:
        builder = Builder()
        number, signed = builder.integer(4), builder.integer(8, True)
        inner = builder.struct("", 12, [("x", number, 0), ("y", signed, 32)])
        builder.struct(
            "task", 64, [("pid", number, 128), ("", inner, 256), ("flag", number, 96, 3), ("late", number, 108, 2)]
        )
        builder.func("bpf_call_me", builder.func_proto(0, []))
        self._btf = Btf(builder.to_bytes())

    def tracepoint_events(self) -> list[str]:
        return ["s:e"]

    def tracepoint_format(self, subsys: str, event: str) -> Any:
        assert (subsys, event) == ("s", "e")
        return parse_format(FORMAT)

    def btf(self) -> Any:
        return self._btf


def resolver(may_goto: bool = True) -> SystemResolver:
    kernel = {"init_task": 0xFFFFFFFF82C00000}
    return SystemResolver(
        SavedTarget, MAP_FDS.__getitem__, {"start_ns": 1 << 63}, lambda name: may_goto, lambda name: kernel.get(name, 0)
    )


def relocated(insns: list[Insn] | tuple[Insn, ...], *relocs: Reloc, may_goto: bool = True) -> list[Insn]:
    program = ProgramSpec("p", 5, encode(insns), relocs)
    before = program.insns
    code = apply(program, resolver(may_goto))
    assert program.insns == before and len(code) == len(before)
    return decode(code)


LOAD64 = ld_imm64(3, 0)
LOAD = [Insn(0x61, 0, 1, 0, 0)]
MOV = [Insn(0xB7, 2, 0, 0, 0)]


def test_nothing_to_do() -> None:
    program = ProgramSpec("p", 5, encode(MOV))
    assert apply(program, resolver()) is program.insns


def test_maps() -> None:
    assert relocated(LOAD64, Reloc(0, "map", "counts", "imm64"))[0] == Insn(0x18, 3, 1, 0, 7)
    assert relocated(LOAD64, Reloc(0, "map", "ring", "imm64"))[0].imm == 1 << 20
    first, second = relocated(LOAD64, Reloc(0, "map_value", "counts", "imm64", 24))
    assert (first.src, first.imm, second.imm) == (2, 7, 24)


def test_session_numbers() -> None:
    first, second = relocated(LOAD64, Reloc(0, "session", "start_ns", "imm64"))
    assert imm64(first, second) == 1 << 63 and first.src == 0
    with pytest.raises(RelocationError, match="no number cpid"):
        relocated(LOAD64, Reloc(0, "session", "cpid", "imm64"))


def test_tracepoint_fields() -> None:
    assert relocated(LOAD, Reloc(0, "tp_field", "s:e", "off", ("a", 4, True))) == [Insn(0x61, 0, 1, 24, 0)]
    assert relocated(MOV, Reloc(0, "tp_field", "s:e", "imm", ("b", 8, False, 99))) == [Insn(0xB7, 2, 0, 0, 40)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (("a", 8, True), "field a of tracepoint s:e has 4 bytes here; the program was compiled for 8"),
        (("a", 4, False), "field a of tracepoint s:e is signed here; the program was compiled for unsigned"),
        (("b", 8, True), "field b of tracepoint s:e is unsigned here; the program was compiled for signed"),
        (("gone", 4, True), "tracepoint s:e has no field gone here"),
    ],
)
def test_tracepoint_field_refused(data: tuple[str, int, bool], message: str) -> None:
    with pytest.raises(RelocationError) as caught:
        relocated(LOAD, Reloc(0, "tp_field", "s:e", "off", data))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (("offset", "pid", 0), 16),
        (("offset", "x", (4, False)), 32),
        (("offset", "y", (8, True)), 36),
        (("offset", "late", (4, False)), 12),  # a bit-field is read from where its unit begins
        (("size", "pid", None), 4),
        (("size", "", None), 64),
        (("exists", "pid", None), 1),
        (("exists", "gone", None), 0),
        (("exists", "", None), 1),
    ],
)
def test_core(data: tuple[str, str, object], value: int) -> None:
    assert relocated(MOV, Reloc(0, "core", "struct task", "imm", data)) == [Insn(0xB7, 2, 0, 0, value)]
    assert relocated(LOAD, Reloc(0, "core", "task", "off", data))[0].off == value


def test_core_refused() -> None:
    with pytest.raises(RelocationError, match=r"member y of task has 8 bytes here.* for 4"):
        relocated(LOAD, Reloc(0, "core", "task", "off", ("offset", "y", (4, True))))
    with pytest.raises(RelocationError, match=r"task\.gone: .*no member gone"):
        relocated(LOAD, Reloc(0, "core", "task", "off", ("offset", "gone", None)))
    with pytest.raises(RelocationError, match="no type struct nothing"):
        relocated(LOAD, Reloc(0, "core", "struct nothing", "off", ("offset", "x", None)))
    assert relocated(MOV, Reloc(0, "core", "struct nothing", "imm", ("exists", "x", None)))[0].imm == 0


def test_kernel_symbols_and_functions() -> None:
    first, second = relocated(LOAD64, Reloc(0, "ksym", "init_task", "imm64"))
    assert imm64(first, second) == 0xFFFFFFFF82C00000
    with pytest.raises(RelocationError, match="no symbol gone"):
        relocated(LOAD64, Reloc(0, "ksym", "gone", "imm64"))
    (call,) = relocated([Insn(0x85, 0, 0, 0, -1)], Reloc(0, "kfunc", "bpf_call_me", "imm"))
    assert (call.code, call.src, call.off) == (0x85, 2, 0)
    found = SavedTarget().btf().find("bpf_call_me")
    assert call.imm == found.id
    with pytest.raises(RelocationError, match="no function bpf_gone"):
        relocated([Insn(0x85, 0, 0, 0, -1)], Reloc(0, "kfunc", "bpf_gone", "imm"))


def test_may_goto() -> None:
    insn = Insn(0xE5, 0, 0, 5, 0)
    reloc = Reloc(0, "may_goto", "", "off")
    assert relocated([insn], reloc) == [insn]
    assert relocated([insn], reloc, may_goto=False) == [Insn(0x05, 0, 0, 0, 0)]


def test_what_cannot_be_placed() -> None:
    with pytest.raises(RelocationError, match="not a 64-bit load"):
        relocated(MOV, Reloc(0, "map", "counts", "imm64"))
    with pytest.raises(RelocationError, match="does not fit"):
        relocated(LOAD, Reloc(0, "session", "start_ns", "off"))
    with pytest.raises(RelocationError, match="map gone"):
        relocated(LOAD64, Reloc(0, "map", "gone", "imm64"))
    with pytest.raises(RelocationError, match="unknown relocation new"):
        relocated(LOAD64, Reloc(0, "new", "x", "imm64"))
    with pytest.raises(RelocationError, match="unknown place reg"):
        relocated(LOAD64, Reloc(0, "session", "start_ns", "reg"))


def test_kallsyms() -> None:
    data = b"ffffffff81000000 T _stext\nffffffff81000010 t f\nffffffffc0000000 t mod_f\t[mod]\n"
    data += b"ffffffff81000020 T _stext2\n"
    assert address("_stext", data) == 0xFFFFFFFF81000000
    assert address("mod_f", data) == 0xFFFFFFFFC0000000
    assert address("f", data) == 0xFFFFFFFF81000010
    assert address("_stext2", data) == 0xFFFFFFFF81000020
    assert address("gone", data) == 0
