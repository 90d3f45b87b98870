"""Symbols of processes, of ones that these tests start."""

from __future__ import annotations

import lzma
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cygnet.elf import Elf
from cygnet.errors import NotSupported
from cygnet.session.symbols import user as user_module
from cygnet.session.symbols.layout import only_binary, static_maps
from cygnet.session.symbols.maps import ProcessMaps
from cygnet.session.symbols.objects import MappedObject
from cygnet.session.symbols.perfmap import PerfMap, perf_map_path
from cygnet.session.symbols.user import UserSymbols
from cygnet.spec.objects import LinkSpec

SOURCE = r"""
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/auxv.h>
#include <unistd.h>
namespace pond { struct Swan { int glide(int x); }; }
__attribute__((noinline)) int pond::Swan::glide(int x) { return x + 1; }
extern "C" __attribute__((noinline)) int plain(int x) { return x * 2; }
int main() {
    pond::Swan swan;
    int (pond::Swan::*glide)(int) = &pond::Swan::glide;
    void *glide_at;
    memcpy(&glide_at, &glide, sizeof glide_at);
    void *jit = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("%p %p %p %p %p\n", (void *)plain, glide_at, (void *)getpid, jit, (void *)getauxval(AT_SYSINFO_EHDR));
    fflush(stdout);
    char c;
    return read(0, &c, 1) < 0 || plain(swan.glide(1)) == 0;
}
"""
NAMES = ("plain", "glide", "getpid", "jit", "vdso")


class Child:
    """A process that waits until `end`, and the addresses it told."""

    def __init__(self, *command: Path | str) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.addresses = dict(
            zip(NAMES, (int(word, 16) for word in self.process.stdout.readline().split()), strict=True)
        )
        self.pid = self.process.pid

    def end(self) -> None:
        self.process.communicate("x")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("symbols")
    (folder / "swan.cc").write_text(SOURCE)
    subprocess.run(["c++", "-O1", "-o", folder / "swan", folder / "swan.cc"], check=True)
    return folder / "swan"


@pytest.fixture
def child(program: Path) -> Iterator[Child]:
    child = Child(program)
    yield child
    child.end()


def test_functions_of_the_program_and_of_libraries(child: Child, program: Path) -> None:
    symbols = UserSymbols()
    at = child.addresses
    assert symbols.resolve(child.pid, at["plain"] + 1) == ("plain", 1, str(program))
    assert symbols.resolve(child.pid, at["glide"]) == ("pond::Swan::glide(int)", 0, str(program))
    name, distance, path = symbols.resolve(child.pid, at["getpid"] + 2) or ("", 0, "")
    assert (name, distance) == ("getpid", 2) and "libc" in path
    assert symbols.module(child.pid, at["plain"]) == str(program) and symbols.module(child.pid, 1) == ""
    assert symbols.resolve(child.pid, 1) is None and symbols.resolve(child.pid, at["jit"]) is None
    assert UserSymbols(demangle=False).resolve(child.pid, at["glide"]) == ("_ZN4pond4Swan5glideEi", 0, str(program))


def test_the_vdso(child: Child) -> None:
    symbols = UserSymbols()
    at = child.addresses["vdso"]
    with open(f"/proc/{child.pid}/mem", "rb", buffering=0) as memory:
        memory.seek(at)
        elf = Elf(memory.read(8192) or b"")
    function = elf.functions("*gettime*")[0]
    found = symbols.resolve(child.pid, at + function.value)
    assert found is not None and found[0].lstrip("_") == function.name.removeprefix("__vdso_").removeprefix("__kernel_")
    assert found[1:] == (0, "[vdso]")


def test_an_ended_process_that_was_remembered(program: Path) -> None:
    child, symbols = Child(program), UserSymbols()
    at = child.addresses
    assert symbols.remember(child.pid)
    child.end()
    assert symbols.resolve(child.pid, at["plain"]) == ("plain", 0, str(program))
    assert (symbols.resolve(child.pid, at["getpid"]) or ("",))[0] == "getpid"
    symbols.forget(child.pid)
    assert symbols.resolve(child.pid, at["plain"]) is None and not symbols.remember(child.pid)


