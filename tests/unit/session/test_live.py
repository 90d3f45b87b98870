"""The live view's own arithmetic: bars, and text that a terminal must not obey."""

from __future__ import annotations

import pytest

from cygnet.session.live import bar, printable


@pytest.mark.parametrize(
    ("amount", "most", "width", "drawn"),
    [
        (8, 8, 4, "████"),
        (1, 8, 4, "▌"),
        (1, 1000, 4, "▏"),
        (0, 8, 4, ""),
        (-3, 8, 4, ""),
        (5, 0, 4, ""),
        (9, 8, 4, "████"),
    ],
)
def test_bar(amount: int, most: int, width: int, drawn: str) -> None:
    assert bar(amount, most, width) == drawn


def test_text_cannot_move_the_cursor() -> None:
    assert printable("a\x1b[2Jb\rc\n") == "a·[2Jb·c\n"
