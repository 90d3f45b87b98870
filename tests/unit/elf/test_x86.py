"""Lengths of x86-64 instructions, against objdump's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from cygnet.elf.x86 import length, neighbours

LINE = re.compile(r"^ *[0-9a-f]+:\t((?:[0-9a-f]{2} )+) *\t(.*)$")
#: what compilers write rarely: assembled by the assembler, which knows it
RARE = """
    movabs $0x1122334455667788, %rax
    movabs 0x1122334455667788, %al
    addr32 movabs 0x11223344, %eax
    mov $0x1122, %ax
    mov $0x11223344, %eax
    test $1, %al
    testw $0x1122, (%rax)
    testl $0x11223344, 8(%rax,%rcx,4)
    negl (%rax)
    notb 0x11223344(%rip)
    enter $16, $1
    ret $8
    lock cmpxchg16b (%rdi)
    rep movsq
    imul $1000, %rbx, %rcx
    imul $1, 0x100(%r12), %r13
    mov %fs:0x28, %rax
    lea (,%rax,8), %rdx
    lea 0x0(%r13), %rdx
    mov (%r12), %rdx
    crc32b (%rsi), %eax
    pshufd $1, %xmm1, %xmm2
    pclmulqdq $1, %xmm1, %xmm2
    palignr $3, %xmm1, %xmm2
    aesenc %xmm1, %xmm2
    sha1rnds4 $1, %xmm1, %xmm2
    vzeroupper
    vpaddd %ymm1, %ymm2, %ymm3
    vpaddd 8(%r9), %ymm2, %ymm3
    vpermq $1, %ymm2, %ymm3
    vfmadd213ps 0x100(%rax), %ymm2, %ymm3
    vpaddd 0x40(%r9), %zmm2, %zmm3{%k1}{z}
    vpternlogd $0xff, %zmm2, %zmm3, %zmm4
    vcmpps $1, (%rax){1to16}, %zmm3, %k2
    vaddph %zmm1, %zmm2, %zmm3
    andn %rax, %rbx, %rcx
    rorx $3, %rax, %rbx
    bextr $0x1122, %eax, %ebx
    vprotb $1, %xmm1, %xmm2
    extrq $1, $2, %xmm1
    insertq $1, $2, %xmm1, %xmm2
    vmread %rax, %rbx
    pfadd %mm1, %mm2
    endbr64
    ud2
    nopw %cs:0x0(%rax,%rax,1)
    xbegin .
    jmp .+0x1000
    jne .+0x1000
    loop .
    popq 8(%rax)
    callq *%fs:(%rax,%rbx,2)
    fldt (%rax)
    bt $5, %eax
    shld $4, %eax, (%rdx)
    in $0x80, %al
    pushq $0x11223344
    push $1
    movbe (%rax), %ebx
    rdfsbase %rax
    syscall
"""


def listed(*arguments: str | Path) -> list[tuple[bytes, str]]:
    told = subprocess.run(["objdump", "-dw", *arguments], capture_output=True, text=True, check=True).stdout
    found = [LINE.match(line) for line in told.splitlines()]
    return [(bytes.fromhex(one[1]), one[2]) for one in found if one is not None]


def test_rare_ones(tmp_path: Path) -> None:
    (tmp_path / "x.s").write_text(RARE)
    subprocess.run(["as", "-o", "x.o", "x.s"], cwd=tmp_path, check=True)
    found = listed(tmp_path / "x.o")
    assert len(found) >= RARE.count("\n") - 1
    for raw, text in found:
        assert length(raw + bytes(16)) == len(raw), (raw.hex(), text)


def test_those_of_a_library() -> None:
    """Each kind that libm has: what the first bytes and the mnemonic say is one kind."""
    kinds = {
        (raw[:3], text.split()[0], len(raw)): (raw, text) for raw, text in listed("/lib/x86_64-linux-gnu/libm.so.6")
    }
    assert len(kinds) > 2000
    wrong = [(raw.hex(), text) for raw, text in kinds.values() if length(raw + bytes(16)) != len(raw)]
    # fwait and what follows it, which objdump shows as one, are two
    assert not [one for one in wrong if not one[0].startswith("9b")]


def test_cut_short_and_no_instruction() -> None:
    assert length(b"\x48\xb8\x01\x02") == 0
    assert length(b"") == 0
    assert length(b"\x66" * 20) == 0
    assert length(b"\x06\x00\x00") == 0
    assert length(b"\xc3", 1) == 0


@pytest.mark.parametrize(
    ("offset", "wanted"), [(0, (0, 1)), (1, (1, 4)), (3, (1, 4)), (4, (4, 9)), (8, (4, 9)), (9, None)]
)
def test_neighbours(offset: int, wanted: tuple[int, int] | None) -> None:
    code = bytes.fromhex("554889e5e80000000006")  # push, mov, call, none
    assert neighbours(code, offset) == wanted
