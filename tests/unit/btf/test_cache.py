"""The index on disk: used when it is right, ignored when anything about it is not."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from tests.unit.btf.samples import sample

from cygnet.btf import cache
from cygnet.btf.reader import Btf

BUILD_ID = bytes(range(20))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "kernel_build_id", lambda: BUILD_ID)
    return tmp_path / "cygnet"


def write(data: bytes) -> bool:
    btf = Btf(data)
    return cache.write_index(len(data), btf._index.all(), btf._names())


def the_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_round_trip(folder: Path) -> None:
    data = sample().to_bytes()
    assert cache.read_index(len(data)) is None and write(data)
    held = cache.read_index(len(data))
    assert held is not None
    fresh, warm = Btf(data), Btf(data, cached=held)
    for of in fresh.types():
        assert repr(warm.type(of.id)) == repr(of)
        if of.name:
            assert [t.id for t in warm.find_all(of.name)] == [t.id for t in fresh.find_all(of.name)]
    assert warm.find("nothing") is None
    assert the_file(folder).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("where", ["start", "middle", "end"])
def test_damage_is_noticed(folder: Path, where: str) -> None:
    data = sample().to_bytes()
    write(data)
    path = the_file(folder)
    content = bytearray(path.read_bytes())
    content[{"start": 3, "middle": len(content) // 2, "end": len(content) - 1}[where]] ^= 1
    path.write_bytes(content)
    assert cache.read_index(len(data)) is None


def test_truncated_stale_and_open_files_are_ignored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = sample().to_bytes()
    write(data)
    path = the_file(folder)
    assert cache.read_index(len(data) + 4) is None
    path.chmod(0o622)
    assert cache.read_index(len(data)) is None
    path.chmod(0o600)
    assert cache.read_index(len(data)) is not None
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert cache.read_index(len(data)) is None and not write(data)
    monkeypatch.undo()
    for size in (0, 10, 70):
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder.parent))
        path.write_bytes(path.read_bytes()[:size])
        assert cache.read_index(len(data)) is None


def test_links_and_pipes_are_ignored(folder: Path) -> None:
    data = sample().to_bytes()
    write(data)
    path = the_file(folder)
    other = path.with_name("other")
    path.rename(other)
    path.symlink_to(other)
    assert cache.read_index(len(data)) is None
    path.unlink()
    os.mkfifo(path, 0o600)
    assert cache.read_index(len(data)) is None


def test_no_place_no_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    assert not write(sample().to_bytes())
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "nowhere")
    assert cache.cache_folder() is None and not write(sample().to_bytes())


def test_build_id_among_notes() -> None:
    def note(name: bytes, kind: int, value: bytes) -> bytes:
        pad = lambda b: b + bytes(-len(b) % 4)  # noqa: E731
        return struct.pack("=III", len(name), len(value), kind) + pad(name) + pad(value)

    notes = note(b"Xen\0", 6, b"abc") + note(b"Linux\0", 0x101, b"x" * 5) + note(b"GNU\0", 3, BUILD_ID)
    assert cache.kernel_build_id(notes) == BUILD_ID
    assert cache.kernel_build_id(notes[:30]) is None and cache.kernel_build_id(b"") is None
