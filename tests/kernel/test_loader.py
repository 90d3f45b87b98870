"""The loader on the live kernel: hand-assembled specs, so that nothing above the waist is involved."""

from __future__ import annotations

import ctypes
import json
import os
import struct
import subprocess
from collections.abc import Iterator

import pytest

from cygnet.errors import KernelVerifierError, ProbeError, RelocationError, SystemCallError
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.kernel import objects
from cygnet.loader.runtime import KernelRuntime, kernel_runtime
from cygnet.source import Source
from cygnet.spec.objects import FuncInfo, LineInfo, LinkSpec, MapSpec, ObjectSpec, ProgramSpec
from cygnet.spec.relocs import Reloc
from cygnet.uapi import bpf

HELPERS = {"lookup": 1, "reserve": 131, "submit": 132, "pid_tgid": 14, "loop": 181, "ringbuf_output": 130}
COUNTS = MapSpec("counts", bpf.BPF_MAP_TYPE_ARRAY, 4, 32, 1)
RING = MapSpec("ring", bpf.BPF_MAP_TYPE_RINGBUF, 0, 0, 1 << 16)


def open_fds() -> set[str]:
    """BPF and perf descriptors of this process: what a runtime could leave behind."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        if name.startswith("anon_inode:"):
            found.add(f"{fd} {name}")
    return found


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = open_fds()
    yield
    assert open_fds() == before


def code(text: str) -> bytes:
    return encode(assemble(text, HELPERS.get))


def count_program(name: str, slot: int, type: int, **more: object) -> ProgramSpec:
    """Adds 1 to counts[slot] through a MAP_VALUE relocation, for calls from this process only."""
    text = f"""
        call pid_tgid
        r0 >>= 32
        if r0 != {os.getpid()} goto out
        r1 = 0 ll
        r2 = 1
        lock *(u64 *)(r1 +0) += r2
    out:
        r0 = 0
        exit
    """
    return ProgramSpec(name, type, code(text), (Reloc(3, "map_value", "counts", "imm64", 8 * slot),), **more)  # type: ignore[arg-type]


def counts(runtime: KernelRuntime) -> list[int]:
    return list(struct.unpack("4Q", runtime.map("counts").lookup(bytes(4)) or b""))


# ── programs, maps and events ────────────────────────────────────────────────────────────────────────────


def test_map_and_ring_through_a_tracepoint() -> None:
    """A field of the record (TP_FIELD) of our own system calls goes through the ring."""
    text = f"""
        r6 = r1
        call pid_tgid
        r0 >>= 32
        if r0 != {os.getpid()} goto out
        r1 = 0 ll
        r2 = 8
        r3 = 0
        call reserve
        if r0 == 0 goto out
        r1 = *(u64 *)(r6 +0)
        *(u64 *)(r0 +0) = r1
        r1 = r0
        r2 = 0
        call submit
    out:
        r0 = 0
        exit
    """
    relocs = (
        Reloc(4, "map", "ring", "imm64"),
        Reloc(10, "tp_field", "syscalls:sys_enter_dup3", "off", ("oldfd", 8, False)),
    )
    program = ProgramSpec("seen", bpf.BPF_PROG_TYPE_TRACEPOINT, code(text), relocs)
    link = LinkSpec(
        "seen", "tracepoint", {"subsys": "syscalls", "event": "sys_enter_dup3"}, "tracepoint:syscalls:sys_enter_dup3"
    )
    libc = ctypes.CDLL(None)
    with kernel_runtime(ObjectSpec((program,), (RING,), (link,))) as runtime:
        assert runtime.attach_all() == 1
        for number in (901, 902, 903):
            libc.dup3(number, number, 0)  # refused by the kernel, after the tracepoint
        ring = runtime.events("ring")
        batch = ring.read_batch()
        assert batch is not None and batch.stride == 16
        assert [struct.unpack_from("Q", batch.view, at)[0] for at, _ in batch.records()] == [901, 902, 903]
        end = batch.end
        del batch
        ring.consume(end)
        runtime.detach_all()
        libc.dup3(904, 904, 0)
        assert ring.read_batch() is None


def test_run_by_test_run() -> None:
    program = count_program("begin", 2, bpf.BPF_PROG_TYPE_RAW_TRACEPOINT)
    link = LinkSpec("begin", "begin", {}, "begin")
    with kernel_runtime(ObjectSpec((program,), (COUNTS,), (link,))) as runtime:
        assert runtime.attach_all() == 0
        assert runtime.run("begin") == 0
        assert runtime.run(program) == 0
        assert counts(runtime) == [0, 0, 2, 0]


def test_session_numbers_and_statistics() -> None:
    program = ProgramSpec(
        "answer",
        bpf.BPF_PROG_TYPE_RAW_TRACEPOINT,
        code("r0 = 0 ll\nexit"),
        (Reloc(0, "session", "start_ns", "imm64"),),
    )
    with kernel_runtime(ObjectSpec((program,)), session={"start_ns": 0x7ABCDEF012345678}) as runtime:
        runtime.count_run_time()
        assert runtime.run("answer") == 0x12345678
        (row,) = runtime.stats()
        assert row.name == "answer" and row.run_cnt == 1 and row.run_time_ns > 0 and row.recursion_misses == 0


def test_bpftool_sees_lines_and_names() -> None:
    """bpftool, as an independent witness, prints our source lines beside the kernel's instructions."""
    lines = (LineInfo(0, 1, 1, "begin {", 0, 7), LineInfo(1, 2, 3, "  exit()", 10, 16))
    program = ProgramSpec(
        "witness",
        bpf.BPF_PROG_TYPE_RAW_TRACEPOINT,
        code("r0 = 7\nexit"),
        functions=(FuncInfo(0, "begin:1", "main"),),
        lines=lines,
        source="answer.bt",
    )
    with kernel_runtime(ObjectSpec((program,))) as runtime:
        assert not runtime.notes
        number = runtime.program("witness").id
        out = subprocess.run(
            ["bpftool", "-j", "prog", "dump", "xlated", "id", str(number), "linum"], capture_output=True, check=True
        )
        dump = json.loads(out.stdout)
        assert [row.get("src") for row in dump] == ["begin {", "exit()"]
        assert [(row["line_num"], row["line_col"], row["file"]) for row in dump] == [
            (1, 1, "answer.bt"),
            (2, 3, "answer.bt"),
        ]
        assert "begin_1" in dump[0]["proto"]


