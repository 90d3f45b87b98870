"""Rarer options: a filter of probes, features to do without, a list of functions, folders of debug files."""

from __future__ import annotations

from pathlib import Path

import pytest

from cygnet.cli.choices import filtered, prepare
from cygnet.elf import lookup
from cygnet.errors import UsageError
from cygnet.kernel import features
from cygnet.kernel.target import LiveTarget
from cygnet.session.options import Options
from cygnet.spec.objects import LinkSpec, ObjectSpec, ProgramSpec


def spec() -> ObjectSpec:
    names = {"begin": "begin", "test:one": "test", "test:two": "test", "interval:s:1": "perf_sample", "end": "end"}
    links = tuple(LinkSpec(probe.replace(":", "_"), kind, {}, probe) for probe, kind in names.items())
    programs = tuple(ProgramSpec(link.program, 17, b"", ()) for link in links)
    return ObjectSpec(programs, (), links, (), (), None, {})


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("", ["begin", "test:one", "test:two", "interval:s:1", "end"]),
        ("^test:", ["begin", "test:one", "test:two", "end"]),
        ("one|interval", ["begin", "test:one", "interval:s:1", "end"]),
    ],
)
def test_a_filter_leaves_what_matches_and_begin_and_end(pattern: str, left: list[str]) -> None:
    found = filtered(spec(), pattern)
    assert [link.probe for link in found.links] == left
    assert {one.name for one in found.programs} == {link.program for link in found.links}


@pytest.mark.parametrize(("pattern", "says"), [("kprobe", "no probe matches 'kprobe'"), ("(", "no regular expression")])
def test_a_filter_that_makes_no_sense(pattern: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        filtered(spec(), pattern)


def test_features_to_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_answers", {"ringbuf": True})
    options = Options()
    options.no_features = ["ringbuf", "may_goto"]
    prepare(options, LiveTarget())
    assert not features.has("ringbuf") and not features.has("may_goto")
    options.no_features = ["ringbuffer"]
    with pytest.raises(UsageError, match="--no-feature knows no 'ringbuffer'"):
        prepare(options, LiveTarget())


def test_a_list_of_functions(tmp_path: Path) -> None:
    options, target = Options(), LiveTarget()
    options.traceable_functions = str(tmp_path / "list")
    with pytest.raises(UsageError, match="cannot read"):
        prepare(options, target)
    (tmp_path / "list").write_text("vfs_read\next4_file_open [ext4]\n__ftrace_invalid_address___12\n")
    prepare(options, target)
    assert target.traceable_functions() == ["vfs_read", "ext4:ext4_file_open"]


def test_folders_of_debug_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stripped:
        build_id = "abcdef"
        path = "/bin/x"

        def section(self, name: str) -> None:
            return None

    monkeypatch.setattr(lookup, "_more_roots", [])
    wanted = tmp_path / ".build-id/ab/cdef.debug"
    wanted.parent.mkdir(parents=True)
    wanted.touch()
    assert lookup.debug_file(Stripped()) is None  # type: ignore[arg-type]
    options = Options()
    options.debuginfo = ["", str(tmp_path)]
    prepare(options, LiveTarget())
    assert lookup.debug_file(Stripped()) == str(wanted)  # type: ignore[arg-type]
