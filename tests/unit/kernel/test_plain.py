"""The parts of the kernel room that need no kernel: packing, parsing, naming, reading logs."""

from __future__ import annotations

import struct

import pytest

from cygnet.errors import KeyExists, KeyMissing, MapFull, NotSupported, PermissionDenied, SystemCallError
from cygnet.kernel import batch, cpus, denied, ksyms, links, maps, sys, target, tracefs, verifierlog
from cygnet.uapi import layouts


def test_pack_puts_fields_by_name() -> None:
    attr = sys.pack(layouts.ATTR_MAP_CREATE, map_type=1, max_entries=7, map_name=b"abc")
    assert attr[0:4] == b"\1\0\0\0"
    assert attr[12:16] == b"\7\0\0\0"
    assert attr[28:44] == b"abc" + bytes(13)
    assert sys.unpack(layouts.ATTR_MAP_CREATE, attr)["max_entries"] == 7


def test_pack_knows_its_fields() -> None:
    with pytest.raises(KeyError, match="no field colour"):
        sys.pack(layouts.ATTR_MAP_CREATE, colour=1)


def test_count_in_batch_attr() -> None:
    attr = sys.pack(layouts.ATTR_MAP_BATCH, count=0x01020304)
    assert struct.unpack_from("=I", attr, batch._COUNT_AT) == (0x01020304,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0\n", (0,)), ("0-3\n", (0, 1, 2, 3)), ("0-1,4,6-7", (0, 1, 4, 6, 7)), ("\n", ())],
)
def test_cpu_list(text: str, expected: tuple[int, ...]) -> None:
    assert cpus.parse_list(text) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AT_reads", b"AT_reads"),
        ("with space-and.dot", b"with_space_and."),
        ("é", b"_"),
        ("", b""),
    ],
)
def test_object_name(name: str, expected: bytes) -> None:
    assert maps.object_name(name) == expected


def test_kernel_dev_is_major_and_minor() -> None:
    import os

    assert target.kernel_dev(os.makedev(8, 300)) == 8 << 20 | 300


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("errno", "kind"),
    [(524, NotSupported), (95, NotSupported), (38, NotSupported), (22, SystemCallError), (1, PermissionDenied)],
)
def test_failure_by_errno(errno: int, kind: type[Exception]) -> None:
    error = sys.failure(errno, "do it", "bpf")
    assert type(error) is kind
    assert "do it" in str(error)
    assert error.errno == errno


class _Map:
    max_entries = 10


@pytest.mark.parametrize(("errno", "kind"), [(2, KeyMissing), (17, KeyExists), (7, MapFull), (22, SystemCallError)])
def test_map_failure_by_errno(errno: int, kind: type[Exception]) -> None:
    assert type(maps.map_failure(errno, "update map 'm'", _Map())) is kind  # type: ignore[arg-type]


CASES = {
    "privilege": ({"has_capability": lambda _cap: False}, "CAP_BPF and CAP_PERFMON missing"),
    "lockdown": (
        {"has_capability": lambda _cap: True, "lockdown": lambda: "confidentiality"},
        "locked down",
    ),
    "config": (
        {"has_capability": lambda _cap: True, "lockdown": lambda: "none", "bpf_works": lambda: True},
        "configuration",
    ),
    "unknown": (
        {"has_capability": lambda _cap: True, "lockdown": lambda: "", "bpf_works": lambda: False},
        "does not say why",
    ),
}


@pytest.mark.parametrize("reason", CASES)
def test_refusals_are_told_apart(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    world, sentence = CASES[reason]
    monkeypatch.setattr(denied, "user_namespace_is_initial", lambda: True)
    for name, answer in world.items():
        monkeypatch.setattr(denied, name, answer)
    error = denied.denied(1, "load it", "bpf", ("bpf", "perfmon"))
    assert error.reason == reason
    assert sentence in str(error)


def test_capabilities_in_a_user_namespace_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denied, "has_capability", lambda _cap: True)
    monkeypatch.setattr(denied, "user_namespace_is_initial", lambda: False)
    error = denied.denied(1, "load it", "bpf", ("bpf",))
    assert error.reason == "privilege"
    assert "user namespace" in str(error)