def test_callback_gets_its_function_info() -> None:
    """bpf_loop takes a static function, which the kernel accepts only with BTF."""
    text = """
        r1 = 5
        r2 = subprog[body]
        r3 = 0
        r4 = 0
        call loop
        exit
    body:
        r0 = 0
        exit
    """
    insns = code(text)
    program = ProgramSpec(
        "loops",
        bpf.BPF_PROG_TYPE_RAW_TRACEPOINT,
        insns,
        functions=(FuncInfo(0, "loops", "main"), FuncInfo(7, "body", "callback")),
        lines=(LineInfo(0, 1, 1, "for", 0, 3), LineInfo(8, 1, 5, "return", 0, 3)),
        source="x.bt",
    )
    with kernel_runtime(ObjectSpec((program,))) as runtime:
        assert runtime.run("loops") == 5


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────

BAD = "r0 = 0\nr1 = 0\nr2 = *(u64 *)(r1 +0)\nexit"


def bad_program() -> ProgramSpec:
    lines = (
        LineInfo(0, 1, 1, "begin {", 0, 7),
        LineInfo(1, 2, 3, "  $p = 0;", 10, 16),
        LineInfo(2, 3, 3, "  *$p }", 20, 23),
    )
    functions = (FuncInfo(0, "begin", "main"),)
    return ProgramSpec(
        "bad", bpf.BPF_PROG_TYPE_RAW_TRACEPOINT, code(BAD), functions=functions, lines=lines, source="bad.bt"
    )


def test_rejection_points_at_the_line() -> None:
    source = Source("bad.bt", "begin {\n  $p = 0;\n  *$p }")
    with pytest.raises(KernelVerifierError) as caught:
        kernel_runtime(ObjectSpec((bad_program(),)), source=source)
    error = caught.value
    assert error.insn == 2
    assert error.span is not None and str(error.span).startswith("bad.bt:3:3-")
    assert "R1 invalid mem access" in str(error)
    assert "*$p }" in error.log  # the kernel quotes the line itself: BTF line info reached it


def test_rejection_without_the_text() -> None:
    with pytest.raises(KernelVerifierError) as caught:
        kernel_runtime(ObjectSpec((bad_program(),)))
    assert caught.value.span is None
    place, reason, _remedy = caught.value.hints
    assert place == "bad.bt:3:3: *$p }"
    assert "a number is used as a pointer" in reason and "`$p = 0;`" in reason


def test_map_that_cannot_be() -> None:
    bad = MapSpec("crooked", bpf.BPF_MAP_TYPE_RINGBUF, 0, 0, 1000)
    with pytest.raises(SystemCallError, match="crooked"):
        kernel_runtime(ObjectSpec(maps=(COUNTS, bad)))


