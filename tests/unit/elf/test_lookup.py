"""Names to files."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from cygnet.elf import Elf, lookup
from cygnet.errors import ElfError


def test_libraries_are_where_ldconfig_says() -> None:
    text = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    paths = {line.split()[0]: line.split(" => ")[1] for line in reversed(text.splitlines()) if " => " in line}
    for name, soname in (
        ("libc", "libc.so.6"),
        ("c", "libc.so.6"),
        ("libc.so.6", "libc.so.6"),
        ("libm.so", "libm.so.6"),
    ):
        assert os.path.realpath(lookup.find_library(name) or "") == os.path.realpath(paths[soname])
    assert lookup.find_library("no_such_library") is None and lookup.find_library("") is None


def cache_of(*entries: tuple[str, str, int]) -> bytes:
    """An ld.so.cache in glibc's format of today."""
    strings, rows = b"", b""
    base = 48 + 24 * len(entries)
    for soname, path, flags in entries:
        place = base + len(strings)
        strings += path.encode() + b"\0"
        rows += struct.pack("=iIIIQ", flags, place + path.rindex("/") + 1, place, 0, 0)
        assert path.endswith(soname)
    return b"glibc-ld.so.cache1.1" + struct.pack("=II", len(entries), len(strings)) + bytes(20) + rows + strings


def test_entries_of_a_cache() -> None:
    data = cache_of(
        ("libfoo.so.1", "/lib/libfoo.so.1", 0x303),
        ("libfoo.so.1", "/lib32/libfoo.so.1", 0x3),
        ("libfoobar.so", "/x/libfoobar.so", 3),
    )
    assert [path for _, path, _ in lookup.cached_libraries({"libfoo"}, data)] == [
        "/lib/libfoo.so.1",
        "/lib32/libfoo.so.1",
    ]
    assert lookup.cached_libraries({"libfoo"}, b"ld.so-1.7.0\0" + bytes(20) + data) == lookup.cached_libraries(
        {"libfoo"}, data
    )
    assert lookup.cached_libraries({"libfoo"}, b"") == []
    for cut in (30, 60, len(data) - 1):
        with pytest.raises(ElfError, match="cut short"):
            lookup.cached_libraries({"libfoobar"}, data[:cut])


def test_programs(tmp_path: Path) -> None:
    assert lookup.find_program("sh") == shutil.which("sh")
    tool = tmp_path / "tool"
    tool.write_text("")
    assert lookup.find_program("tool", str(tmp_path)) is None
    tool.chmod(0o755)
    assert lookup.find_program("tool", f"/nowhere:{tmp_path}") == str(tool)
    assert lookup.find_program(str(tool)) == str(tool) and lookup.find_program("/no/tool") is None
    assert lookup.find_binary("libc") == lookup.find_library("libc") and lookup.find_binary("/no/such") is None


def test_debug_file_by_link_and_by_build_id(built: Path, tmp_path: Path) -> None:
    with Elf.open(str(built / "stripped")) as elf:
        assert lookup.debug_link(elf) is not None
        assert lookup.debug_file(elf) == str(built / "program.debug")
        store = tmp_path / "usr/lib/debug/.build-id" / elf.build_id[:2]
        store.mkdir(parents=True)
        shutil.copy(built / "program.debug", store / f"{elf.build_id[2:]}.debug")
        assert lookup.debug_file(elf, str(tmp_path)) == str(store / f"{elf.build_id[2:]}.debug")
    with Elf.open(str(built / "program")) as elf:
        assert lookup.debug_link(elf) is None and lookup.debug_file(elf) is None


def test_a_debug_file_of_another_build_is_refused(built: Path, tmp_path: Path) -> None:
    shutil.copy(built / "stripped", tmp_path / "stripped")
    shutil.copy(built / "fixed", tmp_path / "program.debug")
    with Elf.open(str(tmp_path / "stripped")) as elf:
        assert lookup.debug_file(elf) is None


def test_mini_debug_info(built: Path, tmp_path: Path) -> None:
    import lzma

    (tmp_path / "mini.xz").write_bytes(lzma.compress((built / "program").read_bytes()))
    (tmp_path / "bad.xz").write_bytes(b"not xz")
    for name in ("mini", "bad"):
        command = [
            "objcopy",
            f"--add-section=.gnu_debugdata={tmp_path}/{name}.xz",
            str(built / "stripped"),
            str(tmp_path / name),
        ]
        subprocess.run(command, check=True)
    with Elf.open(str(tmp_path / "mini")) as elf:
        inner = lookup.mini_debug_info(elf)
        assert inner is not None and inner.symbol("thing") is not None and elf.symbol("thing") is None
    with Elf.open(str(tmp_path / "bad")) as elf, pytest.raises(ElfError, match="decompress"):
        lookup.mini_debug_info(elf)
    with Elf.open(str(built / "program")) as elf:
        assert lookup.mini_debug_info(elf) is None
