"""tests/ir/cases/*.txt: IR, and what some passes make of it.

A file is IR text, then sections headed ``---- PASS``, each with what `dump_after` gives for that pass.
Run with CYGNET_BLESS=1 in the environment to rewrite the sections.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cygnet.codegen.pipeline import PASSES, dump_after
from cygnet.errors import UsageError
from cygnet.ir.check import check
from cygnet.ir.text import parse_module

CASES = sorted((Path(__file__).parents[2] / "ir" / "cases").glob("*.txt"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    source, *sections = path.read_text().split("---- ")
    assert [check(function) for function in parse_module(source).functions if check(function)] == []
    stages = [section.split("\n", 1)[0] for section in sections]
    made = [f"{stage}\n{dump_after(parse_module(source), stage)}" for stage in stages]
    if os.environ.get("CYGNET_BLESS"):
        path.write_text("---- ".join([source, *made]))
    else:
        assert made == sections


@pytest.mark.parametrize("stage", PASSES)
def test_every_pass_can_be_dumped(stage: str) -> None:
    assert "main" in dump_after(parse_module(CASES[0].read_text().split("---- ")[0]), stage)


def test_an_unknown_pass_is_named() -> None:
    with pytest.raises(UsageError, match="no pass 'link'; there are simplify, legalise"):
        dump_after(parse_module(CASES[0].read_text().split("---- ")[0]), "link")
