"""Probes on this machine: what we list is what bpftrace lists, and what we attach fires."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cygnet.errors import NotSupported, ProbeError
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.kernel.target import LiveTarget
from cygnet.loader.runtime import kernel_runtime
from cygnet.probes import point
from cygnet.probes.hardware import EVENTS
from cygnet.probes.listing import list_probes
from cygnet.probes.model import Match, Options, Part
from cygnet.spec.objects import MapSpec, ObjectSpec, ProgramSpec
from cygnet.spec.relocs import Reloc
from cygnet.uapi import bpf

SOURCE_A = """
static int __attribute__((noinline)) twin(int x) { __asm__ volatile(""); return x + 1; }
int __attribute__((noinline)) only_here(int x) { __asm__ volatile(""); return twin(x); }
extern int other(int);
int main(void) { for (int i = 0; i < 10; i++) other(only_here(i)); return 0; }
"""
SOURCE_B = """
static int __attribute__((noinline)) twin(int x) { __asm__ volatile(""); return x + 2; }
int __attribute__((noinline)) other(int x) { __asm__ volatile(""); return twin(x) + twin(x); }
"""


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with two functions called twin, which run 10 and 20 times."""
    compiler = next(filter(None, map(shutil.which, ("cc", "clang", "gcc"))), None)
    if compiler is None:
        raise NotSupported("compiling a C program", "cc or clang")
    folder = tmp_path_factory.mktemp("binary")
    for name, text in (("a.c", SOURCE_A), ("b.c", SOURCE_B)):
        (folder / name).write_text(text)
    subprocess.run([compiler, "-O1", "-o", "twins", "a.c", "b.c"], cwd=folder, check=True)
    return folder / "twins"


def expand(text: str, **options: object) -> list[Match]:
    return point.expand(point.parse_text(text), LiveTarget(), Options(**options))  # type: ignore[arg-type]


def fired(match: Match, command: list[str | Path]) -> int:
    """How often a match's probe fires while a command runs; counted atomically, for all processes."""
    text = "r1 = 0 ll\nr2 = 1\nlock *(u64 *)(r1 +0) += r2\nr0 = 0\nexit"
    program = ProgramSpec("count", match.prog_type, encode(assemble(text)), (Reloc(0, "map_value", "n", "imm64", 0),))
    spec = ObjectSpec((program,), (MapSpec("n", bpf.BPF_MAP_TYPE_ARRAY, 4, 8, 1),), match.links("count"))
    with kernel_runtime(spec) as runtime:
        assert runtime.attach_all() == len(match.targets)
        subprocess.run(command, check=True)
        value = runtime.map("n").lookup(bytes(4))
    return int(struct.unpack("Q", value or b"")[0])


# ── uprobes ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_name_with_two_addresses(binary: Path) -> None:
    (match,) = expand(f"uprobe:{binary}:twin")
    assert match.probe == f"uprobe:{binary}:twin" and len(match.targets) == 2
    assert fired(match, [binary]) == 30
    assert match.preemptible and match.space == "user" and match.context == "regs"


def test_return_offset_and_address(binary: Path) -> None:
    (match,) = expand(f"ur:{binary}:only_here")
    assert match.targets[0]["ret"] and fired(match, [binary]) == 10
    nm = subprocess.run(["nm", binary], capture_output=True, text=True, check=True).stdout
    address = next(int(line.split()[0], 16) for line in nm.splitlines() if line.endswith(" other"))
    (match,) = expand(f"uprobe:{binary}:{address:#x}")
    assert match.targets == expand(f"uprobe:{binary}:other")[0].targets
    assert fired(match, [binary]) == 10
    with pytest.raises(ProbeError, match="outside of only_here, which has"):
        expand(f"uprobe:{binary}:only_here+40")
    offset = expand(f"uprobe:{binary}:only_here+40", unsafe=True)[0].targets[0]["offset"]
    assert offset == expand(f"uprobe:{binary}:only_here")[0].targets[0]["offset"] + 40


