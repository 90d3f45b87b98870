"""Compiles the verifier's core with mypyc: a copy of the package whose hot modules are native code.

    python scripts/compile_verifier.py FOLDER [--level 0|1|2]

FOLDER then holds `cygnet/` with both: the modules as they are, and beside each of MODULES its native twin, which
Python prefers. `PYTHONPATH=FOLDER` tries it. A folder that is up to date is left alone. The exit status is 3 when what
it needs is not there. Needs mypy with its mypyc
extra, a C compiler and Python's headers; nothing at run time. The wheel build (`CYGNET_MYPYC=1`, hatch_build.py) and
the benchmarks use it, and the tests run the verifier's on both builds.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src" / "cygnet"
GROUP = "cygnet.verifier._compiled"  # the module that holds the code of all

# Compiled as one group, so that they call each other directly. What runs once an instruction or once a state; rules that
# run once a call stay as they are.
MODULES = (
    "bits", "branches", "calls", "cfg", "env", "equal", "explore", "jumps", "memory", "pointers", "precision",
    "references", "reg", "regtext", "scalars", "stack", "stacklive", "state", "tnum", "visited",
)  # fmt: skip


class CannotCompile(Exception):
    """The compiler, its headers or mypyc are not there (`missing`); or they failed, and said what the message holds."""

    missing = False


class Missing(CannotCompile):
    missing = True


def needs() -> list[str]:
    """What is missing on this machine, in words; empty when the core can be compiled."""
    missing = []
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        missing.append(f"a C compiler ({compiler})")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        missing.append("Python's headers (Debian: libpython3-dev)")
    try:
        import mypyc.build  # noqa: F401
        import setuptools  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        missing.append("mypy[mypyc]")
    return missing


def files() -> Iterator[Path]:
    """What decides the native code: the room, and the constants and types that it takes from others."""
    for room in ("verifier", "isa", "facts"):
        yield from sorted(path for path in (SOURCE / room).rglob("*.py"))
    yield SOURCE / "errors.py"


def digest(level: int) -> str:
    sums = hashlib.sha256(f"{level} {sys.version} {sysconfig.get_platform()} {MODULES}".encode())
    for path in files():
        sums.update(str(path.relative_to(SOURCE)).encode() + b"\0" + path.read_bytes())
    return sums.hexdigest()


def is_fresh(folder: Path, wanted: str) -> bool:
    stamp = folder / "stamp"
    return stamp.is_file() and stamp.read_text() == wanted


def compile_into(folder: Path, level: int = 2) -> Path:
    """Make or refresh the tree; gives `folder`. Raises CannotCompile."""
    wanted = digest(level)
    if is_fresh(folder, wanted):
        return folder
    if missing := needs():
        raise Missing("to compile the verifier's core there must be " + ", ".join(missing))
    lay_out(folder)
    command = [sys.executable, str(Path(__file__).resolve()), str(folder), "--inside", "--level", str(level)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise CannotCompile(f"compiling the verifier's core failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    shutil.rmtree(folder / "build", ignore_errors=True)
    (folder / "stamp").write_text(wanted)
    return folder


def lay_out(folder: Path) -> None:
    """The room copied, everything else by link."""
    shutil.rmtree(folder, ignore_errors=True)
    package = folder / "cygnet"
    package.mkdir(parents=True)
    for path in SOURCE.iterdir():
        if path.name == "verifier":
            shutil.copytree(path, package / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.name != "__pycache__":
            (package / path.name).symlink_to(path)


def natives(folder: Path) -> dict[Path, str]:
    """The native modules of a compiled tree, and where in a wheel each belongs."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    return {path: str(path.relative_to(folder)) for path in sorted((folder / "cygnet" / "verifier").glob(f"*{suffix}"))}


def build_here(level: int) -> None:
    """In the tree itself, in a process of its own, since both mypyc and setuptools work on the current directory."""
    from mypyc.build import mypycify
    from setuptools import setup

    paths = [f"cygnet/verifier/{name}.py" for name in MODULES]
    # -fwrapv: a sum of two i64 that is too large wraps, whatever this Python was built with
    os.environ["CFLAGS"] = f"{os.environ.get('CFLAGS', '')} -fwrapv"
    modules = mypycify(paths, opt_level=str(level), group_name=GROUP)
    refuse_narrow_shifts(Path("build"))
    setup(name="cygnet-core", packages=[], ext_modules=modules, script_args=["-q", "build_ext", "--inplace"])


def refuse_narrow_shifts(folder: Path) -> None:
    """mypyc 2.4 writes ``1 << n`` of an i64 as C's int, 32 bits wide: such a literal must be shifted by bits.shl."""
    for path in folder.rglob("__native*.c"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r" = -?\d+ (<<|>>) cpy_r_", line):
                raise SystemExit(f"{path}:{number}: a literal is shifted as a 32-bit int, use bits.shl: {line.strip()}")


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="compile_verifier.py", description=(__doc__ or "").split(":")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--level", type=int, default=2, choices=(0, 1, 2), help="of the C compiler's optimisation")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.inside:
        build_here(options.level)
        return 0
    try:
        print(compile_into(options.folder, options.level))
    except CannotCompile as error:
        print(f"compile_verifier: {error}", file=sys.stderr)
        return 3 if error.missing else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
