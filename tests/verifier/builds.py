"""The verifier compiled: where it lies, made when it is not there or out of date."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cygnet.errors import NotSupported

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "verifier-tests"


def compiled() -> Path:
    """A folder for PYTHONPATH. NotSupported without a C compiler, Python's headers, or mypyc.

    Not optimised: that takes a third of the time, and what is compiled means the same.
    """
    command = [sys.executable, "scripts/compile_verifier.py", str(FOLDER), "--level", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 3:
        raise NotSupported("a compiled verifier", done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return FOLDER


def plain(native: Path, folder: Path) -> Path:
    """The same sources without the compiled modules, in a folder of its own."""
    inside = native / "cygnet"
    package = folder / "cygnet"
    (package / "verifier").mkdir(parents=True)
    for path in inside.iterdir():
        if path.name != "verifier":
            (package / path.name).symlink_to(path.resolve())
    for path in (inside / "verifier").iterdir():
        if path.suffix != ".so" and path.name != "__pycache__":
            (package / "verifier" / path.name).symlink_to(path)
    return folder


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A Python program with that build of the verifier."""
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=ROOT, env=environment(folder), capture_output=True, text=True)
