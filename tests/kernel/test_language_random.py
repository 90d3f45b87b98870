"""Programs that nobody wrote: random ones must be taken by the kernel, damaged ones may only give errors.

Expressions are also evaluated here, by the language's rules, and what is printed is compared. The seeds are fixed, so a
failure can be had again; `CYGNET_SEEDS=n` tries n times as many.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cygnet.errors import CygnetError, KernelVerifierError, NotSupported
from cygnet.kernel.target import LiveTarget
from cygnet.lang.trace.compile import compile_program
from cygnet.lang.trace.instances import Params
from cygnet.loader.runtime import kernel_runtime
from cygnet.source import Source
from cygnet.spec.objects import ObjectSpec

LANG = Path(__file__).parents[1] / "lang"
MORE = int(os.environ.get("CYGNET_SEEDS", "1"))
MOST_BYTES = 256 << 20
SESSION = {"start_ns": 0, "cpid": 0, "target_pid": 0}
#: what a program of some kilobytes may rightly be refused for
LIMITS = ("scratch memory", "too large", "too complex", "of stack are needed", "Division by zero")


def module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, LANG / f"{name}.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def target() -> LiveTarget:
    if os.geteuid() != 0:
        raise NotSupported("tracing", "root")
    return LiveTarget()


def memory_of(spec: ObjectSpec) -> int:
    """About what the kernel would take for an object's maps."""
    cpus = os.cpu_count() or 1
    return sum(one.max_entries * (one.key_size + one.value_size + 64) * cpus for one in spec.maps)


def load(text: str, target: LiveTarget) -> None:
    """Compile and load, and give everything back: nothing is run."""
    source = Source("stdin", text)
    result = compile_program(source, target, params=Params(["5", "abc"]), environment={}, unsafe=True)
    if memory_of(result.spec) > MOST_BYTES:
        return  # a damaged number asks for more than a test may take
    kernel_runtime(result.spec, target=target, session=SESSION, source=source).close()


@pytest.mark.parametrize("seed", range(10 * MORE))
def test_expressions_have_the_values_of_the_rules(seed: int, target: LiveTarget, tmp_path: Path) -> None:
    script = "import sys; from cygnet.cli import main; sys.exit(main(['trace', '--no-warnings', '-e', sys.argv[1]]))"
    for prints in (40, 20, 10):  # each doubles the paths that the kernel follows, and some seeds exhaust its patience
        text, expected = module("randomexpr").Writer(seed).program(prints)
        done = subprocess.run([sys.executable, "-c", script, text], capture_output=True, text=True)
        if "program is too large" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    asked = [line for line in text.splitlines() if line.startswith("print(")]
    got = done.stdout.splitlines()
    wrong = [row for row in zip(asked, expected, got) if row[1] != row[2]]
    assert not wrong and len(got) == len(expected), f"{wrong}\n{text}"


@pytest.mark.parametrize("seed", range(30 * MORE))
def test_the_kernel_takes_random_programs(seed: int, target: LiveTarget) -> None:
    text = module("randomprog").ProgramWriter(seed, long=seed % 3 == 0).text()
    try:
        load(text, target)
    except CygnetError as error:
        assert any(limit in str(error) for limit in LIMITS), f"{error}\n{text}"


@pytest.mark.parametrize("seed", range(6 * MORE))
def test_damaged_programs_give_errors_or_run(seed: int, target: LiveTarget) -> None:
    cases = module("casefile").read_all()
    programs = [case.program for case in cases if case.status == 0 and " : @" not in case.program]  # see randomprog
    mutator = module("mutation").Mutator(programs, seed)
    for _ in range(60):
        text = mutator.program()
        try:
            load(text, target)
        except KernelVerifierError as error:
            assert any(limit in str(error) for limit in LIMITS), f"{error}\n{text}"
        except CygnetError:
            pass
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}\n{text}") from error
