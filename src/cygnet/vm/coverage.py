"""Which instructions of programs ran, and how often; by instruction and by source line."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.spec.objects import LineInfo
    from cygnet.vm.host import Host
    from cygnet.vm.program import Program


class Coverage:
    """Counts of any number of runs of any programs, made by the interpreter::

    coverage = Coverage()
    coverage.run(host, program, address, length)
    print(coverage.text(program))
    """

    def __init__(self) -> None:
        self._counts: dict[int, list[int]] = {}
        self.programs: list[Program] = []

    def counts(self, program: Program) -> list[int]:
        """How often each slot's instruction ran; the second slot of a 64-bit load stays 0."""
        found = self._counts.get(id(program))
        if found is None:
            found = self._counts[id(program)] = [0] * (len(program) + 1)
            self.programs.append(program)
        return found

    def run(self, host: Host, program: Program, r1: int = 0, r2: int = 0) -> int:
        """Run to the end, counting; gives r0. Raises RuntimeFault, and what ran before is counted."""
        from cygnet.vm.interpreter import Execution

        execution = Execution(host, program, r1, r2)
        execution.coverage = self
        return execution.run()

    def lines(self, program: Program) -> dict[int, int]:
        """How often each source line was entered: of a line's instructions, the most that one ran."""
        counts = self.counts(program)
        found: dict[int, int] = {}
        for line, slots in _slots_of_lines(program):
            found[line.line] = max(found.get(line.line, 0), *(counts[slot] for slot in slots))
        return dict(sorted(found.items()))

    def summary(self, program: Program) -> tuple[int, int, int, int]:
        """(instructions that ran, all instructions, lines that ran, all lines)"""
        counts, lines = self.counts(program), self.lines(program)
        ran = sum(counts[slot] > 0 for slot in program.steps)
        return ran, len(program.steps), sum(count > 0 for count in lines.values()), len(lines)

    def text(self, program: Program) -> str:
        """A listing: how often each instruction ran, under its source line."""
        from cygnet.isa.disasm import disassemble

        counts = self.counts(program)
        texts = dict(disassemble(program.insns))
        starts = {line.insn: line for line in program.lines}
        out = []
        for slot in program.steps:
            if slot in starts:
                out.append(f"{'':>12}  ; {starts[slot].line}: {starts[slot].text.strip()}")
            out.append(f"{counts[slot] or '-':>12}  {slot:4}: {texts[slot]}")
        ran, insns, lines_ran, lines = self.summary(program)
        out.append(f"{ran} of {insns} instructions" + (f", {lines_ran} of {lines} lines" if lines else ""))
        return "\n".join(out) + "\n"

    def lcov(self, program: Program) -> str:
        """The lines as a record of an lcov trace file."""
        lines = self.lines(program)
        rows = [f"DA:{line},{count}" for line, count in lines.items()]
        ran = sum(count > 0 for count in lines.values())
        return "\n".join([f"SF:{program.name}", *rows, f"LF:{len(lines)}", f"LH:{ran}", "end_of_record"]) + "\n"


def _slots_of_lines(program: Program) -> Iterator[tuple[LineInfo, list[int]]]:
    """Each entry of the line information with the instructions it is for."""
    ends = [line.insn for line in program.lines[1:]] + [len(program)]
    for line, end in zip(program.lines, ends):
        slots = [slot for slot in range(line.insn, end) if slot in program.steps]
        if slots:
            yield line, slots
