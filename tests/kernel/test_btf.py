"""Our reading of the running kernel's BTF against bpftool's, and our own BTF against the kernel's checks."""

from __future__ import annotations

import ctypes
import os
import re
import struct
import subprocess
from pathlib import Path

import pytest
from tests.unit.btf.samples import sample

from cygnet.btf import kinds as k
from cygnet.btf import layout
from cygnet.btf.builder import Builder, ProgramInfo
from cygnet.btf.reader import KERNEL_PATH, Btf
from cygnet.btf.render import c_definition
from cygnet.errors import BtfError

HEAD = re.compile(r"\[(\d+)\] (\w+) '(.*?)'(.*)")
FIELD = re.compile(r"\t'(.*?)' (.*)")
NUMBER = re.compile(r"(\w+)=(-?\d+)")


@pytest.fixture(scope="module")
def kernel() -> Btf:
    return Btf.kernel(use_cache=False)


@pytest.fixture(scope="module")
def witness() -> list[tuple[int, str, str, dict[str, int], list[tuple[str, dict[str, int]]]]]:
    """bpftool's dump: (id, kind, name, numbers, fields with their numbers)."""
    text = subprocess.run(["bpftool", "btf", "dump", "file", KERNEL_PATH], capture_output=True, text=True, check=True)
    found = []
    for line in text.stdout.splitlines():
        if head := HEAD.match(line):
            number, kind, name, rest = head.groups()
            found.append((int(number), kind, "" if name == "(anon)" else name, numbers(rest), []))
        elif field := FIELD.match(line):
            found[-1][4].append(("" if field[1] == "(anon)" else field[1], numbers(field[2])))
    return found


def numbers(text: str) -> dict[str, int]:
    return {key: int(value) for key, value in NUMBER.findall(text)}


def test_every_type_is_where_bpftool_sees_it(kernel: Btf, witness) -> None:
    assert kernel.type_count == len(witness)
    for number, kind, name, said, _ in witness:
        of = kernel.type(number)
        assert (k.kind_name(of.kind), of.name) == (kind, name), number
        if "size" in said and kind != "ARRAY":
            assert of.size == said["size"], number
        if "type_id" in said:
            assert of.type_id == said["type_id"], number
        if "nr_elems" in said:
            assert of.nelems == said["nr_elems"], number


def test_every_member_and_parameter_is_where_bpftool_sees_it(kernel: Btf, witness) -> None:
    compared = 0
    for number, kind, _, _, fields in witness:
        if kind in ("STRUCT", "UNION"):
            ours = [(m.name, m.type_id, m.bit_offset, m.bitfield_size) for m in kernel.type(number).members]
            theirs = [(n, f["type_id"], f["bits_offset"], f.get("bitfield_size", 0)) for n, f in fields]
        elif kind in ("ENUM", "ENUM64"):
            ours = list(kernel.type(number).enumerators)  # type: ignore[arg-type]
            theirs = [(n, f["val"]) for n, f in fields]  # type: ignore[misc]
        elif kind == "FUNC_PROTO":
            ours = [(p.name, p.type_id) for p in kernel.type(number).params]  # type: ignore[misc]
            theirs = [(n, f.get("type_id", 0)) for n, f in fields]  # type: ignore[misc]
        else:
            continue
        assert ours == theirs, number
        compared += len(ours)
    assert compared > 10_000


def test_names_are_found_without_an_index(witness) -> None:
    """Each kind of a sample of names, by the search in the bytes, against the first that bpftool lists."""
    first: dict[tuple[str, str], int] = {}
    for number, kind, name, _, _ in witness:
        if name:
            first.setdefault((name, kind), number)
    names = list(first.items())
    for (name, kind), number in names[::499]:
        fresh = Btf.kernel(use_cache=False)
        found = fresh.find(name, k.KIND_NAMES.index(kind))
        assert found is not None and found.id == number, (name, kind)


def test_what_the_compiler_asks_first(kernel: Btf) -> None:
    task = kernel.find("task_struct", k.STRUCT)
    trace = kernel.find("btf_trace_sched_switch", k.TYPEDEF)
    assert task is not None and trace is not None
    assert kernel.size_of(layout.member_path(task, "comm").type) == 16
    assert layout.member_path(task, "comm[3]").byte_offset == layout.member_path(task, "comm").byte_offset + 3
    proto = kernel.resolve(trace).type
    assert proto.kind == k.FUNC_PROTO and kernel.resolve(proto.params[2].type_id).type is task
    assert kernel.find("no_such_thing_anywhere") is None


def test_the_cached_index_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: Btf) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Btf.kernel().save_index()
    warm = Btf.kernel()
    assert warm._cached is not None and warm.save_index()
    for name in ("task_struct", "u32", "bpf_cmd", "vfs_read", "no_such_thing"):
        ours, theirs = kernel.find(name), warm.find(name)
        assert (ours and (ours.id, ours.kind)) == (theirs and (theirs.id, theirs.kind))
    assert [t.id for t in warm.find_all("list")] == [t.id for t in kernel.find_all("list")]


SHOWN = ("task_struct", "file", "sk_buff", "sock", "mm_struct", "bpf_prog", "tcp_sock", "page", "inode", "net_device")


