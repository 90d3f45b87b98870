"""Programs that are too long, too deep or no text: what can be run is run, the rest is refused in one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = [str(Path(sys.executable).with_name("cygnet")), "trace"]


def run(tmp_path: Path, text: bytes) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "script.bt"
    script.write_bytes(text)
    done = subprocess.run([*TOOL, str(script)], capture_output=True, text=True, errors="replace", timeout=300)
    assert "internal" not in done.stderr and "Traceback" not in done.stderr, done.stderr[-2000:]
    return done


RUN = {
    "a chain of operators": ("begin { $x = 1; print(" + "+".join(["$x"] * 3000) + "); }", "3000"),
    "a chain of conditions": ("begin { $x = 1; if (" + " && ".join(["$x == 1"] * 2000) + ") { print(5); } }", "5"),
    "else if": ("begin { $x = 1; " + "if ($x == 2) { print(1); } else " * 900 + "{ print(2); } }", "2"),
    "many variables": ("begin { " + "".join(f"$v{i} = {i}; " for i in range(2000)) + "print($v7); }", "7"),
    "many events": ("begin { " + "".join(f'printf("%d %s\\n", {i}, comm); ' for i in range(300)) + "}", "0 cygnet"),
    "brackets": ("begin { print(" + "(" * 80 + "1" + ")" * 80 + "); }", "1"),
}


@pytest.mark.parametrize("name", RUN)
def test_long_programs_run(name: str, tmp_path: Path) -> None:
    text, expected = RUN[name]
    done = run(tmp_path, text.encode())
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split("\n")[0] == expected


DOUBLING = "".join(f"fn f{i}($x: int64): int64 {{ return f{i + 1}(f{i + 1}($x)); }}\n" for i in range(20))
REFUSED = {
    "a thousand brackets": (b"begin { print(" + b"(" * 1000 + b"1" + b")" * 1000 + b"); }", "nested"),
    "a thousand signs": (b"begin { print(" + b"-" * 1000 + b"1); }", "nested"),
    "a thousand blocks": (b"begin { " + b"if (1) { " * 1000 + b"}" * 1000 + b" }", "nested"),
    "ten megabytes": (b"begin { print(1); }\n" * 550_000, "characters"),
    "a long comment": (b"/*" + b"x" * 10_000_000 + b"*/ begin { }", "characters"),
    "a binary": (b"\x7fELF\x02\x01\x01" + bytes(1000), "NUL"),
    "bytes that are no text": (b"begin { \xff\xfe print(1); }", "syntax"),
    "nothing": (b"", "no probes"),
    "a macro that calls itself": (b"macro f(x) { g(x) } macro g(x) { f(x) } begin { print(f(1)); }", "calls itself"),
    "macros that double": (
        b"macro a(x) { x + x } macro b(x) { a(a(a(a(x)))) } macro c(x) { b(b(b(b(b(x))))) } begin { print(c(1)); }",
        "expand to more than",
    ),
    "functions that double": (
        (DOUBLING + "fn f20($x: int64): int64 { return $x; } begin { print(f0(1)); }").encode(), "expand to more than",
    ),
    "a function that calls itself": (b"fn f($x: int64): int64 { return f($x); } begin { print(f(1)); }", "calls itself"),
    "many maps": (("begin { " + "".join(f"@m{i} = {i}; " for i in range(100)) + "}").encode(), "the kernel allows 64"),
    "constants of themselves": (b"#define A B\n#define B A\nbegin { print(A); }", "Unknown identifier"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    text, message = REFUSED[name]
    done = run(tmp_path, text)
    assert done.returncode == 1 and message in done.stderr, done.stderr[-2000:]


def test_strings_of_any_bytes(tmp_path: Path) -> None:
    done = run(tmp_path, b'// \xff\nbegin { print("a\xffb"); @["\xfe"] = 1; printf("\xe2\x82\xac\\n"); }')
    assert done.returncode == 0
    assert done.stdout.split("\n")[:2] == ["a�b", "€"]
