"""Who is measured: commands and environments of each side, and the tools that are built to measure them."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parent

NOTIFY = "__BPFTRACE_NOTIFY_PROBES_ATTACHED"


class Unavailable(Exception):
    """A side or a tool that this machine has not got; the report says so."""


class Failed(Exception):
    """A side that could not do what it was asked; the report says so, and goes on."""


class Side(NamedTuple):
    """A tracer: `command` before its options, and what it adds to the environment."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]

    def ask(self, program: str, *options: str) -> list[str]:
        return [*self.command, *options, "-e", program]

    def python(self) -> str:
        """The interpreter that a console script is run by: its first line names it."""
        with open(shutil.which(self.command[0]) or self.command[0]) as script:
            return script.readline().removeprefix("#!").strip()

    def environ(self, **more: str) -> dict[str, str]:
        """The environment of a run: the user's, without what would change how Python starts."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "BPFTRACE_", "CYGNET_"))}
        return kept | {NOTIFY: "1"} | self.environment | more


def run(*command: str | Path, **options: object) -> str:
    """What a command prints; its complaint, when it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise Unavailable(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-400:]}")
    return str(done.stdout)


def install_cygnet(folder: Path) -> Path:
    """Install a wheel of this tree into an environment of its own, compiled, as a user's is; its `cygnet`."""
    wheels = folder / "wheels"
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, ROOT)
    target = folder / "installed"
    venv.create(target, with_pip=False, symlinks=True)
    python = target / "bin" / "python"
    wheel = next(wheels.glob("cygnet-*.whl"))
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--compile", wheel)
    if not next(target.rglob("cygnet/__pycache__/*.pyc"), None):
        raise Unavailable("the installed wheel was not compiled to .pyc")
    return target / "bin" / "cygnet"


def cygnet(command: str, cache: Path) -> Side:
    return Side("cygnet", (command, "trace"), {"XDG_CACHE_HOME": str(cache)})


def bpftrace() -> Side:
    found = shutil.which("bpftrace")
    if not found:
        raise Unavailable("bpftrace is not installed")
    return Side("bpftrace", (found,), {})


def build_tools(folder: Path) -> dict[str, Path]:
    """Compile the small C programs: launch, produce, run_bpf."""
    tools = {name: folder / name for name in ("launch", "produce", "run_bpf")}
    for name, target in tools.items():
        libraries = ["-lbpf"] if name == "run_bpf" else []
        run("gcc", "-O2", "-o", target, HERE / "c" / f"{name}.c", *libraries)
    return tools


def build_bpf(folder: Path) -> dict[str, Path]:
    """Compile the programs in C with clang -O2: name to object file."""
    headers = f"/usr/include/{platform.machine()}-linux-gnu"
    objects = {}
    for source in sorted((HERE / "c").glob("*.bpf.c")):
        name = source.name.removesuffix(".bpf.c")
        objects[name] = folder / f"{name}.bpf.o"
        run("clang", "-O2", "-g", "-target", "bpf", f"-I{headers}", "-c", source, "-o", objects[name])
    return objects
