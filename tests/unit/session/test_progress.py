"""The line that says how far attaching has come: not too early, not too often, and gone at the end."""

from __future__ import annotations

import pytest

from cygnet.session import progress


def test_quick_steps_show_nothing(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "monotonic", lambda: 0.0)
    calls: list[tuple[int, int]] = []
    shown = progress.Progress("Attaching", lambda done, total: calls.append((done, total)))
    for at in range(1, 4):
        shown.step(at, 3)
    shown.end()
    assert capfd.readouterr().err == ""
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_a_long_attachment_is_told(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: clock[0])
    shown = progress.Progress("Attaching", lambda done, total: None)
    for at in range(1, 2001):
        clock[0] += 0.001
        shown.step(at, 2000)
    shown.end()
    shown.end()
    said = capfd.readouterr().err
    assert said.startswith("\r\033[KAttaching 500 of 2,000 probes (25%)")
    assert said.count("probes") == 15
    assert said.endswith("\r\033[K") and said.count("\r\033[K") == 16
