"""The verifier compiled to native code says what it says as plain Python: verdicts, counts and logs to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.verifier.builds import compiled, plain, run

PROGRAMS = 250
TESTS = ("tests/unit/verifier", "tests/kernel/test_verifier_same.py")

SAY = """
import sys
from tests.verifier.random_programs import program
from cygnet.verifier import explore, verify
print(explore.__file__, file=sys.stderr)
for seed in range(int(sys.argv[1])):
    verdict = verify.verify(program(9_000_000 + seed, 0.97, seed % 2 == 1), log_level=1 + seed % 2)
    log = verdict.log if verdict.error is None else verdict.error.log
    print(seed, verdict.accepted, verdict.insns_processed, verdict.states, verdict.stack_depth, verdict.warnings)
    print(verdict.error)
    print(log)
"""


@pytest.fixture(scope="module")
def native() -> Path:
    return compiled()


def test_verdicts_and_logs_are_the_same(native: Path, tmp_path: Path) -> None:
    fast = run(native, "-c", SAY, str(PROGRAMS))
    slow = run(plain(native, tmp_path), "-c", SAY, str(PROGRAMS))
    assert fast.returncode == 0, fast.stderr
    assert fast.stderr.strip().endswith(".so")
    assert slow.stderr.strip().endswith(".py")
    assert fast.stdout.splitlines() == slow.stdout.splitlines()
    assert fast.stdout.count(" True ") > PROGRAMS // 10


def test_the_verifiers_tests_pass_compiled(native: Path) -> None:
    done = run(native, "-m", "pytest", "-p", "no:cacheprovider", "-q", *TESTS, f"--ignore={Path(__file__)}")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
