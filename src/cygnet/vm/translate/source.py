"""The Python source of a program.

Each function of the program is a Python function over local variables r0 to r10. A block and what it alone
leads to are nested code; what is jumped to from elsewhere is a branch of one loop, chosen by `b`, and a block
that jumps to itself is a loop of its own. `rl`, `rh` (for writing `wl`, `wh`) are the bounds of the memory that
was allowed last, so that most accesses need no call; 8 bytes fit at any address below `re` (`we`). Which line belongs
to which instruction is kept, so a fault's place and registers come from its traceback.
"""

from __future__ import annotations

from cygnet.vm.expressions import MASKS, expression
from cygnet.vm.host import FRAME_BYTES, MASK64
from cygnet.vm.translate.flow import functions_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.vm.program import Program, Step
    from cygnet.vm.translate.flow import Block, Function

_TAIL_CALL = 12
_UNUSED = "rl = rh = re = wl = wh = we = 0"
# of these the low half of the result depends on the low halves of the operands alone
_LOW_HALF = frozenset(("add", "sub", "mul"))
_NOT_MOVED = (
    -1,
    -1,
    -1,
    -1,
)  # dst, depth, number of lines then, and src of the last line, where that copies a register


class Text:
    """Lines, and the slot that each belongs to."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.slots: list[int] = []
        self.pc = 0

    def add(self, depth: int, *lines: str) -> None:
        for line in lines:
            self.lines.append(" " * depth + line)
            self.slots.append(self.pc)


def source_of(program: Program, constant: Callable[[Step], int], helpers: Callable[[int], int | None]) -> Text:
    """Functions ``f0``, ``f12`` … by slot. `constant` resolves 64-bit loads, `helpers` gives a helper's arity."""
    text = Text()
    indirect = any(step.row.name in ("lddw_func", "callx") for step in program.steps.values())
    for function in functions_of(program):
        _Writer(text, function, constant, helpers, indirect).write()
    return text


class Known:
    """What is known of the registers at a point: which are below 2**32, which are r10 plus a number, and what memory
    was checked already through each (from, to, for writing)."""

    __slots__ = ("frame", "small", "windows")

    def __init__(self, small: set[int], frame: dict[int, int], windows: dict[int, list[tuple[int, int, bool]]]) -> None:
        self.small = small
        self.frame = frame
        self.windows = windows

    @classmethod
    def nothing(cls) -> Known:
        return cls(set(), {10: 0}, {})

    def copy(self) -> Known:
        return Known(set(self.small), dict(self.frame), {reg: list(seen) for reg, seen in self.windows.items()})

    def set(self, reg: int, small: bool = False) -> None:
        """`reg` has a new value."""
        (self.small.add if small else self.small.discard)(reg)
        self.frame.pop(reg, None)
        self.windows.pop(reg, None)

    def move(self, dst: int, src: int, more: int) -> None:
        """`dst` is now src + more."""
        place, seen = self.frame.get(src), self.windows.get(src, ())
        seen = [(low - more, high - more, write) for low, high, write in seen]
        self.set(dst, src in self.small and more == 0)
        if place is not None:
            self.frame[dst] = place + more
        self.windows[dst] = seen

    def checked(self, base: int, off: int, size: int, write: bool) -> bool:
        """Whether an access is known to be right; it is from now on."""
        place = self.frame.get(base)
        if place is not None and place + off >= -FRAME_BYTES and place + off + size <= 0:
            return True
        seen = self.windows.setdefault(base, [])
        if any(low <= off and off + size <= high and (wrote or not write) for low, high, wrote in seen):
            return True
        seen.append((off, off + size, write))
        return False

    def aligned(self, base: int, off: int, size: int) -> bool:
        """Whether an address is known to be a multiple of `size`."""
        place = self.frame.get(base)
        return place is not None and (place + off) % size == 0

    def after_call(self) -> None:
        self.windows.clear()
        for reg in range(6):
            self.set(reg)


