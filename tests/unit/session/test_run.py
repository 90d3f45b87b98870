"""Runs of objects on a made-up runtime: order, ends, losses, statuses."""

from __future__ import annotations

import os
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import (
    CONTROL,
    I64,
    U64,
    Action,
    LinkSpec,
    MapSpec,
    MapView,
    ObjectSpec,
    Runtime,
    Store,
    Store_,
    World,
    record,
    string,
    tuple_of,
    words,
)  # fmt: skip

from cygnet.errors import ProbeError, UsageError
from cygnet.session.actions import HANDLERS
from cygnet.session.options import Options
from cygnet.session.run import run
from cygnet.session.signals import Interrupted

PRINTF = Action("printf", 16, ((8, I64),), "n=%d\n")
TEXT = Action("printf", 32, ((8, string(16)),), "s=%s\n")
EXIT = Action("exit", 16, ((8, I64),), pending=0)
PRINT = Action("print_map", 8, (), "@m", (0, 0), pending=1)
CLEAR = Action("clear", 8, (), "@m", pending=2)
ACTIONS = (PRINTF, EXIT, TEXT, PRINT, CLEAR)
VIEW = MapView("@m", (Store("m", None),), None, U64, "count")


def link(kind: str, name: str) -> LinkSpec:
    return LinkSpec(name, kind, {"signal": signal.SIGUSR2} if kind == "signal" else {}, name)


def spec(*links: LinkSpec, actions: tuple[Action, ...] = ACTIONS, **settings: Any) -> ObjectSpec:
    maps = (MapSpec("m", 6, 4, 8, 1), MapSpec("control", 2, 4, 256, 1), MapSpec("ring", 27, 0, 0, 4096))
    return ObjectSpec((), maps, links, actions, (VIEW,), CONTROL, settings)


class Run:
    """The result of a run: what it printed and how it ended."""

    def __init__(self, tmp: Path, one: ObjectSpec, programs: dict[str, Callable[[Any], None]], **options: Any) -> None:
        self.options = Options()
        self.options.output = str(tmp / "out")
        for name, value in options.items():
            setattr(self.options, name, value)
        self.runtime = Runtime(one, programs, {"m": Store_({bytes(4): words(0, 0)})})
        self.status = run(one, self.options, World(), self.runtime.open)

    @property
    def out(self) -> str:
        return Path(self.options.output).read_text()


def emit(*records: bytes) -> Callable[[Any], None]:
    return lambda runtime: runtime.ring.put(*records)


