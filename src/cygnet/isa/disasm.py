"""Instructions to text, as the kernel's verifier log and `bpftool prog dump xlated` print them."""

from __future__ import annotations

from cygnet.isa.opcodes import find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cygnet.isa.insn import Insn
    from cygnet.isa.opcodes import Opcode

    NameOf = Callable[[int], str | None]


def _function(insn: Insn, names: NameOf | None, unknown: str) -> str:
    name = names(insn.imm) if names is not None else None
    return f"{name or unknown}#{insn.imm}"


def _wide_value(insn: Insn, second: Insn) -> int:
    return (insn.imm & 0xFFFFFFFF) | (second.imm & 0xFFFFFFFF) << 32


def insn_text(
    insn: Insn,
    second: Insn | None = None,
    *,
    helper_name: NameOf | None = None,
    kfunc_name: NameOf | None = None,
    kernel: bool = False,
) -> str:
    """The text of one instruction, which the assembler reads back as the same instruction.

    `second` is the next slot, needed by a 64-bit load. The kernel's own text loses what a 64-bit
    load's number stands for, and whether a call is to a helper or to a kfunc; `kernel=True` gives
    exactly that text, the default adds it (`ll`, `map[fd:5]`, `call kfunc name#1`). An instruction
    that is not in the table is written `.insn code, dst, src, off, imm`.
    """
    row = find(insn, second)
    if row is None:
        return f".insn {insn.code:#04x}, {insn.dst}, {insn.src}, {insn.off}, {insn.imm}"
    if row.form == "call" or row.wide:
        return _named_text(row, insn, second, helper_name, kfunc_name, kernel)
    _, dst, src, off, imm = insn
    return row.text.format(d=dst, s=src, o=off, i=imm, x=imm & 0xFFFFFFFF)


def _named_text(
    row: Opcode, insn: Insn, second: Insn | None, helper_name: NameOf | None, kfunc_name: NameOf | None, kernel: bool
) -> str:
    if second is not None and row.wide:
        value, high = _wide_value(insn, second), second.imm & 0xFFFFFFFF
        if kernel:
            return f"r{insn.dst} = {value:#x}"
        return row.text.format(d=insn.dst, i=insn.imm, h=high, q=value)
    if row.name == "call_local":
        return row.text.format(i=insn.imm)
    if row.name == "call_helper":
        return "call " + _function(insn, helper_name, "unknown" if kernel else "helper")
    if kernel:
        return "call " + _function(insn, kfunc_name, "kernel-function")
    return "call kfunc " + _function(insn, kfunc_name, "unknown") + (f" fd[{insn.off}]" if insn.off else "")


def disassemble(
    insns: Sequence[Insn],
    *,
    helper_name: NameOf | None = None,
    kfunc_name: NameOf | None = None,
    kernel: bool = False,
) -> Iterator[tuple[int, str]]:
    """(slot, text) of each instruction of a program; a 64-bit load is one, and takes two slots."""
    index, count = 0, len(insns)
    while index < count:
        insn = insns[index]
        second = insns[index + 1] if insn.code == 0x18 and index + 1 < count else None
        text = insn_text(insn, second, helper_name=helper_name, kfunc_name=kfunc_name, kernel=kernel)
        yield index, text
        index += 2 if second is not None and not text.startswith(".insn") else 1


def listing(
    insns: Sequence[Insn],
    *,
    helper_name: NameOf | None = None,
    kfunc_name: NameOf | None = None,
    kernel: bool = False,
) -> str:
    """The whole program, a line each: ``   0: (b7) r0 = 1``."""
    lines = disassemble(insns, helper_name=helper_name, kfunc_name=kfunc_name, kernel=kernel)
    return "".join(f"{index:4}: ({insns[index].code:02x}) {text}\n" for index, text in lines)
