"""What the tracing language emits: our verifier says of every program what the live kernel's says, which takes it.

A share of the programs that the tools and the language's tests have; CYGNET_VERIFIER_ALL=1 judges them all.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
from tests.verifier import emitted, sweeps

from cygnet.verifier.records import shared_kernel

TEXTS = list(emitted.texts())
SHARES = 4


@pytest.fixture(scope="module")
def target() -> Any:
    return emitted.live_target()


@pytest.mark.parametrize("share", range(SHARES))
def test_emitted(share: int, target: Any) -> None:
    step = SHARES * (1 if sweeps.ALL else 5)
    judged = 0
    for name, text, words, options in islice(TEXTS, share, None, step):
        spec = emitted.compiled(name, text, target, words, **options)
        if spec is None:
            continue
        for found in emitted.judge(spec, target, shared_kernel()):
            judged += 1
            assert found.kernel.accepted and not found.kind, (name, found)
    assert judged
