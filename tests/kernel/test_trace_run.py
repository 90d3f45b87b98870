"""Whole runs of `cygnet trace` on the live kernel: ends, statuses, children, losses, nothing left behind."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ENTRY = "import sys; from cygnet.cli import main; sys.argv[0] = 'cygnet'; main()"
COMMAND = [sys.executable, "-c", ENTRY, "trace"]
TICK = "interval:ms:20"


class Done:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err


def trace(*args: str, stdin: str = "", env: dict[str, str] | None = None) -> Done:
    done = subprocess.run(
        [*COMMAND, *args], input=stdin, capture_output=True, text=True, timeout=60, env={**os.environ, **(env or {})}
    )
    return Done(done.returncode, done.stdout, done.stderr)


def start(*args: str) -> subprocess.Popen[str]:
    """Start a trace, and wait until its probes are attached."""
    child = subprocess.Popen(
        [*COMMAND, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "__BPFTRACE_NOTIFY_PROBES_ATTACHED": "1"},
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "__BPFTRACE_NOTIFY_PROBES_ATTACHED\n", child.communicate()
    return child


def test_begin_and_end() -> None:
    done = trace("-e", 'END { printf("%d\\n", @a); } BEGIN { @a = 41; @a++; }')
    assert done.out == "42\n\n\n@a: 42\n"
    assert done.err == "Attached 2 probes\n"
    assert done.status == 0


def test_exit_status_and_what_is_behind_it() -> None:
    text = f'{TICK} {{ printf("a\\n"); exit(300); printf("b\\n"); }} end {{ printf("end\\n"); }}'
    done = trace("-q", "--no-warnings", "-e", text)
    assert done.out == "a\nend\n"
    assert done.status == 300 & 255
    assert "Attached" not in done.err


@pytest.mark.usefixtures("foreground")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_prints_the_maps(number: signal.Signals) -> None:
    child = start("-e", f'{TICK} {{ @ticks = count(); }} end {{ printf("bye\\n"); }}')
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 0
    assert out.startswith("bye\n") and err == "Attached 2 probes\n"


def test_usr1_prints_the_maps_and_goes_on() -> None:
    child = start("-e", "begin { @x = 7; } interval:s:100 { }")
    assert child.stdout is not None
    child.send_signal(signal.SIGUSR1)
    assert [child.stdout.readline() for _ in range(3)] == ["\n", "\n", "@x: 7\n"]
    child.terminate()
    assert child.communicate(timeout=30)[0] == "@x: 7\n"


def test_a_signal_probe() -> None:
    child = start("-e", 'self:signal:SIGUSR1 { printf("got it\\n"); exit(3); } interval:s:100 { }')
    child.send_signal(signal.SIGUSR1)
    assert child.communicate(timeout=30)[0] == "got it\n"
    assert child.returncode == 3


def test_kill_9_leaves_nothing() -> None:
    child = start("-e", "tracepoint:syscalls:sys_enter_getpgid { @left_behind_1 = count(); }")

    def ours() -> str:
        return subprocess.run(["bpftool", "map", "show"], capture_output=True, text=True).stdout

    child.kill()
    child.communicate()
    for _ in range(100):
        if f"pids python({child.pid})" not in ours():
            break
        time.sleep(0.05)
    programs = subprocess.run(["bpftool", "prog", "show"], capture_output=True, text=True).stdout
    assert f"({child.pid})" not in programs


# ── -c and -p ──


def test_a_command_runs_after_attach_and_ends_the_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = trace(
        "-o", str(out), "-c", f"{sys.executable} -c 'import os; os.getpgid(0); os.getpgid(0); print(5)'", "-e",
        'tracepoint:syscalls:sys_enter_getpgid /pid == cpid/ { printf("%d %s\\n", args.pid, comm); @ = count(); }',
    )  # fmt: skip
    assert done.out == "5\n"
    comm = Path(sys.executable).name[:15]
    assert out.read_text() in [f"0 {name}\n0 {name}\n\n\n@: 2\n" for name in (comm, "python3", "python3.11", "python")]
    assert done.status == 0


def test_a_command_gets_sigterm_when_we_end_first() -> None:
    done = trace("-c", "sleep 100", "-e", f'{TICK} {{ printf("%d\\n", cpid); exit(); }}')
    pid = int(done.out)
    for _ in range(100):
        if not os.path.exists(f"/proc/{pid}"):
            break
        time.sleep(0.05)
    else:
        pytest.fail("the command still runs")


def test_killing_the_tracer_kills_the_command() -> None:
    child = start("-c", "sleep 100", "-e", 'begin { printf("%d\\n", cpid); } interval:s:100 { }')
    assert child.stdout is not None
    pid = int(child.stdout.readline())
    child.kill()
    child.communicate()
    for _ in range(100):
        if not os.path.exists(f"/proc/{pid}"):
            break
        time.sleep(0.05)
    else:
        pytest.fail("the command still runs")


def test_a_watched_process() -> None:
    script = "import os, time\ninput()\nfor i in range(5): os.getpgid(0)"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as target:
        child = start("-p", str(target.pid), "-e", "tracepoint:syscalls:sys_enter_getpgid { @[pid] = count(); }")
        os.getpgid(0)  # ours is not counted
        assert target.stdin is not None
        target.stdin.write(b"\n")
        target.stdin.close()
        out = child.communicate(timeout=30)[0]
    assert out == f"\n\n@[{target.pid}]: 5\n"
    assert child.returncode == 0


# ── losses ──


def test_lost_events_are_counted_exactly() -> None:
    done = trace(
        "-e", f'config = {{ perf_rb_pages = 2 }} {TICK} /!@once/ {{ @once = 1; for ($i : 0..3000) {{ printf("%d\\n", $i); '
        "@sent = count(); } exit(); }",
    )  # fmt: skip
    lines = done.out.split("\n")
    printed = sum(line.isdigit() for line in lines)
    lost = sum(int(line.split()[1]) for line in done.err.splitlines() if line.startswith("Lost "))
    sent = next(int(line.split()[1]) for line in lines if line.startswith("@sent"))
    assert printed + lost == sent and printed > 0
    assert done.status == 0


def test_control_is_not_lost_when_the_ring_is_full() -> None:
    program = (
        f"config = {{ perf_rb_pages = 2 }} {TICK} {{ @x = 5; for ($i : 0..3000) {{ printf(\"%d\\n\", $i); }} "
        "print(@x); clear(@x); exit(9); }"
    )  # fmt: skip
    done = trace("-e", program)
    assert done.status == 9
    assert "@x: 5\n" in done.out
    assert not done.out.endswith("@x: 5\n\n\n@x: 5\n")


def test_every_event_of_a_burst_is_printed_in_order() -> None:
    done = trace("-q", "-e", f'{TICK} {{ for ($i : 0..2000) {{ printf("%d %s\\n", $i, comm); }} exit(); }}')
    numbers = [int(line.split()[0]) for line in done.out.splitlines() if line]
    assert numbers[:2000] == list(range(2000))


def test_full_maps_are_told() -> None:
    fill = "for ($i : 0..10) { @m[$i] = $i; }"
    done = trace("-e", f"config = {{ max_map_keys = 3 }} {TICK} /!@once/ {{ @once = 1; {fill} exit(); }}")
    assert done.out.count("@m[") == 3
    assert "WARNING: Map full; can't update element. Try increasing max_map_keys" in done.err
    assert "7 updates of @m were dropped" in done.err
    done = trace("-e", f"let @m = hash(2); begin {{ {fill} exit(); }}")
    assert "8 updates of @m were dropped" in done.err


# ── output ──


def test_json() -> None:
    program = (
        'begin { printf("a\\n"); print((1, "b", (true, -2))); @a[1, "x y"] = count(); @s = stats(4); @h = hist(5); '
        "@n = 3; print(@n); time(\"%H\"); }"
    )  # fmt: skip
    lines = [json.loads(line) for line in trace("-f", "json", "-e", program).out.splitlines()]
    assert lines[0] == {"type": "attached_probes", "count": 1, "data": {"probes": 1}}
    assert [line["type"] for line in lines[1:]] == ["printf", "value", "map", "time", "map", "hist", "map", "stats"]
    assert lines[2]["data"] == [1, "b", [True, -2]]
    assert lines[5]["data"] == {"@a": {"1,xy": 1}}
    assert lines[6]["data"] == {"@h": [{"min": 4, "max": 7, "count": 1}]}
    assert lines[8]["data"] == {"@s": {"count": 1, "average": 4, "total": 4}}


def test_a_reader_that_goes_away() -> None:
    child = subprocess.Popen(
        f"{' '.join(COMMAND[:1])} -c \"{ENTRY}\" trace -e '{TICK} {{ printf(\"x\\n\"); }}' | head -1",
        shell=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    out, err = child.communicate(timeout=30)
    assert out == "x\n" and "Traceback" not in err and "ERROR" not in err


def test_stdin_and_files(tmp_path: Path) -> None:
    text = '#!/usr/bin/env cygnet\nbegin { printf("%d %s\\n", $1, str($2)); }'
    script = tmp_path / "x.bt"
    script.write_text(text)
    assert trace("-q", str(script), "7", "ab").out == "7 ab\n"
    assert trace("-q", "-", "7", "ab", stdin=text).out == "7 ab\n"


def test_dry_run_prints_nothing() -> None:
    done = trace("--dry-run", "-e", 'begin { printf("a\\n"); @a = 1; }')
    assert (done.status, done.out, done.err) == (0, "", "")


# ── mistakes ──


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["-e", "begin { foo }"], "stdin:1:9-12: ERROR: "),
        (["-e", "begin { @a = }"], "ERROR: syntax: "),
        (["-e", "tracepoint:no:such { }"], "ERROR: "),
        (["-e", 'begin { printf("%d", "a"); }'], "ERROR: "),
        (["-p", "4194304", "-e", "begin { }"], "ERROR: -p: there is no process 4194304"),
        (["-c", "/no/such", "-e", "begin { }"], "ERROR: -c: cannot run '/no/such'"),
        (["-e", "uprobe:/no/such/binary:main { }"], "ERROR: "),
        (["-o", "/no/such/dir/f", "-e", "begin { }"], "ERROR: cannot write to"),
        (["/no/such/file.bt"], "ERROR: failed to open file"),
        (["-e", ""], "ERROR: "),
    ],
)
def test_mistakes_are_one_clear_message_and_status_1(args: list[str], says: str) -> None:
    done = trace(*args)
    assert done.status == 1, done.err
    assert says in done.err and "Traceback" not in done.err and "internal" not in done.err
    assert done.out == ""


def test_what_needs_unsafe_is_refused_without_it() -> None:
    done = trace("-e", 'begin { system("echo hi"); }')
    assert done.status == 1 and "unsafe" in done.err
    assert trace("-q", "--unsafe", "-e", 'begin { system("echo hi"); }').out == "hi\n\n"


def test_an_enumeration_in_a_tracepoint_has_names() -> None:
    """The kernel says why it drops a datagram that nobody waits for; its own BTF knows the number's name."""
    code = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))"
    program = 'tracepoint:skb:kfree_skb /pid == cpid/ { printf("%s=%d\\n", args.reason, args.reason); @[args.reason] = count(); }'
    done = trace("-q", "-c", f"{sys.executable} -c '{code.replace(chr(39), chr(34))}'", "-e", program)
    listed = trace("-lv", "enum skb_drop_reason").out
    number = listed.partition("SKB_DROP_REASON_NO_SOCKET = ")[2].partition(",")[0]
    assert f"SKB_DROP_REASON_NO_SOCKET={number}\n" in done.out
    assert "@[SKB_DROP_REASON_NO_SOCKET]: 1\n" in done.out


