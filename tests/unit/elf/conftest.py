"""ELF files compiled when the tests run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SOURCE = r"""
#include <stdio.h>
int shared_counter = 3;
static int hidden(int x) { return x * 3; }
__attribute__((noinline)) int pread_thing(int x) { return hidden(x) + shared_counter; }
__attribute__((noinline)) int thing(int x) { return x + 1; }
int _alias(int x) __attribute__((alias("thing")));
unsigned short gate __attribute__((section(".probes")));
int main(int argc, char **argv) {
    __asm__ volatile("990: nop\n"
        ".pushsection .note.stapsdt,\"\",\"note\"\n.balign 4\n.4byte 992f-991f, 994f-993f, 3\n"
        "991: .asciz \"stapsdt\"\n992: .balign 4\n"
        "993: .8byte 990b\n.8byte _.stapsdt.base\n.8byte gate\n"
        ".asciz \"cygnet\"\n.asciz \"started\"\n.asciz \"-4@%0\"\n"
        "994: .balign 4\n.popsection\n"
        ".ifndef _.stapsdt.base\n"
        ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"
        ".weak _.stapsdt.base\n.hidden _.stapsdt.base\n_.stapsdt.base: .space 1\n"
        ".size _.stapsdt.base, 1\n.popsection\n.endif\n"
        :: "r"(argc));
    printf("%d\n", pread_thing(argc) + thing(2) + _alias(1) + gate);
    return 0;
}
"""
PLAIN = """int data = 1;
int answer(int x) { return x + data; }
static int inner(void) { return 2; }
int outer(void) { return inner(); }
"""
TARGETS = (
    "x86_64-linux-gnu",
    "i686-linux-gnu",
    "aarch64-linux-gnu",
    "armv7-linux-gnueabihf",
    "s390x-linux-gnu",
    "powerpc-linux-gnu",
    "bpf",
)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `program`, `stripped`, `program.debug` and one object for each target."""
    folder = tmp_path_factory.mktemp("elf")
    (folder / "program.c").write_text(SOURCE)
    (folder / "plain.c").write_text(PLAIN)
    run = lambda *command: subprocess.run(command, cwd=folder, check=True)  # noqa: E731
    run("cc", "-O1", "-g", "-Wl,--build-id", "-o", "program", "program.c")
    run("objcopy", "--only-keep-debug", "program", "program.debug")
    run("objcopy", "--strip-all", "--add-gnu-debuglink=program.debug", "program", "stripped")
    run("cc", "-O1", "-g", "-gz=zlib", "-no-pie", "-o", "fixed", "program.c")
    for target in TARGETS:
        run("clang", f"--target={target}", "-O0", "-c", "-o", f"{target}.o", "plain.c")
    return folder
