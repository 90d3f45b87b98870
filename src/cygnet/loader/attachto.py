"""The function that a typed program attaches to: its BTF id, and whose BTF that is of."""

from __future__ import annotations

from cygnet.errors import RelocationError
from cygnet.uapi import bpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.spec.objects import ProgramSpec
    from cygnet.spec.protocols import TargetInfo

# What stands before the name in BTF (kernel/bpf/verifier.c, bpf_check_attach_target; libbpf's sections)
_PREFIX = {
    bpf.BPF_TRACE_RAW_TP: "btf_trace_",
    bpf.BPF_TRACE_ITER: "bpf_iter_",
    bpf.BPF_LSM_MAC: "bpf_lsm_",
}


class Place:
    """`btf_id` is of the kernel's BTF, or of the BTF or BPF program that `fd` is; close it after the load."""

    __slots__ = ("btf_id", "fd")

    def __init__(self, btf_id: int = 0, fd: int = 0) -> None:
        self.btf_id = btf_id
        self.fd = fd

    def close(self) -> None:
        if self.fd:
            import os

            os.close(self.fd)
            self.fd = 0


def place(target: TargetInfo, program: ProgramSpec) -> Place:
    """Where `program.attach_to` lies: a function of the kernel (or the typedef of a raw tracepoint),
    ``module:function``, or ``bpf:ID:function`` of a BPF program."""
    owner, _, name = program.attach_to.rpartition(":")
    if owner.startswith("bpf:"):
        return _in_program(int(owner[4:]), name, program)
    name = _PREFIX.get(program.attach_type, "") + name
    if not owner:
        return Place(_id(target.btf(), name, program, "the kernel's BTF"))
    return _in_module(target, owner, name, program)


def _id(btf: Any, name: str, program: ProgramSpec, where: str) -> int:
    from cygnet.btf import kinds

    kind = kinds.TYPEDEF if program.attach_type == bpf.BPF_TRACE_RAW_TP else kinds.FUNC
    found = btf.find(name, kind)
    if found is None:
        raise RelocationError(f"{where} has no {name}, which program {program.name} attaches to")
    number: int = found.id
    return number


def _in_module(target: Any, module: str, name: str, program: ProgramSpec) -> Place:
    from cygnet.kernel import objects

    number = _id(target.module_btf(module), name, program, f"the BTF of module {module}")
    for btf_id in objects.ids("btf"):
        fd = objects.open_id("btf", btf_id)
        info = objects.btf_info(fd)
        if info.kernel and info.name == module:
            return Place(number, fd)
        Place(0, fd).close()
    raise RelocationError(f"the kernel has no BTF of a module {module}, which program {program.name} attaches to")


def _in_program(prog_id: int, name: str, program: ProgramSpec) -> Place:
    from cygnet.kernel import objects

    fd = objects.open_id("prog", prog_id)
    place = Place(0, fd)
    try:
        btf = objects.program_btf(fd)
        if btf is None:
            raise RelocationError(f"BPF program {prog_id} has no BTF, so nothing can be attached to its {name}")
        place.btf_id = _id(btf, name, program, f"the BTF of BPF program {prog_id}")
    except BaseException:
        place.close()
        raise
    return place
