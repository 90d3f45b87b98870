"""Each mistake is explained: its kind, its line, the way to it, and what to write."""

from __future__ import annotations

import pytest
from tests.verifier.mistakes import MISTAKES, Mistake, made

import cygnet
from cygnet.verifier.explaining.kinds import TITLES
from cygnet.verifier.explaining.text import render

WANTED = {
    "null-check", "packet-bounds", "unbounded-index", "stack-depth", "infinite-loop", "scalar-pointer", "kernel-pointer",
    "reference-leak", "double-release", "helper-not-allowed", "bad-context", "unset-register", "too-many-insns",
    "too-many-branches", "unreachable", "wrong-map", "sleepable", "gpl-only", "bad-return", "misaligned", "spin-lock",
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda each: each.name)
def test_explained(mistake: Mistake) -> None:
    verdict = cygnet.verify(made(mistake).spec)
    assert verdict.error is not None
    found = verdict.error.explanation
    assert found.kind == mistake.kind
    text = render(found)
    blamed = found.place.text[found.place.column - 1 : found.place.end - 1] if found.place else ""
    assert mistake.line in blamed
    told = " ".join([found.reason, *[note.text for note in found.path], *found.more])
    assert not [word for word in mistake.says if word not in told]
    code = "\n".join([*found.fix, *found.more, found.lead])
    assert not [word for word in mistake.fix if word not in code]
    assert text.splitlines()[0] == f"refused: {TITLES[mistake.kind]}"
    assert verdict.error.reason in text.replace("\n  ", "\n")


def test_every_kind_has_its_mistake() -> None:
    assert {mistake.kind for mistake in MISTAKES} >= WANTED


def test_the_parts_come_in_order() -> None:
    mistake = next(each for each in MISTAKES if each.name == "null_copy")
    error = cygnet.verify(made(mistake).spec).error
    assert error is not None
    text = render(error.explanation)
    parts = ["NULL is used without", "r6 may be NULL", "mistake.s:13", "^~~~", "instruction 9", "How it came", "line 9   r0",
             "copied to r6", "missing", "What to do", "if r6 == 0 goto out", "words"]  # fmt: skip
    places = [text.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)


def test_stack_that_was_never_written() -> None:
    """Refused before Linux 6.3, accepted with a warning since."""
    text = "# map: m hash 4 8 1\nr2 = r10\nr2 += -4\nr1 = map[fd:0]\ncall bpf_map_lookup_elem\nr0 = 0\nexit\n"
    spec = made(Mistake("unset", "unset-stack", text, "call")).spec
    new = cygnet.verify(spec)
    assert new.accepted
    assert any("never written" in warning for warning in new.warnings)
    old = cygnet.verify(spec, kernel="6.1")
    assert old.error is not None
    found = old.error.explanation
    assert found.kind == "unset-stack"
    assert "fp-4" in found.reason
    assert found.fix == ["*(u64 *)(r10 -8) = 0"]


@pytest.mark.parametrize(
    ("text", "kernel", "since"),
    [
        ("r0 = *(s32 *)(r10 -8)\nexit\n", "6.1", "6.6"),
        ("may_goto +1\nr0 = 0\nr0 = 0\nexit\n", "6.1", "6.9"),
        ("r1 = map[fd:0]\nr0 = 0\nexit\n", "6.1", "6.9"),
    ],
)
def test_what_an_older_kernel_has_not(text: str, kernel: str, since: str) -> None:
    head = "# map: a arena 0 0 1 1024\n" if "map" in text else ""
    spec = made(Mistake("new", "too-new", text, "", head=head)).spec
    error = cygnet.verify(spec, kernel=kernel).error
    assert error is not None
    assert error.explanation.kind == "too-new"
    assert f"Linux {since}" in error.explanation.reason


def test_the_way_is_there_after_many_instructions() -> None:
    """Nothing is logged while a long program is judged; it is followed again when somebody asks."""
    loop = "r7 = 0\nagain: r7 += 1\nif r7 < 20000 goto again\n"
    mistake = next(each for each in MISTAKES if each.name == "null_copy")
    error = cygnet.verify(made(mistake._replace(text=loop + mistake.text)).spec).error
    assert error is not None
    assert error.log == ""
    assert [note.role for note in error.explanation.path][:2] == ["cause", "step"]
    assert "R6 invalid mem access" in error.log


def test_hints_and_explanation_are_made_once() -> None:
    error = cygnet.verify(made(MISTAKES[0]).spec).error
    assert error is not None
    assert error.hints and error.hints is error.hints
    assert error.explanation is error.explanation
    assert "if r0 == 0 goto out" in error.hints[0]