@pytest.mark.parametrize("flags", [("-no-pie",), ("-pie", "-fPIE")])
def test_an_ended_process_that_was_never_looked_at(flags: tuple[str, ...], tmp_path: Path) -> None:
    """Without address randomisation a program lies where its file says; libraries and other programs do not."""
    (tmp_path / "swan.cc").write_text(SOURCE)
    subprocess.run(["c++", "-O1", *flags, "-o", tmp_path / "swan", tmp_path / "swan.cc"], check=True)
    child = Child("setarch", "-R", tmp_path / "swan")
    child.end()
    at = child.addresses
    assert UserSymbols().resolve(child.pid, at["plain"]) is None
    symbols = UserSymbols(layout=static_maps(str(tmp_path / "swan")))
    assert symbols.resolve(child.pid, at["plain"] + 1) == ("plain", 1, str(tmp_path / "swan"))
    assert symbols.resolve(child.pid, at["glide"]) == ("pond::Swan::glide(int)", 0, str(tmp_path / "swan"))
    assert symbols.resolve(child.pid, at["getpid"]) is None
    living = Child(tmp_path / "swan")
    found = symbols.resolve(living.pid, living.addresses["getpid"])
    living.end()
    assert found is not None and found[0] == "getpid"


def test_only_one_program_has_a_known_place(tmp_path: Path) -> None:
    probe = LinkSpec("p", "uprobe", {"path": "/bin/true", "offset": 0}, "uprobe:/bin/true:main")
    timer = LinkSpec("t", "perf_sample", {}, "interval:s:1")
    assert only_binary([probe, timer, LinkSpec("e", "end", {}, "end")]) == "/bin/true"
    assert only_binary([probe, timer._replace(probe="profile:hz:9")]) == ""
    assert only_binary([probe, probe._replace(target={"path": "/bin/false"})]) == ""
    (tmp_path / "text").write_text("no binary")
    assert static_maps(str(tmp_path / "text")) == b"" == static_maps(str(tmp_path / "none"))


