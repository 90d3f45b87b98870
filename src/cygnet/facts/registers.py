"""CPU registers as probes see them: struct pt_regs by architecture, and the calling conventions.

x86-64 and arm64 are Linux's <asm/ptrace.h> (user_pt_regs on arm64). Every register is 8 bytes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# architecture: the registers in the order of pt_regs
_ORDER: Final = {
    "x86_64": "r15 r14 r13 r12 bp bx r11 r10 r9 r8 ax cx dx si di orig_ax ip cs flags sp ss",
    "aarch64": " ".join(f"r{number}" for number in range(31)) + " sp pc pstate",
}
# other spellings: the uapi's long names, and what people write
_ALIASES: Final = {
    "x86_64": "rbp=bp rbx=bx rax=ax rcx=cx rdx=dx rsi=si rdi=di orig_rax=orig_ax rip=ip eflags=flags rsp=sp pc=ip",
    "aarch64": " ".join(f"x{number}=r{number}" for number in range(31)) + " fp=r29 lr=r30 ip=pc",
}
# functions of user space and of the kernel; system calls differ on x86-64 in the fourth (r10)
_ARGUMENTS: Final = {"x86_64": "di si dx cx r8 r9", "aarch64": "r0 r1 r2 r3 r4 r5 r6 r7"}
_SPECIAL: Final = {
    "x86_64": {"result": "ax", "pc": "ip", "sp": "sp", "fp": "bp"},
    "aarch64": {"result": "r0", "pc": "pc", "sp": "sp", "fp": "r29"},
}

_offsets: dict[str, dict[str, int]] = {}


def offsets(machine: str) -> dict[str, int]:
    """Byte offset of each register in pt_regs, aliases too; `machine` as in uname. Raises KeyError."""
    found = _offsets.get(machine)
    if found is None:
        found = {name: 8 * index for index, name in enumerate(_ORDER[machine].split())}
        for alias in _ALIASES[machine].split():
            other, _, name = alias.partition("=")
            found[other] = found[name]
        _offsets[machine] = found
    return found


def argument_offset(machine: str, number: int) -> int | None:
    """Where argument `number` (from 0) is in pt_regs, or None when it is passed on the stack."""
    words = _ARGUMENTS[machine].split()
    return offsets(machine)[words[number]] if number < len(words) else None


def special_offset(machine: str, role: str) -> int:
    """The offset of the register in a role: ``result``, ``pc``, ``sp`` or ``fp``."""
    return offsets(machine)[_SPECIAL[machine][role]]


def pt_regs_bytes(machine: str) -> int:
    return 8 * len(_ORDER[machine].split())
