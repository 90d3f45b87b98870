"""Listing, patterns and suggestions."""

from __future__ import annotations

import pytest

from cygnet.errors import TraceSyntaxError
from cygnet.probes.closest import closest, distance
from cygnet.probes.listing import list_probes
from cygnet.probes.numbers import duration_ns, number
from cygnet.probes.wildcard import matcher

from .fake import FORMATS, FakeTarget


def listed(pattern: str | None, verbose: bool = False) -> list[str]:
    return list(list_probes(pattern, FakeTarget(), verbose))


def test_one_provider() -> None:
    every = sorted(f"tracepoint:{event}" for event in FORMATS)
    assert listed("tracepoint") == listed("tracepoint:*") == listed("t:") == listed("tracepoint:*:*") == every
    assert listed("t:sched:*") == ["tracepoint:sched:sched_switch", "tracepoint:sched:sched_wakeup"]
    assert listed("rawtracepoint:sched_s*") == ["rawtracepoint:vmlinux:sched_switch"]
    assert listed("rt:vmlinux:*wakeup") == ["rawtracepoint:vmlinux:sched_wakeup"]
    assert listed("software:cpu*") == [
        "software:cpu:",
        "software:cpu-clock:",
        "software:cpu-migrations:",
    ]
    assert listed("begin") == ["begin"] and listed("self:*") == []
    assert listed("profile") == listed("p:*") == [f"profile:{unit}:" for unit in ("hz", "ms", "s", "us")]
    assert listed("interval:*s") == ["interval:ms:", "interval:s:", "interval:us:"]


def test_all_providers() -> None:
    assert listed("sched_switch") == ["tracepoint:sched:sched_switch", "rawtracepoint:vmlinux:sched_switch"]
    assert listed("*wakeup") == ["tracepoint:sched:sched_wakeup", "rawtracepoint:vmlinux:sched_wakeup"]
    assert listed("*tracepoint:*sched_switch") == listed("sched_switch")
    everything = listed(None)
    assert everything == listed("*") and {line.partition(":")[0] for line in everything} >= {
        "tracepoint", "rawtracepoint", "software", "hardware", "iter",
    }  # fmt: skip
    with pytest.raises(TraceSyntaxError, match="unknown probe type: tracepint") as caught:
        listed("tracepint:a")
    assert caught.value.hints == ("did you mean tracepoint?",)


def test_verbose() -> None:
    assert listed("tracepoint:sched:sched_switch", True) == [
        "tracepoint:sched:sched_switch",
        "    char prev_comm[16]",
        "    pid_t prev_pid",
        "    long prev_state",
    ]
    assert listed("t:irq:*", True)[1:] == ["    int irq", "    __data_loc char[] name", "    __rel_loc char[] late"]
    assert listed("rt:sched_switch", True)[1:] == ["    bool preempt", "    struct task_struct * prev"]
    assert listed("iter:task", True) == ["iter:task", "    struct task_struct * task"]


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("abc", ["abc"], ["abcd", "xabc", ""]),
        ("a*", ["a", "abc"], ["ba", ""]),
        ("*c", ["c", "abc"], ["cb"]),
        ("a*a", ["aa", "aba"], ["a", "ab"]),
        ("a*b*c", ["abc", "axbxc"], ["acb", "ac"]),
        ("*ab*ab*", ["abab", "xabxabx"], ["ab", "aba"]),
        ("*", ["", "x"], []),
    ],
)
def test_wildcards(pattern: str, yes: list[str], no: list[str]) -> None:
    test = matcher(pattern)
    assert all(map(test, yes)) and not any(map(test, no))


def test_distance() -> None:
    assert distance("kitten", "sitting") == 3
    assert distance("ab", "ba") == 1
    assert distance("", "abc") == 3 and distance("abc", "abcdefgh", 2) == 3
    assert closest("sched_swicth", ["sched_switch", "sched_wakeup"]) == "sched_switch"
    assert closest("VFS_READ", ["vfs_reads", "vfs_read"]) == "vfs_read"
    assert closest("zzz", ["abc"]) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("10", 10), ("0x1f", 31), ("017", 15), ("1_000", 1000), ("1e3", 1000), ("0", 0), ("x", None), ("", None),
     ("08", None), ("1e", None), ("-1", None), ("1_", None), ("1.5", None)],
)  # fmt: skip
def test_numbers(text: str, value: int | None) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("5ms", 5_000_000), ("1s", 10**9), ("2us", 2000), ("7ns", 7), ("1m", 60 * 10**9), ("99", 99), ("0x10", 16),
     ("1_0ms", 10**7), ("5 ms", None), ("ms", None), ("5x", None)],
)  # fmt: skip
def test_durations(text: str, value: int | None) -> None:
    assert duration_ns(text) == value
