"""What every test shares: the one error that may become a skip, and an account of what was skipped.

`cygnet.errors.NotSupported` raised by a test or its fixture becomes a skip that carries the feature's
name. Any other skip fails the run, unless `expected-skips.txt` beside this file lists it. In the kernel
lab, whose kernel is known, every skip must be listed, in `expected-skips-vmlab.txt`.

A test that watches the live kernel shares it with every other process of the machine. When it fails it is tried once
more, and the run ends by naming it and what it said: a defect fails twice, and what is named often is looked into.
"""

from __future__ import annotations

import fnmatch
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from cygnet.errors import NotSupported

KNOWN_KERNEL = "VMLAB_KERNEL" in os.environ
EXPECTED_SKIPS = Path(__file__).with_name("expected-skips-vmlab.txt" if KNOWN_KERNEL else "expected-skips.txt")
LIVE = ("kernel", "vmlab")
NOT_SUPPORTED = "not supported here: "


def expected_skips() -> list[str]:
    """The patterns of test ids that may be skipped for another reason."""
    lines = (line.partition("#")[0].strip() for line in EXPECTED_SKIPS.read_text().splitlines())
    return [line for line in lines if line]


def _skip_unsupported() -> Generator[None, Any, Any]:
    try:
        return (yield)
    except NotSupported as error:
        pytest.skip(f"{NOT_SUPPORTED}{error.feature}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, Any, Any]:
    return (yield from _skip_unsupported())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, Any, Any]:
    return (yield from _skip_unsupported())


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a report says it was skipped, in the words given to pytest."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def complaint_of(report: pytest.TestReport) -> str:
    """The lines of a failure, as one."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return " | ".join(line.strip() for line in (crash.message if crash else str(report.longrepr)).splitlines())


class SkipLedger:
    """Collects the skips of a run; `unexpected` ones make it fail."""

    def __init__(self) -> None:
        self.by_reason: dict[str, list[str]] = {}
        self.unexpected: list[str] = []
        self.tried_again: list[str] = []
        self.patterns = expected_skips()

    def add(self, nodeid: str, reason: str) -> None:
        self.by_reason.setdefault(reason, []).append(nodeid)
        known = any(fnmatch.fnmatchcase(nodeid, pattern) for pattern in self.patterns)
        if not known and (KNOWN_KERNEL or not reason.startswith(NOT_SUPPORTED)):
            self.unexpected.append(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome == "rerun":  # type: ignore[comparison-overlap]  # pytest-rerunfailures' own
            self.tried_again.append(f"{report.nodeid}: {complaint_of(report)}")
        if report.skipped and not hasattr(report, "wasxfail"):
            self.add(report.nodeid, reason_of(report))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.add(report.nodeid, reason_of(report))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unexpected and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        count = sum(map(len, self.by_reason.values()))
        terminalreporter.write_line(f"skipped: {count}")
        for reason, nodeids in sorted(self.by_reason.items()):
            terminalreporter.write_line(f"  {len(nodeids)} × {reason} ({nodeids[0]}{', …' * (len(nodeids) > 1)})")
        for tried in self.tried_again:
            terminalreporter.write_line(f"  failed at the first try: {tried}")
        for nodeid in self.unexpected:
            terminalreporter.write_line(f"  FAILED: {nodeid} was skipped, and {EXPECTED_SKIPS.name} does not list it")


@pytest.fixture
def foreground() -> Iterator[None]:
    """SIGHUP and SIGINT as a terminal's user has them, also where the tests run under nohup or in the background of a
    shell, which ignore them: Cygnet and Python leave ignored signals ignored.
    """
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGHUP, hangup)
    signal.signal(signal.SIGINT, interrupt)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name in LIVE:
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(SkipLedger(), "skip-ledger")
