"""Our verifier against the live kernel's, on the corpus of programs that are nearly valid (tests/verifier/cases).

A share of each file; CYGNET_VERIFIER_ALL=1 judges every program.
"""

from __future__ import annotations

from itertools import islice

import pytest
from tests.verifier import corpus, sweeps
from tests.verifier.judge import Judge
from tests.verifier.sides import pair

from cygnet.verifier.records import shared_kernel

FILES = sorted(path.name for path in corpus.FOLDER.glob("*.txt"))


@pytest.mark.parametrize("file", FILES)
def test_the_same_verdicts_and_reasons(file: str) -> None:
    step = 1 if sweeps.ALL else 61
    accepted, judged, differ, btf = 0, 0, [], shared_kernel()
    with Judge() as judge:
        for case in islice(corpus.read(file), 0, None, step):
            found = pair(judge, case.spec(btf), kernel_btf=btf)
            if found is None:
                continue
            judged += 1
            accepted += bool(found.kernel.accepted)
            if found.kind:
                differ.append(found)
    assert not differ
    assert judged and 0 < accepted < judged
