"""x"""

from __future__ import annotations


def explain(env, spec, reject, log):
    from cygnet.errors import VerifierError

    return VerifierError(reject.message, insn=reject.insn, log=log)
