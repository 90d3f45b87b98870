"""What the kernel's verifier says when it refuses a program: the last words of its log."""

from __future__ import annotations

# Statistics that follow the reason (kernel/bpf/verifier.c: print_verification_stats).
_STATISTICS = ("processed ", "verification time ", "stack depth ", "mark_precise: ", "max_states ", "insns processed")
_NO_REASONS = (*_STATISTICS, ";", "from ", "last_idx ", "regs=", "cur state:", "old state:")


def _insn_of(line: str) -> int | None:
    """The index in ``12: (85) call bpf_probe_read#4`` or ``from 3 to 12: R0=…``; None for other lines."""
    head, colon, rest = line.partition(":")
    if not colon:
        return None
    if head.isdigit() and rest.startswith(" ("):
        return int(head)
    return None


def last_insn(log: str) -> int | None:
    """The index of the last instruction that the log looked at: the refused one."""
    for line in reversed(log.splitlines()):
        index = _insn_of(line)
        if index is not None:
            return index
    return None


def reason(log: str) -> str:
    """The last line that is neither statistics nor state nor an instruction nor quoted source."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for line in reversed(lines):
        if not line.startswith(_NO_REASONS) and _insn_of(line) is None:
            return line
    return lines[-1] if lines else "no reason given"


def last_source(log: str) -> str:
    """The last quoted source line (``; text @ file:line``), without its marks; "" when there is none."""
    for line in reversed(log.splitlines()):
        if line.startswith("; "):
            return line[2:]
    return ""
