"""What the running system says of itself, against other witnesses."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from cygnet.errors import ProbeError
from cygnet.kernel import cpus, features, tracefs
from cygnet.kernel.target import LiveTarget
from cygnet.lang.trace.compile import compile_program
from cygnet.source import Source
from cygnet.uapi import bpf


def test_cpus() -> None:
    assert len(cpus.online()) == os.cpu_count()
    assert set(cpus.online()) <= set(cpus.possible())


@pytest.mark.parametrize("state", ["0\n", "1\n"])
def test_a_trace_that_is_switched_off(state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """debugf() warns where its lines would be lost; the live switch says what it says to everybody."""
    assert LiveTarget().keeps_trace() == (Path(tracefs.find(), "tracing_on").read_text() != "0\n")
    (tmp_path / "tracing_on").write_text(state)
    target = LiveTarget()
    target.tracepoint_events()  # which finds the real folder
    monkeypatch.setattr(tracefs, "_found", [str(tmp_path)])
    text = 'begin { debugf("one"); debugf("two") }'
    warnings = compile_program(Source("stdin", text), target, environment={}).warnings
    assert [w.message for w in warnings if "switched off" in w.message] == [
        "debugf() writes to the kernel's trace, which is switched off: its lines are lost"
    ] * (state == "0\n")


def test_events_are_the_folders(tracefs_mounted: str) -> None:
    events = LiveTarget().tracepoint_events()
    assert len(events) == len(set(events)) > 100
    assert "sched:sched_switch" in events
    for event in events[::50]:
        assert (Path(tracefs_mounted) / "events" / event.replace(":", "/")).is_dir()
    assert tracefs.subsystem_events("raw_syscalls") == ["sys_enter", "sys_exit"]
    assert tracefs.subsystem_events("nothing") == []
    assert tracefs.has_event("sched", "sched_switch")
    assert not tracefs.has_event("sched", "nothing")


def test_every_format_is_understood(tracefs_mounted: str) -> None:
    target = LiveTarget()
    for event in target.tracepoint_events():
        found = target.tracepoint_format(*event.split(":", 1))
        assert found.id > 0
        assert found.fields[0].name == "common_type"
        for field in found.fields:
            assert field.name.isidentifier(), event
            assert field.type, event
            whole = "struct" in field.type or field.type == "uuid_t"
            assert field.size in (1, 2, 4, 8) or field.length or field.size == 0 or whole, (event, field)


def test_format_of_a_known_one(tracefs_mounted: str) -> None:
    found = LiveTarget().tracepoint_format("sched", "sched_switch")
    fields = {f.name: f for f in found.fields}
    assert (fields["prev_comm"].type, fields["prev_comm"].length) == ("char", 16)
    assert fields["next_pid"].signed
    assert (Path(tracefs_mounted) / "events/sched/sched_switch/id").read_text().strip() == str(found.id)


def test_no_such_tracepoint(tracefs_mounted: str) -> None:
    with pytest.raises(ProbeError, match="there is no tracepoint sched:nothing"):
        LiveTarget().tracepoint_format("sched", "nothing")


def test_clocks() -> None:
    target = LiveTarget()
    assert abs(time.clock_gettime_ns(time.CLOCK_BOOTTIME) + target.boot_offset_ns() - time.time_ns()) < 50_000_000
    assert abs(time.monotonic_ns() + target.monotonic_offset_ns() - time.time_ns()) < 50_000_000


def test_machine() -> None:
    target = LiveTarget()
    assert target.release == subprocess.run(["uname", "-r"], capture_output=True, text=True, check=True).stdout.strip()
    assert target.machine == subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()
    assert f"{target.version[0]}.{target.version[1]}" == ".".join(target.release.split(".")[:2])


@pytest.fixture(scope="module")
def bpftool_features() -> str:
    return subprocess.run(["bpftool", "feature", "probe", "kernel"], capture_output=True, text=True, check=True).stdout


MAP_NAMES = {
    "ringbuf": bpf.BPF_MAP_TYPE_RINGBUF,
    "hash": bpf.BPF_MAP_TYPE_HASH,
    "hash_of_maps": bpf.BPF_MAP_TYPE_HASH_OF_MAPS,
    "stack_trace": bpf.BPF_MAP_TYPE_STACK_TRACE,
    "lpm_trie": bpf.BPF_MAP_TYPE_LPM_TRIE,
    "task_storage": bpf.BPF_MAP_TYPE_TASK_STORAGE,
    "struct_ops": bpf.BPF_MAP_TYPE_STRUCT_OPS,
    "bloom_filter": bpf.BPF_MAP_TYPE_BLOOM_FILTER,
    "user_ringbuf": bpf.BPF_MAP_TYPE_USER_RINGBUF,
    "queue": bpf.BPF_MAP_TYPE_QUEUE,
}
PROG_NAMES = {
    "kprobe": bpf.BPF_PROG_TYPE_KPROBE,
    "tracepoint": bpf.BPF_PROG_TYPE_TRACEPOINT,
    "perf_event": bpf.BPF_PROG_TYPE_PERF_EVENT,
    "raw_tracepoint": bpf.BPF_PROG_TYPE_RAW_TRACEPOINT,
    "lirc_mode2": bpf.BPF_PROG_TYPE_LIRC_MODE2,
    "xdp": bpf.BPF_PROG_TYPE_XDP,
    "syscall": bpf.BPF_PROG_TYPE_SYSCALL,
    "lsm": bpf.BPF_PROG_TYPE_LSM,
}


@pytest.mark.parametrize("name", MAP_NAMES)
def test_map_types_as_bpftool_finds_them(bpftool_features: str, name: str) -> None:
    assert features.has_map_type(MAP_NAMES[name]) == (f"eBPF map_type {name} is available" in bpftool_features)


@pytest.mark.parametrize("name", PROG_NAMES)
def test_program_types_as_bpftool_finds_them(bpftool_features: str, name: str) -> None:
    assert features.has_prog_type(PROG_NAMES[name]) == (f"eBPF program_type {name} is available" in bpftool_features)


@pytest.mark.parametrize("type", [0, 34, 999])
def test_unknown_types(type: int) -> None:
    assert not features.has_map_type(type)
    assert not features.has_prog_type(type)


def test_unknown_helper_is_not_there() -> None:
    assert features._helper(9999)() is False


@pytest.mark.parametrize(
    ("name", "helper"),
    [
        ("for_each_map_elem", "bpf_for_each_map_elem"),
        ("map_lookup_percpu_elem", "bpf_map_lookup_percpu_elem"),
        ("get_attach_cookie", "bpf_get_attach_cookie"),
        ("strncmp", "bpf_strncmp"),
    ],
)
def test_helpers_as_bpftool_finds_them(bpftool_features: str, name: str, helper: str) -> None:
    assert features.has(name) == (f"- {helper}\n" in bpftool_features)


def test_every_feature_has_an_answer() -> None:
    assert {type(features.has(name)) for name in features.names()} == {bool}
