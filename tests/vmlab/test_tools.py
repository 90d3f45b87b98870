"""The forms of the tools that need kernel functions, on a kernel that can trace them, and which are chosen there."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kernel.tools.running import Child, Running, maps, rows, total, wait_for

from cygnet import tools
from cygnet.kernel.target import LiveTarget
from cygnet.tools.header import load
from cygnet.tools.variants import choose


@pytest.fixture
def running() -> Iterator[list[Running]]:
    started: list[Running] = []
    yield started
    for one in started:
        one.close()


@pytest.fixture
def run(running: list[Running]) -> Callable[..., Running]:
    """Start words for the cygnet command; the children's next work waits until all have attached."""

    def begin(*words: object) -> Running:
        running.append(Running([str(word) for word in words]))
        return running[-1]

    return begin


@pytest.fixture
def child(running: list[Running]) -> Iterator[Callable[[str], Child]]:
    children: list[Child] = []

    def make(name: str) -> Child:
        children.append(Child(name, running))
        return children[-1]

    yield make
    for one in children:
        one.close()


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("vfsstat", "vfsstat.fentry"),
        ("ext4dist", "ext4dist.fentry"),
        ("tcpaccept", "tcpaccept"),
        ("oomkill", "oomkill"),  # 6.8 and later tell enough
        ("capable", "capable.kprobe"),  # the tracepoint came with 6.14
        ("exitsnoop", "exitsnoop.leader"),  # `group_dead` came with 6.16
    ],
)
def test_forms_chosen_on_linux_6_12(name: str, form: str) -> None:
    assert choose(load(name), LiveTarget())[0] == tools.path(form)


FORMS = ("fentry", "kprobe")


def test_vfsstat(run: Any, child: Any, tmp_path: Path) -> None:
    mine, other = child("tools-mine"), child("tools-other")
    words = ("--", f"--pid={mine.pid}", "--rows")
    forms = [run("trace", "-f", "json", tools.path(f"vfsstat.{form}"), *words) for form in FORMS]
    paths = [str(tmp_path / name) for name in ("mine", "other")]  # each makes its own
    work = (
        "(lambda fd: [os.pwrite(fd, b'x', 0) for _ in range(300)] + [os.pread(fd, 1, 0) for _ in range(500)] + "
        "[os.fsync(fd) for _ in range(3)])(os.open({!r}, os.O_RDWR | os.O_CREAT))[0]"
    )
    other.do(work.format(paths[1]))
    mine.do(work.format(paths[0]))

    def found(tool: Running) -> list[dict[str, int]]:
        text = tool.text()
        return rows(text[: text.rfind("\n") + 1])

    def done(tool: Running) -> bool:
        """What the child did last may come a line later than its reads."""
        return sum(row["read"] for row in found(tool)) >= 500 and sum(row["fsync"] for row in found(tool)) >= 3

    for tool in forms:
        wait_for(lambda: done(tool), "reads and synchronisations in vfsstat's lines")  # noqa: B023
        tool.end()
        sums = {name: sum(row[name] for row in found(tool)) for name in ("read", "write", "fsync", "open", "create")}
        assert 500 <= sums["read"] <= 510 and 300 <= sums["write"] <= 310
        assert sums["fsync"] == 3 and 1 <= sums["open"] <= 3 and sums["create"] == 1


def test_ext4dist(run: Any, child: Any) -> None:
    folder = os.environ["VMLAB_SCRATCH"]
    mine, other = child("tools-mine"), child("tools-other")
    words = ("--", f"--pid={mine.pid}")
    forms = [run("trace", "-f", "json", tools.path(f"ext4dist.{form}"), *words) for form in FORMS]
    work = (
        "(lambda fd: [os.pwrite(fd, b'x' * 4096, 0) for _ in range(30)] + [os.pread(fd, 10, 0) for _ in range(20)] + "
        "[os.fsync(fd) for _ in range(5)] + [os.close(fd), os.unlink({0!r})])(os.open({0!r}, os.O_RDWR | os.O_CREAT))"
    )
    mine.do(work.format(f"{folder}/mine"))
    other.do(work.format(f"{folder}/other"))
    for tool in forms:
        found = {name: total(hist) for name, hist in maps(tool.end())["@usecs"].items()}
        assert found == {"write": 30, "read": 20, "fsync": 5, "open": 1}


def test_capable_by_kprobe(run: Any, child: Any) -> None:
    mine, other = child("tools-mine"), child("tools-other")
    mine.do("libc.setresuid(65534, 65534, 65534)")
    tool, theirs = run("capable", "-f", "json", "-p", mine.pid), run("capable", "-x", "-p", other.pid)
    assert mine.do("attempt(os.chroot, '/')") == -1
    assert other.do("attempt(os.chroot, '/')") == 0
    seen = [row for row in rows(tool.end()) if row["cap"] == 18]
    wanted = (65534, mine.pid, mine.name, "SYS_CHROOT", "no")
    assert [(row["uid"], row["pid"], row["comm"], row["name"], row["result"]) for row in seen] == [wanted]
    assert "SYS_CHROOT" not in theirs.end()


def test_tcpaccept_by_kprobe(run: Any, child: Any) -> None:
    mine = child("tools-mine")
    tool = run("trace", "-f", "json", tools.path("tcpaccept.kprobe"), "--", f"--pid={mine.pid}", "--rows")
    mine.do("globals().__setitem__('s', socket.create_server(('127.0.0.1', 0), backlog=7))")
    port = mine.do("s.getsockname()[1]")
    with socket.create_connection(("127.0.0.1", port)) as connection:
        mine.do("globals().__setitem__('a', s.accept())")
        (row,) = rows(tool.end())
        assert (row["pid"], row["comm"], row["ip"]) == (mine.pid, mine.name, 4)
        assert (row["raddr"], row["rport"]) == connection.getsockname()
        assert (row["laddr"], row["lport"], row["queue_max"]) == ("127.0.0.1", port, 7)


def test_exitsnoop_by_the_leader(run: Any, child: Any) -> None:
    mine = child("tools-mine")
    tool = run("exitsnoop", "-f", "json", "-n", mine.name)
    pid, status = mine.do("(lambda pid: os.waitpid(pid, 0) if pid else os._exit(3))(os.fork())")
    seen = [row for row in rows(tool.end()) if row["id"] == pid]
    assert [(row["ppid"], row["code"], row["signal"]) for row in seen] == [(mine.pid, 3, 0)]
    assert os.waitstatus_to_exitcode(status) == 3


def test_oomkill_by_kprobe(run: Any, child: Any) -> None:
    """A process that the kernel is asked to kill for want of memory, in a control group."""
    root = Path("/sys/fs/cgroup")
    (root / "cgroup.subtree_control").write_text("+memory")
    group = root / "cygnet-tools"
    group.mkdir()
    try:
        (group / "memory.max").write_text(str(24 << 20))
        victim = child("tools-victim")
        tool = run("trace", "-f", "json", tools.path("oomkill.kprobe"), "--", "--rows")
        (group / "cgroup.procs").write_text(str(victim.pid))
        victim.send("[page for page in (bytearray(200 << 20),) if page.find(b'x')]")
        assert victim.process.wait() == -9
        seen = [row for row in rows(tool.end()) if row["victim"] == victim.pid]
        assert [(row["victim_comm"], row["uid"]) for row in seen] == [(victim.name, 0)]
        assert seen[0]["virtual_kb"] > 200 << 10
    finally:
        group.rmdir()
