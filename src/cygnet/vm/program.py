"""A program as the machine takes it: instructions, each with its row of the opcode table, checked once."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from cygnet.errors import InsnDecodeError, RuntimeFault
from cygnet.isa.encode import decode
from cygnet.isa.opcodes import find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from cygnet.isa.insn import Insn
    from cygnet.isa.opcodes import Opcode
    from cygnet.spec.objects import FuncInfo, LineInfo

MAX_SLOTS = 1_000_000  # as in the kernel (BPF_COMPLEXITY_LIMIT_INSNS)


_CALLX, _WIDE = 0x8D, 0x18


class Step(NamedTuple):
    """One instruction: its slot, the slot after it, its row and fields; `imm` is 64 bits of a 64-bit load."""

    pc: int
    next: int
    row: Opcode
    insn: Insn
    imm: int

    @property
    def target(self) -> int | None:
        """The slot that a jump or a local call goes to; None for everything else."""
        form = self.row.form
        if form == "jump" or self.row.name == "ja":
            return self.next + self.insn.off
        if self.row.name in ("gotol", "call_local", "lddw_func"):
            # a function's place counts from the load's first slot, as that of a call does
            return self.pc + 1 + self.insn.imm
        return None


class Program:
    """Instructions and what is known about them.

    `code` is encoded, little-endian, with relocations applied. `constants` gives for the slot of a 64-bit
    load that refers to something (a map, a map's value, a kernel symbol) the number it stands for here;
    such a load without one is refused when the program is prepared. With a `verdict` it runs unchecked, on contexts of at
    least `context_bytes`.
    """

    def __init__(
        self,
        code: bytes,
        *,
        name: str = "program",
        type: int = 0,
        lines: Sequence[LineInfo] = (),
        functions: Sequence[FuncInfo] = (),
        constants: Mapping[int, int] | None = None,
        verdict: Any = None,
        context_bytes: int = 0,
    ) -> None:
        self.code = _with_registers_in_dst(bytes(code))
        self.name = name
        self.type = type
        self.lines = tuple(lines)
        self.function_infos = tuple(functions)
        self.constants = dict(constants or {})
        self.verdict = verdict
        self.context_bytes = context_bytes
        self.number = -1  # which program of its host this is
        self.prepared: dict[str, Any] = {}  # what each engine made of it

    def __repr__(self) -> str:
        return f"<Program {self.name!r} of {len(self.code) // 8} slots>"

    def __len__(self) -> int:
        return len(self.code) // 8

    def need_context(self, size: int) -> None:
        """MemoryFault for a context that is too short to be read without checks."""
        if size < self.context_bytes:
            from cygnet.errors import MemoryFault

            raise MemoryFault(f"the program's context has {size} bytes, and it reads up to {self.context_bytes}")

    @cached_property
    def insns(self) -> list[Insn]:
        try:
            return decode(self.code)
        except InsnDecodeError as error:
            raise RuntimeFault(str(error), (error.offset or 0) // 8) from None

    @cached_property
    def steps(self) -> dict[int, Step]:
        """Every instruction by its slot, in order. RuntimeFault for a malformed program."""
        return decode_steps(self)

    @cached_property
    def starts(self) -> list[int]:
        """The slots at which functions begin; the first is 0."""
        return _starts(self.steps)

    def line_at(self, pc: int) -> LineInfo | None:
        """The source line that the instruction at `pc` belongs to."""
        found = None
        for line in self.lines:
            if line.insn > pc:
                break
            found = line
        return found

    def function_at(self, pc: int) -> str:
        """The name of the function around `pc`: what the function information says, or ``fN``."""
        start = max((start for start in self.starts if start <= pc), default=0)
        for info in self.function_infos:
            if info.insn == start:
                return info.name
        return self.name if start == 0 else f"f{start}"


def _with_registers_in_dst(code: bytes) -> bytes:
    """Calls through a register as GCC and newer Clangs encode them: Clang before 19 had the register's number in imm."""
    at = code[::8].find(_CALLX)
    if at < 0:
        return code
    changed = bytearray(code)
    while at >= 0:
        if changed[8 * at + 1 : 8 * at + 4] == b"\0\0\0" and 0 < changed[8 * at + 4] < 11:
            if changed[8 * at + 5 : 8 * at + 8] == b"\0\0\0" and not (at and changed[8 * at - 8] == _WIDE):
                changed[8 * at + 1], changed[8 * at + 4] = changed[8 * at + 4], 0
        at = code[::8].find(_CALLX, at + 1)
    return bytes(changed)


def decode_steps(program: Program) -> dict[int, Step]:
    """Decode and check what needs no path: known opcodes, empty unused fields, registers, jump targets."""
    insns: list[Insn] = program.insns if len(program) <= MAX_SLOTS else []
    steps: dict[int, Step] = {}
    count = len(insns)
    if not count:
        raise RuntimeFault("a program has between 1 and 1,000,000 slots", 0)
    pc = 0
    while pc < count:
        insn = insns[pc]
        second = insns[pc + 1] if insn.code == 0x18 else None
        row = find(insn, second)
        why = refusal(insn, row)
        if row is None or why:
            raise RuntimeFault(f"{why} at slot {pc}", pc, insn)
        after = pc + (2 if second is not None else 1)
        imm = insn.imm if second is None else (insn.imm & 0xFFFFFFFF) | (second.imm & 0xFFFFFFFF) << 32
        steps[pc] = Step(pc, after, row, insn, imm)
        pc = after
    for step in steps.values():
        if step.target is not None and step.target not in steps:
            message = f"slot {step.pc} jumps to slot {step.target}, where no instruction begins"
            raise RuntimeFault(message, step.pc, step.insn)
    check_functions(steps, count)
    return steps


def _starts(steps: Mapping[int, Step]) -> list[int]:
    called = {0}
    for step in steps.values():
        if step.row.name in ("call_local", "lddw_func") and step.target is not None:
            called.add(step.target)
    return sorted(called)


def check_functions(steps: Mapping[int, Step], count: int) -> None:
    """A function ends with an exit or a jump, and nothing jumps into another."""
    starts = _starts(steps)
    ends = [*starts[1:], count]
    number = 0
    for step in steps.values():
        while step.pc >= ends[number]:
            number += 1
        if step.next == ends[number] and step.row.form not in ("exit", "goto"):
            raise RuntimeFault(f"the last instruction of a function, at slot {step.pc}, goes on", step.pc, step.insn)
        jumps = step.row.form in ("jump", "goto") and step.target is not None
        if jumps and not starts[number] <= (step.target or 0) < ends[number]:
            raise RuntimeFault(f"slot {step.pc} jumps into another function", step.pc, step.insn)


_UNSUPPORTED = frozenset(("arena_user", "arena_kernel"))


def refusal(insn: Insn, row: Opcode | None) -> str:
    """Why no engine can run `insn`; empty when one can.

    Milder than the kernel: RFC 9669 says what a shift by too much and a division by a constant zero
    do, so they are done.
    """
    if row is None or row.group == "kernel":
        return f"unknown opcode {insn.code:#04x} or unused fields that are not zero"
    if any(getattr(insn, field) > 10 for field in ("dst", "src") if field in row.operands):
        return "there is no such register"
    if row.writes in ("dst", "src") and getattr(insn, row.writes) == 10:
        return "the frame pointer r10 is read-only"
    if row.name in _UNSUPPORTED:
        return "arenas are not supported"
    return ""
