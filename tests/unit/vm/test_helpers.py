"""Helpers of the user-space machine: each engine gives what the table of cases says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.vmcases.helpers import CASES, FILTER, TC, XDP, Case, spec_of

from cygnet.facts.helpers import helpers
from cygnet.vm.helpers.coverage import KERNEL_ONLY, MISSING
from cygnet.vm.helpers.registry import table
from cygnet.vm.machine import Machine

ENGINES = ("jit", "python", "interpreter")


def result(case: Case, engine: str) -> tuple[int, bytes]:
    with Machine(spec_of(case), engine) as machine:
        if case.type in (XDP, TC, FILTER):
            out = machine.program("case").test_run(case.packet, data_out_bytes=4096)
        else:
            out = machine.program("case").test_run(ctx_in=bytes(64))
        return out.retval, out.data


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_engine(case: Case) -> None:
    results = [result(case, engine) for engine in ENGINES]
    assert results[0] == results[1] == results[2]
    if case.expect is not None:
        assert results[0][0] == case.expect


def test_every_helper_has_a_function_or_a_reason() -> None:
    known = {helper.name.removeprefix("bpf_") for helper in helpers()}
    made = {known_helper.name.removeprefix("bpf_") for number, known_helper in table().items() if number <= 211}
    assert made | set(KERNEL_ONLY) | set(MISSING) | {"tail_call"} == known
    assert not made & (set(KERNEL_ONLY) | set(MISSING))


def test_the_documentation_lists_every_helper() -> None:
    text = (Path(__file__).parents[3] / "docs/vm.md").read_text()
    text = text[text.index("## Helpers") : text.index("## Kernel functions")]
    families: dict[str, set[str]] = {}
    for number, made in table().items():
        if number <= 211:
            family = made.function.__module__.rpartition(".")[2]
            families.setdefault(family, set()).add(made.name.removeprefix("bpf_"))
    rows = dict(re.findall(r"^\| (\w+) \| (`.*`) \|$", text, re.MULTILINE))
    assert {family: set(names.replace("`", "").split()) for family, names in rows.items()} == families
    assert all(f"`{name}`" in text for name in (*KERNEL_ONLY, *MISSING))


def test_cases_cover_what_test_runs_can_call() -> None:
    """At least a third of all helpers are compared with the kernel."""
    assert len({case.helper for case in CASES}) >= 60