class _Writer:
    """One function."""

    def __init__(
        self,
        text: Text,
        function: Function,
        constant: Callable[[Step], int],
        helpers: Callable[[int], int | None],
        indirect: bool,
    ) -> None:
        self.text = text
        self.function = function
        self.constant = constant
        self.helpers = helpers
        self.indirect = indirect  # whether helpers may call functions back
        self.numbers = {head: number for number, head in enumerate(function.heads)}
        self.head = 0
        self.own_loop = False
        self.known = Known.nothing()
        self.moved = _NOT_MOVED

    def write(self) -> None:
        add, function = self.text.add, self.function
        self.text.pc = function.start
        arguments = "r1, r2=0, r3=0, r4=0, r5=0, r10=top, r6=0, r7=0, r8=0, r9=0"
        add(0, f"def f{function.start}({arguments}):")
        add(1, "r0 = 0", _UNUSED, f"n = run.left - {function.steps}", "if n < 0: over()")
        if len(function.heads) == 1:
            self._head(function.heads[0], 1)
            return
        add(1, "b = 0", "while True:")
        self._choose(function.heads, 2)

    def _choose(self, heads: list[int], depth: int) -> None:
        """A tree of comparisons that leads to the chosen head."""
        if len(heads) == 1:
            self._head(heads[0], depth)
            return
        middle = len(heads) // 2
        self.text.add(depth, f"if b < {self.numbers[heads[middle]]}:")
        self._choose(heads[:middle], depth + 1)
        self.text.add(depth, "else:")
        self._choose(heads[middle:], depth + 1)

    def _head(self, head: int, depth: int) -> None:
        self.head = head
        self.own_loop = self._reaches(head)
        self.known = Known.nothing()
        if self.own_loop:
            self.text.add(depth, "while True:")
            depth += 1
        self._block(self.function.blocks[head], depth)

    def _reaches(self, head: int) -> bool:
        """Whether the code nested below a head jumps back to it."""
        todo, seen = [head], set()
        while todo:
            for to in self.function.blocks[todo.pop()].goes_to:
                if to == head:
                    return True
                if to not in self.numbers and to not in seen:
                    seen.add(to)
                    todo.append(to)
        return False

    def _go(self, to: int, source: int, depth: int) -> None:
        """Go on at slot `to`: nested, or by a jump."""
        if to not in self.numbers:
            self._block(self.function.blocks[to], depth)
            return
        if to <= source:
            self.text.add(depth, f"n -= {source - to + 1}", "if n < 0: over()")
        if to == self.head and self.own_loop:
            self.text.add(depth, "continue")
        elif self.own_loop:
            self.text.add(depth, f"b = {self.numbers[to]}", "break")
        else:
            self.text.add(depth, f"b = {self.numbers[to]}", "continue")

    def _block(self, block: Block, depth: int) -> None:
        for step in block.steps:
            self.text.pc = step.pc
            _STATEMENTS[step.row.form](self, step, depth)
        last, form = block.last, block.last.row.form
        if form == "jump":
            self.text.add(depth, f"if {self._condition(last)}:")
            known = self.known.copy()
            self._go(block.goes_to[0], last.pc, depth + 1)
            self.known = known
            self.text.pc = last.pc
            self._go(block.goes_to[1], last.pc, depth)
        elif form != "exit":
            self._go(block.goes_to[0], last.pc, depth)

    # ── statements ───────────────────────────────────────────────────────────────────────────────────────

    def _second(self, step: Step) -> str:
        return f"r{step.insn.src}" if step.row.fixed[1] is None else str(step.insn.imm & MASK64)

    def _alu(self, step: Step, depth: int) -> None:
        insn, row = step.insn, step.row
        stem, first = row.name.split(str(row.bits))[0], self._first(step, depth)
        dst = f"r{first}"
        if stem in ("add", "sub") and row.fixed[1] is not None:
            plus = (stem == "add") == (insn.imm >= 0)
            value = f"({dst} {'+' if plus else '-'} {abs(insn.imm)}) & {MASKS[row.bits]:#x}"
        elif row.bits == 32 and stem in _LOW_HALF:
            value = row.semantics.format(d=dst, s=self._second(step))
        else:
            value = self._narrowed(step, expression(row, dst, self._second(step)), first)
        self.text.add(depth, f"r{insn.dst} = {value}")
        if row.bits == 64 and stem == "mov" and row.fixed[1] is None:
            self.moved = (insn.dst, depth, len(self.text.lines), insn.src)
            self.known.move(insn.dst, insn.src, 0)
        elif row.bits == 64 and stem in ("add", "sub") and row.fixed[1] is not None:
            self.known.move(insn.dst, insn.dst, insn.imm if stem == "add" else -insn.imm)
        else:
            self.known.set(insn.dst, row.bits == 32 or (stem == "mov" and insn.imm >= 0))

    def _first(self, step: Step, depth: int) -> int:
        """The register to read for dst: the one that the line before copied to it, which need not be copied then."""
        insn = step.insn
        reads_itself = step.row.fixed[1] is None and insn.src == insn.dst
        if reads_itself or self.moved[:3] != (insn.dst, depth, len(self.text.lines)):
            return insn.dst
        self.text.lines.pop()
        self.text.slots.pop()
        source, self.moved = self.moved[3], _NOT_MOVED
        return source

    def _narrowed(self, step: Step, text: str, first: int | None = None) -> str:
        """Without the cuts of operands that are narrow enough; `first` is read instead of dst."""
        for reg in {step.insn.dst if first is None else first, step.insn.src} & self.known.small:
            text = text.replace(f"(r{reg} & 0xffffffff)", f"r{reg}")
        return text

    def _condition(self, step: Step) -> str:
        if step.row.name == "may_goto":
            return "run.spent()"
        return self._narrowed(step, expression(step.row, f"r{step.insn.dst}", self._second(step)))

    def _const(self, step: Step, depth: int) -> None:
        value = self.constant(step)
        self.text.add(depth, f"r{step.insn.dst} = {value:#x}")
        self.known.set(step.insn.dst, value < 1 << 32)

    def _address(self, base: int, step: Step, write: bool, depth: int) -> str:
        """Check an access; gives the expression of its address."""
        size, off = step.row.bits // 8, step.insn.off
        address = f"r{base}"
        if off:
            self.text.add(depth, f"a = r{base} {'+' if off > 0 else '-'} {abs(off)}")
            address = "a"
        atomic = "atomic" in step.row.group and size > 1
        if atomic and not self.known.aligned(base, off, size):
            self.text.add(depth, f"if {address} & {size - 1}: aligned({address}, {size})")
        if not self.known.checked(base, off, size, write):
            low, high, all8 = ("wl", "wh", "we") if write else ("rl", "rh", "re")
            outside = f"if not {low} <= {address} < {high if size == 1 else all8}"
            self.text.add(depth, f"{outside}: a, {low}, {high}, {all8} = check({address}, {size}, {write}, r10)")
        return address

    def _read(self, address: str, base: int, step: Step) -> str:
        bits = step.row.bits
        if self.known.aligned(base, step.insn.off, bits // 8):
            return _ALIGNED[bits].format(a=address)
        return _READS[bits].format(a=address)

    def _write(self, address: str, base: int, step: Step, value: str) -> list[str]:
        bits = step.row.bits
        aligned = f"{_ALIGNED[bits].format(a=address)} = {value}"
        if bits == 8 or self.known.aligned(base, step.insn.off, bits // 8):
            return [aligned]
        return [f"if {address} & {bits // 8 - 1}: store{bits // 8}(B, {address}, {value})", f"else: {aligned}"]

    def _load(self, step: Step, depth: int) -> None:
        address = self._address(step.insn.src, step, False, depth)
        memory = self._read(address, step.insn.src, step)
        plain = step.row.semantics == "{m}"
        if plain:
            self.text.add(depth, f"r{step.insn.dst} = {memory}")
        else:
            self.text.add(depth, f"m = {memory}", f"r{step.insn.dst} = {expression(step.row, memory='m')}")
        self.known.set(step.insn.dst, plain and step.row.bits < 64)

    def _store(self, step: Step, depth: int) -> None:
        address = self._address(step.insn.dst, step, True, depth)
        bits = step.row.bits
        value = self._second(step)
        if step.row.fixed[1] is not None:
            value = str(int(value) & MASKS[bits])
        elif bits < 32 or (bits == 32 and step.insn.src not in self.known.small):
            value = f"{value} & {MASKS[bits]:#x}"
        self.text.add(depth, *self._write(address, step.insn.dst, step, value))

    def _atomic(self, step: Step, depth: int) -> None:
        address, row, insn = self._address(step.insn.dst, step, True, depth), step.row, step.insn
        value = expression(row, "", f"r{insn.src}", "m", "r0")
        self.text.add(depth, f"m = {self._read(address, insn.dst, step)}", f"v = ({value}) & {MASKS[row.bits]:#x}")
        self.text.add(depth, *self._write(address, insn.dst, step, "v"))
        if row.form != "atomic":
            reg = insn.src if row.form == "fetch" else 0
            self.text.add(depth, f"r{reg} = m")
            self.known.set(reg, row.bits == 32)

    def _packet(self, step: Step, depth: int) -> None:
        where = f"{step.insn.imm}" if step.row.fixed[1] is not None else f"r{step.insn.src} + {step.insn.imm}"
        self.text.add(depth, f"r0 = packet({where}, {step.row.bits // 8})", "if r0 < 0:")
        self._leave(depth + 1, "0")
        self.known.set(0, True)

    def _exit(self, step: Step, depth: int) -> None:
        self._leave(depth, "r0")

    def _leave(self, depth: int, result: str) -> None:
        self.text.add(depth, "run.left = n", f"return {result}")

    def _call(self, step: Step, depth: int) -> None:
        add, number = self.text.add, step.insn.imm
        if self.indirect:
            add(depth, "run.frame = r10")
        add(depth, "run.left = n")
        if step.row.name == "call_local":
            add(
                depth,
                "if r10 <= bottom: deep()",
                f"r0 = f{step.target}(r1, r2, r3, r4, r5, r10 - {FRAME_BYTES}, r6, r7, r8, r9)",
            )
        elif step.row.name == "call_kfunc":
            add(depth, f"r0 = kfunc({number}, r1, r2, r3, r4, r5)")
        elif number == _TAIL_CALL:
            add(depth, "t = tail(r2, r3)", "if t: return t(r1, r10=r10)")
        else:
            arity = self.helpers(number)
            arguments = ", ".join(f"r{reg}" for reg in range(1, 1 + (arity or 0)))
            call = f"h{number}(host, {arguments})" if arity is not None else f"no_helper({number})"
            add(depth, f"r0 = {call} & {MASK64:#x}")
        self._after_call(depth)

    def _callx(self, step: Step, depth: int) -> None:
        self.text.add(
            depth,
            "run.left = n",
            "run.frame = r10",
            f"r0 = callx(r{step.insn.dst}, r1, r2, r3, r4, r5, r10, r6, r7, r8, r9)",
        )
        self._after_call(depth)

    def _after_call(self, depth: int) -> None:
        self.text.add(depth, "n = run.left", _UNUSED)
        self.known.after_call()

    def _nothing(self, step: Step, depth: int) -> None:
        return


_STATEMENTS: dict[str, Callable[[_Writer, Step, int], None]] = {
    "alu": _Writer._alu,
    "const": _Writer._const,
    "load": _Writer._load,
    "store": _Writer._store,
    "atomic": _Writer._atomic,
    "fetch": _Writer._atomic,
    "cmpxchg": _Writer._atomic,
    "packet": _Writer._packet,
    "call": _Writer._call,
    "callx": _Writer._callx,
    "exit": _Writer._exit,
    **dict.fromkeys(("jump", "goto", "none"), _Writer._nothing),
}
# A view of aligned words is twice as fast as taking one apart from bytes.
_ALIGNED = {8: "B[{a}]", 16: "H[{a} >> 1]", 32: "W[{a} >> 2]", 64: "D[{a} >> 3]"}
_READS = {
    bits: f"{view} if not {{a}} & {bits // 8 - 1} else load{bits // 8}(B, {{a}})[0]" if bits > 8 else view
    for bits, view in _ALIGNED.items()
}
