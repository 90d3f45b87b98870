"""Text output compared with the installed bpftrace, on what both print alike (its 0.17 and the 2026 form)."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from cygnet.errors import NotSupported

ENTRY = "import sys; from cygnet.cli import main; main()"


def ours(program: str) -> str:
    command = [sys.executable, "-c", ENTRY, "trace", "-q", "-e", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout


def theirs(program: str) -> str:
    if shutil.which("bpftrace") is None:
        raise NotSupported("comparing with bpftrace", "the bpftrace package")
    command = ["bpftrace", "-q", "-e", program.replace("begin", "BEGIN")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout


def content(text: str) -> list[str]:
    """The lines, without blank ones and without the blank 0.17 puts behind a histogram's name."""
    return [line[:-1] if line.startswith("@") and line.endswith(": ") else line for line in text.split("\n") if line]


PROGRAMS = [
    'printf("%5d|%-5d|%x|%o|%X\\n", 3, 3, 255, 8, 255)',
    'printf("%.3d|%8.3d|%-8s|%8s|%u|%lu|%hhd|%hd\\n", 5, 5, "ab", "cd", -1, -1, 257, 65537)',
    'printf("%d %d %ld %x %lx %hhx\\n", -1, 0x1ffffffff, 0x1ffffffff, 0x1ffffffff, 0x1ffffffff, 511)',
    'printf("%c%c %% %p\\n", 65, 66, 16)',
    'printf("%r\\n", buf("ab\\x01\\\\", 4))',
    "@h = hist(-5); @h = hist(0); @h = hist(1); @h = hist(2); @h = hist(1023); @h = hist(1048576)",
    '@h[1, "a"] = hist(3); @h[2, "b"] = hist(70000); @h[2, "b"] = hist(70000)',
    "@l = lhist(5, 0, 10, 2); @l = lhist(11, 0, 10, 2); @l = lhist(9, 0, 10, 2)",
    "@l = lhist(3000, 1024, 10240, 1024); @m = lhist(3, 5, 10, 1); @n = lhist(1048577, 0, 2097152, 524288)",
    '@a = 1; @b["x"] = 2; @b["y"] = 1; @c[1, "k"] = 5; @d = count(); @e = sum(-4); @f = avg(9); @g = max(3)',
    '@t[2] = (1, "a", (2, 3)); @t[1] = (4, "b", (5, 6)); @s[5, -3] = "b"; @s[1, 2] = "c"',
    "@m[1] = min(7); @m[2] = min(5); @m[3] = min(6); @x[3] = count(); @x[4] = count(); @x[4] = count()",
    '@x["a"] = 1; @x["b"] = 2; @x["c"] = 3; print(@x, 2); print(@x, 3, 2); clear(@x); print(@x)',
    "@h = hist(4); @h = hist(9); print(@h); zero(@h)",
    'print(5); print("s"); print((1, "b")); print(-3)',
    '@a[1] = 3; zero(@a); @q = "str"; delete(@a[2])',
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_as_bpftrace_prints_it(program: str) -> None:
    whole = f"begin {{ {program}; exit(); }}"
    got = content(ours(whole))
    assert got, "nothing was printed"
    assert got == content(theirs(whole))
