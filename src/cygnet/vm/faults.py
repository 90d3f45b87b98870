"""What went wrong, where, and with what in the registers."""

from __future__ import annotations

from cygnet.errors import BudgetExceeded, HelperFault, MemoryFault, RuntimeFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cygnet.maps.memory import Regions
    from cygnet.vm.program import Program

__all__ = ["BudgetExceeded", "HelperFault", "MemoryFault", "RuntimeFault", "describe_access", "located"]


def located(fault: RuntimeFault, program: Program, pc: int, registers: Sequence[int]) -> RuntimeFault:
    """The same fault, told where it happened; the innermost place is kept."""
    if fault.pc is not None:
        return fault
    fault.pc = pc
    fault.registers = tuple(registers[:11])
    insns = program.insns
    text = ""
    if 0 <= pc < len(insns):
        from cygnet.isa.disasm import insn_text

        fault.insn = insns[pc]
        text = insn_text(insns[pc], insns[pc + 1] if insns[pc].code == 0x18 else None)
    fault.line = line = program.line_at(pc)
    where = f"slot {pc}" + (f", `{text}`" if text else "")
    if line is not None:
        where += f", line {line.line}"
    fault.args = (f"{fault.message} ({where})",)
    return fault


def describe_access(regions: Regions, address: int, size: int, write: bool) -> str:
    """Why an access of `size` bytes at `address` is refused."""
    verb = "write" if write else "read"
    access = f"{verb} of {size} byte{'s' if size > 1 else ''} at {address:#x}"
    around = regions.around(address)
    if around is None:
        return f"{access}: no memory of the program" + (" (a null pointer)" if address < 4096 else "")
    name = around.name or "a region"
    if write and not around.writable:
        return f"{access}: {name} is read-only"
    start, end = around.bounds(address)
    return f"{access}: outside of {name}, which ends after {end - start} bytes, at offset {address - start}"
