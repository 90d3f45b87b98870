"""The engine that runs translated programs."""

from __future__ import annotations

from cygnet.errors import BudgetExceeded, HelperFault, MemoryFault, RuntimeFault
from cygnet.maps.memory import SPACE
from cygnet.vm.expressions import NAMESPACE
from cygnet.vm.faults import describe_access, located
from cygnet.vm.host import FRAME_BYTES, MASK64, MAX_FRAMES, MAX_TAIL_CALLS, MAY_GOTO_ROUNDS, STACK_BYTES
from cygnet.vm.interpreter import constant_of
from cygnet.vm.structs import LOADS, STORES
from cygnet.vm.translate.source import source_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Any, NoReturn

    from cygnet.vm.host import Host
    from cygnet.vm.program import Program

    Function = Callable[..., int]

DEFAULT_BUDGET = 1 << 26  # some seconds
_HALVES = SPACE[: len(SPACE) & -8].cast("H")
_WORDS = SPACE[: len(SPACE) & -8].cast("I")
_DOUBLES = SPACE[: len(SPACE) & -8].cast("Q")


class Unit:
    """A program as Python functions, by the slot where each begins."""

    __slots__ = ("file", "functions", "lines", "program", "slots")

    def __init__(self, program: Program, file: str, lines: list[str], slots: list[int]) -> None:
        self.program = program
        self.file = file
        self.lines = lines
        self.slots = slots
        self.functions: dict[int, Function] = {}