def test_a_full_disk_is_told_and_full_messages_are_not() -> None:
    program = 'begin { printf("x\\n"); exit(); }'
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*COMMAND, "-q", "-e", program], stdout=full, stderr=subprocess.PIPE, check=False)
        assert (done.returncode, done.stderr) == (2, b"ERROR: cannot write the output: No space left on device\n")
        done = subprocess.run([*COMMAND, "-e", program], stdout=subprocess.PIPE, stderr=full, check=False)
        assert (done.returncode, done.stdout) == (0, b"x\n")
    told = trace("-q", "-o", "/dev/full", "-e", program)
    assert (told.status, told.err) == (2, "ERROR: cannot write the output: No space left on device\n")


def test_what_a_stage_shows_comes_before_what_the_program_prints() -> None:
    done = trace("-q", "-d", "ast", "-e", "begin { print(7); exit(); }")
    assert done.out.startswith("-- ast") and done.out.endswith("}\n\n7\n")


@pytest.mark.parametrize(("length", "says"), [(0, "is empty"), (40, "cut short"), (3000, "cut short")])
def test_a_binary_that_is_cut_short(tmp_path: Path, length: int, says: str) -> None:
    (tmp_path / "binary").write_bytes(Path(sys.executable).read_bytes()[:length])
    done = trace("-e", f"uprobe:{tmp_path}/binary:main {{ }} tracepoint:no:such {{ }}")
    first, *rest = done.err.splitlines()
    assert done.status == 1 and first.startswith("stdin:1:") and says in first
    assert "tracepoint not found" in " ".join(rest)  # one mistake hides no other


def test_process_and_thread_as_their_own_namespace_numbers_them() -> None:
    child = (
        "import os, threading; tell = lambda: (os.getppid(), print(os.getpid(), threading.get_native_id(), flush=True));"
        "[(t.start(), t.join()) for t in [threading.Thread(target=tell)]]; tell()"
    )
    text = 'tracepoint:syscalls:sys_enter_getppid /pid == cpid/ { printf("seen %d %d\\n", pid, tid); }'
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", *COMMAND, "-q", "-c", shlex.join([sys.executable, "-c", child]),
         "-e", text], capture_output=True, text=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    told = [line for line in lines if line and not line.startswith("seen")]
    (process, thread), (again, main) = [line.split() for line in told]
    assert process == again == main != thread and int(process) < 1000  # another namespace: it begins at 1
    assert [line for line in lines if line.startswith("seen")] == [f"seen {line}" for line in told]
