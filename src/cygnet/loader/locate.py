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
    """Give the error the span of the line that its instruction stems from, or at least a hint with the line.

    Its hints and `explanation` say what the mistake is, and what to write instead.
    """
    _explain(error, program, source)
    if error.insn is None:
        return
    line = line_of(program, error.insn)
    if line is None:
        return
    if source is not None and source.name == program.source:
        error.span = Span(source, line.start, line.end)
        return
    error.hints = (f"{program.source}:{line.line}:{line.col}: {line.text.strip()}", *error.hints)


def _explain(error: KernelVerifierError, program: ProgramSpec, source: Source | None) -> None:
    from cygnet.facts.progtypes import program_type
    from cygnet.verifier.explaining.case import About
    from cygnet.verifier.explaining.logtext import sections
    from cygnet.verifier.explaining.story import of_log

    own = source if source is not None and source.name == program.source else None
    logs = sections(error.log)
    found = of_log(logs[0].lines, About(program_type(program.type).name, program, own)) if logs else None
    if found is None:
        return
    if error.insn is None:
        error.insn = found.insn
    error.hints = (*error.hints, f"{found.title}: {found.reason}", *found.hints())
    error.explainer = lambda: found
