"""The public face: names that are there from the start, and cost nothing until they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cygnet


def test_names() -> None:
    assert {"MapSpec", "ProgramSpec", "Verdict", "verify"} <= set(cygnet.__all__) <= set(dir(cygnet))
    assert all(getattr(cygnet, name) is not None for name in cygnet.__all__)
    with pytest.raises(AttributeError, match="banana"):
        _ = cygnet.banana  # type: ignore[attr-defined]


def test_importing_is_free() -> None:
    code = "import sys, cygnet; print([name for name in sys.modules if name.startswith('cygnet.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_verify() -> None:
    counts = cygnet.MapSpec("counts", 1, 4, 8, 16)
    code = bytes.fromhex("18010000000000000000000000000000b7000000000000009500000000000000")
    verdict = cygnet.verify(
        cygnet.ProgramSpec("xdp", b"\x18\x11" + code[2:], maps={0: counts}), kernel="6.12", budget=100
    )
    assert isinstance(verdict, cygnet.Verdict)
    assert verdict.accepted and verdict.error is None and verdict.insns_processed == 3
    refused = cygnet.verify(cygnet.ProgramSpec("xdp", code=code[-8:]))
    assert refused.error is not None
    assert (refused.error.reason, refused.error.insn) == ("R0 !read_ok", 0)
    assert "R0 !read_ok" in refused.error.log and refused.error.hints
