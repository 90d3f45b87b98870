"""Which events an attach point names, on a made-up system."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cygnet.errors import ProbeError
from cygnet.probes import point
from cygnet.probes.model import Match, NotCompiledYet, Options
from cygnet.spec.objects import LinkSpec
from cygnet.uapi import bpf, perf

from .fake import FakeTarget


def expand(text: str, **options: object) -> list[Match]:
    return point.expand(point.parse_text(text), FakeTarget(), Options(**options))  # type: ignore[arg-type]


def test_begin_asks_nothing() -> None:
    target = FakeTarget()
    (match,) = point.expand(point.parse_text("BEGIN"), target)
    assert (match.probe, match.probetype, match.kind, match.targets) == ("begin", "special", "begin", ({},))
    assert match.prog_type == bpf.BPF_PROG_TYPE_RAW_TRACEPOINT
    assert match.arguments(target) == () and target.asked == []


def test_tracepoint() -> None:
    (match,) = expand("t:sched:sched_switch")
    assert match.probe == "tracepoint:sched:sched_switch" and match.probetype == "tracepoint"
    assert match.prog_type == bpf.BPF_PROG_TYPE_TRACEPOINT and match.context == "record" and match.space == "kernel"
    assert match.per_cpu_exact and not match.preemptible
    link = LinkSpec("p", "tracepoint", {"subsys": "sched", "event": "sched_switch"}, "tracepoint:sched:sched_switch")
    assert match.links("p") == (link,)


def test_tracepoint_wildcards() -> None:
    assert [match.probe for match in expand("tracepoint:s*:*openat")] == [
        "tracepoint:syscalls:sys_enter_openat",
        "tracepoint:syscalls:sys_exit_openat",
    ]
    assert len(expand("tracepoint:sched:*")) == 2


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("tracepoint:sched:sched_swich", "did you mean tracepoint:sched:sched_switch?"),
        ("tracepoint:shed:sched_switch", "did you mean tracepoint:sched:sched_switch?"),
        ("tracepoint:syscalls:sys_enter_opanat", "did you mean tracepoint:syscalls:sys_enter_openat?"),
        ("tracepoint:syscals:sys_exit_opnat", "did you mean tracepoint:syscalls:sys_exit_openat?"),
        ("tracepoint:sched:nothing_like_it", '-l "tracepoint:sched:*"'),
    ],
)
def test_missing_tracepoint(text: str, hint: str) -> None:
    with pytest.raises(ProbeError, match="tracepoint not found") as caught:
        expand(text)
    assert any(hint in each for each in caught.value.hints)


def test_tracepoint_fields() -> None:
    target = FakeTarget()
    (match,) = expand("t:sched:sched_switch")
    comm, pid, state = match.arguments(target)
    assert (comm.name, comm.type, comm.length, comm.is_string, comm.offset, comm.size) == (
        "prev_comm",
        "char",
        16,
        True,
        8,
        16,
    )
    assert (pid.type, pid.size, pid.signed, pid.is_string) == ("pid_t", 4, True, False)
    assert state.offset == 32
    assert tuple(pid.reloc()) == ("tp_field", "sched:sched_switch", "off", ("prev_pid", 4, True))


def test_located_fields() -> None:
    irq, name, late = expand("t:irq:irq_handler_entry")[0].arguments(FakeTarget())
    assert not irq.data_loc
    assert name.data_loc and not name.rel_loc and name.type == "char" and name.is_string and name.size == 4
    assert late.rel_loc


def test_system_call_arguments() -> None:
    """Each lies in 8 bytes; how many count is the C type's affair."""
    dfd, filename, mode = expand("t:syscalls:sys_enter_openat")[0].arguments(FakeTarget())
    assert (dfd.size, dfd.signed, dfd.value_size, dfd.value_signed) == (8, False, 4, True)
    assert filename.is_pointer and filename.type == "const char *" and filename.value_size == 8
    assert (mode.value_size, mode.value_signed) == (2, False)


def test_raw_tracepoint() -> None:
    (match,) = expand("rt:sched_switch")
    assert match.probe == "rawtracepoint:vmlinux:sched_switch"
    assert match.targets == ({"event": "sched_switch", "module": ""},)
    assert not match.per_cpu_exact
    preempt, prev = match.arguments(FakeTarget())
    assert (preempt.name, preempt.offset, preempt.value_size) == ("preempt", 0, 1)
    assert (prev.name, prev.offset, prev.type, prev.is_pointer) == ("prev", 8, "struct task_struct *", True)
    assert [match.func for match in expand("rt:sched_*")] == ["", ""]
    with pytest.raises(ProbeError) as caught:
        expand("rt:sched_swtch")
    assert caught.value.hints == ("did you mean rawtracepoint:sched_switch?",)


