"""The interpreter: every instruction a closure, every access checked; any program, one step at a time if wanted.

A closure takes the registers, a list of r0 to r10 and the `Execution`, and gives the next slot. Its
source is made from the row of the opcode table, once a row; a program's closures are made when it is
first run in a host.
"""

from __future__ import annotations

from functools import cache
from itertools import repeat
from typing import Any

from cygnet.errors import BudgetExceeded, HelperFault, MemoryFault, RuntimeFault
from cygnet.maps.memory import SPACE, load8, load16, load32
from cygnet.vm.expressions import MASKS, NAMESPACE, expression
from cygnet.vm.faults import describe_access, located
from cygnet.vm.host import FRAME_BYTES, MASK64, MAX_FRAMES, MAX_TAIL_CALLS, MAY_GOTO_ROUNDS
from cygnet.vm.structs import LOADS, STORES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cygnet.isa.opcodes import Opcode
    from cygnet.vm.coverage import Coverage
    from cygnet.vm.host import Host
    from cygnet.vm.program import Program, Step

    Registers = list[Any]  # r0 to r10, then the Execution
    Closure = Callable[[Registers], int]

TAIL_CALL = 12
DEFAULT_BUDGET = 1 << 24  # some seconds
RUN = 11  # where the registers hold the Execution
_PACKET_LOADS = {1: load8, 2: load16, 4: load32}


class Finished(Exception):
    """The program has ended; r0 is its result."""


class TailCalled(Exception):
    """A tail call, for the caller of the fast loop: another program goes on."""


class Frame:
    """What a call of a function keeps: where to go on, and r6 to r9 of the caller."""

    __slots__ = ("program", "return_to", "saved")

    def __init__(self, program: Program, return_to: int, saved: list[int]) -> None:
        self.program = program
        self.return_to = return_to
        self.saved = saved


