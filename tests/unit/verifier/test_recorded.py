"""Our verifier against what a live kernel said of programs of the corpus (tests/verifier/cases/verdicts.json)."""

from __future__ import annotations

import json

import pytest
from tests.verifier import corpus
from tests.verifier.bless import EVERY, PLACE
from tests.verifier.sides import Ours, words

VERDICTS: dict[str, tuple[bool, str]] = json.loads(PLACE.read_text())
FILES = sorted({name.partition(":")[0] for name in VERDICTS})


@pytest.mark.parametrize("file", FILES)
def test_the_verdict_and_the_class_of_the_reason(file: str) -> None:
    seen = 0
    for case in corpus.read(f"{file}.txt"):
        row = VERDICTS.get(case.name)
        if row is None:
            continue
        accepted, reason = row
        ours = Ours(case.spec(None))
        seen += 1
        assert ours.accepted == accepted, (case.name, ours.said, reason)
        if not accepted and not reason.startswith(("processed ", "errno ", "0: ")):
            assert words(ours.reason) == words(reason), case.name
    assert seen


def test_both_verdicts_occur() -> None:
    accepted = sum(row[0] for row in VERDICTS.values())
    assert 0.1 < accepted / len(VERDICTS) < 0.9
    assert len(VERDICTS) > 5000 // EVERY
