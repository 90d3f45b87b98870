"""Our verifier's tables against the live kernel's verifier: contexts, helpers, kernel functions, tracepoints, iterators.

A share of the programs, always another offset into them; CYGNET_VERIFIER_ALL=1 judges them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import pytest
from tests.verifier import sweeps
from tests.verifier.judge import Judge
from tests.verifier.sides import pair

from cygnet.verifier.program import ProgramSpec
from cygnet.verifier.records import shared_kernel

KINDS = list(sweeps.kinds())
NAMES = [" ".join(filter(None, (kind.name, attach, target))) for kind, attach, target in KINDS]


def compare(programs: Iterable[ProgramSpec], share: int, start: int = 0) -> None:
    step = 1 if sweeps.ALL else share
    judged, differ, btf = 0, [], shared_kernel()
    with Judge() as judge:
        for spec in islice(programs, start % step, None, step):
            found = pair(judge, spec, kernel_btf=btf)
            if found is None:
                continue
            judged += 1
            if found.kind:
                differ.append(found)
    assert judged and not differ


@pytest.mark.parametrize("number", range(len(KINDS)), ids=NAMES)
def test_context_fields(number: int) -> None:
    compare(sweeps.fields(*KINDS[number]), 61, number)


@pytest.mark.parametrize("number", range(len(KINDS)), ids=NAMES)
def test_helpers(number: int) -> None:
    compare(sweeps.helpers(*KINDS[number]), 31, number)


@pytest.mark.parametrize("number", range(0, len(KINDS), 3), ids=NAMES[::3])
def test_kernel_functions(number: int) -> None:
    compare(sweeps.kfuncs(*KINDS[number], shared_kernel()), 29, number)


@pytest.mark.parametrize(("which", "share"), [("tracepoints", 101), ("iterators", 7)])
def test_arguments(which: str, share: int) -> None:
    compare(sweeps.arguments(shared_kernel(), which), share)