def test_missing_places() -> None:
    program = count_program("lost", 0, bpf.BPF_PROG_TYPE_TRACEPOINT)
    good = LinkSpec(
        "lost", "tracepoint", {"subsys": "syscalls", "event": "sys_enter_dup3"}, "tracepoint:syscalls:sys_enter_dup3"
    )
    link = LinkSpec(
        "lost", "tracepoint", {"subsys": "syscalls", "event": "sys_enter_dupp"}, "tracepoint:syscalls:sys_enter_dupp"
    )
    with kernel_runtime(ObjectSpec((program,), (COUNTS,), (link, good))) as runtime:
        with pytest.raises(ProbeError, match="sys_enter_dupp"):
            runtime.attach_all()
        failures: list[str] = []
        assert runtime.attach_all(failed=lambda link, error: failures.append(link.probe)) == 1
        assert failures == ["tracepoint:syscalls:sys_enter_dupp"]


def test_field_of_another_size() -> None:
    reloc = Reloc(0, "tp_field", "sched:sched_switch", "off", ("prev_pid", 8, True))
    program = ProgramSpec("sized", bpf.BPF_PROG_TYPE_TRACEPOINT, code("r0 = *(u64 *)(r1 +0)\nexit"), (reloc,))
    with pytest.raises(RelocationError, match=r"prev_pid of tracepoint sched:sched_switch has 4 bytes here.* for 8"):
        kernel_runtime(ObjectSpec((program,)))


# ── kernel types ─────────────────────────────────────────────────────────────────────────────────────────


def test_core_offsets_agree_with_bpftool() -> None:
    """task_struct.tgid by our CO-RE, read through the trusted pointer, is our own pid."""
    text = """
        call pid_tgid
        r6 = r0
        r6 >>= 32
        call bpf_get_current_task_btf#158
        r0 = *(u32 *)(r0 +0)
        if r0 == r6 goto same
        r0 = 0
        exit
    same:
        r0 = 1
        exit
    """
    relocs = (Reloc(4, "core", "struct task_struct", "off", ("offset", "tgid", (4, True))),)
    program = ProgramSpec("tgid", bpf.BPF_PROG_TYPE_RAW_TRACEPOINT, code(text), relocs)
    with kernel_runtime(ObjectSpec((program,))) as runtime:
        assert runtime.run("tgid") == 1


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (("exists", "tgid", None), 1),
        (("exists", "no_such_member", None), 0),
        (("size", "comm", None), 16),
        (("exists", "", None), 1),
    ],
)
def test_core_numbers(data: tuple[str, str, object], value: int) -> None:
    relocs = (Reloc(0, "core", "task_struct", "imm", data),)
    program = ProgramSpec("number", bpf.BPF_PROG_TYPE_RAW_TRACEPOINT, code("r0 = 99\nexit"), relocs)
    with kernel_runtime(ObjectSpec((program,))) as runtime:
        assert runtime.run("number") == value


def test_kernel_symbol_address() -> None:
    with open("/proc/kallsyms") as file:
        lines = [line.split() for line in file]
    known = next(int(row[0], 16) for row in lines if row[2] == "_stext")
    program = ProgramSpec(
        "sym",
        bpf.BPF_PROG_TYPE_RAW_TRACEPOINT,
        code("r0 = 0 ll\nr0 >>= 32\nexit"),
        (Reloc(0, "ksym", "_stext", "imm64"),),
    )
    if not known:
        with pytest.raises(RelocationError):
            kernel_runtime(ObjectSpec((program,)))
        return
    with kernel_runtime(ObjectSpec((program,))) as runtime:
        assert runtime.run("sym") == known >> 32


def test_kernel_function_call() -> None:
    text = "call pc+0\nr0 = 3\nexit"
    program = ProgramSpec(
        "kf",
        bpf.BPF_PROG_TYPE_RAW_TRACEPOINT,
        code(text),
        (Reloc(0, "kfunc", "bpf_rcu_read_lock", "call"), Reloc(1, "kfunc", "bpf_rcu_read_unlock", "call")),
    )
    insns = code("call pc+0\ncall pc+0\nr0 = 3\nexit")
    with kernel_runtime(ObjectSpec((program._replace(insns=insns),))) as runtime:
        assert runtime.run("kf") == 3


def test_begin_asks_nothing_of_the_system() -> None:
    """A program without relocations to the system must not open tracefs or the kernel's BTF."""

    class Closed:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(f"the target was asked for {name}")

    program = count_program("begin", 0, bpf.BPF_PROG_TYPE_RAW_TRACEPOINT, functions=(FuncInfo(0, "begin", "main"),))
    spec = ObjectSpec((program,), (COUNTS,), (LinkSpec("begin", "begin", {}, "begin"),))
    with kernel_runtime(spec, target=Closed()) as runtime:  # type: ignore[arg-type]
        runtime.attach_all()
        runtime.run("begin")
        assert counts(runtime)[0] == 1


