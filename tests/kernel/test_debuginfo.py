"""uprobes by debug information: named and typed arguments, and source lines; the program prints what it was given."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cygnet.errors import NotSupported

PROGRAM = r"""
#include <stdbool.h>
#include <stdio.h>
enum colour { RED, GREEN = 5 };
struct pair { int a, b; };
struct big { long a, b, c; };
struct mixed { double d; long l; };
typedef struct node {
    int x; long y; char name[8]; struct node *next; unsigned low : 3, high : 5;
    union { int i; char c[4]; }; enum colour colour; struct pair pairs[2];
} node_t;

int __attribute__((noinline)) f(node_t *n, int i, const char *text, double d, struct pair pair, unsigned char byte)
{
    printf("%d %d %s %d %d %d\n", n->x, i, text, pair.a, pair.b, byte);
    return n->x + i + pair.a + pair.b + byte + (int)d;
}

long __attribute__((noinline)) g(struct big big, short s, struct mixed mixed, bool yes, enum colour colour, long last)
{
    __asm__ volatile("" :: "r"(s), "r"(colour), "r"(last), "r"(yes));
    return big.a + s + (long)mixed.d + last;
}

struct big __attribute__((noinline)) h(int number)
{
    struct big big = {number, 2, 3};
    __asm__ volatile("" :: "r"(&big) : "memory");
    return big;                                     /* line 33 */
}

int main(void)
{
    struct pair pair = {7, 8};
    node_t node = {1, 2, "abc", &node, 3, 4, {0x41424344}, GREEN, {{1, 2}, {3, 4}}};
    for (int i = 0; i < 3; i++)
        f(&node, i - 1, "str", 1.5, pair, 200);
    g((struct big){1, 2, 3}, -5, (struct mixed){1.5, 2}, true, GREEN, 77);
    return h(9).a == 9 ? 0 : 1;
}
"""
LINE = next(number for number, line in enumerate(PROGRAM.splitlines(), 1) if "line 33" in line)
BUILDS = [
    ("gcc", "-gdwarf-5", "-O1"),
    ("gcc", "-gdwarf-4", "-O2", "-gz"),
    ("clang", "-gdwarf-5", "-O1"),
    ("clang", "-gdwarf-4", "-O1"),
    ("gcc", "-gdwarf-3", "-O1", "-no-pie"),
    ("gcc", "-gdwarf-5", "-gsplit-dwarf", "-O1"),
    ("clang", "-gdwarf-5", "-gsplit-dwarf", "-O1"),
]
TRACE = [sys.executable, "-c", "from cygnet.cli import main; main()", "trace"]


@pytest.fixture(params=BUILDS, ids=lambda build: " ".join(build))
def binary(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    command: tuple[str, ...] = request.param
    if shutil.which(command[0]) is None:
        raise NotSupported("compiling a C program", command[0])
    (tmp_path / "typed.c").write_text(PROGRAM)
    subprocess.run([*command, "-o", "typed", "typed.c"], cwd=tmp_path, check=True)
    return tmp_path / "typed"


def trace(text: str, *arguments: str | Path) -> str:
    done = subprocess.run([*TRACE, *arguments, "-e", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_types_by_name(binary: Path) -> None:
    """A program's own struct may be called as one of the kernel's; one in the script's text comes before both."""
    body = "$n = (struct node *)arg0; print(($n->x, $n->next->y, $n->name)); print($n == args.n); $n = args.n;"
    body += "print((sizeof(struct node), sizeof(node_t), offsetof(struct node, pairs), (enum colour)5));"
    out = trace(
        f"uprobe:{binary}:f {{ {body} exit() }} uretprobe:{binary}:f {{ print(sizeof(struct pair)); }}", "-c", binary
    )
    lines = [line for line in out.splitlines() if line.startswith(("(", "true"))]
    assert lines[:3] == ["(1, 2, abc)", "true", "(64, 64, 44, GREEN)"]
    own = "struct node { long a[20]; }"
    assert (
        "160" in trace(f"{own} uprobe:{binary}:f {{ print(sizeof(struct node)); exit() }}", "-c", binary).splitlines()
    )


