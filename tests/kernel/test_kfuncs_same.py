"""Kernel functions in user space and in the live kernel give the same results and leave the same packets."""

from __future__ import annotations

import pytest
from tests.kernel.test_helpers_same import compare
from tests.vmcases.helpers import SYSCALL, Case, call, store
from tests.vmcases.kfuncs import CASES, spec_of

from cygnet.btf.kinds import FUNC
from cygnet.btf.reader import Btf
from cygnet.errors import NotSupported
from cygnet.loader.runtime import kernel_runtime
from cygnet.spec import relocs
from cygnet.spec.objects import ObjectSpec
from cygnet.vm.machine import Machine


def need(spec: ObjectSpec) -> ObjectSpec:
    """Kernel functions came one by one; one that the running kernel has not got cannot be compared."""
    kernel = Btf.kernel()
    for program in spec.programs:
        for reloc in program.relocs:
            if reloc.kind == relocs.KFUNC and kernel.find(reloc.name, FUNC) is None:
                raise NotSupported(f"kernel function {reloc.name}", "a newer kernel")
    return spec


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_same(case: Case) -> None:
    compare(case, need(spec_of(case)))


@pytest.mark.parametrize(("name", "kind"), [(b"sock", 4), (b"sock", 1), (b"no_such_type", 4), (b"u32", 8), (b"", 4)])
def test_types_by_name(name: bytes, kind: int) -> None:
    text = store(-16, name.ljust(16, b"\0")) + call("btf_find_by_name_kind", "fp-16", len(name) + 1, kind, 0)
    spec = spec_of(Case("btf_find_by_name_kind", SYSCALL, text, None))
    with kernel_runtime(spec) as kernel, Machine(spec) as machine:
        machine.world.btf = Btf.kernel()
        assert machine.program("case").test_run(b"").retval == kernel.program("case").test_run(b"", bytes(64)).retval
