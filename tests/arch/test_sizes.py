"""Files and functions of a readable size; larger ones have a reason in allowed-sizes.toml."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = Path(__file__).with_name("allowed-sizes.toml")
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 60
MAX_COMMAND_LINES = 100  # a file of cli/ parses arguments and nothing else


def allowed() -> dict[str, str]:
    table: dict[str, str] = tomllib.loads(ALLOWED.read_text())["allowed"]
    return table


def is_generated(text: str) -> bool:
    return "enerated by scripts/" in text[:300]


def sources() -> Iterator[tuple[str, str]]:
    for folder in ("src", "benchmarks", "scripts"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text()
            if not is_generated(text):
                yield str(path.relative_to(ROOT)), text


def limit_of(name: str) -> int:
    return MAX_COMMAND_LINES if name.startswith("src/cygnet/cli/") else MAX_FILE_LINES


def large_files() -> dict[str, int]:
    sizes = {name: text.count("\n") for name, text in sources()}
    return {name: size for name, size in sizes.items() if size > limit_of(name)}


def large_functions() -> dict[str, int]:
    found = {}
    for name, text in sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > MAX_FUNCTION_LINES:
                    found[f"{name}:{node.name}"] = size
    return found


def test_large_ones_have_a_reason() -> None:
    unexplained = {k: v for k, v in (large_files() | large_functions()).items() if k not in allowed()}
    assert not unexplained, f"split them, or give a reason in {ALLOWED.name}"


def test_reasons_are_still_needed() -> None:
    assert not set(allowed()) - set(large_files() | large_functions())


def test_reasons_are_sentences() -> None:
    assert not [name for name, reason in allowed().items() if len(reason.split()) < 4]
