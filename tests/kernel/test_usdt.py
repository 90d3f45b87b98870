"""Static probes of programs (usdt): places, arguments in every form, semaphores; the program itself is the witness."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cygnet.errors import NotSupported

# The notes that <sys/sdt.h> makes, written by hand: no header is needed, and operands can be chosen.
PROGRAM = r"""
#include <stdio.h>
#include <unistd.h>
#define TEXT(x) #x
#define STR(x) TEXT(x)
#define NOTE(ns, name, sem, args) \
    "990: nop\n" \
    ".pushsection .note.stapsdt, \"\", @note\n.balign 4\n" \
    ".4byte 992f-991f, 994f-993f, 3\n991: .asciz \"stapsdt\"\n992: .balign 4\n" \
    "993: .8byte 990b\n.8byte _.stapsdt.base\n.8byte " STR(sem) "\n" \
    ".asciz \"" ns "\"\n.asciz \"" name "\"\n.asciz \"" args "\"\n994: .balign 4\n.popsection\n"
__asm__(".pushsection .stapsdt.base, \"aG\", \"progbits\", .stapsdt.base, comdat\n.weak _.stapsdt.base\n"
        ".hidden _.stapsdt.base\n_.stapsdt.base: .space 1\n.size _.stapsdt.base, 1\n.popsection");
volatile unsigned short guarded_semaphore __attribute__((section(".probes"), used));
long counter = 41;
static long table[4] = {10, 20, 30, 40};
volatile char narrow = -3;

static void __attribute__((noinline)) forms(int signed_number, unsigned char byte, const char *text, long index)
{
    __asm__ volatile(NOTE("app", "forms", 0, "-4@%k0 1@%b1 8@%2 8@(%3,%4,8) -1@%5 8@$-7 -8@$-7 4@$0x10")
        :: "r"(signed_number), "q"(byte), "r"(text), "r"(table), "r"(index), "m"(narrow));
    __asm__ volatile(NOTE("app", "variable", 0, "8@counter(%%rip) 2@%w0") :: "r"((short)-1));
}

static void __attribute__((noinline)) twice(long x)
{
    __asm__ volatile(NOTE("app", "twice", 0, "8@%0") :: "r"(x));
    __asm__ volatile(NOTE("app", "twice", 0, "8@%0") :: "m"(x));
    __asm__ volatile(NOTE("other", "twice", 0, "8@%0") :: "r"(x));
}

