"""What is parsed and has no meaning yet: each has an error that names it and its place. The table is to become empty."""

from __future__ import annotations

import pytest

from cygnet.errors import CygnetError, SourceErrors
from cygnet.lang.trace.builtins import LATER
from cygnet.lang.trace.compile import compile_program
from cygnet.source import Source

#: construct -> a program whose second line has it
PROGRAMS = {
    "dw_ustack": "begin {\n  print(dw_ustack()); }",
}


class Target:
    """A system without types or events."""

    machine = "x86_64"

    def btf(self) -> None:
        return None

    def has(self, feature: str) -> bool:
        return True

    def has_ksym(self, name: str) -> bool:
        return True


@pytest.mark.parametrize("construct", PROGRAMS)
def test_the_error_names_the_construct_and_its_line(construct: str) -> None:
    with pytest.raises((SourceErrors, CygnetError)) as caught:
        compile_program(Source("script", PROGRAMS[construct]), Target())
    errors = caught.value.errors if isinstance(caught.value, SourceErrors) else [caught.value]
    named = [error for error in errors if construct in str(error) and "not yet compiled" in str(error)]
    assert named, [str(error) for error in errors]
    span = getattr(named[0], "span", None)
    assert span is not None and span.source.line_col(span.start)[0] == 2


def test_the_table_is_complete() -> None:
    assert set(LATER) <= set(PROGRAMS)
