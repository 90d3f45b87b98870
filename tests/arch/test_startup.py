"""What `cygnet trace` imports on the way to its first event: nothing from the list in docs/dependencies.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cygnet.errors import NotSupported

ROOT = Path(__file__).resolve().parents[2]
HELLO = 'BEGIN { printf("hello\\n"); exit(); }'
IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)


def forbidden() -> list[str]:
    """The modules that docs/dependencies.md keeps off the road to the first event."""
    text = (ROOT / "docs/dependencies.md").read_text()
    block = re.search(r"<!-- start-up: forbidden modules.*?```text\n(.*?)```", text, re.DOTALL)
    assert block, "docs/dependencies.md lists the forbidden modules in a marked block"
    return block[1].split()


def imported_by(code: str, *args: str) -> tuple[set[str], subprocess.CompletedProcess[str]]:
    """The modules that a fresh interpreter imports while it runs `code`, beyond those it starts with."""
    command = [sys.executable, "-X", "importtime", "-c", code, *args]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    bare = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "pass"], capture_output=True, text=True, check=True
    )
    return set(IMPORTED.findall(run.stderr)) - set(IMPORTED.findall(bare.stderr)), run


def offenders(modules: set[str]) -> list[str]:
    banned = forbidden()
    return sorted(m for m in modules if any(m == name or m.startswith(f"{name}.") for name in banned))


def test_list_covers_the_dear_ones() -> None:
    assert {"argparse", "dataclasses", "inspect", "numpy", "rich"} <= set(forbidden())


def test_offender_is_seen() -> None:
    modules, _ = imported_by("import dataclasses")
    assert {"dataclasses", "inspect"} <= set(offenders(modules))


@pytest.mark.parametrize("words", [[], ["--help"], ["trace", "--help"]], ids=" ".join)
def test_command_line_imports_nothing_dear(words: list[str]) -> None:
    modules, run = imported_by("import sys; from cygnet.cli import main; sys.exit(main())", *words)
    assert "Traceback" not in run.stderr, run.stderr
    assert "cygnet.cli" in modules
    assert not offenders(modules)


def test_hello_imports_nothing_dear() -> None:
    if os.geteuid() != 0:
        raise NotSupported("running a program", "root")
    code = "import sys; from cygnet.cli import main; sys.exit(main())"
    modules, run = imported_by(code, "trace", "-e", HELLO)
    assert "hello\n" in run.stdout, run.stderr
    assert not offenders(modules)
