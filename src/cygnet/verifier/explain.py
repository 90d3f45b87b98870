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
    return Refusal(reject.message, insn, log, spec, env)


_NO_WAY = ("BPF program is too large", "The sequence of")  # no single way led there: following it again tells nothing


class Refusal(VerifierError):
    """A VerifierError of our own verifier; `hints` and `span` come from its explanation, made on demand."""

    def __init__(self, message: str, insn: int | None, log: str, spec: ProgramSpec, env: Env) -> None:
        self._hints: tuple[str, ...] | None = None
        super().__init__(message, insn=insn, log=log)
        self._hints = None
        self._spec = spec
        self._type: str = env.prog_type
        self._again = (env.target, env.budget, env.kernel_btf)
        self.explainer = self._explain

    def _explain(self) -> Explanation | None:
        from cygnet.verifier.explaining.case import About
        from cygnet.verifier.explaining.story import of_log

        if not self.log and not self.message.startswith(_NO_WAY):
            from cygnet.verifier.verify import _run

            target, budget, types = self._again
            _, _, self.log = _run(self._spec, target, budget, 1, types)
        source = self._spec.source if hasattr(self._spec.source, "line_col") else None
        lines = self.log.splitlines() if self.log else self.message.splitlines()
        return of_log(lines, About(self._type, self._spec, source, self._again[0].text), self.insn)

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
