"""What the verifier accepts does not fault, stays within what it said, and is the same as unchecked machine code."""

import json
import os
import subprocess
import sys

import pytest

PROGRAMS = int(os.environ.get("CYGNET_FUZZ", "400"))
CHUNK = 1000  # programs in a process, which a wrong verdict may end
FIRST = int(os.environ.get("CYGNET_FUZZ_SEED", "0"))


def chunk(start: int, count: int) -> dict[str, object]:
    command = [sys.executable, "-m", "tests.verifier.soundness", str(start), str(count)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"programs {start} to {start + count}: {done.returncode}\n{done.stderr}"
    result: dict[str, object] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("start", range(FIRST, FIRST + PROGRAMS, CHUNK))
def test_accepted_programs_are_safe(start: int) -> None:
    count = min(CHUNK, FIRST + PROGRAMS - start)
    result = chunk(start, count)
    print(result)
    assert not result["findings"]
    accepted, unchecked = int(str(result["accepted"])), int(str(result["unchecked"]))
    assert count * 0.3 < accepted < count * 0.7
    assert unchecked > accepted * 0.8
    assert int(str(result["compared"])) > 10 * accepted
