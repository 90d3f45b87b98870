"""The command line, judged by the rules of getopt_long (Python's getopt is the witness where it applies)."""

from __future__ import annotations

from typing import Any

import pytest

from cygnet.cli.options import Request, parse
from cygnet.errors import UsageError


def options(*args: str) -> Any:
    return parse(args).options


@pytest.mark.parametrize(
    ("args", "program", "file", "params"),
    [
        (["-e", "begin{}"], "begin{}", "", []),
        (["-ebegin{}"], "begin{}", "", []),
        (["-qve", "X", "1", "2"], "X", "", ["1", "2"]),
        (["-qv", "-eX"], "X", "", []),
        (["f.bt", "a", "-v", "b"], None, "f.bt", ["a", "b"]),
        (["-", "a"], None, "-", ["a"]),
        (["-v", "--", "f.bt", "a"], None, "f.bt", ["a"]),
        (["-e", "X", "--", "-5", "a"], "X", "", ["-5", "a"]),
    ],
)
def test_program_file_and_parameters(args: list[str], program: str | None, file: str, params: list[str]) -> None:
    request = parse(args)
    assert (request.program, request.file, request.options.params) == (program, file, params)
    assert request.action == "run"


def test_named_parameters() -> None:
    found = options("-e", "X", "1", "--", "--name=x=y", "2", "--bare")
    assert found.named == {"name": "x=y", "bare": True} and found.params == ["1", "2"]


@pytest.mark.parametrize(
    ("args", "name", "value"),
    [
        (["-p", "12"], "pid", 12), (["-p12"], "pid", 12), (["--pid=12"], "pid", 12), (["--pid", "12"], "pid", 12),
        (["-c", "ls -l"], "cmd", "ls -l"), (["--cmd=ls"], "cmd", "ls"), (["-f", "json"], "format", "json"),
        (["-fjson"], "format", "json"), (["-o", "F"], "output", "F"), (["--output", "F"], "output", "F"),
        (["--out=F"], "output", "F"), (["-B", "full"], "buffering", "full"), (["-Bnone"], "buffering", "none"),
        (["-q"], "quiet", True), (["--quiet"], "quiet", True), (["-v"], "verbose", True), (["-vv"], "verbose", True),
        (["-k"], "warnings", 2), (["-kk"], "warnings", 2), (["--warnings"], "warnings", 2),
        (["--no-warnings"], "warnings", 0), (["--unsafe"], "unsafe", True), (["--dry-run"], "dry_run", True),
        (["-I", "a", "-Ib"], "include_dirs", ["a", "b"]), (["--include", "x.h"], "includes", ["x.h"]),
        (["--debuginfo", "/a:/b"], "debuginfo", ["/a", "/b"]), (["--test"], "test", True), (["--bench"], "bench", True),
        (["--mode", "test"], "test", True), (["--probe-filter", "a.*"], "probe_filter", "a.*"),
        (["--no-feature", "a,b"], "no_features", ["a", "b"]), (["--usdt-file"], "usdt_file_activation", True),
        (["-d", "ast"], "debug", ["ast"]), (["-dast,types"], "debug", ["ast", "types"]), (["-dd"], "debug", ["all"]),
        (["-d"], "debug", ["ast"]), (["--debug=codegen"], "debug", ["codegen"]), (["-b"], "quiet", False),
        (["--btf"], "quiet", False), (["--traceable-functions", "F"], "traceable_functions", "F"),
    ],
)  # fmt: skip
def test_options(args: list[str], name: str, value: object) -> None:
    assert getattr(options(*args, "-e", "X"), name) == value
    assert getattr(options("-e", "X", *args), name) == value


@pytest.mark.parametrize(
    "args",
    [
        [], ["-q"], ["-e"], ["-f", "xml", "-e", "X"], ["-B", "lines", "-e", "X"], ["-p", "x", "-e", "X"],
        ["-p", "0", "-e", "X"], ["-c", "ls", "-p", "1", "-e", "X"], ["-k", "--no-warnings", "-e", "X"],
        ["--no-warnings", "-k", "-e", "X"], ["--unknown"], ["-z"], ["--mode", "x"], ["--mode", "compiler-bench", "-e", "X"],
        ["--test", "--bench"],
        ["--quiet=1"], ["--no"], ["-d", "nonsense,ast", "--pid"], ["--debug=nonsense"], ["-l", "a", "b"],
        ["-p", "²", "-e", "X"], ["-p", "9" * 5000, "-e", "X"],
        ["-p", "4194305", "-e", "X"], ["--emit-llvm", "F", "-e", "X"], ["--aot", "F", "-e", "X"],
    ],
)  # fmt: skip
def test_what_makes_no_sense(args: list[str]) -> None:
    with pytest.raises(UsageError):
        parse(args)


