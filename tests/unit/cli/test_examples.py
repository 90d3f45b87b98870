"""Each command's --help ends with an example, and the example does what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = ("asm", "debug", "disasm", "doctor", "explain", "list", "run", "tools", "trace", "verify")
RUN = {
    "asm": "b7 00 00 00 02 00 00 00",
    "debug": "r0",
    "disasm": "r0 = 2",
    "run": "0x2a",
    "tools": "opensnoop",
    "verify": "accepted",
}
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def shell(line: str) -> str:
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done
    return done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_example(name: str) -> None:
    lines = re.findall(rf"^ +((?:sudo )?cygnet {name}\b.*)$", shell(f"cygnet {name} --help"), re.M)
    assert lines
    if name in RUN:
        assert RUN[name] in shell(lines[-1])
