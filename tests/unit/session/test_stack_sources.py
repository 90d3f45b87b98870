"""User stacks with debug information: their text, and what is asked of a process that was compiled here."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import Store_, World, words

from cygnet.errors import NotSupported
from cygnet.session import json
from cygnet.session.symbols.user import UserSymbols
from cygnet.session.text import Context, texter
from cygnet.spec.values import VType


def text(*addresses: int, settings: dict[str, bool] | None = None, pid: int = 7, **options: object) -> str:
    context = Context(World(), lambda name: (Store_({struct.pack("<I", 1): words(*addresses, 0)}), 4), settings)
    vtype = VType("ustack", 16, data="s", **options)  # type: ignore[arg-type]
    shown = texter(vtype, context)((1, pid))
    assert json.shower(vtype, context)((1, pid)) == json.string(shown)
    return shown


def test_lines_and_inlined_frames() -> None:
    assert text(0x404) == "\n        main+4@x.c:4\n"
    # The first address is where the code is; the others come back from a call before them.
    assert text(0x404, 0x409) == "\n        main+4@x.c:4\n        main+9@x.c:8\n"
    assert text(0x404, 0x40A) == (
        "\n        main+4@x.c:4\n        [inlined] leaf@x.h:9\n        [inlined] twig\n        main+10@x.c:9\n"
    )
    assert text(0x405) == "\n        [inlined] leaf@x.h:5\n        [inlined] twig\n        main+5@x.c:5\n"
    assert text(0x402) == "\n        main+2\n"  # a place that is not known
    assert text(0x450, 0x9000) == "\n        main+80\n        0x9000\n"
    assert text(0x404, pid=8) == "\n        0x404\n"


def test_a_limit_counts_addresses_only() -> None:
    assert text(0x405, 0x409, length=1) == text(0x405)


def test_switched_off_and_other_modes() -> None:
    assert text(0x405, settings={"show_debug_info": False}) == "\n        main+5\n"
    assert text(0x405, text="perf") == "\n\t405 main+5 (/bin/x)\n"
    assert text(0x405, text="raw") == "\n405\n"


SOURCE = """
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
void *back;
static inline __attribute__((always_inline)) void note(void) { __asm__ volatile("lea 0(%%rip), %0" : "=r"(back)); }
__attribute__((noinline)) void leaf(void) {
    note();
    printf("%p %p\\n", back, __builtin_return_address(0));
    fflush(stdout);
}
__attribute__((noinline)) _Noreturn void last(void) { leaf(); char c; exit(read(0, &c, 1) < 0); }
int main(void) { last(); }
"""


@pytest.mark.parametrize("separate", [False, True])
def test_a_process(separate: bool, tmp_path: Path) -> None:
    if shutil.which("gcc") is None or not sys.platform.startswith("linux"):
        raise NotSupported("compiling a C program", "gcc")
    (tmp_path / "x.c").write_text(SOURCE)
    run = lambda *command: subprocess.run(command, cwd=tmp_path, check=True)  # noqa: E731
    run("gcc", "-O2", "-g", "-o", "x", "x.c")
    if separate:
        run("objcopy", "--only-keep-debug", "x", "x.debug")
        run("objcopy", "--strip-all", "--add-gnu-debuglink=x.debug", "x")
    with subprocess.Popen([tmp_path / "x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        inner, back = (int(word, 16) for word in process.stdout.readline().split())
        symbols = UserSymbols()
        assert symbols.source(process.pid, inner - 1) == (("note", f"{tmp_path}/x.c:6"), ("leaf", f"{tmp_path}/x.c:8"))
        assert symbols.source(process.pid, back - 1) == (("last", f"{tmp_path}/x.c:12"),)
        assert symbols.source(process.pid, 1) == ()
        process.stdin.close()
        process.wait()
    assert symbols.source(process.pid, back - 1) == (("last", f"{tmp_path}/x.c:12"),)  # what was mapped is remembered


def test_nothing_is_imported_for_names_alone() -> None:
    script = (
        "import sys, os\nfrom cygnet.session.symbols.user import UserSymbols\n"
        "UserSymbols().remember(os.getpid())\nimport cygnet.session.stacks\n"
        "print([name for name in sys.modules if 'dwarf' in name])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
