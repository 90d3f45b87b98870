"""`cygnet verify` and `cygnet explain`: exit statuses, outputs, and what they say to nonsense."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest

from cygnet.cli import main

ROOT = Path(__file__).resolve().parents[3]
GOOD = "# type: xdp\nr0 = 2\nexit\n"
BAD = "# type: xdp\n# map: counts hash 4 8 16\n*(u32 *)(r10 -4) = 0\nr2 = r10\nr2 += -4\nr1 = map[fd:0]\n" \
      "call bpf_map_lookup_elem\nr0 = *(u64 *)(r0 +0)\nexit\n"  # fmt: skip
LOG = "0: R1=ctx() R10=fp0\n0: (bf) r0 = r5\nR5 !read_ok\nprocessed 1 insns (limit 1000000)\n"

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def good(tmp_path: Path) -> str:
    (tmp_path / "good.s").write_text(GOOD)
    return str(tmp_path / "good.s")


@pytest.fixture
def bad(tmp_path: Path) -> str:
    (tmp_path / "bad.s").write_text(BAD)
    return str(tmp_path / "bad.s")


def test_accepted(good: str, capsys: Capture) -> None:
    assert main(["verify", good]) == 0
    assert capsys.readouterr().out == f"{good}: accepted (2 instructions followed, 0 bytes of stack)\n"


def test_refused(bad: str, capsys: Capture) -> None:
    assert main(["verify", bad]) == 1
    out = capsys.readouterr().out
    assert out.startswith(f"{bad}: refused: a pointer that may be NULL is used without a check\n")
    assert f"at {bad}:8:1" in out


def test_several(good: str, bad: str, capsys: Capture) -> None:
    assert main(["verify", good, bad, good]) == 1
    out = capsys.readouterr().out
    assert out.count(": accepted") == 2 and out.count(": refused") == 1
    assert main(["verify", good, "/nonexistent.s", good]) == 2
    done = capsys.readouterr()
    assert done.out.count(": accepted") == 2
    assert done.err == "ERROR: cannot read /nonexistent.s: No such file or directory\n"


@pytest.mark.parametrize(
    "words", [["verify", "BAD", "--json"], ["verify", "GOOD", "--json"], ["explain", "LOG", "--json"]], ids=" ".join
)
def test_json(words: list[str], good: str, bad: str, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "log").write_text(LOG)
    places = {"BAD": bad, "GOOD": good, "LOG": str(tmp_path / "log")}
    main([places.get(word, word) for word in words])
    made = json.loads(capsys.readouterr().out)
    jsonschema.validate(made, json.loads((ROOT / "docs/verify-output.schema.json").read_text()))
    assert (made["error"] is None) == made["accepted"] == ("GOOD" in words)
    if "BAD" in words:
        error = made["error"]
        assert (error["file"], error["line"], error["column"], error["class"]) == (bad, 8, 1, "null-check")
        assert error["suggestion"]["code"][0] == "if r0 == 0 goto out"
        assert [step["role"] for step in error["path"]] == ["cause", "missing"]


def test_log_is_the_kernels(bad: str, capsys: Capture) -> None:
    assert main(["verify", "--log", bad]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "0: R1=ctx() R10=fp0"
    assert "R0 invalid mem access 'map_value_or_null'" in lines
    assert lines[-1].startswith("processed 6 insns (limit 1000000)")


def test_what_verify_logs_explain_explains(bad: str, tmp_path: Path, capsys: Capture) -> None:
    main(["verify", "--log", bad])
    (tmp_path / "log").write_text(capsys.readouterr().out)
    assert main(["explain", str(tmp_path / "log")]) == 0
    told = capsys.readouterr().out.splitlines()
    main(["verify", bad])
    assert [line for line in capsys.readouterr().out.splitlines()[1:] if " at /" not in line] == [
        line for line in told[1:] if " at /" not in line
    ]


def test_kernel(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "new.s").write_text("# type: xdp\nr0 = *(s32 *)(r10 -8)\nr0 = 0\nexit\n")
    assert main(["verify", str(tmp_path / "new.s")]) == 0
    assert main(["verify", str(tmp_path / "new.s"), "--kernel", "6.1"]) == 1
    assert "since Linux 6.6" in capsys.readouterr().out


def test_an_older_kernel_than_the_tables(good: str, capsys: Capture) -> None:
    assert main(["verify", good, "--kernel", "5.4"]) == 0
    assert "WARNING" in capsys.readouterr().err


def test_budget(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "loop.s").write_text("# type: xdp\nr0 = 0\nagain: r0 += 1\nif r0 < 5000 goto again\nr0 = 1\nexit\n")
    assert main(["verify", str(tmp_path / "loop.s")]) == 0
    capsys.readouterr()
    assert main(["verify", str(tmp_path / "loop.s"), "--budget", "100"]) == 1
    out = capsys.readouterr().out
    assert "more than 100 instructions" in out and "if r0 < 5000 goto again" in out


def test_types(capsys: Capture) -> None:
    code = "b7000000020000009500000000000000"  # r0 = 2; exit
    assert main(["verify", "--hex", code, "--type", "xdp"]) == 0
    assert main(["verify", "--hex", code, "--type", "6"]) == 0
    words = ["verify", "--hex", code, "--type", "cgroup_sock", "--attach-type", "CGROUP_INET_SOCK_CREATE"]
    assert main(words) == 1
    assert "between 0 and 1" in capsys.readouterr().out


def test_tracing_language(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "a.bt").write_text('begin { @x = 1; printf("%d", @x); } end { clear(@x); }')
    assert main(["verify", str(tmp_path / "a.bt")]) == 0
    out = capsys.readouterr().out
    assert "a.bt (begin): accepted" in out and "a.bt (end): accepted" in out


class Balance(HTMLParser):
    """Counts what is open, and notes what would be loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.classes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "!doctype"):
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href") and not (value or "").startswith("#"):
                self.loads.append(value or "")
            if name == "class":
                self.classes.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("which", ["good", "bad"])
