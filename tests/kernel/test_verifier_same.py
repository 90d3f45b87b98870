"""Our verifier against the kernel's, on random programs that are nearly valid."""

from __future__ import annotations

import pytest
from tests.verifier.judge import Judge
from tests.verifier.random_programs import program

from cygnet.verifier import verify

BATCHES, EACH = 5, 40


@pytest.mark.parametrize("batch", range(BATCHES))
def test_the_same_verdicts(batch: int) -> None:
    differ, accepted, judged = [], 0, 0
    with Judge() as judge:
        for seed in range(batch * EACH, (batch + 1) * EACH):
            spec = program(seed)
            opinion = judge.load(spec)
            if opinion.accepted is None:
                continue
            judged += 1
            accepted += opinion.accepted
            ours = verify.verify(spec)
            if ours.accepted != opinion.accepted:
                differ.append((seed, ours, opinion.reason))
    assert not differ
    assert judged >= EACH * 0.8 and 0.1 < accepted / judged < 0.9