def test_where_instructions_begin(binary: Path) -> None:
    """Every byte of a function: objdump's addresses are taken, the others refused, and both neighbours named."""
    listing = subprocess.run(
        ["objdump", "-d", "--disassemble=main", binary], capture_output=True, text=True, check=True
    ).stdout
    begins = [int(number, 16) for number in re.findall(r"^ +([0-9a-f]+):\t[0-9a-f]{2} [^\n]*\t", listing, re.M)]
    start, size = begins[0], begins[-1] - begins[0]
    offsets = {address - start for address in begins}
    assert len(begins) > 5 and len(offsets) < size
    for offset in range(1, size):
        text, place = f"uprobe:{binary}:main+{offset}", f"uprobe:{binary}:{start + offset:#x}"
        if offset in offsets:
            assert expand(text)[0].targets == expand(place)[0].targets
            continue
        before, after = max(one for one in offsets if one < offset), min(one for one in offsets if one > offset)
        here = f"main+{before}" if before else "main"
        for written in (text, place):
            with pytest.raises(ProbeError, match=rf"main\+{offset} is inside of an instruction") as caught:
                expand(written)
            assert caught.value.hints[0] == f"instructions begin at {here} and main+{after}"
            assert expand(written, unsafe=True)


def test_wildcards(binary: Path) -> None:
    found = expand(f"uprobe:{binary}:o*e*")
    assert [match.func for match in found] == ["only_here", "other"]
    assert [match.func for match in expand(f"uprobe:{binary.parent}/tw*:main")] == ["main"]


