"""The commands of README, CONTRIBUTING and docs/ are true: each `$ ` line of a console block is run.

A question to the whole system (`cygnet trace` without `-c`) is compiled and loaded but not attached: tests
watch only what they started. `make` targets are looked up, not made.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cygnet.errors import NotSupported

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MAIN = "import sys; from cygnet.cli import main; sys.exit(main())"  # what the cygnet command does
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def commands() -> Iterator[object]:
    for page in PAGES:
        text = page.read_text()
        for block in BLOCK.finditer(text):
            first = text.count("\n", 0, block.start(1)) + 1
            for number, line in enumerate(block[1].splitlines(), first):
                if line.startswith("$ "):
                    yield pytest.param(line[2:], id=f"{page.name}:{number}")


def words_of(command: str) -> list[str]:
    """The words of a shell command, without sudo and without the path of the environment."""
    words = shlex.split(command)
    if words[0] == "sudo":
        words = words[1:]
    return [words[0].removeprefix(".venv/bin/"), *words[1:]]


def run_cygnet(words: list[str], folder: Path) -> None:
    if words[0] == "trace":
        if os.geteuid() != 0:
            raise NotSupported("loading programs", "root")
        if "-c" not in words:
            words = [*words, "--dry-run"]
    command = [sys.executable, "-c", MAIN, *words]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if words[0] == "doctor":  # its exit status says whether the machine lacks something
        assert run.stdout
        assert "Traceback" not in run.stderr
    else:
        assert run.returncode == 0, run.stderr
        if "-c" in words:
            assert run.stdout.strip(), "a question in the documentation has an answer"


def look_up_target(words: list[str]) -> None:
    # Nothing is made, whatever state the environment is in: only the names are checked.
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {word for word in words if "=" not in word} <= targets


@pytest.mark.parametrize("command", list(commands()))
def test_command(command: str, tmp_path: Path) -> None:
    program, *words = words_of(command)
    if program == "make":
        look_up_target(words)
    else:
        assert program == "cygnet", "teach this test to run it, or do not show it"
        run_cygnet(words, tmp_path)


def test_there_are_commands() -> None:
    assert len(list(commands())) > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text()) if "://" not in target]
    assert not [target for target in targets if not (page.parent / target).exists()]


def test_floors_are_documented() -> None:
    """Every room that exists has its row in docs/architecture.md."""
    rooms = {path.parent.name for path in (ROOT / "src/cygnet").glob("*/__init__.py")}
    text = (ROOT / "docs/architecture.md").read_text()
    assert not {room for room in rooms if not re.search(rf"`{room}[`/]", text)}
