"""The BTF id of what a typed program attaches to."""

from __future__ import annotations

from cygnet.errors import RelocationError
from cygnet.uapi import bpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.spec.objects import ProgramSpec
    from cygnet.spec.protocols import TargetInfo

# What stands before the name in BTF (kernel/bpf/verifier.c, bpf_check_attach_target; libbpf's sections)
_PREFIX = {
    bpf.BPF_TRACE_RAW_TP: "btf_trace_",
    bpf.BPF_TRACE_ITER: "bpf_iter_",
    bpf.BPF_LSM_MAC: "bpf_lsm_",
}


def btf_id(target: TargetInfo, program: ProgramSpec) -> int:
    """The id of the function, or of the typedef of a raw tracepoint, that `program.attach_to` names."""
    from cygnet.btf import kinds

    kind = kinds.TYPEDEF if program.attach_type == bpf.BPF_TRACE_RAW_TP else kinds.FUNC
    name = _PREFIX.get(program.attach_type, "") + program.attach_to
    found = target.btf().find(name, kind)
    if found is None:
        raise RelocationError(f"the kernel's BTF has no {name}, which program {program.name} attaches to")
    number: int = found.id
    return number
