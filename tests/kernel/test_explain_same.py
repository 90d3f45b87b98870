"""Explanations of what the live kernel refuses: the same from our verdict as from the kernel's log."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.verifier import corpus
from tests.verifier.judge import Judge
from tests.verifier.mistakes import MISTAKES, Mistake, made

import cygnet
from cygnet.btf import Btf
from cygnet.errors import KernelVerifierError, NotSupported
from cygnet.facts.progtypes import program_type
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.lang.trace.diagnostics import render
from cygnet.loader.runtime import kernel_runtime
from cygnet.source import Source
from cygnet.spec.objects import FuncInfo, LineInfo, MapSpec, ObjectSpec, ProgramSpec
from cygnet.spec.relocs import Reloc
from cygnet.uapi import bpf
from cygnet.verifier.explaining.case import About
from cygnet.verifier.explaining.logtext import sections
from cygnet.verifier.explaining.story import of_log

# The kernel's log of these names no instruction.
SILENT = {"stack_combined", "no_exit", "opcode"}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda each: each.name)
def test_same_class_and_instruction(mistake: Mistake) -> None:
    spec = made(mistake).spec
    ours = cygnet.verify(spec).error
    assert ours is not None
    with Judge() as judge:
        opinion = judge.load(spec)
    assert opinion.accepted is False, opinion.log
    (section,) = sections(opinion.log)
    theirs = of_log(section.lines, About(mistake.type))
    assert theirs is not None
    assert theirs.kind == ours.explanation.kind == mistake.kind
    if mistake.name in SILENT:
        assert theirs.insn is None
    elif mistake.kind != "too-many-insns":  # where it stops is nobody's fault; what is blamed is the loop
        assert theirs.insn == ours.explanation.insn


C_HEAD = """\
#include <linux/bpf.h>
#define SEC(n) __attribute__((section(n), used))
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *) 1;
static void *(*bpf_ringbuf_reserve)(void *ring, __u64 size, __u64 flags) = (void *) 131;
struct val { unsigned long count; unsigned int items[16]; };
struct { int (*type)[1]; unsigned int *key; struct val *value; int (*max_entries)[128]; } counts SEC(".maps");
struct { int (*type)[27]; int (*max_entries)[4096]; } ring SEC(".maps");
char LICENSE[] SEC("license") = "GPL";
SEC("xdp") int prog(struct xdp_md *ctx)
{
"""
C_CASES = {
    "null-check": (
        "unsigned int key = ctx->ingress_ifindex;\nstruct val *value = bpf_map_lookup_elem(&counts, &key);\n"
        "value->count += 1;\nreturn 2;",
        "value->count += 1;",
        ("value (r0)", "counts"),
        "if (!value)",
    ),
    "unbounded-index": (
        "unsigned int key = 0;\nstruct val *v = bpf_map_lookup_elem(&counts, &key);\nif (!v)\nreturn 1;\n"
        "unsigned int slot = ctx->rx_queue_index;\nv->items[slot] = 1;\nreturn 2;",
        "v->items[slot] = 1;",
        ("slot", "15", "rx_queue_index"),
        "slot > 15",
    ),
    "packet-bounds": (
        "unsigned char *data = (void *)(long)ctx->data;\nunsigned char *end = (void *)(long)ctx->data_end;\n"
        "if (data + 8 > end)\nreturn 1;\nreturn data[12] == 8 ? 2 : 1;",
        "return data[12] == 8 ? 2 : 1;",
        ("13 bytes", "8 bytes"),
        "data + 13 > data_end",
    ),
    "reference-leak": (
        "unsigned long *record = bpf_ringbuf_reserve(&ring, 8, 0);\nif (record)\n*record = 1;\nreturn 2;",
        "return 2;",
        ("bpf_ringbuf_reserve",),
        "bpf_ringbuf_submit(record, 0)",
    ),
}


@pytest.mark.parametrize("kind", C_CASES)
def test_what_bpftool_says_of_c(kind: str, tmp_path: Path) -> None:
    """A program in C, compiled by clang, refused through libbpf: explained in the words of the C text."""
    for tool in ("clang", "bpftool"):
        if shutil.which(tool) is None:
            raise NotSupported(tool, "installing it")
    body, line, words, fix = C_CASES[kind]
    source = tmp_path / "prog.c"
    source.write_text(f"{C_HEAD}{body}\n}}\n")
    include = f"-I/usr/include/{Path('/usr/include').glob('*-linux-gnu').__next__().name}"
    subprocess.run(
        ["clang", "-O2", "-g", "-target", "bpf", include, "-c", "prog.c", "-o", "prog.o"], cwd=tmp_path, check=True
    )
    pin = Path("/sys/fs/bpf") / f"cygnet_{kind.replace('-', '_')}"
    done = subprocess.run(
        ["bpftool", "prog", "load", str(tmp_path / "prog.o"), str(pin)], capture_output=True, text=True, check=False
    )
    pin.unlink(missing_ok=True)
    assert done.returncode != 0
    (section,) = sections(done.stdout + done.stderr)
    assert section.program == "prog"
    found = of_log(section.lines, About("xdp"))
    assert found is not None
    assert found.kind == kind
    assert found.place is not None
    assert (found.place.file, found.place.text) == ("prog.c", line)
    assert source.read_text().splitlines()[found.place.line - 1] == line
    told = " ".join([found.reason, *[note.text for note in found.path]])
    assert not [word for word in words if word not in told]
    assert fix in "\n".join(found.fix)


def test_a_sample_of_the_corpus() -> None:
    """Where both verifiers say the same, both explanations name the same class and instruction."""
    cases = list(corpus.read())
    random.Random(5).shuffle(cases)
    types = Btf.kernel()
    compared, differ = 0, []
    with Judge() as judge:
        for case in cases[:250]:
            spec = corpus._Build(case, types).spec()
            error = cygnet.verify(spec, kernel_btf=types).error
            opinion = judge.load(spec)
            if (
                error is None
                or opinion.accepted is not False
                or opinion.reason != error.reason.splitlines()[-1].strip()
            ):
                continue
            found = sections(opinion.log)
            theirs = of_log(found[0].lines, About(program_type(spec.type).name)) if found else None
            ours = error.explanation
            compared += 1
            if theirs is None or theirs.kind != ours.kind or theirs.insn not in (None, ours.insn):
                differ.append((case.name, ours, theirs, opinion.log))
    assert not differ
    assert compared > 80


def test_a_refused_load_is_explained() -> None:
    """What `cygnet trace` would print when the kernel refuses what the compiler made: in the words of the program."""
    text = "tracepoint:syscalls:sys_enter_read { @n[pid] = $value + 1 }"
    place = text.index("$value")
    code = assemble("*(u32 *)(r10 -4) = 0\nr2 = r10\nr2 += -4\nr1 = 0 ll\ncall 1\nr1 = *(u64 *)(r0 +0)\nr0 = 0\nexit\n")
    program = ProgramSpec(
        "probe",
        bpf.BPF_PROG_TYPE_TRACEPOINT,
        encode(code),
        (Reloc(3, "map", "n", "imm64"),),
        (FuncInfo(0, "probe", "main"),),
        (LineInfo(0, 1, 1, text, 0, len(text)), LineInfo(6, 1, place + 1, "$value", place, place + 6)),
        source="stdin",
    )
    spec = ObjectSpec((program,), (MapSpec("n", bpf.BPF_MAP_TYPE_HASH, 4, 8, 16),))
    with pytest.raises(KernelVerifierError) as caught:
        kernel_runtime(spec, source=Source("stdin", text)).close()
    shown = render(caught.value)
    assert text in shown
    assert " " * place + "~" * len("$value") in shown
    assert "NULL" in shown and "`n`" in shown and "bpf_map_lookup_elem" in shown
    assert caught.value.explanation.kind == "null-check"
    assert "if ($value != 0)" in caught.value.explanation.fix[0]