def test_definitions_read_as_bpftools(kernel: Btf) -> None:
    """Line by line, without the padding and attributes that bpftool adds to make a compiler lay things out so."""
    command = ["bpftool", "btf", "dump", "file", KERNEL_PATH, "format", "c"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in SHOWN:
        start = text.index(f"\nstruct {name} {{\n") + 1
        theirs = plain_lines(text[start : text.index("\n}", start) + 2])
        of = kernel.find(name, k.STRUCT)
        assert of is not None
        assert plain_lines(c_definition(of)) == theirs


def plain_lines(text: str) -> list[str]:
    lines = []
    for line in text.splitlines():
        line = re.sub(r" __attribute__\(\(.*?\)\)", "", line)
        if line.strip() and not re.fullmatch(r"\s*(long|int|short|char): \d+;", line):
            lines.append(line.replace("[0]", "[]").replace("(void)", "()").replace("* (*", "*(*").rstrip(";"))
    return lines


# -- our own BTF


class Bpf:
    """bpf(2), bare, so that these tests depend on no other room."""

    number = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
    libc = ctypes.CDLL(None, use_errno=True)

    def __call__(self, command: int, attributes: bytes) -> int:
        buffer = ctypes.create_string_buffer(attributes, len(attributes))
        result = self.libc.syscall(self.number, command, buffer, len(attributes))
        if result < 0:
            raise OSError(ctypes.get_errno(), f"bpf command {command}")
        return int(result)


def load_btf(data: bytes) -> int:
    log, blob = ctypes.create_string_buffer(1 << 16), ctypes.create_string_buffer(data, len(data))
    attributes = struct.pack("=QQIII", ctypes.addressof(blob), ctypes.addressof(log), len(data), 1 << 16, 1)
    try:
        return Bpf()(18, attributes)
    except OSError as error:
        pytest.fail(f"{error}: {log.value.decode()}")


def bpftool_dump(fd: int) -> str:
    info = ctypes.create_string_buffer(40)
    Bpf()(15, struct.pack("=IIQ", fd, 40, ctypes.addressof(info)))
    number = struct.unpack_from("=I", info.raw, 12)[0]
    return subprocess.run(
        ["bpftool", "btf", "dump", "id", str(number)], capture_output=True, text=True, check=True
    ).stdout


def test_the_kernel_takes_what_we_build() -> None:
    data = sample().to_bytes()
    fd = load_btf(data)
    try:
        text = bpftool_dump(fd)
    finally:
        os.close(fd)
    heads = [HEAD.match(line) for line in text.splitlines() if line.startswith("[")]
    ours = [(str(t.id), k.kind_name(t.kind), t.name or "(anon)") for t in Btf(data).types()]
    assert [head.groups()[:3] for head in heads if head] == ours
    assert "bits_offset=3 bitfield_size=5" in text
    assert "'BIG' val=1099511627776" in text and "'LOW' val=-1" in text


def test_the_kernel_takes_function_and_line_info() -> None:
    """A program of two functions, with our lines in the log of the verifier."""
    b = Builder()
    int32 = b.integer(4, True)
    main = b.func("main_prog", b.func_proto(int32, [("ctx", b.ptr(0))]), k.GLOBAL)
    helper = b.func("helper", b.func_proto(int32, [("n", int32)]), k.STATIC)
    info = ProgramInfo(b)
    info.func(0, main)
    info.func(3, helper)
    info.line(0, "prog.bt", "return helper(1);", 3, 5)
    info.line(3, "prog.bt", "n = n + 1;", 7, 1)
    insn = lambda op, regs, off, imm: struct.pack("=BBhi", op, regs, off, imm)  # noqa: E731
    code = insn(0xB7, 0x01, 0, 1) + insn(0x85, 0x10, 0, 1) + insn(0x95, 0, 0, 0)
    code += insn(0xBF, 0x10, 0, 0) + insn(0x07, 0x00, 0, 1) + insn(0x95, 0, 0, 0)
    btf_fd = load_btf(b.to_bytes())
    try:
        log = load_program(code, btf_fd, info)
    finally:
        os.close(btf_fd)
    assert "; return helper(1); @ prog.bt:3" in log and "; n = n + 1; @ prog.bt:7" in log


def load_program(code: bytes, btf_fd: int, info: ProgramInfo) -> str:
    keep = [ctypes.create_string_buffer(d, len(d)) for d in (code, b"GPL\0", info.func_info(), info.line_info())]
    insns, licence, funcs, lines = map(ctypes.addressof, keep)
    log = ctypes.create_string_buffer(1 << 16)
    attributes = struct.pack(
        "=IIQQIIQII16sIIIIQIIQI",
        *(1, len(code) // 8, insns, licence, 2, 1 << 16, ctypes.addressof(log), 0, 0, b"cygnet_btf", 0, 0),
        *(btf_fd, 8, funcs, len(info.func_info()) // 8, 16, lines, len(info.line_info()) // 16),
    )
    try:
        os.close(Bpf()(5, attributes))
    except OSError as error:
        pytest.fail(f"{error}: {log.value.decode()}")
    return log.value.decode()


def test_reading_past_the_end_is_refused(kernel: Btf) -> None:
    with pytest.raises(BtfError):
        kernel.type(kernel.type_count + 1)
    with pytest.raises(BtfError):
        kernel.string(1 << 30)
