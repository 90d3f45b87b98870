"""The pytest plugin: fixtures `bpf`, `packets` and `contexts`, and ``--bpf-coverage FOLDER``.

Loaded by ``-p cygnet.testing.plugin`` or by `pytest_plugins` in a conftest. It is no entry point, since pytest
rewrites the assertions of every module of a package that has one.
"""

from __future__ import annotations

from typing import Any

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from cygnet.spec.objects import ObjectSpec

__all__ = ["Bench", "bpf", "contexts", "packets", "pytest_addoption", "pytest_terminal_summary"]

_REPORT: pytest.StashKey[Any] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cygnet", "tests of BPF programs")
    try:
        group.addoption("--bpf-coverage", metavar="FOLDER", help="write coverage of BPF source lines: text, HTML, lcov")
        group.addoption("--bpf-engine", default="jit", help="what runs programs: jit, python or interpreter (jit)")
    except ValueError:  # it was loaded by -p and by a conftest.py
        return


class Bench:
    """Loads objects for one test, and closes them after it."""

    def __init__(self, engine: str, report: Any) -> None:
        self.engine = engine
        self._report = report
        self._open: list[Any] = []

    def machine(self, spec: ObjectSpec, **options: Any) -> Any:
        """A `cygnet.vm.Machine`; with --bpf-coverage its lines are counted."""
        from cygnet.vm.machine import Machine

        if self._report is not None:
            options["coverage"] = True
        made = Machine(spec, options.pop("engine", self.engine), **options)
        self._open.append(made)
        return made

    def kernel(self, spec: ObjectSpec) -> Any:
        """The object in the live kernel. NotSupported or PermissionDenied where that cannot be."""
        from cygnet.loader.runtime import kernel_runtime

        made = kernel_runtime(spec)
        self._open.append(made)
        return made

    def load(self, spec: ObjectSpec, program: str = "") -> tuple[Any, Any]:
        """The program (the only one, unless it is named) on the machine and in the kernel, for `assert_same`."""
        names = [known.name for known in spec.programs]
        name = program or names[0]
        if name not in names:
            raise KeyError(f"the object has no program {name!r}, but {', '.join(names)}")
        return self.machine(spec).program(name), self.kernel(spec).program(name)

    def close(self) -> None:
        from cygnet.vm.machine import Machine

        while self._open:
            made = self._open.pop()
            if self._report is not None and isinstance(made, Machine):
                self._report.add(made)
            made.close()


@pytest.fixture
def bpf(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Loads BPF objects into the user-space machine, the kernel, or both."""
    config = request.config
    report = None
    if config.getoption("--bpf-coverage", None):
        from cygnet.testing.report import Report

        report = config.stash.setdefault(_REPORT, Report())
    bench = Bench(config.getoption("--bpf-engine", "jit"), report)
    yield bench
    bench.close()


@pytest.fixture
def packets() -> ModuleType:
    """`cygnet.testing.packets`: builders of packets."""
    from cygnet.testing import packets

    return packets


@pytest.fixture
def contexts() -> ModuleType:
    """`cygnet.vm.contexts`: builders of contexts."""
    from cygnet.vm import contexts

    return contexts


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    report = config.stash.get(_REPORT, None)
    if not report:
        return
    terminalreporter.section("coverage of BPF source lines")
    terminalreporter.write(report.text())
    made = report.write(config.getoption("--bpf-coverage"))
    terminalreporter.write_line("written: " + ", ".join(str(path) for path in made))
