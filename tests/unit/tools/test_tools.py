"""What the tools' headers say, how their command lines are read, and which form is chosen."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cygnet import cli, tools
from cygnet.errors import ProbeError, UsageError
from cygnet.lang.trace.parser import parse
from cygnet.source import Source
from cygnet.tools.arguments import COMMON, LETTERS, read
from cygnet.tools.header import Option, Tool, Variant, load
from cygnet.tools.helptext import text
from cygnet.tools.variants import choose

SCRIPTS = sorted(path.name.removesuffix(".bt") for path in Path(tools.FOLDER).glob("*.bt"))
SCRIPT = """\
#!/usr/bin/env -S cygnet trace
// demo - shows things
//
// Some text.
//
// Columns:
//   A   the first
//
// Short options: -p pid, -x failed
//
// Variants:
//   demo.bt     tracepoint:a:b field
//   demo.k.bt   kprobe:c

begin { if (getopt("pid", 0) == 0 || getopt("failed", false, "only, (what) failed")) { print(getopt("name", "x y")); } }
end { print(getopt("pid", 0, "one process")); print(getopt("low", -1, "t")); print(getopt("bare")); }
"""


def demo() -> Tool:
    return Tool("demo", SCRIPT)


def test_header() -> None:
    tool = demo()
    assert (tool.summary, tool.text) == ("shows things", ["Some text."])
    assert tool.sections == [("Columns", ["  A   the first"])]
    assert tool.variants == [Variant("demo", "tracepoint:a:b", ("field",)), Variant("demo.k", "kprobe:c", ())]
    assert tool.options == [
        Option("pid", "p", 0, "one process"),
        Option("failed", "x", False, "only, (what) failed"),
        Option("name", "", "x y", ""),
        Option("low", "", -1, "t"),
        Option("bare", "", False, ""),
    ]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], ["S"]),
        (["-p", "1"], ["S", "--", "--pid=1"]),
        (["-p1"], ["S", "--", "--pid=1"]),
        (["--pid=1"], ["S", "--", "--pid=1"]),
        (["--pid", "0x10"], ["S", "--", "--pid=0x10"]),
        (["-xp", "1"], ["S", "--", "--failed=true", "--pid=1"]),
        (["--fail"], ["S", "--", "--failed=true"]),
        (["--failed=false"], ["S", "--", "--failed=false"]),
        (["--low", "-5"], ["S", "--", "--low=-5"]),
        (["--name", "a b"], ["S", "--", "--name=a b"]),
        (["-f", "json", "-q"], ["-f", "json", "-q", "S"]),
        (["--format=text", "--output", "/x", "-p", "2"], ["-f", "text", "-o", "/x", "S", "--", "--pid=2"]),
        (["--cmd", "true", "--", "-x"], ["-c", "true", "S", "--", "--failed=true"]),
    ],
)
def test_command_lines(args: list[str], words: list[str]) -> None:
    assert read(demo(), args).arguments("S") == words


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        (["--fialed"], "demo has no option --fialed", "did you mean --failed?"),
        (["-z"], "demo has no option -z", "its options are -p, --pid; -x, --failed; --name"),
        (["--pid"], "--pid wants a value", ""),
        (["-p"], "--pid wants a value", ""),
        (["--pid", "me"], "--pid wants a whole number, not 'me'", ""),
        (["--n"], "--n could mean --name or --no-warnings", ""),
        (["--quiet=1"], "--quiet takes no value", ""),
        (["1"], "demo takes no argument '1'", ""),
    ],
)
def test_mistakes(args: list[str], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(demo(), args)
    assert message in str(caught.value)
    assert hint in " ".join(caught.value.hints)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-d", "1.5"], "--duration wants a whole number, not '1.5'"),
        (["-d", "-3"], "--duration wants a number from 0 on, not '-3'"),
        (["--interval=-1"], "--interval wants a number from 0 on, not '-1'"),
        (["--duration", "1" * 25], "--duration wants a number of 64 bits"),
        (["9", "1" * 19], "--duration wants a number of 64 bits"),
        (["0"], "want numbers above 0"),
        (["1", "0"], "want numbers above 0"),
    ],
)
def test_times_are_whole_and_not_negative(args: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(load("runqlat"), args)


def test_interval_and_count() -> None:
    command = read(load("runqlat"), ["2", "5", "-m"])
    assert command.named == {"milliseconds": "true", "interval": "2", "duration": "10"}


def test_a_duration_that_is_given_is_not_replaced() -> None:
    assert read(load("runqlat"), ["-d", "3", "2", "5"]).named == {"duration": "3", "interval": "2"}


def test_json_asks_for_records() -> None:
    assert read(load("opensnoop"), ["-f", "json"]).arguments("S") == ["-f", "json", "S", "--", "--rows=true"]
    assert read(load("runqlat"), ["-f", "json"]).arguments("S") == ["-f", "json", "S"]
    assert read(load("runqlat"), ["--explain", "-m"]).arguments("S") == ["--explain", "S", "--", "--milliseconds=true"]
    assert read(load("runqlat"), ["--live"]).arguments("S") == ["--live", "S"]


@pytest.mark.parametrize("name", tools.names())
def test_every_tool_describes_itself(name: str) -> None:
    tool = load(name)
    assert tool.summary and tool.text and dict(tool.sections)["Examples"]
    assert [option.name for option in tool.options if not option.text] == []
    letters = [option.letter for option in tool.options if option.letter]
    assert len(set(letters)) == len(letters) and not {"h", "v"} & set(letters)
    assert not {option.name for option in tool.options} & set(COMMON)
    assert tool.option("duration") is not None
    page = text(tool)
    assert all(f"--{option.name}" in page for option in tool.options)
    shorts = re.search(r"^// Short options: (.*)$", tools.read(name), re.MULTILINE)
    named = {part.split()[1] for part in shorts[1].split(",")} if shorts else set()
    assert named == {option.name for option in tool.options if option.letter}, "a letter for an option there is not"


@pytest.mark.parametrize("name", tools.names())
def test_examples_are_command_lines(name: str) -> None:
    tool = load(name)
    for line in dict(tool.sections)["Examples"]:
        words = re.split(r"\s{2,}", line.strip())[0].split()
        assert words[:2] == ["cygnet", name]
        read(tool, words[2:])


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_parses(script: str) -> None:
    parse(Source(script, tools.read(script)))
    assert all(len(line) <= 120 for line in tools.read(script).splitlines())


@pytest.mark.parametrize("script", [script for script in SCRIPTS if "." in script])
def test_forms_belong_to_a_tool_and_have_its_options(script: str) -> None:
    tool = load(script.partition(".")[0])
    assert script in [variant.script for variant in tool.variants]
    form = Tool(script, tools.read(script))
    known = {option.name: option.default for option in tool.options}
    assert {option.name: option.default for option in form.options}.items() <= known.items()


class Target:
    """A machine with one tracepoint and perhaps kprobes."""

    def __init__(self, event: str = "", fields: str = "") -> None:
        self.event, self.fields = event, fields

    def has(self, feature: str) -> bool:
        return False

    def has_tracepoint(self, subsys: str, event: str) -> bool:
        return f"{subsys}:{event}" == self.event

    def tracepoint_events(self) -> list[str]:
        return [self.event]

    def tracepoint_format(self, subsys: str, event: str) -> Any:
        from cygnet.kernel.tracefs import parse_format

        if f"{subsys}:{event}" != self.event:
            raise ProbeError("there is none")
        lines = "".join(f"\tfield:int {name};\toffset:8;\tsize:4;\tsigned:1;\n" for name in self.fields.split())
        return parse_format(f"ID: 1\nformat:\n\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n{lines}")


def test_the_first_form_that_can_run_is_chosen() -> None:
    assert choose(load("opensnoop"), Target()) == (tools.path("opensnoop"), "its only form")
    cap = "capability:cap_capable"
    assert choose(load("capable"), Target(cap)) == (tools.path("capable"), f"tracepoint:{cap}")
    assert choose(demo(), Target("a:b", "field")) == (tools.path("demo"), "tracepoint:a:b")


@pytest.mark.parametrize("target", [Target("a:b", "other"), Target("x:y", "field")])
def test_no_form_can_run(target: Target) -> None:
    with pytest.raises(ProbeError, match="demo needs tracepoint:a:b or kprobe:c, and there is none here"):
        choose(demo(), target)


def test_list(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tools"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == tools.names()
    assert cli.main(["tools", "--json"]) == 0
    rows = json.loads(capfd.readouterr().out)
    assert [row["name"] for row in rows] == tools.names()
    assert {"name": "pid", "letter": "p", "default": 0, "text": "only this process"} in rows[11]["options"]


def test_a_script_lists_its_parameters(capfd: pytest.CaptureFixture[str]) -> None:
    """`cygnet trace FILE -- --help`: names, defaults and texts, those of the script's calls."""
    program = (
        'begin { print(getopt("n", 5)); print(getopt("n", 5, "so many")); '
        'print(getopt("on")); print(getopt("t", "", "text")); }'
    )
    assert cli.main(["trace", "-e", program, "--", "--help"]) == 0
    lines = [line.split(maxsplit=1) for line in capfd.readouterr().out.splitlines()]
    assert lines == [["--n=5", "so many"], ["--on"], ["--t=TEXT", "text"]]


def test_show(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tools", "show", "opensnoop"]) == 0
    assert capfd.readouterr().out == tools.read("opensnoop")
    assert cli.main(["tools", "show", "vfsstat.kprobe"]) == 0
    assert "kprobe:vfs_read" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["tools", "show", "opensnop"], "did you mean opensnoop?"),
        (["tools", "show", "../tools/opensnoop"], "there is no tool"),
        (["tools", "lst"], "does not know 'lst'"),
        (["opensnop"], "did you mean `opensnoop`?"),
        (["opensnoop", "--pdi", "3"], "did you mean --pid?"),
        (["opensnoop", "-p", str(1 << 22)], f"there is no process {1 << 22}"),
        (["opensnoop", "-p", "0"], "there is no process 0"),
    ],
)
def test_mistakes_at_the_command_line(args: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(args) == 1
    assert message in capfd.readouterr().err


@pytest.mark.parametrize("name", tools.names())
def test_help(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "--help"]) == 0
    assert capfd.readouterr().out.startswith(f"{name} - ")


def test_letters_of_all_tools_exist() -> None:
    assert set(LETTERS.values()) <= set(COMMON)
