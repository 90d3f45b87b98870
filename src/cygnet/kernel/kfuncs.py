"""Which helpers and kernel functions (kfuncs) a type of program may call."""

from __future__ import annotations

from cygnet.kernel.features import EXIT, R0_IS_0, insn
from cygnet.kernel.progs import load_log

_CALL, _MOV = 0x85, 0xB7
_PSEUDO_KFUNC = 2
#: what the verifier says of a call itself, before it looks at the arguments
_REFUSALS = ("is not allowed", "is not supported", "unknown func", "cannot use helper", "invalid func")


def allowed(btf_id: int, prog_type: int, expected_attach_type: int = 0, attach_btf_id: int = 0) -> bool:
    """Whether the kernel lets programs of a type call the function; asked by a program that is never kept."""
    return _may(insn(_CALL, 0, _PSEUDO_KFUNC, 0, btf_id), prog_type, expected_attach_type, attach_btf_id)


def helper_allowed(number: int, prog_type: int, expected_attach_type: int = 0, attach_btf_id: int = 0) -> bool:
    """The same for a helper (BPF_FUNC_…): configuration, lockdown and capabilities decide about some."""
    return _may(insn(_CALL, 0, 0, 0, number), prog_type, expected_attach_type, attach_btf_id)


def _may(call: bytes, prog_type: int, attach_type: int, attach_btf_id: int) -> bool:
    arguments = [insn(_MOV, register) for register in range(1, 6)]
    code = b"".join([*arguments, call, R0_IS_0, EXIT])
    log = load_log(code, prog_type, level=1, expected_attach_type=attach_type, attach_btf_id=attach_btf_id)
    return bool(log) and not any(text in log for text in _REFUSALS)
