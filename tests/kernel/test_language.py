"""The meaning of the language: the programs of `tests/lang/cases`, run on the live kernel.

What they must print is written beside them, from the language's rules; where a case says so, the installed
bpftrace must print the same lines. All programs that are selected run before the first test looks at them, a few at
a time, each a process of its own.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cygnet.errors import NotSupported

LANG = Path(__file__).parents[1] / "lang"
AT_ONCE = 4
#: the first variable of every program's environment: a long string that a program can read
TEXT = "abcdefghijklmnopqrstuvwxyz" * 50
LONGEST_S = 120  # a hang is a failure, not a stuck run


def _casefile() -> Any:
    spec = importlib.util.spec_from_file_location("casefile", LANG / "casefile.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CASES = _casefile().read_all()
PLACE = re.compile(r"^(stdin:\S+|.*): (WARNING|ERROR): ")


class Output(NamedTuple):
    status: int
    out: str
    err: str
    warnings: str

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.out.splitlines() if line.strip()]


def split_warnings(text: str) -> tuple[str, str]:
    """Warnings of the compiler (place, line, marks, hints) lie on stdout before the output."""
    kept, warnings = [], []
    lines = text.splitlines(keepends=True)
    while lines:
        line = lines.pop(0)
        if re.match(r"stdin:\d+:\d+(-\d+)?: WARNING: ", line):
            warnings.append(line)
            while lines and not re.match(r"\s*~+$", lines[0]):
                warnings.append(lines.pop(0))
            warnings += lines[:1]
            lines = lines[1:]
            while lines and lines[0].startswith("HINT: "):
                warnings.append(lines.pop(0))
        else:
            kept.append(line)
    return "".join(kept), "".join(warnings)


def run(command: list[str], environment: dict[str, str], cache: Path) -> Output:
    variables = {"TEXT": TEXT, **os.environ, "TZ": "UTC", "PYTHONPYCACHEPREFIX": str(cache), **environment}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        done = subprocess.run(command, capture_output=True, timeout=LONGEST_S, env=variables, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        return Output(-1, (error.stdout or b"").decode("utf-8", "replace"), "did not end", "")
    out, warnings = split_warnings(done.stdout.decode("utf-8", "replace"))
    return Output(done.returncode, out, done.stderr.decode("utf-8", "replace"), warnings)


def ours(case: Any, cache: Path) -> Output:
    return run(
        [str(cache / "cygnet"), "trace", *case.words("ARGS"), "-e", case.program, *case.words("PARAMS")],
        case.environment,
        cache,
    )


def peer_program(text: str) -> str:
    """The same in the older spelling, ended by a timer: 0.17 does not end by itself after BEGIN."""
    text = re.sub(r"\bbegin\b", "BEGIN", text)
    text = re.sub(r"\bend\b(?=\s*\{)", "END", text)
    return text if "exit(" in text else text + "\ninterval:ms:1 { exit(); }"


def peers(case: Any, cache: Path) -> Output:
    command = ["bpftrace", *case.words("ARGS"), "-e", peer_program(case.program), *case.words("PARAMS")]
    got = run(command, case.environment, cache)
    return got._replace(out=re.sub(r"^Attaching \d+ probes?\.\.\.\n", "", got.out))


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for byte code, and in it the command, by the name that programs see their tracer under."""
    if os.geteuid() != 0:
        raise NotSupported("tracing", "root")
    cache = tmp_path_factory.mktemp("pycache")
    command = cache / "cygnet"
    command.write_text(f"#!{sys.executable}\nimport sys\nfrom cygnet.cli import main\nsys.exit(main())\n")
    command.chmod(0o755)
    return cache


def tried_before(request: pytest.FixtureRequest) -> bool:
    """Whether this is the second try of a test that failed (see tests/conftest.py): then its program runs again."""
    return getattr(request.node, "execution_count", 1) > 1


@pytest.fixture(scope="module")
def outputs(request: pytest.FixtureRequest, tool: Path) -> Iterator[dict[Any, Any]]:
    """What every selected case prints, ours and, where asked for, the peer's."""
    wanted = [item.callspec.params["case"] for item in request.session.items if item.fspath == Path(__file__)
              and "case" in getattr(getattr(item, "callspec", None), "params", {})]  # fmt: skip
    cases = list(dict.fromkeys(wanted))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        started: dict[Any, tuple[Future[Output], Future[Output] | None]] = {}
        for case in cases:
            other = pool.submit(peers, case, tool) if case.peer and shutil.which("bpftrace") else None
            started[case] = pool.submit(ours, case, tool), other
    yield {case: (a.result(), b.result() if b else None) for case, (a, b) in started.items()}


@pytest.mark.parametrize("case", CASES, ids=[f"{case.place}: {case.name}" for case in CASES])
def test_case(case: Any, outputs: dict[Any, Any], tool: Path, request: pytest.FixtureRequest) -> None:
    got: Output = ours(case, tool) if tried_before(request) else outputs[case][0]
    shown = f"{case.program}\n--- status {got.status}, stdout\n{got.out}--- stderr\n{got.err}{got.warnings}"
    assert "internal" not in got.err and "Traceback" not in got.err, shown
    assert got.status == case.status, shown
    if case.all("EXPECT"):
        assert got.lines == [line.rstrip() for line in case.all("EXPECT") if line.strip()], shown
    for pattern in case.all("MATCH"):
        assert re.search(pattern, got.out, re.M), f"{pattern}\n{shown}"
    for text in case.all("WARN"):
        assert text in got.warnings + got.err, f"{text}\n{shown}"
    for text in case.all("ERROR"):
        assert any("ERROR" in line and text in line for line in got.err.splitlines()), f"{text}\n{shown}"
    for text in case.all("STDERR"):
        assert text in got.err, f"{text}\n{shown}"
    for text in case.all("ABSENT"):
        assert text not in got.out + got.err + got.warnings, f"{text}\n{shown}"


@pytest.mark.parametrize("case", [c for c in CASES if c.peer], ids=[f"{c.place}: {c.name}" for c in CASES if c.peer])
def test_peer_prints_the_same(case: Any, outputs: dict[Any, Any], tool: Path, request: pytest.FixtureRequest) -> None:
    got, peer = (ours(case, tool), peers(case, tool)) if tried_before(request) else outputs[case]
    if peer is None:
        raise NotSupported("comparing with bpftrace", "bpftrace")
    assert peer.lines == got.lines, f"{case.program}\n--- peer, status {peer.status}\n{peer.out}{peer.err}"


def test_names_are_unique() -> None:
    names = [(case.place.partition(":")[0], case.name) for case in CASES]
    assert sorted(set(names)) == sorted(names)
