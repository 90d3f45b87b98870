"""Helpers in user space and in the live kernel give the same results and leave the same packets."""

from __future__ import annotations

import pytest
from tests.vmcases.helpers import CASES, FILTER, TC, XDP, Case, spec_of

from cygnet.loader.runtime import kernel_runtime
from cygnet.spec.objects import ObjectSpec
from cygnet.vm.machine import Machine


def compare(case: Case, spec: ObjectSpec) -> None:
    """Run it in both; what it returns and what it leaves of its input is the same."""
    packet = case.type in (XDP, TC, FILTER)
    given = (case.packet, b"") if packet else (b"", bytes(64))
    size = 4096 if packet else 0
    with kernel_runtime(spec) as kernel, Machine(spec) as machine:
        theirs = kernel.program("case").test_run(*given, data_out_bytes=size)
        ours = machine.program("case").test_run(*given, data_out_bytes=size)
    assert ours.retval == theirs.retval
    assert ours.data == theirs.data
    if case.expect is not None:
        assert theirs.retval == case.expect


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_same(case: Case) -> None:
    compare(case, spec_of(case))
