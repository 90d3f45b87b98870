"""The engine that runs machine code: compiles on demand, calls, and tells faults in the program's own terms."""

from __future__ import annotations

import ctypes
import platform
import struct
import sys
from array import array
from functools import partial

from cygnet.errors import BudgetExceeded, HelperFault, MemoryFault, NotSupported, RuntimeFault
from cygnet.maps.memory import SPACE, Mapping, store64
from cygnet.vm.faults import describe_access, located
from cygnet.vm.host import FRAME_BYTES, FUNCTIONS, MASK64, MAX_FRAMES, MAX_TAIL_CALLS, STACK_BYTES
from cygnet.vm.interpreter import constant_of
from cygnet.vm.jit import routines, state
from cygnet.vm.jit.compile import Compiler
from cygnet.vm.jit.encoding import R11, RAX, load_imm64, rr
from cygnet.vm.jit.layout import Compiled
from cygnet.vm.jit.memory import Executable
from cygnet.vm.jit.natives import Natives
from cygnet.vm.jit.x86_64 import Unfit, use_bmi2
from cygnet.vm.program import MAX_SLOTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cygnet.vm.host import Host
    from cygnet.vm.program import Program

DEFAULT_BUDGET = 1 << 32  # some seconds
_MAX_BUDGET = (1 << 62) - 1
U64 = ctypes.c_uint64
_ENTER = ctypes.PYFUNCTYPE(ctypes.c_int, U64, U64)
_BATCH = ctypes.PYFUNCTYPE(ctypes.c_int, U64, U64, U64, U64, U64)  # other threads must not use the state meanwhile
_PREPARED = ctypes.PYFUNCTYPE(ctypes.c_int)
_CALL_BACK = ctypes.PYFUNCTYPE(ctypes.c_int, *[U64] * 6)
_TO_PYTHON = ctypes.CFUNCTYPE(U64, *[U64] * 6)
_WORD = {name: (state.BIAS + offset) // 8 for name, offset in state.OFFSETS.items()}
RESULT, CONTEXT, LENGTH = _WORD["result"], _WORD["context"], _WORD["length"]


class Unit:
    """One program's machine code in one host."""

    __slots__ = ("batch", "call", "compiled", "executable", "prepared", "program", "table", "way")

    def __init__(self, program: Program, compiled: Compiled, executable: Executable, table: Mapping | None) -> None:
        self.program = program
        self.compiled = compiled
        self.executable = executable
        self.table = table
        self.call: Callable[[int, int], int]
        self.batch: Callable[..., int]
        self.prepared: Callable[[], int]
        self.way = 0  # the address of `prepared`

    def entry(self, slot: int) -> int:
        return self.executable.address + self.compiled.entries[slot]

    def holds(self, address: int) -> bool:
        return 0 <= address - self.executable.address < self.executable.size

    def close(self) -> None:
        self.executable.close()
        if self.table is not None:
            self.table.close()


class Jit:
    """Machine code for the programs of one host: checked, unless a program has a verdict or `unsafe` is set."""

    def __init__(self, host: Host, unsafe: bool = False) -> None:
        if platform.machine() not in ("x86_64", "AMD64") or sys.platform == "win32":
            raise NotSupported("machine code on this processor", 'x86-64, or engine="python"')
        self.host = host
        self.unsafe = unsafe
        self.units: list[Unit] = []
        self.wide_slots = [state.wide_slot_offset(index) for index in reversed(range(state.WIDE_SLOTS))]
        self.error: BaseException | None = None
        self._by_program: dict[tuple[int, bool], Unit] = {}
        self._state = Mapping(state.STATE_BYTES)
        self.state_address = self._state.address
        self.words: memoryview[int] = SPACE[self._state.address : self._state.address + self._state.size].cast("Q")
        code = routines.build(self._state.address)
        self._routines = Executable(len(code.bytes))
        self._routines.fill(code.finish())
        self.labels = {name: self._routines.address + at for name, at in code.labels.items()}
        self._back = (_TO_PYTHON(self._dispatch), _TO_PYTHON(self._tail))
        self._call_back = _CALL_BACK(self.labels["call_back"])
        features: int = ctypes.PYFUNCTYPE(ctypes.c_uint32)(self.labels["features"])()
        use_bmi2(bool(features & 1 << 8))
        self._fill_state()
        self.natives = Natives(host, self._helper)

    def _fill_state(self) -> None:
        host, stack = self.host, self.host.stack
        for name in ("check", "check_wide", "fault", "py_call", "py_tail"):
            self._set(name, self.labels[name])
        for name, function in zip(("dispatch", "tail"), self._back):
            self._set(name, ctypes.cast(function, ctypes.c_void_p).value or 0)
        self._set("stack_start", stack.address)
        self._set("stack_top", host.stack_top)
        self._set("stack_limit", host.stack_top - STACK_BYTES + FRAME_BYTES)
        self._set("regions", host.regions.table)

    def _set(self, name: str, value: int) -> None:
        self.words[_WORD[name]] = value

    def _get(self, name: str) -> int:
        return self.words[_WORD[name]]

    # ── compiling ────────────────────────────────────────────────────────────────────────────────────────

    def unit(self, program: Program) -> Unit:
        """The program's machine code, made when it is first asked for. RuntimeFault for a malformed program."""
        checked = not (self.unsafe or program.verdict)
        found = self._by_program.get((id(program), checked))
        if found is None:
            self.host.enter(program)  # RuntimeFault when it is closed
            found = self._by_program[id(program), checked] = self._load(program, checked)
            self.units.append(found)
        return found

    def _load(self, program: Program, checked: bool) -> Unit:
        if len(program) > MAX_SLOTS:
            program.starts  # noqa: B018  the careful decoder refuses it
        table = Mapping(8 * len(program)) if _CALLX in program.code[::8] else None
        try:
            address = table.address if table else 0
            constant = partial(self._constant, program)
            compiled = Compiler(program, checked, constant, address, self.wide_slots, self.natives).compile()
            self._set("wide_used", 16 * (state.WIDE_SLOTS - len(self.wide_slots)))
        except (Unfit, LookupError, struct.error):
            program.starts  # noqa: B018  the careful decoder says what is wrong
            raise RuntimeFault("the program cannot be compiled", 0) from None
        stub = len(compiled.code)
        executable = Executable(stub + 96)
        unit = Unit(program, compiled, executable, table)
        code = compiled.code
        ways = []
        for label in ("enter", "batch", "prepared"):
            ways.append(executable.address + len(code))
            code += load_imm64(RAX, unit.entry(0)) + load_imm64(R11, self.labels[label])
            code += rr(b"\xff", 4, R11, wide=False)
        executable.fill(code)
        unit.call, unit.batch, unit.prepared = _ENTER(ways[0]), _BATCH(ways[1]), _PREPARED(ways[2])
        unit.way = ways[2]
        if table is not None:
            for slot in compiled.entries:
                store64(table.address + 8 * slot, unit.entry(slot))
        return unit

    def _helper(self, program: Program) -> Unit:
        """A helper's code is ours, and needs no checks."""
        unit = self._load(program, False)
        self.units.append(unit)
        return unit

    def _constant(self, program: Program, pc: int) -> int:
        return constant_of(program.steps[pc], program, self.host)

    # ── running ──────────────────────────────────────────────────────────────────────────────────────────

    def run(self, program: Program, r1: int = 0, r2: int = 0) -> int:
        """Run to the end; gives r0. Raises RuntimeFault."""
        unit, host = self.unit(program), self.host
        before, context = host._callback, host.context
        host._callback, host.context = self.call_back, r1
        if host.settled is not self:
            self.settle()
        try:
            status = unit.call(r1, r2)
            return self.words[RESULT] if not status else self.fail(status)
        finally:
            host._callback, host.context = before, context

    def runner(self, program: Program) -> Callable[[int, int], int]:
        """`run` of one program with everything done that can be done before; it leaves the host's context changed, and
        is not for runs inside of another. RuntimeFault when the host has been closed meanwhile."""
        unit, host, words = self.unit(program), self.host, self.words
        enter, callback, entered = unit.prepared, self.call_back, self.host.enter

        def run(r1: int, r2: int) -> int:
            if host.settled is not self:
                entered(program)
                self.settle()
            host.context, host._callback = r1, callback
            words[CONTEXT], words[LENGTH] = r1, r2
            try:
                if status := enter():
                    self.fail(status)
                return words[RESULT]
            finally:
                host._callback = None

        return run

    def settle(self) -> None:
        """Take over what Python may have changed in the host: budget and packet."""
        self._set("budget_start", min(self.host.budget or DEFAULT_BUDGET, _MAX_BUDGET))
        address, length = self.host.packet
        self._set("packet", address)
        self._set("packet_bytes", length)
        host, ready = self.host, _WORD["ready"]
        host.ready[0] = 0  # of another engine
        host.settled, host.ready = self, self.words[ready : ready + 1]
        host.ready[0] = 1

    def batch(self, program: Program, contexts: bytes, size: int, room: int) -> array[int]:
        """Run for each context of `size` bytes in `contexts`, copied to `room`; the results, in order. RuntimeFault,
        whose `run` is the number of the context."""
        unit, host = self.unit(program), self.host
        count = len(contexts) // size
        results = array("Q", bytes(8 * count))
        source = ctypes.cast(ctypes.c_char_p(contexts), ctypes.c_void_p).value
        before, context = host._callback, host.context
        host._callback, host.context = self.call_back, room
        self.settle()
        try:
            if count and (status := unit.batch(source, size, count, results.buffer_info()[0], room)):
                self.fail(status, count - self._get("rest"))
        finally:
            host._callback, host.context = before, context
        return results

    def call_back(self, function: int, arguments: Sequence[int]) -> int:
        """Run a function of the running program for a helper; gives its r0."""
        unit = self._unit_of(function)
        slot = self.host.function_slot(unit.program, function) if unit else -1
        if unit is None or slot not in unit.compiled.entries:
            raise HelperFault(f"callback to {function:#x}, where no function is")
        self._charge(unit.compiled.lengths[slot])
        full = [argument & MASK64 for argument in (*arguments, 0, 0, 0, 0, 0)[:5]]
        status = self._call_back(unit.entry(slot), *full)
        return self.words[RESULT] if not status else self.fail(status)

    def _charge(self, instructions: int) -> None:
        """A callback takes from the budget of the run that it is part of: it may have no loop that does."""
        left = self._get("budget") - instructions
        if not 0 < left <= _MAX_BUDGET:
            raise self._fault(state.BUDGET)
        self._set("budget", left)

    def _unit_of(self, function: int) -> Unit | None:
        number = function >> 32 & 0xFFFFFF
        if function >> 56 != FUNCTIONS >> 56 or number >= len(self.host.programs):
            return None
        return self.unit(self.host.programs[number])

    def _dispatch(self, r1: int, r2: int, r3: int, r4: int, r5: int, number: int) -> int:
        """A helper in Python, called from machine code; what it raises waits until machine code has ended."""
        try:
            helper = self.host.helpers.get(number)
            if helper is None and number >> 63:
                return self.host.call_kfunc(number & 0xFFFFFFFF, r1, r2, r3, r4, r5)
            if helper is None:
                raise HelperFault(f"there is no helper {number}")
            return int(helper.function(self.host, *(r1, r2, r3, r4, r5)[: helper.arity])) & MASK64
        except BaseException as error:
            self.error = error
            self._set("pending", 1)
            return 0

    def _tail(self, r1: int, r2: int, r3: int, r4: int, r5: int, number: int) -> int:
        """Where a tail call goes to: an address, or 0 when it is not done."""
        try:
            target = self.host.tail_target(r2, r3)
            count = self._get("tail_calls")
            if target is None or count >= MAX_TAIL_CALLS:
                return 0
            self._set("tail_calls", count + 1)
            return self.unit(target).entry(0)
        except BaseException as error:
            self.error = error
            self._set("pending", 1)
            return 0

    # ── faults ───────────────────────────────────────────────────────────────────────────────────────────

    def fail(self, status: int, run: int | None = None) -> int:
        """Raise what machine code ended with; `run` is which of a batch it was."""
        unit, pc = self.place()
        registers = [self._get(f"reg{number}") for number in range(11)]
        if status == state.HELPER:
            error, self.error = self.error, None
            self._set("pending", 0)
            if not isinstance(error, RuntimeFault):
                raise error or RuntimeFault("a helper failed")
            fault = error
        else:
            fault = self._fault(status)
        if unit is not None:
            located(fault, unit.program, pc, registers)
        if run is not None:
            fault.run = run
        raise fault

    def place(self) -> tuple[Unit | None, int]:
        """The program and the slot at which machine code gave up."""
        site = self._get("site")
        for unit in self.units:
            if unit.holds(site):
                return unit, unit.compiled.pc_of(site - unit.executable.address)
        return None, 0

    def _fault(self, status: int) -> RuntimeFault:
        if status == state.MEMORY:
            access = self._get("access") & 0xFFFFFFFF
            size, write = access >> 16 & 0x7FFF, bool(access >> 31)
            return MemoryFault(describe_access(self.host.regions, self._get("address"), size, write))
        if status == state.BUDGET:
            return BudgetExceeded(f"more than {min(self.host.budget or DEFAULT_BUDGET, _MAX_BUDGET):,} instructions")
        if status == state.DEPTH:
            return RuntimeFault(f"more than {MAX_FRAMES} calls deep")
        if status == state.ALIGNMENT:
            return MemoryFault("atomic access that is not aligned")
        return HelperFault("call through a register, where no function is")

    def close(self) -> None:
        """Give the code back. Nothing of it may be running."""
        self.natives.close()
        for unit in self.units:
            unit.close()
        self.units.clear()
        self._by_program.clear()
        self.host.ready[0] = 0
        self.host.settled, self.host.ready = None, memoryview(bytearray(8)).cast("Q")
        self._routines.close()
        self.words.release()
        self._state.close()


_CALLX = 0x8D
