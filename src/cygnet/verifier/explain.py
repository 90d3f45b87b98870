"""From a refusal to the error that a caller gets: reason, instruction, log; the explanation when it is asked for."""

from __future__ import annotations

from cygnet.errors import VerifierError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.verifier.env import Env
    from cygnet.verifier.explaining.story import Explanation
    from cygnet.verifier.program import ProgramSpec
    from cygnet.verifier.state import Reject


def explain(env: Env, spec: ProgramSpec, reject: Reject, log: str) -> VerifierError:
    """The error for a refused program."""
    insn = reject.insn if reject.insn >= 0 else None
    return Refusal(reject.message, insn, log, env.prog_type, spec, env.target.text)


class Refusal(VerifierError):
    """A VerifierError of our own verifier; `hints` and `span` come from its explanation, made on demand."""

    def __init__(self, message: str, insn: int | None, log: str, type: str, spec: ProgramSpec, kernel: str) -> None:
        self._hints: tuple[str, ...] | None = None
        super().__init__(message, insn=insn, log=log)
        self._hints = None
        self._about = (type, spec, kernel)
        self.explainer = self._explain

    def _explain(self) -> Explanation | None:
        from cygnet.verifier.explaining.case import About
        from cygnet.verifier.explaining.story import of_log

        type, spec, kernel = self._about
        source = spec.source if hasattr(spec.source, "line_col") else None
        lines = self.log.splitlines() if self.log else self.message.splitlines()
        return of_log(lines, About(type, spec, source, kernel), self.insn)

    @property
    def hints(self) -> Any:
        """Sentences on what to do."""
        if self._hints is None:
            found = self.explanation
            self._hints = found.hints() if found is not None else ()
        return self._hints

    @hints.setter
    def hints(self, value: Any) -> None:
        self._hints = tuple(value)