int main(int argc, char **argv)
{
    int guarded = 0;
    printf("%.0s", "text"); /* a page that was never read cannot be read by a program either */
    volatile char touched = *(volatile const char *)"text";
    (void)touched;
    for (int i = 0; i < 5; i++) {
        forms(-100 - i, 200 + i, "text", i % 4);
        twice(1000 + i);
        if (guarded_semaphore) {
            guarded++;
            __asm__ volatile(NOTE("app", "guarded", guarded_semaphore, "-4@%0") :: "r"(i));
        }
    }
    printf("guarded %d\n", guarded);
    if (argc > 1) { fflush(stdout); sleep(100); }
    return 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        raise NotSupported("compiling a C program", "cc or clang")
    folder = tmp_path_factory.mktemp("usdt")
    (folder / "app.c").write_text(PROGRAM)
    subprocess.run([compiler, "-O1", "-no-pie", "-o", "app", "app.c"], cwd=folder, check=True)
    subprocess.run([compiler, "-O1", "-fPIE", "-pie", "-o", "pie", "app.c"], cwd=folder, check=True)
    return folder / "app"


@pytest.fixture
def trace() -> Callable[..., tuple[int, str, str]]:
    def run(text: str, *arguments: str | Path) -> tuple[int, str, str]:
        command = [sys.executable, "-c", "from cygnet.cli import main; main()", "trace", *arguments, "-e", text]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


def numbers(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("guarded")]


@pytest.mark.parametrize("name", ["app", "pie"])
def test_arguments_in_every_form(program: Path, trace: Callable[..., tuple[int, str, str]], name: str) -> None:
    binary = program.with_name(name)
    body = 'printf("%d %d %s %d %d %d %d %d\\n", arg0, arg1, str(arg2), arg3, arg4, arg5, arg6, arg7)'
    status, out, err = trace(f"usdt:{binary}:app:forms {{ {body} }}", "-c", binary)
    assert status == 0, err
    table = (10, 20, 30, 40)
    assert numbers(out) == [f"{-100 - i} {200 + i} text {table[i % 4]} -3 -7 -7 16" for i in range(5)]
    status, out, err = trace(f'usdt:{binary}:variable {{ printf("%d %d\\n", arg0, arg1) }}', "-c", binary)
    assert status == 0, err
    assert numbers(out) == ["41 65535"] * 5


def test_a_probe_at_two_places(program: Path, trace: Callable[..., tuple[int, str, str]]) -> None:
    """Its argument lies in a register at one, in memory at the other; the second namespace is not meant."""
    status, out, err = trace(
        f"usdt:{program}:app:twice {{ @[arg0] = count(); @probes[probe] = count() }}", "-c", program
    )
    assert status == 0, err
    assert [line for line in numbers(out) if line.startswith("@[")] == [f"@[{1000 + i}]: 2" for i in range(5)]
    assert f"@probes[usdt:{program}:app:twice]: 10" in out
    assert "Attached 1 probe\n" in err
    status, _, err = trace(f"usdt:{program}:twice {{ exit() }}", "-c", program)
    assert status == 1 and "in several namespaces" in err and f"usdt:{program}:other:twice" in err


def test_a_semaphore_is_raised_while_the_probe_is_watched(
    program: Path, trace: Callable[..., tuple[int, str, str]]
) -> None:
    status, out, err = trace(f"usdt:{program}:guarded {{ @ = sum(arg0) }}", "-c", program)
    assert status == 0, err
    assert "guarded 5" in out and "@: 10" in out
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "guarded 0\n"


def test_by_process_and_by_pattern(program: Path, trace: Callable[..., tuple[int, str, str]]) -> None:
    status, out, err = trace(f"usdt:{program}:app:* {{ @[probe] = count() }}", "-c", program)
    assert status == 0, err
    assert sorted(numbers(out)) == [
        f"@[usdt:{program}:app:{name}]: {count}"
        for name, count in (("forms", 5), ("guarded", 5), ("twice", 10), ("variable", 5))
    ]
    running = subprocess.Popen([program, "stay"], stdout=subprocess.PIPE)
    try:
        assert running.stdout is not None and running.stdout.readline() == b"guarded 0\n"
        status, out, err = trace("usdt:*:app:variable { } interval:ms:1 { exit() }", "-p", str(running.pid))
        assert (status, out.strip()) == (0, "") and "Attached 2 probes" in err
        for point in ("usdt::app:variable", "usdt:variable", f"usdt:{program}::variable"):
            status, out, err = trace(f"{point} {{ }} interval:ms:1 {{ exit() }}", "-p", str(running.pid))
            assert (status, out.strip()) == (0, "") and "Attached 2 probes" in err
    finally:
        running.kill()
        running.wait()


def test_what_is_wrong(program: Path, trace: Callable[..., tuple[int, str, str]]) -> None:
    for text, message in (
        (f"usdt:{program}:app:twic {{ }}", "has no static probe app:twic"),
        ("usdt::app:twice { }", "names no binary, and no process was given"),
        ("usdt:/bin/true:x { }", "has no static probes"),
        (f"usdt:{program}:app:twice {{ print(arg1) }}", "app:twice has 1 argument"),
        (f"usdt:{program}.c:x {{ }}", "is not a program or library"),
    ):
        status, _, err = trace(text)
        assert status == 1 and message in err, err


def test_lists_them(program: Path) -> None:
    command = [sys.executable, "-c", "from cygnet.cli import main; main()", "trace", "-l", f"usdt:{program}:*"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    names = ["app:forms", "app:guarded", "app:twice", "app:variable", "other:twice"]
    assert done.stdout.splitlines() == [f"usdt:{program}:{name}" for name in names]