def test_page(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    path = request.getfixturevalue(which)
    main(["verify", path, "--html", str(tmp_path / "page.html")])
    text = (tmp_path / "page.html").read_text()
    seen = Balance()
    seen.feed(text)
    assert seen.open == [] and seen.loads == []
    assert "url(" not in text and "@import" not in text
    assert ("row bad" in seen.classes) == (which == "bad")
    assert ("row lit" in seen.classes) == (which == "bad")
    assert text.count("<details") > 2


def test_states(bad: str, capsys: Capture) -> None:
    main(["verify", bad, "--states"])
    lines = capsys.readouterr().out.splitlines()
    at = lines.index(">>    6: r0 = *(u64 *)(r0 +0)")
    assert lines[at + 1].strip().startswith("R0=map_value_or_null(id=1,map=counts,ks=4,vs=8)")
    assert " >    1: r2 = r10" in lines


def nonsense(folder: Path) -> dict[str, list[str]]:
    (folder / "empty.s").write_text("")
    (folder / "blank.bin").write_text("\n \n")
    (folder / "cut.bin").write_bytes(b"\xb7\0\0\0\0\0\0\0\x95\0\0")
    (folder / "raw.s").write_bytes(bytes(range(256)))
    (folder / "words.s").write_text("# type: xdp\nr0 = banana\nexit\n")
    (folder / "map.s").write_text("# type: xdp\n# map: m nothing 4 8\nr0 = 0\nexit\n")
    (folder / "flags.s").write_text("# type: xdp\n# flags: many\nr0 = 0\nexit\n")
    (folder / "wrong.bt").write_text("begin { @x = ; }")
    (folder / "good.s").write_text(GOOD)
    name = str(folder) + "/"
    return {
        "empty": [name + "empty.s"],
        "blank": [name + "blank.bin", "--type", "xdp"],
        "directory": [str(folder)],
        "missing": [name + "none.s"],
        "binary": [name + "raw.s", "--type", "xdp"],
        "words": [name + "words.s"],
        "map": [name + "map.s"],
        "flags": [name + "flags.s"],
        "language": [name + "wrong.bt"],
        "type": [name + "good.s", "--type", "banana"],
        "no type": ["--hex", "9500000000000000"],
        "attach": [name + "good.s", "--attach-type", "banana"],
        "kernel": [name + "good.s", "--kernel", "banana"],
        "budget": [name + "good.s", "--budget", "0"],
        "budget text": [name + "good.s", "--budget", "x"],
        "hex": ["--hex", "xyz", "--type", "xdp"],
        "nothing": [],
        "both": [name + "good.s", "--json", "--log"],
        "option": [name + "good.s", "--banana"],
        "page": [name + "good.s", "--html", "/nonexistent/page.html"],
    }


@pytest.mark.parametrize("which", [
    "empty", "blank", "directory", "missing", "binary", "words", "map", "flags", "language", "type", "no type", "attach",
    "kernel", "budget", "budget text", "hex", "nothing", "both", "option", "page",
])  # fmt: skip
def test_nonsense(which: str, tmp_path: Path, capsys: Capture) -> None:
    assert main(["verify", *nonsense(tmp_path)[which]]) == 2
    said = capsys.readouterr().err
    assert "ERROR" in said
    assert "Traceback" not in said and "internal" not in said


def test_cut_code_is_refused(tmp_path: Path, capsys: Capture) -> None:
    nonsense(tmp_path)
    assert main(["verify", str(tmp_path / "cut.bin"), "--type", "xdp"]) == 1
    assert "11 bytes are not a whole number" in capsys.readouterr().out


def test_too_large(tmp_path: Path, capsys: Capture) -> None:
    with open(tmp_path / "large.bin", "wb") as file:
        file.truncate(65 << 20)
    assert main(["verify", str(tmp_path / "large.bin"), "--type", "xdp"]) == 2
    assert "too large" in capsys.readouterr().err
    (tmp_path / "many.bin").write_bytes(b"\xb7\0\0\0\0\0\0\0" * 1_000_001)
    assert main(["verify", str(tmp_path / "many.bin"), "--type", "xdp"]) == 1
    assert "1000001 instructions are more than" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "status"), [("", 1), ("hello\n", 1), ("0: (95) exit\nprocessed 1 insns (limit 1000000)\n", 1), (LOG, 0)]
)
def test_explain_from_the_standard_input(text: str, status: int) -> None:
    command = [sys.executable, "-c", "import sys; from cygnet.cli import main; sys.exit(main())", "explain"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert ("r5 has no value here" in done.stdout) == (status == 0)


def test_explain_what_cannot_be_read(capsys: Capture) -> None:
    assert main(["explain", "/"]) == 2
    assert main(["explain", "--type", "banana", "/dev/null"]) == 2
    assert main(["explain", "/dev/null"]) == 1
    assert capsys.readouterr().err.count("ERROR") == 3
