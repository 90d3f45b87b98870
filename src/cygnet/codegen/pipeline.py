"""The passes, in order: a module of IR in, a ProgramSpec out."""

from __future__ import annotations

from cygnet.codegen import emit, frame, isel, regalloc
from cygnet.errors import CygnetError
from cygnet.ir import rules
from cygnet.isa.consts import STACK_BYTES
from cygnet.spec.objects import ProgramSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.codegen.machine import MFunction
    from cygnet.ir.core import Function, Module

#: simplify  remove what is decided, dead or unreachable
#: legalise  expand memory operations; only core operations are left
#: frame     place slots on the stack or in scratch memory
#: select    machine instructions with virtual registers
#: allocate  machine registers and spills
#: emit      bytes, relocations, line information
PASSES = ("simplify", "legalise", "frame", "select", "allocate", "emit")

#: what a function that other frames lie above may use
_CALLEE_STACK = 160
#: the kernel keeps the loop budget of may_goto (a count and a time) below the frame
_MAY_GOTO_BYTES = 16


class Compiled:
    """A function with its registers, and what it needs."""

    __slots__ = ("machine", "place")

    def __init__(self, machine: MFunction, place: list[int]) -> None:
        self.machine = machine
        self.place = place


class Compiler:
    """Compiles one module. `watch` is told the state after each pass of each function."""

    def __init__(
        self,
        module: Module,
        scratch_map: str,
        scratch_key: int,
        lost: tuple[str, int] | None,
        watch: Watch | None = None,
        pools: dict[str, int] | None = None,
    ) -> None:
        self.module = module
        self.pools = pools
        self.scratch_map = scratch_map
        self.scratch_key = scratch_key
        self.lost = lost
        self.watch = watch
        self.scratch_bytes = 0
        self.by_name = {function.name: function for function in module.functions}
        self.depth: dict[str, int] = {}  # function -> stack bytes from its frame to the deepest callee's
        self.compiled: dict[str, Compiled] = {}

    def run(self) -> emit.Stream:
        main = self.module.functions[0]
        for function in self.module.functions:
            function.preemptible = main.preemptible
        self._compile(main, ())
        stream = emit.Stream()
        for function in self.module.functions:
            done = self.compiled.get(function.name)
            if done is not None:  # a callback that nothing refers to any more is left out
                stream.add(done.machine, done.place)
        return stream

    def _compile(self, function: Function, callers: tuple[str, ...]) -> None:
        """Callees first, so that the caller knows how much stack they leave."""
        if function.name in callers:
            raise CygnetError(f"function {function.name} calls itself")
        rules.simplify(function)
        self._seen("simplify", function)
        rules.legalise(function)
        self._seen("legalise", function)
        below = 0
        for name in _callees(function):
            if name not in self.compiled:
                self._compile(self.by_name[name], (*callers, function.name))
            below = max(below, self.depth[name])
        limit = STACK_BYTES - below if not callers else _CALLEE_STACK
        self.compiled[function.name] = done = self._lower(function, limit)
        self.depth[function.name] = below + (done.machine.stack_bytes + 15 & ~15)

    def _lower(self, function: Function, limit: int) -> Compiled:
        """Frame, selection and registers; again with a smaller frame when spills do not fit."""
        if any(block.term is not None and block.term.op == "may_goto" for block in function.blocks):
            limit -= _MAY_GOTO_BYTES
        room = limit
        entry, scratch_bytes = function.blocks[0], self.scratch_bytes
        while True:
            layout = self._frame(function, room)
            self._seen("frame", function)
            machine = isel.select(function, layout)
            self._seen("select", machine)
            place = regalloc.allocate(machine, layout.stack_bytes)
            self._seen("allocate", machine, place)
            if machine.stack_bytes <= limit:
                return Compiled(machine, place)
            room = min(room, layout.stack_bytes) - (machine.stack_bytes - limit)
            if room < 8:
                raise CygnetError(f"{function.name}: {machine.stack_bytes} bytes of stack are needed, {limit} are left")
            if layout.base is not None:
                from cygnet.codegen.scratch import leave_scratch

                leave_scratch(function, entry, layout.base)
                self.scratch_bytes = scratch_bytes

    def _frame(self, function: Function, room: int) -> frame.Frame:
        layout = frame.layout(function, room)
        if not layout.scratch:
            return layout
        from cygnet.codegen.scratch import enter_pool, enter_scratch, fits_value  # rarely needed, and start-up counts

        size = layout.scratch_bytes
        if self.pools is not None and not fits_value(function, size, self.scratch_bytes):
            layout.base, start = enter_pool(function, size, self.scratch_map, self.pools, self.lost)
            layout.scratch = {slot: start + at for slot, at in layout.scratch.items()}
            return layout
        taken, layout.base, start, key = enter_scratch(
            function, size, self.scratch_bytes, self.scratch_map, self.scratch_key, self.lost
        )
        self.scratch_bytes += taken
        layout.stack_bytes += 8
        layout.offsets[key] = -layout.stack_bytes
        layout.scratch = {slot: start + at for slot, at in layout.scratch.items()}
        return layout

    def _seen(self, name: str, what: Function | MFunction, place: list[int] | None = None) -> None:
        if self.watch is not None:
            self.watch(name, what, place)


def _callees(function: Function) -> list[str]:
    names = [
        value.imm for block in function.blocks for value in block.body if value.op == "callsub" or value.op == "func"
    ]
    return list(dict.fromkeys(names))


if TYPE_CHECKING:
    from typing import Protocol

    class Watch(Protocol):
        def __call__(self, name: str, what: Function | MFunction, place: list[int] | None, /) -> None: ...


def compile_module(
    module: Module,
    *,
    name: str,
    prog_type: int,
    license: str = "GPL",
    scratch_map: str = "scratch",
    scratch_key: int = 0,
    lost: tuple[str, int] | None = None,
    attach_type: int = 0,
    attach_to: str = "",
    flags: int = 0,
    source: str = "",
    watch: Watch | None = None,
    pools: dict[str, int] | None = None,
) -> tuple[ProgramSpec, int]:
    """The program, and how many bytes of scratch memory it needs (0: none).

    The scratch bytes are to be the value size of `scratch_map`, a per-CPU array in which entry
    `scratch_key` (a 4-byte key) is this program's alone. `lost` is (map, offset) of a u64 in an array
    map of one value: how many events were lost because no level of scratch memory was free.
    `pools`, if given, gets the maps to be made where a per-CPU value is too small: arrays of one value, name → bytes.
    The module is rewritten on the way. Raises CygnetError when a frame cannot fit the stack.
    """
    compiler = Compiler(module, scratch_map, scratch_key, lost, watch, pools)
    stream = compiler.run()
    insns = stream.finish()
    spec = ProgramSpec(
        name=name,
        type=prog_type,
        insns=insns,
        relocs=stream.relocations(),
        functions=tuple(stream.functions),
        lines=stream.line_info(),
        license=license,
        attach_type=attach_type,
        attach_to=attach_to,
        flags=flags,
        source=source,
    )
    return spec, compiler.scratch_bytes


def dump_after(module: Module, stage: str, *, scratch_map: str = "scratch") -> str:
    """The text of every function as it is after pass `stage` (one of PASSES). The module is rewritten."""
    from cygnet.codegen.dump import dump

    return dump(module, stage, scratch_map)