class Translator:
    """Translates the programs of one host on demand and runs them."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.left = 0  # what is left of the budget, while no translated code runs
        self.frame = 0  # r10 of the function that called a helper
        self.rounds = 0
        self.tail_calls = 0
        self.units: dict[str, Unit] = {}
        self._by_program: dict[int, Unit] = {}

    def unit(self, program: Program) -> Unit:
        """The program's functions, translated when they are first asked for. RuntimeFault for a malformed program."""
        found = self._by_program.get(id(program))
        if found is None:
            found = self._by_program[id(program)] = self._translate(program)
        return found

    def _translate(self, program: Program) -> Unit:
        host = self.host
        host.enter(program)
        text = source_of(program, lambda step: constant_of(step, program, host), self._arity)
        name = f"<program {program.number} {program.name}>"
        unit = self.units[name] = Unit(program, name, text.lines, text.slots)
        space = self._namespace(unit)
        exec(compile("\n".join(text.lines) + "\n", name, "exec"), space)
        unit.functions.update((slot, space[f"f{slot}"]) for slot in program.starts)
        return unit

    def _arity(self, number: int) -> int | None:
        helper = self.host.helpers.get(number)
        return None if helper is None else helper.arity

    def _namespace(self, unit: Unit) -> dict[str, Any]:
        host = self.host
        space: dict[str, Any] = {**NAMESPACE, "B": SPACE, "H": _HALVES, "W": _WORDS, "D": _DOUBLES}
        space |= {f"load{size}": load for size, load in LOADS.items()}
        space |= {f"store{size}": store for size, store in STORES.items()}
        space |= {f"h{number}": helper.function for number, helper in host.helpers.items()}
        space |= {"run": self, "host": host, "check": self.check, "aligned": _aligned, "over": self._over}
        space |= {
            "packet": self._packet,
            "deep": _deep,
            "no_helper": _no_helper,
            "kfunc": host.call_kfunc,
            "tail": self._tail,
        }
        space |= {"top": host.stack_top, "bottom": host.stack_top - STACK_BYTES + FRAME_BYTES}
        space["callx"] = lambda *arguments: self._call_register(unit, *arguments)
        return space

    # ── running ──────────────────────────────────────────────────────────────────────────────────────────

    def run(self, program: Program, r1: int = 0, r2: int = 0) -> int:
        """Run to the end; gives r0. Raises RuntimeFault."""
        main, host = self.unit(program).functions[0], self.host
        kept = host._callback, host.context, self.left, self.frame
        host._callback, host.context = self.call_back, r1
        self.left, self.rounds, self.tail_calls = host.budget or DEFAULT_BUDGET, MAY_GOTO_ROUNDS, 0
        try:
            return main(r1 & MASK64, r2 & MASK64)
        except RuntimeFault as fault:
            raise self._located(fault) from None
        finally:
            host._callback, host.context, self.left, self.frame = kept

    def call_back(self, address: int, arguments: Sequence[int]) -> int:
        """Run a function of the running program for a helper; gives its r0."""
        for unit in self._by_program.values():
            slot = self.host.function_slot(unit.program, address)
            if slot >= 0:
                break
        else:
            raise HelperFault(f"callback to {address:#x}, where no function is")
        frame = self.frame
        if frame <= self.host.stack_top - STACK_BYTES + FRAME_BYTES:
            _deep()
        full = [argument & MASK64 for argument in (*arguments, 0, 0, 0, 0, 0)[:5]]
        try:
            return unit.functions[slot](*full, frame - FRAME_BYTES)
        finally:
            self.frame = frame

    def _located(self, fault: RuntimeFault) -> RuntimeFault:
        """Find the innermost frame of translated code: its line tells the slot, its variables are the registers."""
        trace: TracebackType | None = fault.__traceback__
        place: tuple[Unit, TracebackType] | None = None
        while trace is not None:
            unit = self.units.get(trace.tb_frame.f_code.co_filename)
            if unit is not None:
                place = unit, trace
            trace = trace.tb_next
        if place is None:
            return fault
        unit, trace = place
        values = trace.tb_frame.f_locals
        return located(fault, unit.program, unit.slots[trace.tb_lineno - 1], [values[f"r{n}"] for n in range(11)])

    def close(self) -> None:
        """Forget every program: their code reaches for memory that is given back now."""
        self._by_program.clear()

    # ── what translated code asks for ────────────────────────────────────────────────────────────────────

    def check(self, address: int, size: int, write: bool, r10: int) -> tuple[int, int, int, int]:
        """The address, the bounds of what may be touched around it, and where 8 bytes no longer fit. MemoryFault
        when it may not be touched."""
        host, address = self.host, address & MASK64
        region = host.regions.find(address, size, write)
        if region is None:
            raise MemoryFault(describe_access(host.regions, address, size, write))
        if region is not host.stack.region:
            start, end = region.bounds(address)
            return address, start, end, end - 7
        bottom = r10 - FRAME_BYTES
        if address < bottom:
            raise MemoryFault(f"access of {size} bytes {bottom - address} bytes below the stack frame")
        return address, bottom, region.end, region.end - 7

    def spent(self) -> bool:
        """may_goto: whether its rounds are used up."""
        if self.rounds:
            self.rounds -= 1
            return False
        return True

    def _over(self) -> NoReturn:
        raise BudgetExceeded(f"more than {self.host.budget or DEFAULT_BUDGET:,} instructions")

    def _packet(self, offset: int, size: int) -> int:
        start, length = self.host.packet
        offset &= 0xFFFFFFFF
        if offset + size > length:
            return -1
        return int.from_bytes(SPACE[start + offset : start + offset + size], "big")

    def _tail(self, handle: int, index: int) -> Function | None:
        target = self.host.tail_target(handle, index)
        if target is None or self.tail_calls >= MAX_TAIL_CALLS:
            return None
        self.tail_calls += 1
        return self.unit(target).functions[0]

    def _call_register(self, unit: Unit, address: int, *registers: int) -> int:
        """A function of the program by its address, or a helper by its number; r1 to r5, r10, r6 to r9."""
        r10 = registers[5]
        slot = self.host.function_slot(unit.program, address)
        if slot >= 0:
            if r10 <= self.host.stack_top - STACK_BYTES + FRAME_BYTES:
                _deep()
            return unit.functions[slot](*registers[:5], r10 - FRAME_BYTES, *registers[6:])
        helper = self.host.helpers.get(address)
        if helper is None:
            raise HelperFault(f"call of {address:#x}, where no function is")
        return int(helper.function(self.host, *registers[: helper.arity])) & MASK64


def _aligned(address: int, size: int) -> NoReturn:
    raise MemoryFault(f"atomic access of {size} bytes at {address:#x}, which is not aligned")


def _deep() -> NoReturn:
    raise RuntimeFault(f"more than {MAX_FRAMES} calls deep")


def _no_helper(number: int) -> NoReturn:
    raise HelperFault(f"there is no helper {number}")
