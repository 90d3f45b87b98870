from __future__ import annotations

import pytest

from cygnet.errors import CygnetError, ProbeError, TraceSyntaxError, TraceTypeError
from cygnet.lang.trace.diagnostics import render
from cygnet.lang.trace.suggest import did_you_mean
from cygnet.source import Source, Span


def shown(text: str, start: int, end: int, *hints: str) -> list[str]:
    return render(TraceTypeError("wrong", Span(Source("f.bt", text), start, end), hints)).split("\n")


def test_shape() -> None:
    assert shown("abc def ghi\n", 4, 7, "one", "two") == [
        "f.bt:1:5-8: ERROR: wrong",
        "abc def ghi",
        "    ~~~",
        "HINT: one",
        "HINT: two",
    ]


def test_later_line() -> None:
    assert shown("a\nbcd\n", 3, 4) == ["f.bt:2:2-3: ERROR: wrong", "bcd", " ~"]


def test_tabs_are_four_blanks() -> None:
    """As in bpftrace: columns count a tab as one character, the picture has four blanks."""
    assert shown("\ta\tbc\n", 3, 5) == ["f.bt:1:4-6: ERROR: wrong", "    a    bc", "         ~~"]
    assert shown("a\tb\n", 0, 3)[2] == "~~~~~~"


def test_several_lines() -> None:
    assert shown("ab cd\nef\ngh", 3, 10) == ["f.bt:1-3: ERROR: wrong", "ab cd", "   ~~"]


def test_the_end_of_the_text() -> None:
    assert shown("ab", 2, 2) == ["f.bt:1:3-4: ERROR: wrong", "ab", "  ~"]
    assert shown("", 0, 0) == ["f.bt:1:1-2: ERROR: wrong"]


def test_what_terminals_obey_is_not_shown() -> None:
    assert shown("a\x1b[31mb", 6, 7)[1:] == ["a?[31mb", "      ~"]


def test_wide_characters() -> None:
    assert shown("世界 x", 3, 4)[1:] == ["世界 x", "     ~"]
    assert shown("世界 x", 0, 2)[2] == "~~~~"


def test_long_lines_are_cut() -> None:
    lines = shown("x" * 5000 + "HERE" + "y" * 5000, 5000, 5004)
    assert lines[0] == "f.bt:1:5001-5005: ERROR: wrong"
    assert len(lines[1]) == 400
    begin = lines[2].index("~")
    assert lines[1][begin : begin + 4] == "HERE"


def test_prefix_severity_and_color() -> None:
    error = TraceSyntaxError("odd", Span(Source("s", "a b"), 2, 3), ["h"])
    assert render(error, severity="WARNING").split("\n")[0] == "s:1:3-4: WARNING: syntax: odd"
    lines = render(error, color=True).split("\n")
    assert lines[0] == "s:1:3-4: \x1b[31mERROR\x1b[0m: syntax: odd"
    assert lines[2] == "  \x1b[31m~\x1b[0m"


def test_errors_without_a_place() -> None:
    assert render(ProbeError("no such probe", None, ["look"])) == "ERROR: no such probe\nHINT: look"
    assert render(CygnetError("bad")) == "ERROR: bad"


WORDS = "printf print kstack ustack pid tid comm vfs_read vfs_write usym uid tracepoint".split()  # noqa: SIM905


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("prnitf", "printf"), ("printff", "printf"), ("kstck", "kstack"), ("pidd", "pid"), ("PID", "pid"),
        ("vfs_raed", "vfs_read"), ("tracepont", "tracepoint"), ("trcaepoitn", "tracepoint"), ("usr", None),
        ("xyzzy", None), ("a", None), ("", None), ("completely_else", None),
    ],
)  # fmt: skip
def test_did_you_mean(word: str, meant: str | None) -> None:
    assert did_you_mean(word, WORDS) == meant


def test_never_the_word_itself() -> None:
    assert did_you_mean("pid", ["pid"]) is None
    assert did_you_mean("pid", ["pid", "pidx"]) == "pidx"
