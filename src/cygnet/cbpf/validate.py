"""What the kernel refuses in a classic filter (net/core/filter.c: bpf_check_classic)."""

from __future__ import annotations

from cygnet.cbpf.insn import ANCILLARY, MAXINSNS, MEMWORDS, ROWS, Insn, signed
from cygnet.errors import VerifierError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def validate(program: Sequence[Insn], *, seccomp: bool = False) -> None:
    """Raises VerifierError with the instruction's index for the first thing that the kernel would refuse.

    `seccomp`: the stricter rules of a system-call filter (kernel/seccomp.c: seccomp_check_filter).
    """
    if not 0 < len(program) <= MAXINSNS:
        raise VerifierError(f"a filter has 1 to {MAXINSNS} instructions, not {len(program)}")
    for index, insn in enumerate(program):
        _check(insn, index, len(program))
        if seccomp:
            _check_seccomp(insn, index)
    last = ROWS[program[-1].code]
    if last.form not in ("ret_k", "ret_a"):
        raise VerifierError("the last instruction must be ret", insn=len(program) - 1)
    _check_memory(program)


def _check(insn: Insn, index: int, count: int) -> None:
    row = ROWS.get(insn.code)
    if row is None or row.form == "ret_x":  # `ret x` is in the books and not in the kernel
        raise VerifierError(f"unknown opcode {insn.code:#x}", insn=index)
    if row.op in ("div", "mod") and row.form == "alu_k" and not insn.k:
        raise VerifierError("division by the constant 0", insn=index)
    if row.op in ("lsh", "rsh") and row.form == "alu_k" and insn.k >= 32:
        raise VerifierError(f"shift by {insn.k}: 31 is the most", insn=index)
    if row.form in ("mem", "store") and insn.k >= MEMWORDS:
        raise VerifierError(f"M[{insn.k}]: there are {MEMWORDS} words", insn=index)
    if row.form == "ja" and insn.k >= count - index - 1:
        raise VerifierError("the jump leaves the program", insn=index)
    if row.form.startswith("jump") and max(insn.jt, insn.jf) + index + 1 >= count:
        raise VerifierError("the jump leaves the program", insn=index)
    if row.form == "abs" and signed(insn.k) >= -0x1000 and signed(insn.k) < 0 and not _is_ancillary(insn.k):
        raise VerifierError(f"there is no extension at offset {signed(insn.k)}", insn=index)


def _is_ancillary(k: int) -> bool:
    place = signed(k) + 0x1000
    return place % 4 == 0 and place // 4 < len(ANCILLARY)


def _check_seccomp(insn: Insn, index: int) -> None:
    row = ROWS[insn.code]
    if row.form == "abs" and row.size == 4:
        if insn.k >= 64 or insn.k & 3:
            raise VerifierError(f"offset {signed(insn.k)} is no word of struct seccomp_data", insn=index)
    elif row.form in ("abs", "ind", "msh") or row.op in ("mod",):
        raise VerifierError(f"a system-call filter may not use {row.mnemonic} here", insn=index)


def _check_memory(program: Sequence[Insn]) -> None:
    """Every word of M is written before it is read, on every path (check_load_and_stores)."""
    everything = (1 << MEMWORDS) - 1
    masks = [everything] * len(program)
    valid = 0
    for index, insn in enumerate(program):
        valid &= masks[index]
        form = ROWS[insn.code].form
        if form == "store":
            valid |= 1 << insn.k
        elif form == "mem":
            if not valid >> insn.k & 1:
                raise VerifierError(f"M[{insn.k}] is read before it is written", insn=index)
        elif form == "ja":
            masks[index + 1 + insn.k] &= valid
            valid = everything
        elif form.startswith("jump"):
            masks[index + 1 + insn.jt] &= valid
            masks[index + 1 + insn.jf] &= valid
            valid = everything
