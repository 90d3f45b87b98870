"""`cygnet doctor` on this machine, as root and as nobody."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable

import pytest

from cygnet.cli import doctor
from cygnet.errors import PermissionDenied
from cygnet.kernel import checks, denied, features, tracefs

NAMES = [check.name for check in checks.CHECKS]


def test_text(capsys: pytest.CaptureFixture[str], tracefs_mounted: str) -> None:
    assert doctor.main([]) == 0
    text = capsys.readouterr().out
    for check in checks.CHECKS:
        assert f" {check.title}" in text
    assert text.splitlines()[-1].startswith("cygnet trace can run here")


def test_json_says_what_bpftool_says(capsys: pytest.CaptureFixture[str], tracefs_mounted: str) -> None:
    assert doctor.main(["--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert [row["name"] for row in report["checks"]] == NAMES
    rows = {row["name"]: row for row in report["checks"]}
    probed = subprocess.run(
        ["bpftool", "feature", "probe", "kernel"], capture_output=True, text=True, check=True
    ).stdout
    assert (rows["ringbuf"]["status"] == "ok") == ("eBPF map_type ringbuf is available" in probed)
    assert (rows["jit"]["status"] == "ok") == ("JIT compiler is enabled" in probed)
    if "CONFIG_KPROBES is set" in probed:
        assert (rows["kprobes"]["status"] == "ok") == ("CONFIG_KPROBES is set to y" in probed)
    for row in rows.values():
        assert row["status"] in ("ok", "missing", "unknown")
        assert row["status"] != "ok" or not row["mend"]


def as_nobody(work: Callable[[], str]) -> str:
    """What `work` says in a child that gave up root. Its modules are loaded here: nobody may not read them."""
    work()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for cache in (features._answers, tracefs._found):
                cache.clear()
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            with open(write, "w") as out:
                out.write(work())
        finally:
            os._exit(0)
    os.close(write)
    with open(read) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


def test_nobody_is_told_to_use_sudo() -> None:
    report = json.loads(as_nobody(lambda: json.dumps(checks.as_dict(list(checks.examine())))))
    assert report["ok"] is False
    rows = {row["name"]: row for row in report["checks"]}
    assert rows["user"]["status"] == "missing"
    assert rows["user"]["mend"].startswith("sudo ")
    assert rows["maps"]["status"] == "unknown"
    assert rows["maps"]["detail"] == "CAP_BPF missing"


def test_mend_is_told_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> checks.Finding:
        raise PermissionDenied("cannot try: CAP_BPF missing", reason="privilege", call="bpf")

    rows = tuple(checks.Check(name, name, refuse, needed=True) for name in ("one", "two"))
    monkeypatch.setattr(checks, "CHECKS", rows)
    assert doctor.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sum("mend: sudo cygnet doctor" in line for line in lines) == 1
    assert lines[-1] == "cygnet trace cannot run here yet; it needs: one, two"


def only(name: str) -> checks.Finding:
    return next(checks._find(check) for check in checks.CHECKS if check.name == name)


def test_missing_tracefs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracefs, "_found", [])
    monkeypatch.setattr(tracefs, "PLACES", ("/nonexistent",))
    monkeypatch.setattr(tracefs, "_mounted_places", list)
    assert only("tracefs") == checks.Finding("missing", "", "mount -t tracefs tracefs /sys/kernel/tracing")


@pytest.mark.parametrize(("mode", "status"), [("confidentiality", "missing"), ("integrity", "ok"), ("none", "ok")])
def test_lockdown(monkeypatch: pytest.MonkeyPatch, mode: str, status: str) -> None:
    monkeypatch.setattr(denied, "lockdown", lambda: mode)
    assert only("lockdown").status == status


def test_no_ring_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(features._answers, "ringbuf", False)
    assert only("ringbuf") == checks.Finding("missing", "", "Linux 5.8 or newer")


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "Example" in text
    assert "--json" in text


def test_unknown_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["--wrong"]) == 1
    assert "unknown option --wrong" in capsys.readouterr().err


def test_listing_as_nobody_says_who_may(tracefs_mounted: str) -> None:
    from cygnet.errors import SystemCallError
    from cygnet.kernel import tracefs

    def work() -> str:
        try:
            return f"{len(tracefs.events())} events"
        except SystemCallError as error:
            return str(error)

    said = as_nobody(work)
    assert "Success" not in said and ("only for root" in said or said.endswith("events")), said
