"""The floors of the house: what import-linter cannot say in its contract."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "cygnet"

# The kernel is a leaf: what calls C is in the kernel room, or has its reason here.
MAY_CALL_C = {
    "kernel": "makes the system calls",
    "elf/demangle.py": "asks the C++ library on the machine for its demangler",
    "maps/memory.py": "native memory, at its address, for programs that run in user space",
    "session/child.py": "prctl(2), between fork and exec of the command of -c",
    "vm/jit/direct.py": "has CPython call the machine code that it made",
    "vm/jit/engine.py": "calls the machine code that it made",
    "vm/jit/memory.py": "mprotect(2) for machine code, on any system",
}
# Nothing below the command line prints or ends the process.
MAY_PRINT = {
    "cli": "prints and exits for a living",
    "session/child.py": "a forked child that cannot exec has nothing to return to",
}


def modules(left_out: Collection[str] = ()) -> Iterator[tuple[str, ast.Module]]:
    """Every module but those of the rooms and files left out."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE)
        if name.parts[0] not in left_out and str(name) not in left_out:
            yield str(name), ast.parse(path.read_text(), str(path))


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or ""


def test_contract_of_floors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True, config_filename="pyproject.toml") == EXIT_STATUS_SUCCESS


def test_only_the_kernel_room_calls_c() -> None:
    found = [f"{name}:{line}" for name, tree in modules(MAY_CALL_C) for line, what in imports(tree) if what == "ctypes"]
    assert not found


def calls(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def test_nothing_below_the_command_line_prints_or_exits() -> None:
    words = {"print", "exit", "quit", "sys.exit", "os._exit"}
    found = [
        f"{name}:{line} {what}" for name, tree in modules(MAY_PRINT) for line, what in calls(tree) if what in words
    ]
    assert not found


def test_every_module_says_what_it_is() -> None:
    silent = [name for name, tree in modules() if tree.body and not (ast.get_docstring(tree) or "").strip()]
    assert not silent


def test_no_star_imports() -> None:
    starred = [
        f"{name}:{node.lineno}"
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
    ]
    assert not starred
