"""The top of the command line, and errors as a person sees them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cygnet import cli
from cygnet.cli.failures import report, status_of
from cygnet.errors import (
    CygnetError,
    KernelVerifierError,
    PermissionDenied,
    ProbeError,
    SystemCallError,
    TraceSyntaxError,
    UsageError,
)
from cygnet.source import Source, Span


@pytest.mark.parametrize(
    ("args", "status", "out", "err"),
    [
        ([], 1, "", "Usage: cygnet"),
        (["--help"], 0, "Usage: cygnet", ""),
        (["--version"], 0, "cygnet", ""),
        (["tarce"], 1, "", "did you mean `trace`?"),
        (["zzzzzz"], 1, "", "the commands are"),
        (["trace"], 1, "", "USAGE: cygnet trace"),
        (["trace", "--help"], 0, "USAGE: cygnet trace", ""),
        (["trace", "-V"], 0, "cygnet", ""),
        (["trace", "-z"], 1, "", "ERROR: unknown option -z"),
        (["trace", "/no/such/file.bt"], 1, "", "ERROR: failed to open file '/no/such/file.bt': No such file"),
        (
            ["trace", "-f", "jsonx", "-e", "begin {}"],
            1,
            "",
            'ERROR: Invalid output format "jsonx": it must be text or json',
        ),
        (["list", "--help"], 0, "Usage: cygnet list", ""),
        (["list", "--bad"], 1, "", "unknown option"),
        (["asm", "-z"], 1, "", "ERROR: unknown option -z\nHINT: cygnet asm --help tells more\n"),
        (["asm", "a", "b"], 1, "", "ERROR: one argument too many: b\n"),
        (["asm", "-f", "zz"], 1, "", "ERROR: -f cannot be 'zz': one of 'hex', 'bin', 'c', 'list'\n"),
        (["asm", "-e", "r11 = 1"], 1, "", "there is no register r11"),
        (["asm", "--help"], 0, "usage: cygnet asm", ""),
        (["run", "/bin/ls"], 1, "", "ERROR: /bin/ls is an ELF file: a program of bare instructions is wanted\n"),
        (["run"], 1, "", "ERROR: give either a file or --hex CODE\nHINT: cygnet run --help tells more\n"),
        (["run", "--budget", "x", "a"], 1, "", "ERROR: --budget wants a number, not 'x'\n"),
        (["run", "--memory"], 1, "", "ERROR: --memory wants a value\n"),
        (["disasm", "-e", "zz"], 1, "", "ERROR: -e: 'zz' is not an even number of hex digits\n"),
        (["disasm", "-e", "9500"], 1, "", "ERROR: 2 bytes are not a whole number of 8-byte instructions"),
        (["disasm", "-e", "9500000000000000"], 0, "(95) exit", ""),
        (["list", "struct no_such_struct"], 1, "", "ERROR: nothing matches 'struct no_such_struct'\n"),
        (["list", "software:no*"], 1, "", "ERROR: nothing matches 'software:no*'\n"),
        (["list", "--json", "software:dummy"], 0, '{"name": "software:dummy:", "provider": "software"}', ""),
        (["trace", "-l", "no_such_file.bt"], 1, "", "WARNING: It appears that 'no_such_file.bt' is a filename but"),
        (["tools", "show"], 1, "", "wants the name of a tool"),
        (["tools", "opensnoop"], 1, "", "cygnet opensnoop runs it"),
    ],
)
def test_commands(args: list[str], status: int, out: str, err: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(args) == status
    got = capfd.readouterr()
    assert out in got.out and err in got.err
    assert "Traceback" not in got.err
    assert bool(got.out) == bool(out) and bool(got.err) == bool(err)


@pytest.mark.parametrize(
    ("error", "running", "status"),
    [
        (UsageError("x"), False, 1),
        (UsageError("x"), True, 1),
        (PermissionDenied("x"), True, 1),
        (ProbeError("x"), True, 1),
        (SystemCallError("x"), True, 255),
        (KernelVerifierError("x", errno=13), True, 255),
        (SystemCallError("x"), False, 1),
    ],
)
def test_statuses(error: CygnetError, running: bool, status: int) -> None:
    assert status_of(error, running) == status


def test_a_place_in_the_text(capfd: pytest.CaptureFixture[str]) -> None:
    source = Source("stdin", "begin { foo }")
    assert report(TraceSyntaxError("what is foo", Span(source, 8, 11), ["did you mean bar?"])) == 1
    assert capfd.readouterr().err == (
        "stdin:1:9-12: ERROR: syntax: what is foo\nbegin { foo }\n        ~~~\nHINT: did you mean bar?\n"
    )


def test_the_kernels_log_is_shown_when_asked(capfd: pytest.CaptureFixture[str]) -> None:
    error = KernelVerifierError("the kernel refuses", errno=13, log="0: (95) exit\nR0 !read_ok\n")
    assert report(error, running=True) == 255
    assert "R0" not in capfd.readouterr().err
    report(error, running=True, verbose=True)
    assert "R0 !read_ok" in capfd.readouterr().err


def test_the_unexpected_is_one_line_and_status_2(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CYGNET_DEBUG", raising=False)
    assert report(RuntimeError("boom")) == 2
    err = capfd.readouterr().err
    assert "ERROR: internal: RuntimeError: boom" in err and "Traceback" not in err
    monkeypatch.setenv("CYGNET_DEBUG", "1")
    report(RuntimeError("boom"))
    assert "RuntimeError: boom" in capfd.readouterr().err


def test_what_the_system_refuses_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert report(OSError(24, "Too many open files", "/x")) == 2
    assert capfd.readouterr().err == "ERROR: Too many open files: /x\n"


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    import cygnet.cli.list as command

    def interrupted(args: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "main", interrupted)
    assert cli.main(["list"]) == 130
    assert capfd.readouterr().err == ""


def _process(args: list[str], **how: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", "from cygnet.cli import main; main()", *args]
    return subprocess.run(command, check=False, stderr=subprocess.PIPE, **how)


@pytest.mark.parametrize(
    ("closed", "args", "status", "err"),
    [
        (1, ["tools"], 2, b"ERROR: cannot write the output: Bad file descriptor\n"),
        (1, ["--help"], 2, b"ERROR: cannot write the output: Bad file descriptor\n"),
        (1, ["list", "software:"], 2, b"ERROR: cannot write the output: Bad file descriptor\n"),
        (1, ["trace", "-z"], 1, b"ERROR: unknown option -z\nHINT: cygnet trace --help lists the options\n"),
        (0, ["trace", "-"], 1, b"ERROR: failed to read the standard input: Bad file descriptor\n"),
        (0, ["trace", "--version"], 0, b""),
        (2, ["trace", "--version"], 0, b""),
        (2, ["tarce"], 1, b""),
    ],
)
def test_closed_streams(closed: int, args: list[str], status: int, err: bytes) -> None:
    done = _process(args, preexec_fn=lambda: os.close(closed))
    assert (done.returncode, done.stderr) == (status, err)


@pytest.mark.parametrize("args", [["tarce"], ["trace", "-z"], ["trace", "-e", "begin {"], ["list", "software:no"]])
def test_messages_that_nobody_can_read_change_no_status(args: list[str]) -> None:
    command = [sys.executable, "-c", "from cygnet.cli import main; main()", *args]
    with open("/dev/full", "wb") as full:
        assert subprocess.run(command, check=False, stderr=full).returncode == 1
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert subprocess.run(command, check=False, stderr=writer).returncode == 1
    finally:
        os.close(writer)


@pytest.mark.parametrize("args", [["--help"], ["trace", "--help"], ["tools"], ["asm", "-e", "exit"]])
def test_a_full_disk_and_a_reader_that_has_gone(args: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = _process(args, stdout=full)
    assert (done.returncode, done.stderr) == (2, b"ERROR: cannot write the output: No space left on device\n")
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = _process(args, stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.usefixtures("foreground")
def test_an_interrupt_while_python_still_imports_is_no_traceback() -> None:
    text = "import os, _signal; from cygnet.cli.process import prepare; prepare(); os.kill(os.getpid(), _signal.SIGINT)"
    done = subprocess.run([sys.executable, "-c", text], check=False, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (-2, b"")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_output_that_knows_few_letters(encoding: str) -> None:
    done = _process(["--help"], stdout=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"[ARGUMENT?]" in done.stdout


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_before_a_program_runs(tmp_path: Path, number: int, status: int) -> None:
    """A program that is still being read stands for one that is still being compiled."""
    os.mkfifo(tmp_path / "program.bt")
    code = "from cygnet.cli import main; main()"
    command = [sys.executable, "-c", code, "trace", str(tmp_path / "program.bt")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process, open(tmp_path / "program.bt", "wb"):  # opens when the other side reads
        process.send_signal(number)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (status, b"", b"Interrupted before all probes were attached\n")


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({"BPFTRACE_COLOR": "never"}, False),
        ({"BPFTRACE_COLOR": "always", "NO_COLOR": "1"}, True),
        ({"CYGNET_COLOR": "never", "BPFTRACE_COLOR": "always"}, False),
    ],
)
def test_colour(environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, unless somebody asks for none."""
    from cygnet.cli.failures import colour

    for name in ("NO_COLOR", "TERM", "BPFTRACE_COLOR", "CYGNET_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "isatty", lambda fd: True)
    assert colour() is coloured


def test_bytes_that_are_no_text(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.bt").write_bytes(b"begin { \xff }")
    assert cli.main(["trace", "--fmt", str(tmp_path / "bad.bt")]) == 1
    assert "the byte 0xFF, which is not UTF-8" in capfd.readouterr().err


def test_no_more_is_read_than_a_script_may_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cygnet.cli.options import parse
    from cygnet.cli.program import text

    long = tmp_path / "long.bt"
    long.write_bytes(b" " * (6 << 20))
    assert 1 << 20 < len(text(parse([str(long)]))[1]) < 5 << 20
    with long.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert 1 << 20 < len(text(parse(["-"]))[1]) < 5 << 20


@pytest.mark.parametrize(
    ("name", "value", "status", "says"),
    [
        ("BPFTRACE_COLOR", "blue", 2, "ERROR: BPFTRACE_COLOR is auto, always or never, not 'blue'\n"),
        ("BPFTRACE_BTF", "/no/such", 1, "ERROR: BPFTRACE_BTF: cannot read types from /no/such: No such file"),
        ("BPFTRACE_BTF", "/etc/passwd", 1, "ERROR: BPFTRACE_BTF: cannot read types from /etc/passwd: not BTF"),
        ("BPFTRACE_NO_SUCH", "1", 0, ""),
    ],
)
def test_the_environment(
    name: str, value: str, status: int, says: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert cli.main(["trace", "--mode", "codegen", "-e", "begin { print((struct sock_filter *)8); }"]) == status
    assert says in capfd.readouterr().err
