"""Logs as tools, journals and other kernels hand them over."""

from __future__ import annotations

import random

import pytest

from cygnet.verifier.explaining.kinds import TITLES, classify
from cygnet.verifier.explaining.logtext import sections
from cygnet.verifier.explaining.story import of_log
from cygnet.verifier.explaining.text import render
from cygnet.verifier.explaining.trail import parse, values

PLAIN = """\
func#0 @0
0: R1=ctx() R10=fp0
; int key = 0; @ count.c:14
0: (62) *(u32 *)(r10 -4) = 0          ; R10=fp0 fp-8=0000????
1: (bf) r2 = r10                      ; R2=fp0 R10=fp0
2: (07) r2 += -4                      ; R2=fp-4
; long *hits = bpf_map_lookup_elem(&table, &key); @ count.c:15
3: (18) r1 = 0xffff88810c0de000       ; R1=map_ptr(map=table,ks=4,vs=8)
5: (85) call bpf_map_lookup_elem#1    ; R0=map_value_or_null(id=1,map=table,ks=4,vs=8)
; *hits += 1; @ count.c:16
6: (79) r1 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
processed 6 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""
LIBBPF = (
    "libbpf: prog 'count_hits': BPF program load failed: Permission denied\n"
    "libbpf: prog 'count_hits': -- BEGIN PROG LOAD LOG --\n"
    f"{PLAIN}-- END PROG LOAD LOG --\n"
    "libbpf: prog 'count_hits': failed to load: -13\nlibbpf: failed to load object 'count.o'\n"
)
BCC = f'bpf: Failed to load program: Permission denied\n{PLAIN}\nTraceback (most recent call last):\n  File "tool.py", line 9\n'
JOURNAL = "".join(f"Mar 04 05:06:07 box agent[812]: {line}\n" for line in LIBBPF.splitlines())
QUOTED = "".join(f"> {line}\n" for line in PLAIN.splitlines())
COLOURED = "".join(f"\x1b[2m{line}\x1b[0m\n" for line in PLAIN.splitlines())
# Linux 5.10: registers called inv, the state on lines of its own, no file names, `_w` behind what was written
OLD = """\
0: R1=ctx(id=0,off=0,imm=0) R10=fp0
; int key = 0;
0: (b7) r1 = 0
1: R1_w=inv0 R10=fp0
1: (63) *(u32 *)(r10 -4) = r1
2: (bf) r2 = r10
3: (07) r2 += -4
; long *hits = bpf_map_lookup_elem(&table, &key);
4: (18) r1 = 0xffff9fd8
6: (85) call bpf_map_lookup_elem#1
7: R0_w=map_value_or_null(id=1,off=0,ks=4,vs=8,imm=0) R10=fp0 fp-8=0000????
; *hits += 1;
7: (79) r1 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
processed 7 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""


@pytest.mark.parametrize(
    "text", [PLAIN, LIBBPF, BCC, JOURNAL, QUOTED, COLOURED, OLD, PLAIN.replace("\n", "\r\n")],
    ids=["plain", "libbpf", "bcc", "journal", "quoted", "coloured", "old", "dos"],
)  # fmt: skip
def test_wrapped(text: str) -> None:
    (section,) = sections(text)
    found = of_log(section.lines)
    assert found is not None
    assert found.kind == "null-check"
    assert found.place is not None and found.place.text == "*hits += 1;"
    assert found.place.line in (0, 16)
    assert "hits (r0)" in found.reason and "bpf_map_lookup_elem" in found.reason
    assert found.fix == ["if (!hits)", "    return 0;", "*hits += 1;"]
    if "count_hits" in text:
        assert section.program == "count_hits"


def test_two_programs() -> None:
    text = LIBBPF + LIBBPF.replace("count_hits", "other")
    assert [section.program for section in sections(text)] == ["count_hits", "other"]
    assert len(sections(PLAIN + PLAIN)) == 2