def test_order_and_streams(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one = spec(link("begin", "b1"), link("tracepoint", "tp"), link("begin", "b2"), link("end", "e"))
    count = Store_({bytes(4): words(0, 0)})

    def probe(runtime: Any) -> None:
        runtime.ring.put(record(0, 3))
        runtime.stores["m"].data[bytes(4)] = words(1, 2)
        runtime.ring.put(record(1, 5), record(0, 99))

    done = Run(
        tmp_path,
        one,
        {"b1": emit(record(0, 1)), "b2": emit(record(0, 2)), "tp": probe, "e": emit(record(0, 4))},
    )
    assert done.runtime.log == ["run b1", "run b2", "attach tp", "detach", "run e", "close"]
    assert done.out == "n=1\nn=2\nn=3\nn=4\n\n\n@m: 3\n"
    assert done.status == 5
    assert capfd.readouterr().err == "Attached 4 probes\n"
    assert count.data


def test_only_begin_ends_by_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    done = Run(tmp_path, spec(link("begin", "b")), {"b": emit(record(0, 1))}, quiet=True)
    assert done.out == "n=1\n" and done.status == 0
    assert capfd.readouterr().err == ""


def test_json(tmp_path: Path) -> None:
    def begin(runtime: Any) -> None:
        runtime.ring.put(record(2, b'a"b\0', size=32), record(2, b"c\0", size=32))
        runtime.stores["m"].data[bytes(4)] = words(1, 2)
        runtime.ring.put(record(3))

    done = Run(tmp_path, spec(link("begin", "b")), {"b": begin}, format="json")
    assert done.out.splitlines() == [
        '{"type": "attached_probes", "count": 1, "data": {"probes": 1}}',
        '{"type": "printf", "data": "s=a\\"b\\n"}',
        '{"type": "printf", "data": "s=c\\n"}',
        '{"type": "map", "data": {"@m": 3}}',
        '{"type": "map", "data": {"@m": 3}}',
    ]


def test_records_of_several_sizes(tmp_path: Path) -> None:
    records = (record(0, 1), record(2, b"x\0", size=32), record(0, 2), record(1, 0), record(0, 3))
    done = Run(tmp_path, spec(link("begin", "b")), {"b": emit(*records)})
    assert done.out == "n=1\ns=x\nn=2\n"


def test_records_of_one_size_with_others_between(tmp_path: Path) -> None:
    records = [record(kind, 7, size=32) for kind in (0, 3, 0, 0, 4, 3, 0)]

    def begin(runtime: Any) -> None:
        runtime.stores["m"].data[bytes(4)] = words(1, 2)
        runtime.ring.put(*records)

    done = Run(tmp_path, spec(link("begin", "b")), {"b": begin})
    assert done.out == "n=7\n@m: 3\nn=7\nn=7\n@m: 0\nn=7\n"


def control_word(runtime: Any, word: int, value: int) -> None:
    raw = bytearray(runtime.stores["control"].data[bytes(4)])
    struct.pack_into("<Q", raw, word * 8, value)
    runtime.stores["control"].data[bytes(4)] = bytes(raw)


def test_a_full_ring_loses_no_control(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """exit, print and clear found no room: words say so; losses are counted."""

    def probe(runtime: Any) -> None:
        runtime.stores["m"].data[bytes(4)] = words(4, 5)
        runtime.ring.put(record(0, 1))
        control_word(runtime, 0, 1 + (3 << 8))
        control_word(runtime, 1, 3)
        for action in range(3):
            control_word(runtime, 5 + action, 1)
        control_word(runtime, 2, 41)

    done = Run(tmp_path, spec(link("tracepoint", "tp")), {"tp": probe})
    assert done.out == "n=1\n@m: 9\n"
    assert done.status == 3
    assert capfd.readouterr().err == "Attached 1 probe\nLost 41 events\n"


def test_full_maps_are_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one = spec(link("begin", "b"))._replace(control=CONTROL._replace(drop_maps=("@m", "@n")))
    Run(tmp_path, one, {"b": lambda runtime: control_word(runtime, 9, 12)})
    told = capfd.readouterr().err
    assert "WARNING: Map full; can't update element. Try increasing max_map_keys config or manually" in told
    assert "12 updates of @n were dropped" in told


@pytest.mark.usefixtures("foreground")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run(tmp_path: Path, number: int) -> None:
    def timer(runtime: Any) -> None:
        runtime.stores["m"].data[bytes(4)] = words(1, 0)

    def begin(runtime: Any) -> None:
        if os.fork() == 0:  # a process that sends the signal once we sleep
            os.execv("/bin/sh", ["sh", "-c", f"sleep 0.1; kill -{int(number)} {os.getppid()}"])

    done = Run(tmp_path, spec(link("begin", "b"), link("tracepoint", "tp"), link("end", "e")),
               {"b": begin, "tp": timer, "e": emit(record(0, 8))})  # fmt: skip
    os.wait()
    assert done.status == 0
    assert done.out == "n=8\n\n\n@m: 1\n"


def test_a_signal_while_attaching(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing more is attached, and neither end nor maps are shown."""
    one = spec(link("tracepoint", "one"), link("tracepoint", "two"), link("end", "e"))
    programs: dict[str, Callable[[Any], None]] = {"one": lambda runtime: os.kill(os.getpid(), signal.SIGINT)}
    with pytest.raises(Interrupted) as stopped:
        Run(tmp_path, one, programs)
    assert stopped.value.status == 130
    assert (tmp_path / "out").read_text() == "" and capfd.readouterr().err == ""


def test_a_signal_probe(tmp_path: Path) -> None:
    one = spec(link("signal", "s"), link("tracepoint", "tp"))
    done = Run(
        tmp_path,
        one,
        {"s": emit(record(0, 6), record(1, 0)), "tp": lambda runtime: os.kill(os.getpid(), signal.SIGUSR2)},
    )
    assert done.out == "n=6\n"


def test_usr1_prints_the_maps(tmp_path: Path) -> None:
    def probe(runtime: Any) -> None:
        runtime.stores["m"].data[bytes(4)] = words(2, 0)
        os.kill(os.getpid(), signal.SIGUSR1)
        if os.fork() == 0:
            os.execv("/bin/sh", ["sh", "-c", f"sleep 0.1; kill {os.getppid()}"])

    done = Run(tmp_path, spec(link("tracepoint", "tp")), {"tp": probe})
    os.wait()
    assert done.out == "\n\n@m: 2\n@m: 2\n"


def test_handlers_are_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    Run(tmp_path, spec(link("begin", "b")), {"b": emit()} | {"b": lambda runtime: None})
    assert signal.getsignal(signal.SIGTERM) is before


# ── -c and -p ──


def test_a_child_runs_after_attach_and_ends_the_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    def probe(runtime: Any) -> None:
        assert not mark.exists()
        assert runtime.numbers["cpid"] > 0

    command = f"sh -c 'echo \"a b\" > {mark}'"
    done = Run(tmp_path, spec(link("tracepoint", "tp")), {"tp": probe}, cmd=command)
    assert mark.read_text() == "a b\n"
    assert done.status == 0


def test_a_child_that_outlives_the_run_is_ended(tmp_path: Path) -> None:
    one = spec(link("tracepoint", "tp"))
    done = Run(tmp_path, one, {"tp": emit(record(1, 0))}, cmd="sleep 60")
    pid = done.runtime.numbers["cpid"]
    assert os.waitpid(pid, 0)[1] == signal.SIGTERM


@pytest.mark.parametrize("command", ["no-such-command-here", "/etc/passwd", "'unclosed", " "])
def test_a_command_that_cannot_run(tmp_path: Path, command: str) -> None:
    with pytest.raises(UsageError):
        Run(tmp_path, spec(link("begin", "b")), {"b": emit()}, cmd=command)


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_bytes(b"\0\1\2")
    bad.chmod(0o755)
    with pytest.raises(UsageError, match="cannot run"):
        Run(tmp_path, spec(link("tracepoint", "tp")), {"tp": lambda runtime: None}, cmd=str(bad))


def test_a_dead_pid(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    with pytest.raises(UsageError, match=f"no process {pid}"):
        Run(tmp_path, spec(link("begin", "b")), {"b": emit()}, pid=pid)


def test_a_watched_process_ends_the_run(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        os.execv("/bin/sleep", ["sleep", "0.1"])
    done = Run(tmp_path, spec(link("tracepoint", "tp")), {"tp": lambda runtime: None}, pid=pid)
    os.waitpid(pid, 0)
    assert done.status == 0


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        Run(tmp_path, spec(link("begin", "b")), {"b": emit()}, output=str(tmp_path / "no" / "file"))


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    def probe(runtime: Any) -> None:
        os.close(reader)
        runtime.ring.put(record(0, 1))

    done = Run(tmp_path, spec(link("tracepoint", "tp")), {"tp": probe}, output=str(fifo))
    assert done.status == 0
    assert done.runtime.log[-1] == "close"


# ── attaching in part ──


class Failing(Runtime):
    def attach_all(self, links: Any = None, *, progress: Any = None, failed: Any = None) -> int:
        links = list(links)
        for one in links:
            failed(one, ProbeError(f"{one.probe}: no such place"))
        return 0


@pytest.mark.parametrize(("missing", "says"), [("warn", "WARNING: tp is skipped: tp: no such place\n"), ("ignore", "")])
def test_missing_probes(tmp_path: Path, capfd: pytest.CaptureFixture[str], missing: str, says: str) -> None:
    one = spec(link("tracepoint", "tp"), missing_probes=missing)
    runtime = Failing(one, {})
    with pytest.raises(ProbeError) as caught:
        run(one, Options(), World(), runtime.open)
    assert caught.value.exit_status == 255
    assert capfd.readouterr().err == says
    assert runtime.log == ["close"]


def test_a_missing_probe_is_an_error(tmp_path: Path) -> None:
    one = spec(link("tracepoint", "tp"))
    with pytest.raises(ProbeError, match="no such place"):
        run(one, Options(), World(), Failing(one, {}).open)


def test_dry_run(tmp_path: Path) -> None:
    done = Run(tmp_path, spec(link("begin", "b")), {}, dry_run=True)
    assert done.runtime.log == ["close"] and done.out == "" and done.status == 0


def test_maps_on_exit_can_be_left_out(tmp_path: Path) -> None:
    def begin(runtime: Any) -> None:
        runtime.stores["m"].data[bytes(4)] = words(1, 2)

    assert Run(tmp_path, spec(link("begin", "b"), print_maps_on_exit=False), {"b": begin}).out == ""


# ── the other actions ──


def one_event(tmp_path: Path, action: Action, raw: bytes, **options: Any) -> Run:
    return Run(tmp_path, spec(link("begin", "b"), actions=(action,)), {"b": emit(raw)}, **options)


def test_join(tmp_path: Path) -> None:
    raw = record(0, b"ls\0\0-l\0\0\0\0\0\0x\0\0\0", size=24)
    action = Action("join", 24, ((8, string(16)),), ",", (4, 4))
    assert one_event(tmp_path, action, raw).out == "ls,-l\n"
    assert '{"type": "join", "data": "ls,-l"}' in one_event(tmp_path, action, raw, format="json").out


def test_time(tmp_path: Path) -> None:
    out = one_event(tmp_path, Action("time", 8, (), ""), record(0)).out
    assert len(out) == 9 and out[2] == out[5] == ":"


def test_cat(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("0123456789")
    action = Action("cat", 16, ((8, I64),), f"{tmp_path}/file")
    assert one_event(tmp_path, action, record(0, 1)).out == "0123456789"
    missing = Action("cat", 16, ((8, I64),), f"{tmp_path}/%d")
    assert one_event(tmp_path, missing, record(0, 7)).out == ""
    assert "failed to open file" in capfd.readouterr().err


def test_system(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    action = Action("system", 16, ((8, I64),), "echo a b %d; echo c >&2")
    assert one_event(tmp_path, action, record(0, 1)).out == "a b 1\nc\n\n"
    line = one_event(tmp_path, action, record(0, 1), format="json").out.splitlines()[1]
    assert line == '{"type": "syscall", "data": "a b 1\\nc\\n"}'
    assert one_event(tmp_path, Action("system", 8, (), "exit 3"), record(0)).out == ""
    assert "status 3" in capfd.readouterr().err


def test_commands_that_wait_are_not_run_after_a_request_to_end(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    slow = Action("system", 16, ((8, I64),), f"n=%d; echo $n >> {log}; test $n != 1 || kill -INT {os.getpid()}")
    one = spec(link("tracepoint", "tp"), link("end", "e"), actions=(slow,))
    Run(tmp_path, one, {"tp": emit(*[record(0, number) for number in range(9)]), "e": emit(record(0, 77))})
    assert log.read_text().split() == ["0", "1", "77"]
    assert "7 commands of system() were not run: the end was asked for before" in capfd.readouterr().err


PLACE = {"where": ("stdin", 1, 9, 14), "source_line": "begin { @a[1] = 2 }"}


def test_errorf_and_warnf(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    error, warn = (Action(kind, 16, ((8, I64),), "bad %d", **PLACE) for kind in ("errorf", "warnf"))
    assert one_event(tmp_path, error, record(0, 4), quiet=True).out == ""
    assert capfd.readouterr().err == "stdin:1:9-14: ERROR: bad 4\n"
    one_event(tmp_path, warn, record(0, 4), quiet=True)
    assert capfd.readouterr().err == "stdin:1:9-14: WARNING: bad 4\n"
    one_event(tmp_path, warn, record(0, 4), quiet=True, warnings=0)
    assert capfd.readouterr().err == ""
    assert one_event(tmp_path, error, record(0, 4), quiet=True, format="json").out == (
        '{"type": "errorf", "msg": "bad 4", "filename": "stdin", "line": 1, "col": 9}\n'
    )


def test_helper_errors(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    action = Action("helper_error", 16, ((8, I64),), "probe_read", **PLACE)
    one_event(tmp_path, action, record(0, -14), quiet=True)
    assert capfd.readouterr().err == (
        "stdin:1:9-14: WARNING: Bad address\nbegin { @a[1] = 2 }\n        ~~~~~\n"
        "Additional Info - helper: probe_read, retcode: -14\n"
    )
    assert one_event(tmp_path, action, record(0, -14), quiet=True, format="json").out == (
        '{"type": "helper_error", "msg": "Bad address", "helper": "probe_read", "retcode": -14, '
        '"filename": "stdin", "line": 1, "col": 9}\n'
    )
    full = Action("helper_error", 16, ((8, I64),), "map_update_elem", **PLACE)
    one_event(tmp_path, full, record(0, -7), quiet=True)
    assert "Map full" in capfd.readouterr().err


def test_runtime_errors(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    action = Action("runtime_error", 8, (), "division by zero", **PLACE)
    one_event(tmp_path, action, record(0), quiet=True)
    assert capfd.readouterr().err.startswith("stdin:1:9-14: WARNING: division by zero\nbegin")


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        ("runtime_error", "division by 0. It gives 1.", "division by 0"),
        ("helper_error", "probe_read", "helper probe_read failed"),
        ("cat", "/no/such/%d", "cat() failed to open a file"),
    ],
)
def test_warnings_of_one_place_are_limited(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: str, text: str, told: str
) -> None:
    """Ten a second; how many more there were is told at the end. The clock is the test's."""
    now = [100.0]
    monkeypatch.setattr("cygnet.session.limits.monotonic", lambda: now[0])
    noisy = Action(kind, 16, ((8, I64),), text, **PLACE)
    tick = Action("unwatch", 16, ((8, I64),), "")
    one = spec(link("begin", "b"), actions=(noisy, tick))
    monkeypatch.setattr(
        "cygnet.session.state.HANDLERS",
        {**HANDLERS, "unwatch": lambda state, action: lambda record: now.__setitem__(0, now[0] + 1)},
    )
    records = [*[record(0, -14)] * 25, record(1, 0), *[record(0, -14)] * 12]
    Run(tmp_path, one, {"b": emit(*records)}, quiet=True)
    lines = [line for line in capfd.readouterr().err.splitlines() if "WARNING" in line or "ERROR" in line]
    assert len(lines) == 21
    assert lines[-1] == f"stdin:1:9-14: WARNING: {told}: 17 more such warnings were not shown"
    out = Run(tmp_path, one, {"b": emit(*records)}, quiet=True, format="json").out.splitlines()
    assert out[-2 if "map" in out[-1] else -1] == (
        f'{{"type": "suppressed_warnings", "count": 17, "data": {{"msg": "{told}", "warnings": 17, '
        '"filename": "stdin", "line": 1, "col": 9}}'
    )


def test_print_value(tmp_path: Path) -> None:
    kind = tuple_of(U64, string(8))
    action = Action("print_value", 24, ((8, kind),))
    assert one_event(tmp_path, action, record(0, 7, b"ab\0", size=24)).out == "(7, ab)\n"
    out = one_event(tmp_path, action, record(0, 7, b"ab\0", size=24), format="json", quiet=True).out
    assert out == '{"type": "value", "data": [7,"ab"]}\n'


@pytest.mark.parametrize("mode", ["line", "full", "none"])
def test_buffering(tmp_path: Path, mode: str) -> None:
    records = [record(0, n) for n in range(3000)]
    done = Run(tmp_path, spec(link("begin", "b")), {"b": emit(*records)}, buffering=mode)
    assert done.out == "".join(f"n={n}\n" for n in range(3000))


def test_the_word_for_suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("__BPFTRACE_NOTIFY_PROBES_ATTACHED", "1")
    done = Run(tmp_path, spec(link("begin", "b")), {"b": emit(record(0, 1))})
    assert done.out == "__BPFTRACE_NOTIFY_PROBES_ATTACHED\nn=1\n"


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        Run(tmp_path, spec(link("begin", "b")), {"b": lambda runtime: None})
        assert sock.recv(100) == b"READY=1"


def test_imports_of_a_text_run_are_few() -> None:
    """What only some runs need is imported by those: checked in a fresh interpreter."""
    import subprocess

    code = "import sys, cygnet.session.run, cygnet.session.world, cygnet.cli.trace; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"json", "argparse", "subprocess", "dataclasses", "inspect", "shlex", "socket", "signal", "logging",
             "cygnet.session.json", "cygnet.session.hist", "cygnet.session.tseries",
             "cygnet.session.symbols"}  # fmt: skip
    assert not heavy & set(out)