def test_a_misspelt_option_gets_a_hint() -> None:
    with pytest.raises(UsageError) as caught:
        parse(["--quite", "-e", "X"])
    assert "--quiet" in caught.value.hints[0]


@pytest.mark.parametrize(
    ("args", "search", "verbose"),
    [(["-l"], "", False), (["-lv"], "", True), (["-l", "t:*"], "t:*", False), (["-vl", "t:*"], "t:*", True),
     (["t:*", "-l"], "t:*", False), (["--list", "-v"], "", True)],
)  # fmt: skip
def test_listing(args: list[str], search: str, verbose: bool) -> None:
    request = parse(args)
    assert request.action == "list"
    assert (request.search, request.options.verbose, request.file) == (search, verbose, "")


def test_listing_a_file(tmp_path: Any) -> None:
    script = tmp_path / "x.bt"
    script.write_text("begin {}")
    assert parse(["-l", str(script)]).file == str(script)
    assert parse(["-l", "-e", "begin {}"]).program == "begin {}"


@pytest.mark.parametrize(("args", "action"), [(["-h"], "help"), (["--help"], "help"), (["-V"], "version"),
                                              (["--info"], "info"), (["--fmt", "-e", "X"], "format")])  # fmt: skip
def test_other_actions(args: list[str], action: str) -> None:
    assert parse(args).action == action


def test_short_options_as_getopt_reads_them() -> None:
    from getopt import gnu_getopt

    names = {"e": "program", "f": "format", "p": "pid", "o": "output", "c": "cmd", "B": "buffering"}
    for args in (["-qfjson", "-eX", "a"], ["a", "-v", "-o", "F", "-eY"], ["-kqvB", "none", "-e", "-x"]):
        pairs, rest = gnu_getopt(args, "d:bB:f:e:hlp:vqc:Vo:I:k")
        request: Request = parse(args)
        for letter, value in pairs:
            if letter[1] in names and value:
                where = request if letter == "-e" else request.options
                assert str(getattr(where, names[letter[1]])) == value
        assert request.options.params == rest


@pytest.mark.parametrize(
    ("pid", "told"),
    [("x1", "invalid integer: x1"), ("", "invalid integer: "), ("12z", "invalid trailing bytes: 12z"),
     ("0", "Pid out of range: 0"), ("4194305", "Pid out of range: 4194305")],
)  # fmt: skip
def test_no_pid(pid: str, told: str) -> None:
    with pytest.raises(UsageError, match=told + "$"):
        parse(["-p", pid, "-e", "X"])


def test_the_last_of_two_programs_is_run() -> None:
    for args in (["-e", "X", "-e", "Y"], ["-eX", "-qeY"]):
        request = parse(args)
        assert request.program == "Y" and request.remarks == ["-e was given twice: only the last program is run"]
    assert parse(["-e", "X"]).remarks == []


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["-c", "", "-e", "X"], "-c: the command is empty"),
        (["--cmd=", "-e", "X"], "-c: the command is empty"),
        (["-o", "", "-e", "X"], "-o: the name of the file is empty"),
    ],
)
def test_an_empty_value_is_not_an_option_that_was_left_out(args: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told + "$"):
        parse(args)


def test_an_unknown_stage_is_told_where_it_can_be_nothing_else() -> None:
    for args in (["-d", "tree", "-e", "X"], ["-d", "ast,tree", "-eX"], ["--debug", "tree", "-e", "X"]):
        with pytest.raises(UsageError, match="-d knows no stage 'tree'"):
            parse(args)
    assert parse(["-d", "f.bt"]).file == "f.bt" and parse(["-e", "X", "-d", "tree"]).options.params == ["tree"]