def test_level_2_keeps_to_the_refused_path() -> None:
    text = """\
0: R1=ctx() R10=fp0
0: (61) r0 = *(u32 *)(r1 +12)         ; R0=scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff)) R1=ctx()
1: (15) if r0 == 0x0 goto pc+3        ; R0=scalar(smin=umin=1,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))
2: (b7) r2 = 1                        ; R2=1
3: (b7) r0 = 0                        ; R0=0
4: (95) exit

from 1 to 5: R0=0 R1=ctx() R10=fp0
5: R0=0 R1=ctx() R10=fp0
5: (bf) r0 = r2
R2 !read_ok
processed 7 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""
    trail = parse(text.splitlines())
    assert [step.insn for step in trail.steps] == [0, 1, 5]
    found = of_log(text.splitlines())
    assert found is not None
    assert (found.kind, found.insn) == ("unset-register", 5)
    assert any("was taken" in note.text for note in found.path)


def test_the_reason_of_a_loop_is_not_the_last_line() -> None:
    text = """\
0: R1=ctx() R10=fp0
0: (b7) r6 = 0                        ; R6=0
1: (b7) r7 = 1                        ; R7=1
2: (15) if r6 == 0x0 goto pc-2        ; R6=0
1: (b7) r7 = 1                        ; R7=1
2: (15) if r6 == 0x0 goto pc-2        ; R6=0
infinite loop detected at insn 1
cur state: R1=ctx() R6=0 R7=1 R10=fp0
old state: R1=ctx() R6=P0 R7=1 R10=fp0
processed 10 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0
"""
    found = of_log(sections(text)[0].lines)
    assert found is not None
    assert (found.kind, found.insn, found.verifier) == ("infinite-loop", 1, "infinite loop detected at insn 1")
    assert "r6" in found.reason


def test_linux_6_1_minds_stack_that_was_never_written() -> None:
    text = """\
2: (07) r2 += -4                      ; R2_w=fp-4
5: (85) call bpf_map_lookup_elem#1
invalid indirect read from stack R2 off -4+0 size 4
processed 4 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""
    found = of_log(sections(text)[0].lines)
    assert found is not None
    assert (found.kind, found.insn) == ("unset-stack", 5)
    assert found.fix == ["*(u64 *)(r10 -8) = 0"]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("R6 invalid mem access 'inv'", "scalar-pointer"),
        ("unknown func bpf_probe_read#4", "helper-not-allowed"),
        ("back-edge from insn 9 to 2", "infinite-loop"),
        ("BPF program is too large. Processed 1000001 insn", "too-many-insns"),
        ("The sequence of 8193 jumps is too complex.", "too-many-branches"),
        ("invalid stack off=-520 size=8", "stack-depth"),
        ("R1 type=inv expected=fp, pkt, pkt_meta", "scalar-pointer"),
        ("BPF_EXIT instruction cannot be used inside bpf_spin_lock-ed region", "spin-lock"),
        ("sleepable helper bpf_copy_from_user#148 in rcu_read_lock region", "sleepable"),
        ("something that no kernel says yet", "other"),
    ],
)
def test_sentences(line: str, kind: str) -> None:
    assert classify([line]).kind == kind


def test_values_with_nested_parentheses() -> None:
    text = "R1=scalar(id=2,smax=255,var_off=(0x0; 0xff)) R2_w=map_value(off=0,ks=4) fp-8=mmmm"
    assert values(text) == {
        "R1": "scalar(id=2,smax=255,var_off=(0x0; 0xff))",
        "R2": "map_value(off=0,ks=4)",
        "fp-8": "mmmm",
    }


@pytest.mark.parametrize("text", ["", "\n\n", "hello\nworld\n", "0000 1111\n", "Error: no such file\n"])
def test_no_log(text: str) -> None:
    assert sections(text) == []


def test_damaged_logs_are_survived() -> None:
    """Cut, shuffled and overwritten logs get an explanation or none, and never an exception."""
    rng = random.Random(11)
    for text in (PLAIN, LIBBPF, OLD) * 60:
        lines = text.splitlines()
        for _ in range(rng.randrange(1, 5)):
            at = rng.randrange(len(lines))
            how = rng.randrange(5)
            if how == 0:
                del lines[at]
            elif how == 1:
                lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
            elif how == 2:
                lines.insert(at, rng.choice(lines))
            elif how == 3:
                del lines[at:]
            else:
                lines[at] = lines[at].replace(rng.choice("0123456789rR=("), rng.choice("r0)=:#"))
            lines = lines or [""]
        for section in sections("\n".join(lines)):
            found = of_log(section.lines)
            if found is not None:
                assert found.kind in TITLES
                assert render(found)
