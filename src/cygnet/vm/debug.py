"""A debugger's commands over one run of the interpreter: each takes words and gives text."""

from __future__ import annotations

from cygnet.errors import RuntimeFault, UsageError
from cygnet.maps.memory import read
from cygnet.vm.coverage import Coverage
from cygnet.vm.host import FRAME_BYTES, MASK64
from cygnet.vm.interpreter import Execution

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cygnet.vm.host import Host
    from cygnet.vm.program import Program

_AROUND = 4  # instructions that a listing shows on each side


class Debugger:
    """One program, stopped before its first instruction. `execute` runs a command line.

    `r1` and `r2` are what the program begins with. Breakpoints survive `restart`. What a helper calls back
    runs within one step.
    """

    def __init__(self, host: Host, program: Program, r1: int = 0, r2: int = 0) -> None:
        self.host = host
        self.program = program
        self._start = (r1, r2)
        self.breakpoints: set[int] = set()
        self.coverage = Coverage()
        self.fault: RuntimeFault | None = None
        self.execution = self._new()

    def _new(self) -> Execution:
        execution = Execution(self.host, self.program, *self._start)
        execution.coverage = self.coverage
        return execution

    @property
    def finished(self) -> bool:
        return self.execution.finished or self.fault is not None

    def execute(self, line: str) -> str:
        """The answer to a command line, such as ``break 12`` or ``step 3``. UsageError when it makes no sense."""
        words = line.split()
        if not words:
            return ""
        beginnings = (known for known in COMMANDS if known.startswith(words[0]))
        name = words[0] if words[0] in COMMANDS else _SHORT.get(words[0]) or next(beginnings, None)
        if name is None:
            raise UsageError(f"there is no command {words[0]!r}: {', '.join(COMMANDS)}")
        return COMMANDS[name](self, words[1:])

    # ── going on ─────────────────────────────────────────────────────────────────────────────────────────

    def step(self, words: list[str]) -> str:
        """step [N]: one instruction, or N"""
        for _ in range(_number(words[0]) if words else 1):
            if not self._advance():
                break
        return self.where([])

    def next(self, words: list[str]) -> str:
        """next: one instruction, with all that it calls"""
        depth, program = len(self.execution.frames), self.execution.program
        going = self._advance()
        while going and len(self.execution.frames) > depth and self.execution.program is program:
            if self.execution.pc in self.breakpoints:
                break
            going = self._advance()
        return self.where([])

    def finish(self, words: list[str]) -> str:
        """finish: to the end of this function"""
        depth = len(self.execution.frames)
        while self._advance() and len(self.execution.frames) >= depth and self.execution.pc not in self.breakpoints:
            pass
        return self.where([])

    def resume(self, words: list[str]) -> str:
        """continue: to the next breakpoint, or the end"""
        while self._advance() and self.execution.pc not in self.breakpoints:
            pass
        return self.where([])

    def restart(self, words: list[str]) -> str:
        """restart: from the beginning; memory stays as it is"""
        self.fault = None
        self.execution = self._new()
        return self.where([])

    def _advance(self) -> bool:
        """One instruction; whether there is another."""
        if self.finished:
            return False
        try:
            self.execution.step()
        except RuntimeFault as fault:
            self.fault = fault
        return not self.finished

    # ── breakpoints ──────────────────────────────────────────────────────────────────────────────────────

    def stop(self, words: list[str]) -> str:
        """break [SLOT | line N]: stop before an instruction, or before a source line's first; alone: list them"""
        if not words:
            return "".join(f"{slot:4}  {self._text(slot)}\n" for slot in sorted(self.breakpoints)) or "no breakpoints\n"
        self.breakpoints |= set(self._places(words))
        return ""

    def delete(self, words: list[str]) -> str:
        """delete [SLOT | line N]: a breakpoint; alone: all"""
        self.breakpoints -= set(self._places(words)) if words else set(self.breakpoints)
        return ""

    def _places(self, words: list[str]) -> list[int]:
        if words[0] in ("line", "l") and len(words) == 2:
            wanted = _number(words[1])
            slots = [line.insn for line in self.program.lines if line.line == wanted]
            if not slots:
                raise UsageError(f"no instruction belongs to line {wanted}")
            return slots
        slot = _number(words[0])
        if slot not in self.program.steps:
            raise UsageError(f"no instruction begins at slot {slot}")
        return [slot]

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────────

    def where(self, words: list[str]) -> str:
        """where: the next instruction, and the calls that led there"""
        if self.fault is not None:
            return f"fault: {self.fault}\n"
        execution = self.execution
        if execution.finished:
            return f"ended after {execution.spent} instructions: r0 = {execution.registers[0]:#x}\n"
        calls = "".join(f"  called from slot {frame.return_to - 1}\n" for frame in reversed(execution.frames))
        return f"{execution.pc:4}: {self._text(execution.pc)}\n{calls}"

    def registers(self, words: list[str]) -> str:
        """registers [rN [= VALUE]]: all, or one; or change it"""
        values = self.execution.registers
        if words:
            number = _register(words[0])
            if len(words) > 1:
                values[number] = _number(words[-1]) & MASK64
            return f"{words[0]} = {values[number]:#x}\n"
        return "".join(f"{f'r{n}':>3} = {values[n]:#018x}  {self._meaning(values[n])}\n" for n in range(11))

    def _meaning(self, value: int) -> str:
        regions = self.host.regions
        region = regions.around(value) or regions.around(value - 1)  # the end of one, as r10 is
        if region is not None:
            return f"{region.name or 'memory'}+{value - region.start}"
        signed = value - (1 << 64) if value >> 63 else value
        return str(signed)

    def stack(self, words: list[str]) -> str:
        """stack [BYTES]: the end of this function's frame"""
        top = self.execution.registers[10]
        size = min(_number(words[0]) if words else 64, FRAME_BYTES)
        return "".join(_dump(top - size, read(top - size, size), lambda address: f"r10{address - top:+d}"))

    def memory(self, words: list[str]) -> str:
        """memory ADDRESS|rN [BYTES]: what is there, as far as the program may read it"""
        if not words:
            rows = self.host.regions
            return "".join(f"{r.start:#x} … {r.end:#x}  {'rw' if r.writable else 'r '}  {r.name}\n" for r in rows)
        address = self.execution.registers[_register(words[0])] if words[0].startswith("r") else _number(words[0])
        size = _number(words[1]) if len(words) > 1 else 64
        region = self.host.regions.around(address)
        if region is None:
            raise UsageError(f"no memory of the program is at {address:#x}")
        return "".join(_dump(address, read(address, min(size, region.end - address)), lambda place: f"{place:#x}"))

    def listing(self, words: list[str]) -> str:
        """list [SLOT]: instructions around this one, or another"""
        slots = list(self.execution.program.steps)
        here = _number(words[0]) if words else self.execution.pc
        at = sum(slot < here for slot in slots)
        out = []
        for slot in slots[max(at - _AROUND, 0) : at + _AROUND + 1]:
            mark = "=>" if slot == self.execution.pc else " *" if slot in self.breakpoints else "  "
            line = next((line for line in self.execution.program.lines if line.insn == slot), None)
            source = f"  ; {line.line}: {line.text.strip()}" if line is not None else ""
            out.append(f"{mark} {slot:4}: {self._text(slot)}{source}\n")
        return "".join(out)

    def counts(self, words: list[str]) -> str:
        """coverage: how often each instruction ran"""
        return self.coverage.text(self.program)

    def help(self, words: list[str]) -> str:
        """help: this list; a command's beginning is enough"""
        return "".join(f"  {method.__doc__}\n" for method in COMMANDS.values())

    def _text(self, slot: int) -> str:
        from cygnet.isa.disasm import insn_text

        insns = self.execution.program.insns
        if not 0 <= slot < len(insns):
            return "past the end"
        return insn_text(insns[slot], insns[slot + 1] if insns[slot].code == 0x18 else None)


COMMANDS: dict[str, Callable[[Debugger, list[str]], str]] = {
    "step": Debugger.step,
    "next": Debugger.next,
    "finish": Debugger.finish,
    "continue": Debugger.resume,
    "restart": Debugger.restart,
    "break": Debugger.stop,
    "delete": Debugger.delete,
    "where": Debugger.where,
    "registers": Debugger.registers,
    "stack": Debugger.stack,
    "memory": Debugger.memory,
    "list": Debugger.listing,
    "coverage": Debugger.counts,
    "help": Debugger.help,
}
_SHORT = {"r": "registers", "print": "registers", "info": "registers", "x": "memory", "bt": "where", "c": "continue"}


def _number(word: str) -> int:
    try:
        return int(word, 0)
    except ValueError:
        raise UsageError(f"{word!r} is not a number") from None


def _register(word: str) -> int:
    number = int(word[1:]) if word[:1] == "r" and word[1:].isdigit() else -1
    if not 0 <= number <= 10:
        raise UsageError(f"{word!r} is not a register: r0 to r10")
    return number


def _dump(start: int, data: bytes, name: Callable[[int], str]) -> Iterator[str]:
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{name(start + at):>16}  {row.hex(' '):<47}  {text}\n"
