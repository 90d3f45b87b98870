"""From a refusal to the error that a caller gets: the reason, the instruction and the log. Explaining comes later."""

from __future__ import annotations

from cygnet.errors import VerifierError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.verifier.env import Env
    from cygnet.verifier.program import ProgramSpec
    from cygnet.verifier.state import Reject


def explain(env: Env, spec: ProgramSpec, reject: Reject, log: str) -> VerifierError:
    """The error for a refused program."""
    return VerifierError(reject.message, insn=reject.insn, log=log)
