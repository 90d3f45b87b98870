"""Programs of several files, run on the live kernel: imports, headers, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = [str(Path(sys.executable).with_name("cygnet")), "trace"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path


def run(folder: Path, program: str, *args: str) -> subprocess.CompletedProcess[str]:
    (folder / "main.bt").write_text(program)
    return subprocess.run([*TOOL, *args, str(folder / "main.bt")], capture_output=True, text=True, timeout=120)


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line]


def test_scripts_folders_and_headers(folder: Path) -> None:
    (folder / "lib").mkdir()
    (folder / "lib" / "a.bt").write_text('import "b.bt";\nbegin { print("a"); }\nmacro two() { b2() * 2 }\n')
    (folder / "lib" / "b.bt").write_text(
        'begin { print("b"); }\nmacro b2() { 1 }\nfn inc($n: int64): int64 { return $n + 1; }\n'
    )
    (folder / "types.h").write_text("struct pair { int a; long b; };\n#define SIZE 3\n")
    (folder / "rest").mkdir()
    (folder / "rest" / "x.bt").write_text('begin { print("x"); }\nlet @m = hash(10);\n')
    (folder / "rest" / "y.txt").write_text("not a script")
    program = """import "lib/a.bt"; import "lib/b.bt"; import "types.h"; import "rest";
    begin { print(two()); print(inc(4)); print(sizeof(struct pair)); print(SIZE); @m[1] = 1; }"""
    assert lines(run(folder, program)) == ["b", "a", "x", "2", "5", "16", "3", "@m[1]: 1"]


def test_includes(folder: Path) -> None:
    (folder / "inc").mkdir()
    (folder / "inc" / "t.h").write_text("struct t { char x[5]; };\n")
    (folder / "near.h").write_text('#include "inc/t.h"\n#define N 4\n')
    program = "begin { print(sizeof(struct t)); }"
    assert lines(run(folder, '#include "near.h"\n' + program)) == ["5"]
    assert lines(run(folder, "#include <t.h>\n" + program, "-I", str(folder / "inc"))) == ["5"]
    assert lines(run(folder, program, "--include", str(folder / "inc" / "t.h"))) == ["5"]


def test_an_import_as_a_statement(folder: Path) -> None:
    (folder / "m.bt").write_text("macro three() { 3 }\n")
    program = 'begin { import "m.bt"; print(three()); }'
    assert "import as a statement is unstable" in run(folder, program).stderr
    assert lines(run(folder, "config = { unstable_import_statement = enable }\n" + program)) == ["3"]


def test_the_library_is_part_of_the_language(folder: Path) -> None:
    """Its files may be named, and are not there; a folder of the script's own comes first."""
    program = 'import "stdlib"; import "stdlib/strings.bt"; begin { print(strlen("abc")); print(%s); }'
    assert lines(run(folder, program % "1")) == ["3", "1"]
    (folder / "stdlib").mkdir()
    (folder / "stdlib" / "strings.bt").write_text("macro nine() { 9 }\n")
    assert lines(run(folder, program % "nine()")) == ["3", "9"]


def test_an_error_names_the_file_that_holds_it(folder: Path) -> None:
    (folder / "bad.bt").write_text("\nbegin { print($nothing); }\n")
    done = run(folder, 'import "bad.bt";\nbegin { }')
    assert done.returncode == 1
    assert f"{folder / 'bad.bt'}:2:15-23: ERROR: Undefined or undeclared variable" in done.stderr


@pytest.mark.parametrize(
    "program, message",
    [
        ('import "nowhere.bt"; begin { }', "cannot import 'nowhere.bt': No such file or directory"),
        ('import "x.txt"; begin { }', "cannot import 'x.txt': its kind is not known"),
        ('import "c.bpf.c"; begin { }', "C programs (.bpf.c) would need a compiler"),
        ('import "config.bt"; begin { }', "a script that is imported can have no config block"),
        ('import "syntax.bt"; begin { }', "syntax.bt:1:"),
    ],
)
def test_what_is_refused(folder: Path, program: str, message: str) -> None:
    (folder / "x.txt").write_text("")
    (folder / "c.bpf.c").write_text("int one(void) { return 1; }\n")
    (folder / "config.bt").write_text("config = { max_strlen = 64 }\nbegin { }\n")
    (folder / "syntax.bt").write_text("begin { print( }\n")
    done = run(folder, program)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr


def test_folders_that_anybody_may_write_to(folder: Path) -> None:
    (folder / "open").mkdir()
    (folder / "open" / "a.bt").write_text("begin { }\n")
    os.chmod(folder / "open", 0o777)
    for name in ("open", "open/a.bt"):
        done = run(folder, f'import "{name}"; begin {{ }}')
        assert done.returncode == 1 and "can be written by everyone" in done.stderr
