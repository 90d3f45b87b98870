"""Our verifier against the kernel's, on random programs that are nearly valid."""

from __future__ import annotations

import pytest
from tests.verifier import random_calls, random_functions, random_objects, random_programs
from tests.verifier.judge import Judge
from tests.verifier.sides import pair

from cygnet.verifier.records import shared_kernel

EACH = 60
WRITERS = {
    "plain": random_programs.program,
    "functions": random_functions.program,
    "calls": random_calls.program,
    "objects": random_objects.program,
}


@pytest.mark.parametrize("batch", range(3))
@pytest.mark.parametrize("writer", WRITERS)
def test_the_same_verdicts(writer: str, batch: int) -> None:
    differ, accepted, judged = [], 0, 0
    with Judge() as judge:
        for seed in range(batch * EACH, (batch + 1) * EACH):
            found = pair(judge, WRITERS[writer](seed), kernel_btf=shared_kernel())
            if found is None:
                continue
            judged += 1
            accepted += bool(found.kernel.accepted)
            if found.kind:
                differ.append(found)
    assert not differ
    assert judged >= EACH * 0.8 and 0.1 < accepted / judged < 0.9
