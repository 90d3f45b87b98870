"""The program, instruction by instruction, with what the verifier knew before each."""

from __future__ import annotations

from cygnet.verifier.explaining.flow import disassembled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.verifier.explaining.record import Recorder
    from cygnet.verifier.explaining.story import Explanation
    from cygnet.verifier.program import ProgramSpec

_MOST_STATES = 4


class Row:
    """An instruction: `source` is the line that begins with it (or ""), `lit` says that the refused path went over it."""

    __slots__ = ("insn", "line", "lit", "refused", "source", "states", "text")

    def __init__(self, insn: int, text: str, states: list[str]) -> None:
        self.insn = insn
        self.text = text
        self.states = states
        self.source = ""
        self.line = 0
        self.lit = False
        self.refused = False


def rows(spec: ProgramSpec, recorder: Recorder, found: Explanation | None) -> Iterator[Row]:
    """All instructions in order; a 64-bit load is one."""
    states = recorder.states()
    lines = {line.insn: line for line in spec.lines}
    lit = {visit.insn for visit in recorder.failing()} if found is not None else set()
    at, size = 0, len(spec.insns) // 8
    last = 0
    while at < size:
        row = Row(at, recorder.texts.get(at) or disassembled(spec, at) or "?", states.get(at, []))
        line = lines.get(at)
        if line is not None and line.line != last:
            row.source, row.line = line.text.strip(), line.line
            last = line.line
        row.lit = at in lit
        row.refused = found is not None and found.insn == at
        yield row
        at += 2 if spec.insns[at * 8] == 0x18 else 1


def states_text(spec: ProgramSpec, recorder: Recorder, found: Explanation | None) -> str:
    """For a terminal: the refused path is marked with ``>``, the refused instruction with ``>>``."""
    out = []
    for row in rows(spec, recorder, found):
        if row.source and row.source != row.text:
            out.append(f"; {row.source}" + (f"  (line {row.line})" if row.line else ""))
        mark = ">>" if row.refused else " >" if row.lit else "  "
        out.append(f"{mark}{row.insn:5}: {row.text}")
        if not row.states:
            out.append("           (never followed)")
        out += [f"           {state}" for state in row.states[:_MOST_STATES]]
        if len(row.states) > _MOST_STATES:
            out.append(f"           … and {len(row.states) - _MOST_STATES} more states")
    if recorder.count > sum(len(states) for states in recorder.states().values()) and _cut(recorder):
        out.append("(only the first part was kept: there was too much)")
    return "\n".join(out) + "\n"


def _cut(recorder: Recorder) -> bool:
    from cygnet.verifier.explaining.record import MOST_VISITS

    return recorder.count > MOST_VISITS
