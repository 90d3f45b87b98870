"""The arithmetic of the benchmark report: medians, ratios, verdicts."""

from __future__ import annotations

import json

from benchmarks.report import Row, as_json, ratios, show

ROW = Row(
    "start-up",
    "hello",
    "ms",
    {"cygnet cold": [30.0, 20.0, 90.0], "bpftrace": [60.0, 50.0, 70.0], "C": []},
    {"bpftrace": 0.4},
)


def test_ratio_is_of_medians() -> None:
    assert ratios(ROW) == {"cygnet cold": {"bpftrace": 0.5}}


def test_missed_limit_is_said() -> None:
    assert "cygnet cold ÷ bpftrace = 0.50 (wanted ≤ 0.4: NO)" in show(ROW)


def test_met_limit_is_said() -> None:
    assert "(wanted ≤ 0.5: yes)" in show(ROW._replace(wanted={"bpftrace": 0.5}))


def test_more_may_be_better() -> None:
    row = ROW._replace(more_is_better=True)
    assert "(wanted ≥ 0.4: yes)" in show(row)


def test_peer_at_nothing_has_no_ratio() -> None:
    assert ratios(ROW._replace(samples={"cygnet": [1.0], "C": [0.0]})) == {"cygnet": {}}


def test_json_holds_samples_and_ratios() -> None:
    row = json.loads(as_json([ROW], {"kernel": "x"}))["rows"][0]
    assert row["samples"]["bpftrace"] == [60.0, 50.0, 70.0]
    assert row["ratios"]["cygnet cold"]["bpftrace"] == 0.5