def test_relative_and_searched_names(binary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(binary.parent)
    assert expand("uprobe:./twins:main")[0].targets[0]["path"] == "./twins"
    monkeypatch.setenv("PATH", str(binary.parent))
    assert expand("uprobe:twins:main")[0].targets[0]["path"] == str(binary)
    assert os.path.basename(expand("uprobe:libc:malloc")[0].targets[0]["path"]).startswith("libc")


def test_without_a_binary(binary: Path) -> None:
    with pytest.raises(ProbeError, match="names no binary"):
        expand("uprobe:main")
    (match,) = expand("uprobe:_start", pid=os.getpid())
    assert match.targets[0]["path"] == os.path.realpath("/proc/self/exe") and match.targets[0]["pid"] == os.getpid()


def test_what_cannot_be_found(binary: Path, tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="there is no function only_her in") as caught:
        expand(f"uprobe:{binary}:only_her")
    assert caught.value.hints == (f"did you mean uprobe:{binary}:only_here?",)
    with pytest.raises(ProbeError, match="there is no file"):
        expand(f"uprobe:{binary}x:main")
    with pytest.raises(ProbeError, match="is not a file"):
        expand(f"uprobe:{binary.parent}/:main")
    with pytest.raises(ProbeError, match="no library of that name"):
        expand("uprobe:no_such_thing:main")
    text = tmp_path / "text"
    text.write_text("no ELF")
    with pytest.raises(ProbeError, match="is not a program or library"):
        expand(f"uprobe:{text}:main")
    stripped = tmp_path / "stripped"
    subprocess.run(["strip", "-o", stripped, binary], check=True)
    with pytest.raises(ProbeError, match="there is no function only_here") as caught:
        expand(f"uprobe:{stripped}:only_here")
    with pytest.raises(ProbeError, match="cannot tell what process"):
        expand("uprobe:main", pid=1 << 22)
    with pytest.raises(ProbeError, match="is not in a loaded part"):
        expand(f"uprobe:{binary}:0x7fffffff")


CPP = """
namespace ns {
int __attribute__((noinline)) f(int x) { __asm__ volatile(""); return x; }
int __attribute__((noinline)) f(char const *) { __asm__ volatile(""); return 1; }
template <class T> int __attribute__((noinline)) make(T x) { __asm__ volatile(""); return sizeof x; }
struct Thing { int __attribute__((noinline)) operator()(int x) const { __asm__ volatile(""); return x; } };
}
int main() { ns::f(1); ns::f("x"); ns::f("y"); ns::make(3L); return ns::Thing()(0); }
"""


def test_cpp_names(tmp_path: Path) -> None:
    compiler = next(filter(None, map(shutil.which, ("c++", "clang++", "g++"))), None)
    if compiler is None:
        raise NotSupported("compiling a C++ program", "c++ or clang++")
    (tmp_path / "x.cc").write_text(CPP)
    subprocess.run([compiler, "-O1", "-o", "x", "x.cc"], cwd=tmp_path, check=True)
    binary = tmp_path / "x"

    def names(text: str) -> list[str]:
        part = [Part("uprobe"), Part(str(binary)), Part("cpp"), Part(text, quoted=True)]
        return [match.func for match in point.expand(point.parse_parts(part, None), LiveTarget())]

    assert names("ns::f") == ["ns::f(char const*)", "ns::f(int)"]
    assert names("ns::f(int)") == ["ns::f(int)"]
    assert names("ns::make*") == ["int ns::make<long>(long)"]
    assert names("ns::Thing::operator()") == ["ns::Thing::operator()(int) const"]
    assert names("*::f") == names("ns::f") and len(names("ns::*")) == 4
    with pytest.raises(ProbeError, match=r"no C\+\+ function of .* matches ns::g"):
        names("ns::g")
    part = [Part("u"), Part(str(binary)), Part("cpp"), Part("ns::f(char const*)", quoted=True)]
    (match,) = point.expand(point.parse_parts(part, None), LiveTarget())
    assert match.probe == f'uprobe:{binary}:cpp:"ns::f(char const*)"'
    assert fired(match, [binary]) == 2


# ── the kernel's own ─────────────────────────────────────────────────────────────────────────────────────


def test_other_kinds_fire() -> None:
    command: list[str | Path] = ["/bin/sh", "-c", "exit 0"]
    for text in ("tracepoint:sched:sched_process_exec", "rawtracepoint:sched_process_exec", "software:page-faults:1"):
        (match,) = expand(text)
        assert fired(match, command) >= 1, text
    for text in ("interval:ms:1", "profile:hz:999"):
        (match,) = expand(text)
        assert fired(match, ["/bin/sh", "-c", "sleep 0.2"]) >= 2, text


def test_missing_on_this_kernel() -> None:
    with pytest.raises(ProbeError) as caught:
        expand("tracepoint:syscalls:sys_enter_opanat")
    assert caught.value.hints == ("did you mean tracepoint:syscalls:sys_enter_openat?",)
    with pytest.raises(ProbeError) as caught:
        expand("rt:sched_swich")
    assert caught.value.hints == ("did you mean rawtracepoint:sched_switch?",)


def test_raw_arguments_have_names() -> None:
    names = [arg.name for arg in expand("rt:sched_process_exec")[0].arguments(LiveTarget())]
    assert names == ["p", "old_pid", "bprm"]


# ── listing, against the peer ────────────────────────────────────────────────────────────────────────────


def peer(*arguments: str) -> list[str]:
    if shutil.which("bpftrace") is None:
        raise NotSupported("comparison with bpftrace", "bpftrace")
    return subprocess.run(["bpftrace", *arguments], capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize(
    "pattern", ["tracepoint:*", "tracepoint:sched:sched_s*", "uprobe:/bin/bash:*", "uprobe:libc:mallo*"]
)
def test_lists_what_bpftrace_lists(pattern: str) -> None:
    assert list(list_probes(pattern, LiveTarget())) == peer("-l", pattern)


def test_lists_the_events_of_a_program_without_their_counts(capsys: pytest.CaptureFixture[str]) -> None:
    from cygnet.cli.trace import main

    text = "software:faults:7 { } interval:ms:20, profile:hz:9, p:5ms { } tracepoint:sched:sched_switch { } begin { }"
    assert main(["-l", "-e", text]) == 0
    assert capsys.readouterr().out.split() == [
        "software:faults:", "interval:ms:", "profile:hz:", "profile:5ms", "tracepoint:sched:sched_switch", "begin",
    ]  # fmt: skip


def test_lists_fields_as_bpftrace_does() -> None:
    assert list(list_probes("tracepoint:*", LiveTarget(), True)) == peer("-lv", "tracepoint:*")


NAMES = r"""
#include <unistd.h>
__attribute__((noinline)) int cpp(int x) __asm__("_ZN3geo6squareEi");
int cpp(int x) { __asm__ volatile(""); return x * x; }
__attribute__((noinline)) int rust(int x) __asm__("_RNvNtCs1234_5crate3geo4cube");
int rust(int x) { __asm__ volatile(""); return x * x * x; }
__attribute__((noinline)) int older(int x) __asm__("_ZN3geo4half17h0123456789abcdefE");
int older(int x) { __asm__ volatile(""); return x / 2; }
int main(void) { char c; cpp(1); rust(2); older(3); return (int)read(0, &c, 1); }
"""


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with names of three compilers."""
    folder = tmp_path_factory.mktemp("names")
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        raise NotSupported("compiling a C program", "cc or clang")
    (folder / "named.c").write_text(NAMES)
    subprocess.run([compiler, "-O1", "-o", "named", "named.c"], cwd=folder, check=True)
    return folder / "named"


def test_lists_names_as_their_authors_wrote_them(named: Path) -> None:
    assert list(list_probes(f"uprobe:{named}:cpp:geo::s*", LiveTarget())) == [f'uprobe:{named}:cpp:"geo::square(int)"']
    assert list(list_probes(f"uprobe:{named}:rust:*", LiveTarget())) == [
        f'uprobe:{named}:rust:"crate::geo::cube"', f'uprobe:{named}:rust:"geo::half"',
    ]  # fmt: skip
    for name in ("crate::geo::cube", "geo::half"):
        parts = [Part(text, quoted=text == name) for text in ("uprobe", str(named), "rust", name)]
        (match,) = point.expand(point.parse_parts(parts, None), LiveTarget())
        assert match.probe == f'uprobe:{named}:rust:"{name}"' and fired(match, ["sh", "-c", f"{named} </dev/null"]) == 1


def test_places_that_are_no_code(named: Path, tmp_path: Path) -> None:
    """A symbol of unknown size, and an address of data: refused, unless it is --unsafe."""
    odd = tmp_path / "odd"
    shutil.copy(named, odd)
    table = subprocess.run(["nm", "-S", odd], capture_output=True, text=True, check=True).stdout
    assert re.search(r"^\w+ \w _init$", table, re.M)  # four columns where there is a size
    data = re.findall(r"^(\w+) \w+ R _IO_stdin_used$", table, re.M)[0]
    for place, why in (("_init", "_init has size 0"), (f"0x{data}", "there is no code at")):
        with pytest.raises(ProbeError, match=why) as caught:
            expand(f"uprobe:{odd}:{place}")
        assert "--unsafe" in caught.value.hints[0]
        assert len(expand(f"uprobe:{odd}:{place}", unsafe=True)[0].targets) == 1


def test_lists_what_a_process_has(named: Path) -> None:
    process = subprocess.Popen([named], stdin=subprocess.PIPE)
    try:
        while "libc.so" not in Path(f"/proc/{process.pid}/maps").read_text():
            time.sleep(0.01)  # the dynamic linker is not done
        mine = set(list_probes(None, LiveTarget(), pid=process.pid))
        assert f"uprobe:{named}:main" in mine and any("libc.so" in name for name in mine)
        assert {name.partition(":")[0] for name in mine} <= {"uprobe", "usdt"}
        assert list(list_probes("uprobe:mai*", LiveTarget(), pid=process.pid)) == [f"uprobe:{named}:main"]
        only = {name.split(":")[1] for name in list_probes("*:*:_init", LiveTarget(), pid=process.pid)}
        assert only == {str(named)}
    finally:
        process.communicate()


@pytest.mark.parametrize("kind", ["kprobe", "kretprobe", "fentry"])
def test_functions_that_the_kernel_has_not(kind: str) -> None:
    """Told when the program is compiled, whatever this kernel can probe."""
    with pytest.raises(ProbeError, match="the kernel has no function vfs_raed, or has inlined it") as caught:
        expand(f"{kind}:vfs_raed")
    assert caught.value.hints == (f"did you mean {kind}:vfs_read?",)
    with pytest.raises(ProbeError, match="the kernel has no function no_such_function_at_all"):
        expand(f"{kind}:no_such_function_at_all")


def test_hardware_events_are_compiled_and_loaded() -> None:
    """All of them, whether the machine has counters or not; to attach needs one."""
    events = list(EVENTS)
    assert "cpu-cycles" in events and "branch-misses" in events
    script = " ".join(f"hardware:{event}:1000 {{ @[comm] = count(); }}" for event in events)
    entry = "import sys; from cygnet.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", entry, "trace", "--dry-run", "-e", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