def test_ids_are_gone_after_close() -> None:
    program = count_program("gone", 0, bpf.BPF_PROG_TYPE_RAW_TRACEPOINT)
    with kernel_runtime(ObjectSpec((program,), (COUNTS,))) as runtime:
        prog_id, map_id = runtime.program("gone").id, objects.map_info(runtime.map("counts").fd).id
        assert prog_id in set(objects.ids("prog")) and map_id in set(objects.ids("map"))
    runtime.close()
    assert map_id not in set(objects.ids("map")) or prog_id not in set(objects.ids("prog"))


# ── many at once ─────────────────────────────────────────────────────────────────────────────────────────


def uprobe_links(program: str, names: list[str], ret: bool = False) -> list[LinkSpec]:
    from cygnet.elf import Elf

    with open("/proc/self/maps") as maps:  # the C library that this process has mapped
        path = next(line.split()[-1] for line in maps if "libc.so" in line or "/libc-" in line or "musl" in line)
    with Elf.open(path) as elf:
        symbols = [elf.symbol(name) for name in names]
        offsets = [elf.file_offset(symbol.value) for symbol in symbols if symbol is not None]
    return [
        LinkSpec(
            program, "uprobe", {"path": path, "offset": offset, "ret": ret, "pid": os.getpid()}, f"uprobe:{path}:{name}"
        )
        for offset, name in zip(offsets, names, strict=True)
    ]


def test_uprobes_of_one_program_share_a_link() -> None:
    names = ["getppid", "getpgrp", "getuid", "geteuid", "getgid"]
    program = count_program("many", 1, bpf.BPF_PROG_TYPE_KPROBE)
    links = uprobe_links("many", names)
    libc = ctypes.CDLL(None)
    steps: list[tuple[int, int]] = []
    with kernel_runtime(ObjectSpec((program,), (COUNTS,), tuple(links))) as runtime:
        assert runtime.attach_all(progress=lambda done, total: steps.append((done, total))) == len(names)
        before = counts(runtime)[1]
        for _ in range(100):
            libc.getppid()
        assert counts(runtime)[1] == before + 100
        kinds = [objects.link_info(fd).type for attachment in runtime._attachments for fd in attachment.fds]
        if kinds == [bpf.BPF_LINK_TYPE_UPROBE_MULTI]:
            assert steps == [(5, 5)]
        else:
            assert len(kinds) == 5 and steps[-1] == (5, 5)


def test_order_in_which_programs_at_one_place_run() -> None:
    """Each program notes in its word how many ran before it: in the order attached, but uprobes the other way round."""

    def ordinal(name: str, slot: int, type: int) -> ProgramSpec:
        text = f"""
            call pid_tgid
            r0 >>= 32
            if r0 != {os.getpid()} goto out
            r1 = 0 ll
            r2 = 1
            r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)
            *(u64 *)(r1 +{8 * slot}) = r2
        out:
            r0 = 0
            exit
        """
        return ProgramSpec(name, type, code(text), (Reloc(3, "map_value", "counts", "imm64", 0),))

    libc = ctypes.CDLL(None)
    kinds = [
        (
            "tracepoint",
            bpf.BPF_PROG_TYPE_TRACEPOINT,
            {"subsys": "syscalls", "event": "sys_enter_dup3"},
            lambda: libc.dup3(900, 900, 0),
        ),
        (
            "raw_tracepoint",
            bpf.BPF_PROG_TYPE_RAW_TRACEPOINT,
            {"event": "sys_enter", "module": ""},
            lambda: libc.dup3(900, 900, 0),
        ),
        ("uprobe", bpf.BPF_PROG_TYPE_KPROBE, uprobe_links("", ["getppid"])[0].target, libc.getppid),
        ("uprobe", bpf.BPF_PROG_TYPE_KPROBE, uprobe_links("", ["getppid"], True)[0].target, libc.getppid),
    ]
    for kind, type, target, trigger in kinds:
        programs = tuple([ordinal(f"p{n}", n, type) for n in (1, 2, 3)])
        links = tuple([LinkSpec(program.name, kind, target, kind) for program in programs])
        with kernel_runtime(ObjectSpec(programs, (COUNTS,), links)) as runtime:
            runtime.attach_all()
            runtime.map("counts").update(bytes(4), bytes(32))
            trigger()
            total, *order = counts(runtime)
            assert total >= 3 and total % 3 == 0
            assert [value % 3 for value in order] == ([2, 1, 0] if kind == "uprobe" else [0, 1, 2]), kind