# ── the verifier's log ───────────────────────────────────────────────────────────────────────────────────

LOG = """\
func#0 @0
0: R1=ctx() R10=fp0
; if (x) @ hello.bt:3
0: (b7) r1 = 0                        ; R1_w=0
1: (61) r0 = *(u32 *)(r1 +0)
R1 invalid mem access 'scalar'
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""


def test_log_tells_reason_insn_and_source() -> None:
    assert verifierlog.reason(LOG) == "R1 invalid mem access 'scalar'"
    assert verifierlog.last_insn(LOG) == 1
    assert verifierlog.last_source(LOG) == "if (x) @ hello.bt:3"


def test_log_without_reason() -> None:
    assert verifierlog.reason("") == "no reason given"
    assert verifierlog.last_insn("") is None
    assert verifierlog.last_insn("BPF program is too large. Processed 1000001 insn") is None


# ── tracepoint formats ───────────────────────────────────────────────────────────────────────────────────

FORMAT = """\
name: demo
ID: 372
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:char comm[16];\toffset:8;\tsize:16;\tsigned:0;
\tfield:const char * filename;\toffset:24;\tsize:8;\tsigned:0;
\tfield:__data_loc char[] name;\toffset:32;\tsize:4;\tsigned:0;
\tfield:__rel_loc u64[] more;\toffset:36;\tsize:4;\tsigned:0;
\tfield:struct sock *sk;\toffset:40;\tsize:8;\tsigned:0;
\tfield:unsigned long args[];\toffset:48;\tsize:0;\tsigned:0;
\tfield:unsigned long mask[WORDS];\toffset:48;\tsize:16;\tsigned:0;

print fmt: "%s", REC->comm
"""


def test_format_of_a_tracepoint() -> None:
    found = tracefs.parse_format(FORMAT)
    assert found.id == 372
    assert found.print_fmt == '"%s", REC->comm'
    rows = {f.name: (f.type, f.offset, f.size, f.signed, f.length) for f in found.fields}
    assert rows == {
        "common_type": ("unsigned short", 0, 2, False, 0),
        "common_pid": ("int", 4, 4, True, 0),
        "comm": ("char", 8, 16, False, 16),
        "filename": ("const char *", 24, 8, False, 0),
        "name": ("char[]", 32, 4, False, 0),
        "more": ("u64[]", 36, 4, False, 0),
        "sk": ("struct sock *", 40, 8, False, 0),
        "args": ("unsigned long", 48, 0, False, 0),
        "mask": ("unsigned long", 48, 16, False, 16),
    }
    assert [f.name for f in found.fields if f.common] == ["common_type", "common_pid"]
    assert [f.name for f in found.fields if f.data_loc] == ["name"]
    assert [f.name for f in found.fields if f.rel_loc] == ["more"]


def test_no_tracefs_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracefs, "_found", [])
    monkeypatch.setattr(tracefs, "PLACES", ("/nonexistent",))
    monkeypatch.setattr(tracefs, "_mounted_places", list)
    with pytest.raises(NotSupported, match="mount -t tracefs tracefs /sys/kernel/tracing"):
        tracefs.find()


# ── attachments ──────────────────────────────────────────────────────────────────────────────────────────


def test_attachment_closes_once() -> None:
    import os

    read, write = os.pipe()
    attachment = links.Attachment([read, write])
    attachment.close()
    attachment.close()
    with pytest.raises(OSError):
        os.fstat(read)


def test_copies_that_a_compiler_made() -> None:
    """Only of functions, only of that one, and no part that is not run from its start."""
    listed = (
        b"ffffffff81000000 t walk.isra.0\nffffffff81000010 t walk.constprop.2\t[disk]\nffffffff81000020 t walk.cold\n"
        b"ffffffff81000030 t walk.isra.0.cold\nffffffff81000040 d walk.data\nffffffff81000050 t walker.isra.0\n"
        b"ffffffff81000060 t __pfx_walk.isra.0\nffffffff81000070 T walk.part.1"
    )
    assert ksyms.copies("walk", listed) == ["walk.constprop.2", "walk.isra.0", "walk.part.1"]
    assert ksyms.copies("wal", listed) == []