def test_probetype_of_each(binary: Path) -> None:
    out = trace(f"uprobe:{binary}:h, uretprobe:{binary}:h {{ print(probetype) }}", "-c", binary)
    assert [line for line in out.splitlines() if line.startswith("u")] == ["uprobe", "uretprobe"]


def test_floating_point_is_refused(binary: Path) -> None:
    done = subprocess.run([*TRACE, "-e", f"uprobe:{binary}:g {{ $m = (struct mixed *)1; print($m->d); }}"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 1 and "Floating-point numbers are not supported" in done.stderr, done.stderr


def test_arguments_by_name(binary: Path) -> None:
    body = (
        'printf("ours %d %d %s %d %d %d\\n", args.n.x, args.i, str(args.text), args.pair.a, args.pair.b, args.byte);'
        ' printf("deep %d %s %d %d %d %s\\n", args.n.next.next.y, args.n.name, args.n.low, args.n.high,'
        " args.n.pairs[1].b, args.n.colour); print(args.pair);"
    )
    out = trace(f"uprobe:{binary}:f {{ {body} }}", "-c", binary)
    theirs = [f"{1} {i} str 7 8 200" for i in (-1, 0, 1)]
    assert [line for line in out.splitlines() if line[:1].isdigit()] == theirs
    assert re.findall(r"^ours (.*)", out, re.M) == theirs
    assert out.count("deep 2 abc 3 4 4 GREEN") == 3
    assert out.count("{ .a = 7, .b = 8 }") == 3


def test_characters_without_an_end(binary: Path) -> None:
    """An array of characters that is full keeps its last one wherever it goes, and is printed as cut."""
    body = (
        '$n = args.n; $s = *args.n; print($n.c); print($s.c); @[$n.c] = 1; print($n.c == "DCBA"); print($n.c == "DCB");'
    )
    lines = trace(f"uprobe:{binary}:f {{ {body} exit() }}", "-c", binary).splitlines()
    assert lines.count("DCBA..") == 2 and "@[DCBA..]: 1" in lines
    assert [line for line in lines if line in ("true", "false")] == ["true", "false"]


def test_what_comes_on_the_stack_or_in_other_registers(binary: Path) -> None:
    """A large struct and one with a double are no arguments; those after them are found."""
    out = trace(
        f'uprobe:{binary}:g {{ printf("%d %d %s %d\\n", args.s, args.yes, args.colour, args.last) }}', "-c", binary
    )
    assert "-5 1 GREEN 77" in out
    assert "number" in " ".join(listed(binary, "h")) and "9" in trace(
        f"uprobe:{binary}:h {{ print(args.number) }}", "-c", binary
    )
    done = subprocess.run([*TRACE, "-e", f"uprobe:{binary}:g {{ print(args.big) }}"], capture_output=True, text=True)
    assert done.returncode == 1 and "does not contain a field named 'big'" in done.stderr


def listed(binary: Path, function: str, *options: str) -> list[str]:
    command = [*TRACE, *options, "-lv", f"uprobe:{binary}:{function}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.strip() for line in done.stdout.splitlines()[1:]]


def test_a_source_line(binary: Path) -> None:
    out = trace(f"uprobe:{binary}@typed.c:{LINE} {{ @[probe] = count(); @f[func] = count(); }}", "-c", binary)
    assert f"@[uprobe:{binary}@typed.c:{LINE}]: 1" in out
    for place, message in (
        ("typed.c:2", "the nearest line with code is"),
        ("other.c:2", "no source file"),
        (f"typed.c:{LINE}:999", "has no code of line"),
    ):
        done = subprocess.run([*TRACE, "-e", f"uprobe:{binary}@{place} {{ }}"], capture_output=True, text=True)
        assert done.returncode == 1 and message in done.stderr, done.stderr


def test_a_separate_file_of_debug_information(binary: Path) -> None:
    subprocess.run(["objcopy", "--only-keep-debug", binary, f"{binary}.debug"], check=True)
    subprocess.run(["objcopy", "--strip-debug", "--strip-unneeded", binary], check=True)
    done = subprocess.run([*TRACE, "-lv", f"uprobe:{binary}:f"], capture_output=True, text=True, check=False)
    assert "node_t" not in done.stdout
    subprocess.run(["objcopy", f"--add-gnu-debuglink={binary}.debug", binary], check=True)
    assert listed(binary, "f")[:2] == ["node_t* n", "int i"]
    elsewhere = binary.with_name("elsewhere")
    elsewhere.mkdir()
    os.rename(f"{binary}.debug", elsewhere / f"{binary.name}.debug")
    assert listed(binary, "f", f"--debuginfo={elsewhere}")[1] == "int i"


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_a_package_of_debug_information(tmp_path: Path, compiler: str) -> None:
    """Two units in one .dwp, found by the identity of each; and the single files, which may have moved with the program."""
    pack = next(filter(None, map(shutil.which, ("llvm-dwp", "llvm-dwp-14"))), None)
    if shutil.which(compiler) is None or pack is None:
        raise NotSupported("packing debug information", f"{compiler} and llvm-dwp")
    (tmp_path / "main.c").write_text(
        "long far(void *p, short n); int main(void) { long x[2] = {5, 6}; return !far(x, 2); }"
    )
    far = '__attribute__((noinline)) long far(struct pair *p, short n) { __asm__ volatile(""); return p->b * n; }'
    (tmp_path / "far.c").write_text(f"struct pair {{ long a, b; }};\n{far}")
    binary, elsewhere = tmp_path / "program", tmp_path / "moved"
    elsewhere.mkdir()
    options = [compiler, "-gdwarf-5", "-gsplit-dwarf", "-O1"]
    subprocess.run([*options, "-c", "main.c", "far.c"], cwd=tmp_path, check=True)
    subprocess.run([*options, "-o", "program", "main.o", "far.o"], cwd=tmp_path, check=True)
    subprocess.run([pack, "-e", "program", "-o", "program.dwp"], cwd=tmp_path, check=True)
    for file in tmp_path.glob("*.dwo"):
        file.rename(elsewhere / file.name)
    assert listed(binary, "far") == ["struct pair* p", "short int n" if compiler == "gcc" else "short n"]
    assert "(6, 2)" in trace(f"uprobe:{binary}:far {{ print((args.p.b, args.n)) }}", "-c", binary)
    (tmp_path / "program.dwp").unlink()
    assert listed(binary, "far") == []
    binary.rename(elsewhere / "program")
    assert listed(elsewhere / "program", "far")[0] == "struct pair* p"


def test_damaged_debug_information_stops_nothing(binary: Path) -> None:
    """Cut short, or with a section of noise: the function is still probed, and its arguments are unknown."""
    noise = binary.with_name("noise")
    noise.write_bytes(bytes(range(256)) * 4)
    for section in (".debug_info", ".debug_abbrev", ".debug_str", ".debug_line"):
        subprocess.run(["objcopy", "--update-section", f"{section}={noise}", binary, f"{binary}.bad"], check=True)
        assert "@: 3" in trace(f"uprobe:{binary}.bad:f {{ @ = count(); }}", "-c", f"{binary}.bad")
        command = [*TRACE, "-e", f"uprobe:{binary}.bad:f {{ print(args.i) }} uprobe:{binary}.bad@typed.c:{LINE} {{ }}"]
        done = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=False)
        assert "internal" not in done.stderr and "Traceback" not in done.stderr, done.stderr
