"""Text of the IR: printer and parser are inverses, and what was parsed means the same."""

from __future__ import annotations

import struct

import pytest
from tests.ir.build_helpers import main
from tests.ir.interp import Interp, Maps
from tests.ir.randomir import ARGS, OUT_BYTES, Shape, random_module

from cygnet.ir.build import Builder
from cygnet.ir.check import check
from cygnet.ir.core import Module
from cygnet.ir.text import parse_function, parse_module, print_module
from cygnet.spec.relocs import RelocTemplate


def outcome(module: Module, seed: int) -> tuple[int, bytes]:
    context = struct.pack(f"<{ARGS}Q", *[seed * 0x9E3779B97F4A7C15 * i % 2**64 for i in range(ARGS)])
    out = bytearray(OUT_BYTES)
    table = {struct.pack("<Q", key): bytearray(16) for key in range(4)}
    return Interp(module, context, Maps(out={bytes(4): out}, hash=table), {"hash": 8}).run("main", None), bytes(out)


@pytest.mark.parametrize("seed", range(40))
def test_round_trip_of_random_programs(seed: int) -> None:
    module = random_module(seed, Shape(10, 2, 5))
    text = print_module(module)
    again = parse_module(text)
    assert print_module(again) == text
    assert check(again.functions[0]) == []
    assert outcome(again, seed) == outcome(module, seed)


def test_every_immediate_survives() -> None:
    template = RelocTemplate("tp_field", "sched:sched_switch", "off", ("prev_pid", 4, True))

    def body(b: Builder) -> None:
        b.load(b.ctx(), 4, 0, signed=True, reloc=template)
        b.reloc(RelocTemplate("session", "start_ns", "imm64"))
        b.kfunc("bpf_strlen", b.map_value("a", 8))
        b.callsub("f", b.func("g"), b.const(-(2**63)))
        b.atomic("xchg", b.slot(16, 4, "name"), b.const(5), 4, 12, fetch=True)
        b.atomic("add", b.map_value("a", 8), b.const(1))

    module = main(body, preemptible=True)
    text = print_module(module)
    again = parse_module(text)
    assert print_module(again) == text
    assert again.functions[0].blocks[0].body[1].imm[3] == template
    assert again.functions[0].preemptible


def test_text_reads_well() -> None:
    text = """func main main() {
b0:
  v0:ctx = ctx
  v1 = load v0 size=8 signed=False offset=8 reloc=None
  br ult v1, 10, b1, b2
b1:
  v2 = mul v1, -3
  jump b3(v2)
b2:
  jump b3(7)
b3(v3):
  ret v3
}
"""
    assert print_module(parse_module(text)) == text


@pytest.mark.parametrize(
    "line,message",
    [
        ("  v1 = blend v0, 1", "line 3: unknown operation 'blend'"),
        ("  v1 = add v7, 1", "line 3: 'v7'"),
        ("  jump b9", "line 3: 'b9'"),
        ("  v1 = load v0 size=8", "line 3"),
    ],
)
def test_errors_name_the_line(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_function(f"func main main() {{\nb0:\n{line}\n}}\n")
