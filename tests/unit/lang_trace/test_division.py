from __future__ import annotations

import pytest

from cygnet.lang.trace.compile import compile_program
from cygnet.source import Source


def warnings(expression: str) -> list[str]:
    text = f"begin {{ $u = (uint64)8; $i = (int64)-8; print({expression}); }}"
    return [warning.message for warning in compile_program(Source("a", text), object()).warnings]


@pytest.mark.parametrize("expression", ["$i / 2", "2 % $i", "($u - $i) / 2", "($u + $i) / 2"])
def test_unsigned_division_of_signed_numbers_warns(expression: str) -> None:
    (message,) = warnings(expression)
    assert message.startswith("signed operands for")


@pytest.mark.parametrize("expression", ["$u / 2", "(nsecs - $u) / 1000", "($u - 1) % 4", "($u - pid - 1) / 3"])
def test_differences_of_unsigned_numbers_do_not(expression: str) -> None:
    assert not warnings(expression)
