"""Tools about processes and files: a workload that must appear, one that must not, a witness for the values."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.kernel.tools.running import maps, rows, total, wait_for

from cygnet import tools
from cygnet.cli import main
from cygnet.tools.header import load


def test_opensnoop(start: Any, child: Any, tmp_path: Path) -> None:
    mine, other = child("tools-mine"), child("tools-other")
    there, missing = tmp_path / "there", tmp_path / "missing"
    there.touch()
    by_pid = start("opensnoop", "-f", "json", "-p", mine.pid)
    by_name = start("trace", tools.path("opensnoop"), "--", f"--comm={mine.name}", "--failed")
    by_path = start("opensnoop", "-f", "json", "--path", there)
    fd = mine.do(f"os.open({str(there)!r}, 0)")
    assert mine.do(f"attempt(os.open, {str(missing)!r}, 0)") == -2
    other.do(f"os.open({str(there)!r}, 0)")
    seen = rows(by_pid.end())
    assert {row["pid"] for row in seen} == {mine.pid}
    assert [(row["fd"], row["err"], row["comm"]) for row in seen if row["path"] == str(there)] == [(fd, 0, mine.name)]
    assert [(row["fd"], row["err"]) for row in seen if row["path"] == str(missing)] == [(-1, 2)]
    lines = by_name.end().splitlines()
    assert lines[0].split() == ["TIME", "PID", "COMM", "FD", "ERR", "PATH"]
    assert f"{mine.pid:<7} {mine.name:<16}   -1   2 {missing}" in [line[9:] for line in lines]
    assert not [line for line in lines if str(there) in line]
    assert [(row["pid"], row["path"]) for row in rows(by_path.end())] == [
        (mine.pid, str(there)),
        (other.pid, str(there)),
    ]


def test_statsnoop(start: Any, child: Any, tmp_path: Path) -> None:
    mine, other = child("tools-mine"), child("tools-other")
    every = start("statsnoop", "-f", "json", "-n", mine.name)
    failed = start("statsnoop", "-x", "-p", mine.pid)
    mine.do(f"attempt(os.stat, {str(tmp_path)!r}) and None")
    assert mine.do(f"attempt(os.stat, {str(tmp_path / 'gone')!r})") == -2
    other.do(f"attempt(os.stat, {str(tmp_path / 'theirs')!r})")
    seen = [(row["pid"], row["err"], row["path"]) for row in rows(every.end()) if str(tmp_path) in row["path"]]
    assert seen == [(mine.pid, 0, str(tmp_path)), (mine.pid, 2, str(tmp_path / "gone"))]
    lines = failed.end().splitlines()
    assert lines[0].split() == ["TIME", "PID", "COMM", "ERR", "CALL", "PATH"]
    assert [line.split()[1:] for line in lines if str(tmp_path) in line] == [
        [str(mine.pid), mine.name, "2", "newfstatat", str(tmp_path / "gone")]
    ]


def test_execsnoop(start: Any, child: Any) -> None:
    mine, other = child("tools-mine"), child("tools-other")
    by_parent = start("execsnoop", "-f", "json", "-x", "--parent", mine.pid)
    by_name = start("execsnoop", "-n", "sleep", "-a", 3)
    spawn = "os.waitpid(os.posix_spawn('/bin/{0}', {1!r}, os.environ), 0)[0]"
    pid = mine.do(spawn.format("true", ["true", "a b", "", "c" * 90]))
    other_pid = other.do(spawn.format("sleep", ["sleep", "0", "00", "000", "0000"]))
    mine.do("attempt(os.posix_spawn, '/nonexistent/program', ['x'], os.environ)")
    seen = [(row["pid"], row["comm"], row["err"], row["args"]) for row in rows(by_parent.end())]
    assert seen[0] == (pid, "true", 0, f"true a b  {'c' * 90}")
    assert [row[2:] for row in seen[1:]] == [(2, "/nonexistent/program")]
    text = by_name.end()
    assert text.split("\n")[0].split() == ["TIME", "UID", "PID", "PPID", "COMM", "ERR", "ARGS"]
    line = f"{0:<6} {other_pid:<7} {other.pid:<7} {'sleep':<16} {0:>3} sleep 0 00 ..."
    assert line in [line[9:] for line in text.splitlines()]
    assert str(pid) not in text


def test_exitsnoop(start: Any, child: Any) -> None:
    mine, other = child("tools-mine"), child("tools-other")
    every = start("exitsnoop", "-f", "json", "-n", mine.name)
    failed = start("exitsnoop", "-x", "-n", mine.name)
    ends = [0, 3, 255, signal.SIGKILL, signal.SIGSEGV]
    how = ["os._exit(0)", "os._exit(3)", "os._exit(255)", "os.kill(os.getpid(), 9)", "os.kill(os.getpid(), 11)"]
    fork = "(lambda pid: os.waitpid(pid, 0) if pid else {})(os.fork())"
    results = [mine.do(fork.format(one)) for one in how]
    pids = [pid for pid, _ in results]
    other.do(fork.format("os._exit(4)"))
    seen = [row for row in rows(every.end()) if row["id"] in pids]
    assert [(row["id"], row["ppid"]) for row in seen] == [(pid, mine.pid) for pid in pids]
    assert [row["code"] for row in seen] == [0, 3, 255, 0, 0]
    assert [row["signal"] for row in seen] == [os.WTERMSIG(status) for _, status in results]
    assert len(seen) == len(ends) and all(0 <= row["age_ms"] < 60_000 for row in seen)
    lines = [line for line in failed.end().splitlines() if line.split()[1] in map(str, pids)]
    assert [line.split(maxsplit=5)[5] for line in lines[:3]] == ["code 3", "code 255", "signal 9 (Killed)"]
    assert lines[3].split(maxsplit=5)[5].startswith("signal 11 (Segmentation fault)")


def test_exitsnoop_tells_the_leaders_status_of_a_process_with_threads(start: Any, child: Any) -> None:
    mine = child("tools-mine")
    processes = start("exitsnoop", "-f", "json", "-n", mine.name)
    threads = start("exitsnoop", "-f", "json", "-t", "-p", mine.pid)
    pid = mine.do("[__import__('threading').Thread(target=libc.pause, daemon=True).start(), os.getpid()][1]")
    mine.send("os._exit(7)")
    mine.process.wait()
    assert [(row["id"], row["code"]) for row in rows(processes.end())] == [(pid, 7)]
    seen = rows(threads.end())
    assert len(seen) == 2 and pid in [row["id"] for row in seen] and {row["code"] for row in seen} == {7}


def test_exitsnoop_numbers_processes_as_its_own_namespace_does() -> None:
    entry = "import sys; from cygnet.cli import main; sys.argv[0] = 'cygnet'; main()"
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", entry, "exitsnoop", "-f", "json",
         "--cmd", "sh -c 'echo $$; exit 3'"], capture_output=True, text=True,
    )  # fmt: skip
    told = [line for line in done.stdout.splitlines() if line.isdigit()]
    seen = rows("\n".join([line for line in done.stdout.splitlines() if line.startswith("{")]))
    assert [str(row["id"]) for row in seen if row["code"] == 3 and row["comm"] == "sh"] == told and len(told) == 1


def test_killsnoop(start: Any, child: Any) -> None:
    mine, other = child("tools-mine"), child("tools-other")
    every = start("killsnoop", "-f", "json", "-p", mine.pid)
    some = start("killsnoop", "-s", signal.SIGCONT, "-t", other.pid)
    kernels = start("killsnoop", "-f", "json", "-a", "-p", mine.pid, "-s", signal.SIGPIPE)
    mine.do("signal.signal(signal.SIGUSR1, signal.SIG_IGN)")
    mine.do("attempt(os.kill, os.getpid(), signal.SIGUSR1)")
    mine.do(f"attempt(os.kill, {other.pid}, signal.SIGCONT)")
    mine.do(f"attempt(os.kill, {other.pid}, 0)")
    assert mine.do("attempt(os.kill, 0x3ffffff0, 9)") == -3
    assert mine.do(f"attempt(signal.pidfd_send_signal, os.pidfd_open({other.pid}), signal.SIGCONT)") == 0
    other.do("attempt(os.kill, os.getpid(), signal.SIGCONT)")
    mine.do("(lambda p: (os.close(p[0]), attempt(os.write, p[1], b'x'))[1])(os.pipe())")
    seen = [(row["sig"], row["target"], row["err"]) for row in rows(every.end())]
    assert seen[:4] == [(10, mine.pid, 0), (18, other.pid, 0), (0, other.pid, 0), (9, 0x3FFFFFF0, 3)]
    assert [row[0] for row in seen[4:]] == [18]
    lines = some.end().splitlines()
    assert lines[0].split() == ["TIME", "PID", "COMM", "SIG", "TARGET", "RESULT"]
    assert [line.split()[1:] for line in lines[1:]] == [
        [str(one.pid), one.name, "18", "Continued", str(other.pid), "0"] for one in (mine, other)
    ]
    pipe = rows(kernels.end())
    assert [(row["sig"], row["target"], row["result"]) for row in pipe] == [(13, mine.pid, "ignored")]


def test_syscount(start: Any, child: Any) -> None:
    mine, other = child("tools-mine"), child("tools-other")
    calls = start("syscount", "-f", "json", "-p", mine.pid)
    times = start("syscount", "-f", "json", "-L", "-p", mine.pid, "--top", 100)
    failed = start("syscount", "-x", "-n", mine.name)
    processes = start("syscount", "-f", "json", "-P", "-n", other.name)
    mine.do("[os.getppid() for _ in range(1000)][0]")
    mine.do("[attempt(os.chdir, '/nonexistent') for _ in range(50)][0]")
    mine.do("libc.usleep(30000)")
    other.do("[os.getppid() for _ in range(777)][0]")
    other_calls = other.do("[os.getppid() for _ in range(1)] and os.getpid()")
    counted = maps(calls.end())["@calls"]
    assert counted["getppid"] == 1000 and counted["chdir"] == 50
    timed = maps(times.end())
    assert timed["@calls"]["getppid"] == 1000
    assert timed["@us"]["clock_nanosleep"] >= 30_000
    text = failed.end()
    assert "Counting system calls that fail." in text
    assert "@calls[chdir]: 50\n" in text and "getppid" not in text
    by_process = maps(processes.end())["@calls_by"]
    assert list(by_process) == [f"{other_calls},{other.name}"] and by_process[f"{other_calls},{other.name}"] >= 778


def test_syscount_prints_at_intervals_and_ends(start: Any, child: Any) -> None:
    mine = child("tools-mine")
    seconds = "6" if os.environ.get("VMLAB_KERNEL") else "2"  # there attaching alone takes one
    tool = start("syscount", "-p", mine.pid, "1", seconds)
    mine.do("[os.getppid() for _ in range(100)][0]")
    assert tool.process.wait() == 0
    text = tool.text()
    assert text.count("@calls[getppid]: 100\n") == 1
    assert len([line for line in text.splitlines() if line.count(":") == 2 and line[:2].isdigit()]) >= 1


def test_vfsstat(start: Any, child: Any, tmp_path: Path) -> None:
    mine, other = child("tools-mine"), child("tools-other")
    tool = start("vfsstat", "-f", "json", "-p", mine.pid)
    paths = [str(tmp_path / name) for name in ("mine", "other")]  # each makes its own
    work = (
        "(lambda fd: [os.pwrite(fd, b'x', 0) for _ in range(300)] + [os.pread(fd, 1, 0) for _ in range(500)] + "
        "[os.fsync(fd) for _ in range(3)])(os.open({!r}, os.O_RDWR | os.O_CREAT))[0]"
    )
    other.do(work.format(paths[1]))
    mine.do(work.format(paths[0]))

    def enough() -> bool:
        return sum(row["read"] for row in rows(whole_lines(tool.text()))) >= 500

    wait_for(enough, "reads in vfsstat's lines")
    found = rows(tool.end())
    sums = {name: sum(row[name] for row in found) for name in ("read", "write", "fsync", "open", "create")}
    # the child reads its orders and writes its answers through the same calls
    assert 500 <= sums["read"] <= 510 and 300 <= sums["write"] <= 310
    assert (sums["fsync"], sums["open"], sums["create"]) == (3, 1, 1)


def whole_lines(text: str) -> str:
    return text[: text.rfind("\n") + 1]


def test_bashreadline(start: Any) -> None:
    tool = start("bashreadline").attached()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv("/bin/bash", ["bash", "--norc", "--noprofile", "-i"])
    try:
        os.write(terminal, b"echo cygnet is  here\nexit 3\n")
        while select.select([terminal], [], [], 30)[0]:
            try:
                os.read(terminal, 4096)
            except OSError:  # the other end has gone
                break
    finally:
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 3
    subprocess.run(["/bin/bash", "-c", "echo a script > /dev/null"], check=True)
    lines = tool.end().splitlines()
    assert lines[0].split() == ["TIME", "PID", "COMMAND"]
    mine = [line for line in lines if line.split()[1] == str(pid)]
    assert [line[9:] for line in mine] == [f"{pid:<7} echo cygnet is  here", f"{pid:<7} exit 3"]
    assert not [line for line in lines if "a script" in line]


def test_gethostlatency(start: Any, child: Any) -> None:
    mine, other = child("tools-mine"), child("tools-other")
    every = start("gethostlatency", "-f", "json", "-p", mine.pid)
    slow = start("gethostlatency", "-m", 60_000)
    began = time.monotonic()
    mine.do("socket.getaddrinfo('localhost', 80) and 0")
    most_us = (time.monotonic() - began) * 1e6
    other.do("socket.getaddrinfo('localhost', 81) and 0")
    seen = rows(every.end())
    assert [(row["pid"], row["comm"], row["host"]) for row in seen] == [(mine.pid, mine.name, "localhost")]
    assert 0 < seen[0]["latency_us"] <= most_us
    lines = slow.end().splitlines()
    assert [line.split() for line in lines] == [["TIME", "PID", "COMM", "LAT(ms)", "HOST"]]


def test_capable(start: Any, child: Any) -> None:
    mine, other = child("tools-mine"), child("tools-other")
    mine.do("libc.setresuid(65534, 65534, 65534)")
    every = start("capable", "-f", "json", "-u", "-p", mine.pid)
    refused = start("capable", "-x", "-n", mine.name)
    privileged = start("capable", "-f", "json", "-p", other.pid)
    assert mine.do("[attempt(os.chroot, '/') for _ in range(3)]") == [-1] * 3
    assert other.do("attempt(os.chroot, '/')") == 0
    seen = [row for row in rows(every.end()) if row["cap"] == 18]
    wanted = (65534, mine.pid, mine.name, "SYS_CHROOT", "no")
    assert [(row["uid"], row["pid"], row["comm"], row["name"], row["result"]) for row in seen] == [wanted]
    text = refused.end()
    assert text.splitlines()[0].split() == ["TIME", "UID", "PID", "COMM", "CAP", "RESULT"]
    assert text.count("18 SYS_CHROOT") == 3 and "yes" not in text
    assert ("SYS_CHROOT", "yes") in [(row["name"], row["result"]) for row in rows(privileged.end())]


def test_names_of_capabilities() -> None:
    """The header of Linux knows them."""
    header = Path("/usr/include/linux/capability.h").read_text()
    words = [line.split() for line in header.splitlines() if line.startswith("#define CAP_")]
    known = {
        f'@name[{number[2]}] = "{number[1].removeprefix("CAP_")}"'
        for number in words
        if len(number) > 2 and number[2].isdigit()
    }
    assert len(known) > 35
    for script in ("capable", "capable.kprobe"):
        assert [name for name in known if name + ";" not in tools.read(script)] == []


# ── the scheduler ──

SPIN = "spin({0})"


def delays(pid: int) -> tuple[int, int]:
    """(ns waited for a processor, times run) of a process's first thread, as the scheduler itself counts."""
    _, waited, times = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(waited), int(times)