class Execution:
    """One run: registers, frames, budget. `pc` is the next instruction's slot once a step has been made."""

    def __init__(self, host: Host, program: Program, r1: int = 0, r2: int = 0, budget: int | None = None) -> None:
        self.host = host
        self.program = program
        host.enter(program)
        self.closures = closures_of(program, host)
        self.pc = 0
        self.registers: Registers = [0, r1 & MASK64, r2 & MASK64, *[0] * 7, host.stack_top, self]
        self.frames: list[Frame] = []
        self.tail_calls = 0
        self.rounds = MAY_GOTO_ROUNDS
        self.budget = (host.budget or DEFAULT_BUDGET) if budget is None else budget
        self.clock = repeat(None, self.budget)  # ticks once an instruction, callbacks included
        self.finished = False
        self.coverage: Coverage | None = None  # what counts instructions
        self.floor = 0  # frames that a callback must leave alone

    # ── running ──────────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> int:
        """Go on to the end; gives r0. Raises RuntimeFault."""
        host = self.host
        before, host._callback = host._callback, self.call_back
        context, host.context = host.context, self.registers[1] if not self.spent else host.context
        host.read_window[:] = host.write_window[:] = (0, 0)
        try:
            while not self.finished:
                self._run_fast()
        finally:
            host._callback, host.context = before, context
        r0: int = self.registers[0]
        return r0

    def _run_fast(self) -> None:
        """Steps until the program ends or another takes its place."""
        registers, closures, pc = self.registers, self.closures, self.pc
        try:
            if self.coverage is not None:
                counts = self.coverage.counts(self.program)
                for _ in self.clock:
                    counts[pc] += 1
                    pc = closures[pc](registers)
            for _ in self.clock:
                pc = closures[pc](registers)
        except Finished:
            self.finished = True
            return
        except TailCalled:
            pc = self.pc
            return
        except RuntimeFault as fault:
            raise located(fault, self.program, pc, registers) from None
        finally:
            self.pc = pc
        raise self._over_budget()

    def step(self) -> None:
        """One instruction. Raises RuntimeFault; `finished` tells that it was the last."""
        host = self.host
        before, host._callback = host._callback, self.call_back
        host.read_window[:] = host.write_window[:] = (0, 0)
        try:
            next(self.clock)
            if self.coverage is not None:
                self.coverage.counts(self.program)[self.pc] += 1
            self.pc = self.closures[self.pc](self.registers)
        except Finished:
            self.finished = True
        except TailCalled:
            pass
        except RuntimeFault as fault:
            raise located(fault, self.program, self.pc, self.registers) from None
        except StopIteration:
            raise self._over_budget() from None
        finally:
            host._callback = before

    @property
    def spent(self) -> int:
        """Instructions executed so far."""
        return self.budget - self.clock.__length_hint__()

    def _over_budget(self) -> RuntimeFault:
        fault = BudgetExceeded(f"more than {self.budget:,} instructions")
        return located(fault, self.program, self.pc, self.registers)

    # ── what closures ask for ────────────────────────────────────────────────────────────────────────────

    def enter(self, target: int, return_to: int) -> int:
        """Call the function at `target`."""
        if len(self.frames) + 2 > MAX_FRAMES:
            raise RuntimeFault(f"more than {MAX_FRAMES} calls deep")
        registers = self.registers
        self.frames.append(Frame(self.program, return_to, registers[6:10]))
        registers[10] -= FRAME_BYTES
        self._forget_stack()
        return target

    def leave(self) -> int:
        if len(self.frames) == self.floor:
            raise Finished
        frame = self.frames.pop()
        registers = self.registers
        registers[6:10] = frame.saved
        registers[10] += FRAME_BYTES
        if frame.program is not self.program:
            self._continue(frame.program, frame.return_to)
            raise TailCalled
        self._forget_stack()
        return frame.return_to

    def tail_call(self, after: int) -> int:
        """Replace the running function by another program, unless the slot is empty or it was done too often."""
        registers = self.registers
        target = self.host.tail_target(registers[2], registers[3])
        if target is None or self.tail_calls >= MAX_TAIL_CALLS:
            return after
        self.tail_calls += 1
        self._continue(target, 0)
        raise TailCalled

    def _continue(self, program: Program, pc: int) -> None:
        self.program, self.closures = program, closures_of(program, self.host)
        self.pc = pc
        self._forget_stack()

    def call_register(self, address: int, after: int) -> int:
        """callx: a function of the program by its address, or a helper by its number, as some peers have it."""
        slot = self.host.function_slot(self.program, address)
        if slot >= 0:
            return self.enter(slot, after)
        if address not in self.host.helpers:
            raise HelperFault(f"call of {address:#x}, where no function is")
        self.registers[0] = self.call_helper(address)
        return after

    def call_helper(self, number: int) -> int:
        host, registers = self.host, self.registers
        helper = host.helpers.get(number)
        if helper is None:
            raise HelperFault(f"there is no helper {number}")
        try:
            result = helper.function(host, *registers[1 : 1 + helper.arity])
        finally:
            host.read_window[:] = host.write_window[:] = (0, 0)
        return int(result) & MASK64

    def call_back(self, address: int, arguments: Sequence[int]) -> int:
        """Run a function of the program for a helper; gives its r0."""
        slot = self.host.function_slot(self.program, address)
        if slot < 0:
            raise HelperFault(f"callback to {address:#x}, where no function is")
        kept, floor, pc = self.registers[:11], self.floor, self.pc
        self.enter(slot, 0)
        self.floor = len(self.frames)
        self.registers[1:6] = [argument & MASK64 for argument in (*arguments, 0, 0, 0, 0, 0)[:5]]
        self.pc = slot
        try:
            while not self.finished:
                self._run_fast()
            result: int = self.registers[0]
        finally:
            self.finished, self.floor, self.pc = False, floor, pc
            self._forget_stack()
        self.frames.pop()
        self.registers[:11] = kept
        return result

    def kfunc(self, number: int) -> None:
        self.registers[0] = self.host.call_kfunc(number, *self.registers[1:6])

    def budget_spent(self) -> bool:
        """may_goto: whether its rounds are used up."""
        if self.rounds:
            self.rounds -= 1
            return False
        return True

    def check(self, address: int, size: int, write: bool, window: list[int]) -> None:
        """Raise MemoryFault unless the program may do this; remember the region it lies in."""
        host = self.host
        region = host.regions.find(address, size, write)
        if region is None:
            raise MemoryFault(describe_access(host.regions, address, size, write))
        if region is host.stack.region:
            bottom = self.registers[10] - FRAME_BYTES
            if address < bottom:
                raise MemoryFault(f"access of {size} bytes {bottom - address} bytes below the stack frame")
            window[:] = bottom, region.end
            return
        window[:] = region.bounds(address)

    def check_aligned(self, address: int, size: int) -> None:
        if address & size - 1:
            raise MemoryFault(f"atomic access of {size} bytes at {address:#x}, which is not aligned")

    def _forget_stack(self) -> None:
        host = self.host
        host.read_window[:] = host.write_window[:] = (0, 0)

    def packet(self, offset: int, size: int) -> int:
        """A number in network order from the packet; the program ends with 0 when it is not there."""
        start, length = self.host.packet
        offset &= 0xFFFFFFFF
        if offset + size > length:
            self.registers[0] = 0
            return -1
        return int.from_bytes(SPACE[start + offset : start + offset + size], "big")


