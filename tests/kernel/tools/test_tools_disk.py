"""Tools about block devices, ext4 and memory: a loop device with a file behind it, a control group with a limit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kernel.tools.running import Child, maps, rows, total

from cygnet.errors import NotSupported

READ = (
    "(lambda fd, m: [os.preadv(fd, [m], at * {size}) for at in range({count})] and os.close(fd))"
    "(os.open({path!r}, os.O_RDONLY | os.O_DIRECT), __import__('mmap').mmap(-1, {size}))"
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A block device of 16 MiB that nobody else uses."""
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.write(os.urandom(1 << 24))
    run = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True, check=False)
    if run.returncode:
        raise NotSupported("loop devices", run.stderr.strip())
    device = Path(run.stdout.strip())
    yield device
    subprocess.run(["losetup", "-d", device], check=True)


def reads_of(disk: Path) -> int:
    """Requests to read that a device has completed, as the kernel counts them."""
    return int(Path(f"/sys/block/{disk.name}/stat").read_text().split()[0])


def nearly(seen: list[Any], wanted: list[Any]) -> bool:
    """The same in the same order. Few may lack: an interrupt that comes while some other BPF program runs on that
    processor shows to no program."""
    return [one for one in wanted if one in seen] == seen and len(seen) >= len(wanted) - 3


def read(child: Child, disk: Path, size: int, count: int) -> None:
    child.do(READ.format(path=str(disk), size=size, count=count))


def test_block_tools(start: Any, child: Any, disk: Path) -> None:
    mine, other = child("tools-mine"), child("tools-other")
    snoop = start("biosnoop", "-f", "json", "-Q", "-n", mine.name)
    lines = start("biosnoop", "-p", mine.pid)
    slow = start("biosnoop", "-f", "json", "-m", 100_000)
    latency = start("biolatency", "-f", "json", "-D")
    sizes = start("bitesize", "-f", "json", "-n", mine.name)
    before = reads_of(disk)
    read(mine, disk, 1 << 14, 20)
    read(other, disk, 1 << 13, 10)
    completed = reads_of(disk) - before
    major, minor = os.major(disk.stat().st_rdev), os.minor(disk.stat().st_rdev)
    seen = [row for row in rows(snoop.end()) if (row["major"], row["minor"]) == (major, minor)]
    assert {(row["pid"], row["comm"], row["bytes"]) for row in seen} == {(mine.pid, mine.name, 1 << 14)}
    assert nearly([row["sector"] for row in seen], [at * 32 for at in range(20)])
    assert {row["rwbs"] for row in seen} == {"RS"}
    assert all(row["latency_us"] > 0 and row["queue_us"] >= 0 for row in seen)
    found = [line.split() for line in lines.end().splitlines()]
    assert found[0] == ["TIME(s)", "COMM", "PID", "DISK", "RWBS", "SECTOR", "BYTES", "LAT(ms)"]
    mine_only = [line[1:7] for line in found[1:] if line[3] == f"{major}:{minor}"]
    line = [mine.name, str(mine.pid), f"{major}:{minor}", "RS"]
    assert nearly(mine_only, [[*line, str(at * 32), "16384"] for at in range(20)])
    assert rows(slow.end()) == []
    assert 27 <= total(maps(latency.end())["@usecs_by_disk"][f"{major},{minor}"]) <= completed == 30
    assert maps(sizes.end())["@bytes"] == {mine.name: [{"min": 1 << 14, "max": (1 << 15) - 1, "count": 20}]}


def test_biolatency_by_kind_and_in_sum(start: Any, child: Any, disk: Path) -> None:
    mine = child("tools-mine")
    kinds, everything = start("biolatency", "-f", "json", "-F"), start("biolatency", "-m", "-Q")
    read(mine, disk, 1 << 12, 15)
    assert total(maps(kinds.end())["@usecs_by_flags"]["RS"]) >= 12
    text = everything.end()
    assert "Measuring block requests and their queue." in text and "@msecs:\n" in text


@pytest.fixture
def ext4(disk: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder on an ext4 file system of its own."""
    folder = tmp_path / "ext4"
    folder.mkdir()
    if shutil.which("mkfs.ext4") is None:
        raise NotSupported("making ext4", "mkfs.ext4 of e2fsprogs")
    subprocess.run(["mkfs.ext4", "-q", disk], check=True)
    if subprocess.run(["mount", disk, folder], check=False).returncode:
        raise NotSupported("mounting ext4")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_ext4dist(start: Any, child: Any, ext4: Path) -> None:
    mine, other = child("tools-mine"), child("tools-other")
    tool, slow = start("ext4dist", "-f", "json", "-p", mine.pid), start("ext4dist", "-m", "-n", mine.name)
    work = (
        "(lambda fd: [os.pwrite(fd, b'x' * 4096, 0) for _ in range(30)] + [os.fsync(fd) for _ in range(5)] + "
        "[os.close(fd), os.unlink({0!r})])(os.open({0!r}, os.O_RDWR | os.O_CREAT))"
    )
    mine.do(work.format(str(ext4 / "mine")))
    other.do(work.format(str(ext4 / "other")))
    found = {name: total(hist) for name, hist in maps(tool.end())["@usecs"].items()}
    assert (found["write"], found["fsync"]) == (30, 5)
    assert "@msecs[fsync]:\n" in slow.end()


@pytest.fixture
def limited() -> Iterator[Path]:
    """A control group with 24 MiB of memory."""
    for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(root) / f"cygnet-tools-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / limit).exists():
            try:
                (group / limit).write_text(str(24 << 20))
                yield group
            finally:
                group.rmdir()
            return
        group.rmdir()
    raise NotSupported("control groups with a limit of memory")


def test_oomkill(start: Any, child: Any, limited: Path) -> None:
    victim = child("tools-victim")
    (limited / "cgroup.procs").write_text(str(victim.pid))
    tool, lines = start("oomkill", "-f", "json"), start("oomkill")
    victim.send("bytearray(200 << 20) and [page for page in (bytearray(200 << 20),) if page.find(b'x')]")
    assert victim.process.wait() == -signal.SIGKILL
    seen = [row for row in rows(tool.end()) if row["victim"] == victim.pid]
    assert [(row["victim_comm"], row["uid"]) for row in seen] == [(victim.name, 0)]
    assert 10 << 10 < seen[0]["anon_kb"] < 200 << 10 < seen[0]["virtual_kb"]
    text = lines.end()
    assert text.splitlines()[0].split()[:6] == ["TIME", "BY", "COMM", "VICTIM", "COMM", "UID"]
    assert f" {victim.pid:<7} {victim.name:<16} " in text
