"""From an instruction that the kernel refuses to the line of the user's text."""

from __future__ import annotations

from cygnet.loader.debuginfo import line_of
from cygnet.source import Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.errors import KernelVerifierError
    from cygnet.source import Source
    from cygnet.spec.objects import ProgramSpec


def locate(error: KernelVerifierError, program: ProgramSpec, source: Source | None) -> None:
    """Give the error the span of the line that its instruction stems from, or at least a hint with the line."""
    if error.insn is None:
        return
    line = line_of(program, error.insn)
    if line is None:
        return
    if source is not None and source.name == program.source:
        error.span = Span(source, line.start, line.end)
        return
    error.hints = (*error.hints, f"{program.source}:{line.line}:{line.col}: {line.text.strip()}")