class Interpreter:
    """Runs the programs of one host."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def run(self, program: Program, r1: int = 0, r2: int = 0) -> int:
        """Run to the end; gives r0. Raises RuntimeFault."""
        return Execution(self.host, program, r1, r2).run()


# ── closures ─────────────────────────────────────────────────────────────────────────────────────────────


def closures_of(program: Program, host: Host) -> list[Closure]:
    """A closure for each slot, and one past the end."""
    made: tuple[Host, list[Closure]] | None = program.prepared.get("interpreter")
    if made is None or made[0] is not host:
        closures: list[Closure] = [_ran_off] * (len(program) + 1)
        for pc, step in program.steps.items():
            closures[pc] = _closure(step, program, host)
        program.prepared["interpreter"] = made = (host, closures)
    return made[1]


def _ran_off(registers: Registers) -> int:
    raise RuntimeFault("the program runs past its end")


def _closure(step: Step, program: Program, host: Host) -> Closure:
    insn = step.insn
    value = constant_of(step, program, host) if step.row.form == "const" else insn.imm & MASK64
    target = step.target if step.target is not None else 0
    made: Closure = factory(step.row)(insn.dst, insn.src, insn.off, value, step.next, target, host)
    return made


def constant_of(step: Step, program: Program, host: Host) -> int:
    """The number that a 64-bit load puts into its register."""
    if step.row.name == "lddw":
        return step.imm
    if step.row.name == "lddw_func" and step.target is not None:
        return host.function_address(program, step.target)
    if step.pc not in program.constants:
        raise RuntimeFault(f"slot {step.pc} refers to something that this machine does not have", step.pc, step.insn)
    return program.constants[step.pc] & MASK64


_HEAD = "def make(d, s, o, i, n, t, host):\n reads, writes = host.read_window, host.write_window\n def op(r):\n"
_TAIL = "\n return op\n"


@cache
def factory(row: Opcode) -> Callable[..., Closure]:
    """What makes the closures of a row: takes dst, src, off, imm, the next slot, the target and the host."""
    space: dict[str, Any] = {**NAMESPACE, "SPACE": SPACE}
    for size in (1, 2, 4, 8):
        space[f"load{size}"], space[f"store{size}"] = LOADS[size], STORES[size]
    body = "\n".join(f"  {line}" for line in _body(row))
    exec(compile(_HEAD + body + _TAIL, f"<interpreter {row.name}>", "exec"), space)
    made: Callable[..., Closure] = space["make"]
    return made


def _body(row: Opcode) -> list[str]:
    return _BODIES[row.form](row)


def _second(row: Opcode) -> str:
    return "r[s]" if row.fixed[1] is None else "i"


def _alu(row: Opcode) -> list[str]:
    return [f"r[d] = {_value(row)}", "return n"]


def _value(row: Opcode, memory: str = "") -> str:
    """The row's expression; operands are used more than once, so they are named where that is needed."""
    return expression(row, "r[d]", _second(row), memory, "r[0]")


def _address(base: str, size: int, write: bool) -> list[str]:
    window = "writes" if write else "reads"
    return [
        f"a = r[{base}] + o & {MASK64:#x}",
        f"if a < {window}[0] or a + {size} > {window}[1]: r[11].check(a, {size}, {write}, {window})",
    ]


def _aligned(size: int) -> str:
    return f"if a & {size - 1}: r[11].check_aligned(a, {size})"


def _load(row: Opcode) -> list[str]:
    size = row.bits // 8
    aligned = [_aligned(size)] if "atomic" in row.group else []
    return [
        *_address("s", size, False),
        *aligned,
        f"m = load{size}(SPACE, a)[0]",
        f"r[d] = {_value(row, 'm')}",
        "return n",
    ]


def _store(row: Opcode) -> list[str]:
    size = row.bits // 8
    aligned = [_aligned(size)] if "atomic" in row.group else []
    return [*_address("d", size, True), *aligned, f"store{size}(SPACE, a, {_value(row)})", "return n"]


def _atomic(row: Opcode) -> list[str]:
    size, mask = row.bits // 8, MASKS[row.bits]
    value = f"store{size}(SPACE, a, ({_value(row, 'm')}) & {mask:#x})"
    after = {"fetch": ["r[s] = m"], "cmpxchg": ["r[0] = m"]}.get(row.form, [])
    return [*_address("d", size, True), _aligned(size), f"m = load{size}(SPACE, a)[0]", value, *after, "return n"]


def _jump(row: Opcode) -> list[str]:
    condition = row.semantics.replace("budget_spent()", "r[11].budget_spent()")
    if row.name != "may_goto":
        condition = _value(row)
    return [f"return t if {condition} else n"]


def _packet(row: Opcode) -> list[str]:
    size = row.bits // 8
    where = "i" if row.fixed[1] is not None else "r[s] + i"
    return [f"m = r[11].packet({where}, {size})", "if m < 0: return r[11].leave()", "r[0] = m", "return n"]


def _call(row: Opcode) -> list[str]:
    if row.name == "call_local":
        return ["return r[11].enter(t, n)"]
    if row.name == "call_kfunc":
        return ["r[11].kfunc(i)", "return n"]
    return [f"if i == {TAIL_CALL}: return r[11].tail_call(n)", "r[0] = r[11].call_helper(i)", "return n"]


_BODIES: dict[str, Callable[[Opcode], list[str]]] = {
    "alu": _alu,
    "const": lambda row: ["r[d] = i", "return n"],
    "load": _load,
    "store": _store,
    "atomic": _atomic,
    "fetch": _atomic,
    "cmpxchg": _atomic,
    "packet": _packet,
    "jump": _jump,
    "goto": lambda row: ["return t"],
    "call": _call,
    "callx": lambda row: ["return r[11].call_register(r[d], n)"],
    "exit": lambda row: ["return r[11].leave()"],
    "none": lambda row: ["return n"],
}