def test_timers_and_counters() -> None:
    assert expand("profile:hz:99")[0].targets == ({"unit": "hz", "value": 99, "cpus": "all"},)
    assert expand("interval:ms:2")[0].targets == ({"unit": "ns", "value": 2_000_000, "cpus": "one"},)
    assert expand("profile:hz:99", pid=5)[0].targets[0]["pid"] == 5
    assert "pid" not in expand("interval:s:1", pid=5)[0].targets[0]
    assert expand("software:faults")[0].targets == ({"event": perf.PERF_COUNT_SW_PAGE_FAULTS, "count": 100},)
    assert expand("software:cs:3")[0].targets == ({"event": perf.PERF_COUNT_SW_CONTEXT_SWITCHES, "count": 3},)


@pytest.mark.parametrize("missing", ["error", "ignore"])
def test_not_compiled_yet(missing: str) -> None:
    """Never a wrong answer, whatever missing_probes says."""
    parsed = point.parse_text("software:faults")
    parsed.provider = parsed.provider._replace(reason="software events wait")
    with pytest.raises(NotCompiledYet, match=r"^software:faults: software events wait"):
        point.expand_all([parsed, point.parse_text("BEGIN")], FakeTarget(), Options(missing=missing))


# ── missing_probes ───────────────────────────────────────────────────────────────────────────────────────


def expand_all(texts: str, missing: str) -> tuple[list[str], list[str]]:
    options = Options(missing=missing)
    found = point.expand_all([point.parse_text(text) for text in texts.split(",")], FakeTarget(), options)
    return [match.probe for match in found], [str(warning) for warning in options.warnings]


GOOD = "tracepoint:sched:sched_switch"


def test_missing_is_an_error() -> None:
    with pytest.raises(ProbeError):
        expand_all(f"{GOOD},tracepoint:sched:gone", "error")
    with pytest.raises(ProbeError):
        expand_all("tracepoint:sched:gone*", "error")
    assert expand_all(f"{GOOD},tracepoint:sched:gone*", "error") == ([GOOD], [])


def test_missing_is_a_warning() -> None:
    found, warnings = expand_all(f"{GOOD},tracepoint:sched:gone", "warn")
    assert found == [GOOD] and warnings == ["tracepoint not found: sched:gone"]
    assert expand_all("tracepoint:x:gone*", "warn") == ([], ["no tracepoint matches x:gone*"])


def test_missing_is_ignored() -> None:
    assert expand_all(f"{GOOD},tracepoint:sched:gone", "ignore") == ([GOOD], [])
    assert expand_all("tracepoint:sched:gone", "ignore") == ([], [])


# ── libraries that were merged into libc ─────────────────────────────────────────────────────────────────


@pytest.fixture
def libraries(tmp_path: Path) -> Path:
    """A folder with a libpthread.so.0 that has no functions, and a libc.so.6 that has them."""
    shutil.copy("/bin/true", tmp_path / "libpthread.so.0")
    shutil.copy("/lib/x86_64-linux-gnu/libc.so.6", tmp_path / "libc.so.6")
    return tmp_path


@pytest.mark.parametrize("name", ["pthread_create", "pthread_cre*"])
def test_a_merged_library(libraries: Path, name: str) -> None:
    found, (warning,) = expand_all(f"uprobe:{libraries}/libpthread.so.0:{name}", "alternatives")
    assert found[0] == f"uprobe:{libraries}/libc.so.6:pthread_create"  # names with versions may follow
    assert warning == f"{libraries}/libpthread.so.0 has no {name}: it was merged into {libraries}/libc.so.6, which has"


def test_both_names_of_a_merged_library_are_one_event(libraries: Path) -> None:
    """Scripts list the old library and the new one: each call is seen once."""
    both = f"uprobe:{libraries}/libpthread.so.0:pthread_join,uprobe:{libraries}/libc.so.6:pthread_join"
    found, warnings = expand_all(both, "alternatives")
    assert found == [f"uprobe:{libraries}/libc.so.6:pthread_join"]
    assert warnings == [f"there is no function pthread_join in {libraries}/libpthread.so.0"]


def test_a_function_that_neither_library_has(libraries: Path) -> None:
    for missing in ("alternatives", "error"):
        with pytest.raises(ProbeError, match=r"there is no function pthread_nosuch in .*/libpthread\.so\.0"):
            expand_all(f"uretprobe:{libraries}/libpthread.so.0:pthread_nosuch", missing)
    with pytest.raises(ProbeError, match=r"there is no function pthread_join in .*/libpthread\.so\.0"):
        expand_all(f"uprobe:{libraries}/libpthread.so.0:pthread_join", "error")  # where a script asks for all it names