def test_runqlat(start: Any, child: Any) -> None:
    mine, others = child("tools-mine"), [child("tools-other"), child("tools-third")]
    for one in (mine, *others):
        one.do("os.sched_setaffinity(0, [0])")
    tool = start("runqlat", "-f", "json", "-p", mine.pid)
    by_process = start("runqlat", "-f", "json", "-P", "-n", mine.name)
    waited, times = delays(mine.pid)
    for one in (mine, *others):
        one.send(SPIN.format(0.3))
    for one in (mine, *others):
        one.answer()
    waited_us, ran = (delays(mine.pid)[0] - waited) / 1000, delays(mine.pid)[1] - times
    hist = maps(tool.end())["@usecs"]
    assert ran * 0.7 - 3 <= total(hist) <= ran + 3
    least = sum(bucket["min"] * bucket["count"] for bucket in hist)
    most = sum((bucket["max"] + 1) * bucket["count"] for bucket in hist)
    assert least <= waited_us * 1.1 + 1000 and most >= waited_us * 0.7
    assert list(maps(by_process.end())["@usecs_by"]) == [str(mine.pid)]


def test_runqlen(start: Any, child: Any) -> None:
    children = [child(f"tools-{number}") for number in range(3)]
    for one in children:
        one.do("os.sched_setaffinity(0, [0])")
    tool = start("runqlen", "-f", "json", "-C")
    for one in children:
        one.send(SPIN.format(0.4))
    for one in children:
        one.answer()
    text = tool.end()
    on_first = {bucket["min"]: bucket["count"] for bucket in maps(text)["@length_by"]["0"]}
    assert sum(count for length, count in on_first.items() if length >= 2) >= 20  # three that want to run: two wait
    assert "Something waited in" in text


@pytest.mark.parametrize("name", [name for name in tools.names() if load(name).option("rows")])
def test_records_come_without_a_heading(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """With -f json a tool that has records prints nothing else, so that each line can be read by a program."""
    assert main([name, "--explain", "-f", "json"]) == 0
    (line,) = capfd.readouterr().out.splitlines()
    kinds = {action["kind"] for action in json.loads(line)["data"]["actions"]}
    assert "print_value" in kinds and "printf" not in kinds
