"""The registry of builtins against the classes that it names."""

from __future__ import annotations

import pytest

from cygnet.lang.trace import builtins
from cygnet.lang.trace.builtins.base import Builtin


@pytest.mark.parametrize("family", builtins.FAMILIES)
def test_a_family_has_the_rows_that_are_said_of_it(family: str) -> None:
    module = __import__(f"cygnet.lang.trace.builtins.{family}", fromlist=["ROWS"])
    assert set(module.ROWS) == set(builtins.FAMILIES[family])
    for name, row in module.ROWS.items():
        assert isinstance(row, Builtin) and row.name == name
        assert builtins.find(name) is row
        assert type(row).check is not Builtin.check


def test_no_name_is_in_two_families() -> None:
    names = [name for members in builtins.FAMILIES.values() for name in members]
    assert len(names) == len(set(names))