def test_a_deleted_program(program: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(program.read_bytes())
    copy.chmod(0o755)
    child = Child(copy)
    try:
        copy.unlink()
        found = UserSymbols().resolve(child.pid, child.addresses["plain"])
        if os.geteuid() == 0:  # map_files is root's
            assert found is not None and found[0] == "plain"
        copy.write_bytes(b"another file")
        found = UserSymbols().resolve(child.pid, child.addresses["plain"])
        assert found is None or found[0] == "plain"
    finally:
        child.end()


def test_a_stripped_program_with_its_debug_file(program: Path, tmp_path: Path) -> None:
    run = lambda *command: subprocess.run(command, cwd=tmp_path, check=True)  # noqa: E731
    run("objcopy", "--only-keep-debug", program, "swan.debug")
    run("objcopy", "--strip-all", "--add-gnu-debuglink=swan.debug", program, "bare")
    child = Child(tmp_path / "bare")
    try:
        assert UserSymbols().resolve(child.pid, child.addresses["plain"] + 1) == ("plain", 1, str(tmp_path / "bare"))
        (tmp_path / "swan.debug").unlink()
        assert UserSymbols().resolve(child.pid, child.addresses["plain"]) is None
    finally:
        child.end()


def test_jitted_code(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(f"/tmp/perf-{child.pid}.map")
    symbols, at = UserSymbols(), child.addresses["jit"]
    monkeypatch.setattr(user_module, "_RECHECK_S", -1.0)
    try:
        path.write_text(f"{at:x} 40 py::loop(int x)\nbroken\n{at + 0x40:x} zz bad\n{at + 0x50:x} 8 second\n")
        assert symbols.resolve(child.pid, at + 3) == ("py::loop(int x)", 3, "[anon]")
        assert symbols.resolve(child.pid, at + 0x48) is None
        time.sleep(0.01)
        with path.open("a") as file:
            file.write(f"{at + 0x60:x} 10 later\n")
        assert symbols.resolve(child.pid, at + 0x60) == ("later", 0, "[anon]")
    finally:
        path.unlink()


def test_perf_maps_of_strangers_are_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "perf-1.map"
    path.write_text("1000 10 name\n")
    perf_map = PerfMap(str(path))
    assert not perf_map.refresh((os.geteuid() + 1,)) and perf_map.find(0x1000) is None
    assert perf_map.refresh((os.geteuid(),)) and perf_map.find(0x1004) == ("name", 4)
    assert not perf_map.refresh() and not PerfMap(str(tmp_path)).refresh()
    assert perf_map_path(os.getpid()).endswith(f"perf-{os.getpid()}.map")


def test_mappings() -> None:
    text = (
        b"00400000-00452000 r-xp 00001000 08:02 173521      /usr/bin/db us\n"
        b"00651000-00652000 r--p 00051000 08:02 173521      /usr/bin/db us\n"
        b"00e03000-00e24000 r-xp 00000000 00:00 0 \n"
        b"not a mapping\n"
    )
    maps = ProcessMaps(text)
    first = maps.find(0x451FFF)
    assert first is not None and (first.path, first.offset, first.inode) == ("/usr/bin/db us", 0x1000, 173521)
    assert maps.find(0x452000) is None and maps.find(0x651000) is None and maps.find(0) is None
    anonymous = maps.find(0xE03000)
    assert anonymous is not None and (anonymous.path, anonymous.inode) == ("", 0)


def test_a_stripped_program_with_compressed_symbols(program: Path, tmp_path: Path) -> None:
    """.gnu_debugdata, as Fedora's programs have it (MiniDebugInfo): the functions' symbols alone, and xz."""
    run = lambda *command: subprocess.run(command, cwd=tmp_path, check=True)  # noqa: E731
    run("objcopy", "-S", "--remove-section", ".comment", "--keep-symbol=plain", program, "mini")
    (tmp_path / "mini.xz").write_bytes(lzma.compress((tmp_path / "mini").read_bytes()))
    run("objcopy", "--strip-all", "--add-section", ".gnu_debugdata=mini.xz", program, "bare")
    child = Child(tmp_path / "bare")
    try:
        at = child.addresses
        assert UserSymbols().resolve(child.pid, at["plain"] + 1) == ("plain", 1, str(tmp_path / "bare"))
    finally:
        child.end()


def test_a_stripped_program_whose_debug_file_is_found_by_build_id(program: Path, tmp_path: Path) -> None:
    """Below its own root folder: /usr/lib/debug/.build-id of a container, not of the system that traces it."""
    with Elf.open(str(program)) as elf:
        build_id = elf.build_id
    assert build_id
    below = tmp_path / "usr/lib/debug/.build-id" / build_id[:2]
    below.mkdir(parents=True)
    run = lambda *command: subprocess.run(command, cwd=tmp_path, check=True)  # noqa: E731
    run("objcopy", "--only-keep-debug", program, below / f"{build_id[2:]}.debug")
    run("objcopy", "--strip-all", program, "bare")
    with Elf.open(str(tmp_path / "bare")) as bare, Elf.open(str(program)) as elf:
        (plain,) = [symbol for symbol in elf.symbols() if symbol.name == "plain"]
        offset = elf.file_offset(plain.value)
        assert MappedObject(bare, str(tmp_path), True).find(offset + 1) == ("plain", 1)
        assert MappedObject(bare, "/", True).find(offset + 1) is None


def test_a_process_in_another_mount_namespace(program: Path) -> None:
    """Its path names another file here, and its perf map is in its own /tmp."""
    if os.geteuid() != 0:
        raise NotSupported("a mount namespace", "root")
    inside = f"mount -t tmpfs none /mnt && cp {program} /mnt/swan && mount -t tmpfs none /tmp && exec /mnt/swan"
    child = Child("unshare", "-m", "--propagation", "private", "sh", "-c", inside)
    try:
        symbols, at = UserSymbols(), child.addresses
        assert not Path("/mnt/swan").exists()
        assert symbols.resolve(child.pid, at["plain"] + 1) == ("plain", 1, "/mnt/swan")
        Path(f"/proc/{child.pid}/root/tmp/perf-{child.pid}.map").write_text(f"{at['jit']:x} 40 there\n")
        assert not Path(f"/tmp/perf-{child.pid}.map").exists()
        assert symbols.resolve(child.pid, at["jit"] + 3) == ("there", 3, "[anon]")
    finally:
        child.end()
