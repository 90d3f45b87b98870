"""The case files of tests/cases: a title, assembly, perhaps memory, and what r0 is at the end.

::

    case TITLE
            assembly, indented
    memory 01 02 03
    result 0x2a
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

from cygnet.facts.helpers import helper_id
from cygnet.isa.asm import assemble

FOLDER = Path(__file__).parent / "cases"


class Case(NamedTuple):
    file: str
    title: str
    text: str
    memory: bytes
    result: int

    @property
    def insns(self):
        return assemble(self.text, helper_id)


def parse(file, text):
    title, lines, memory = "", [], b""
    for line in text.splitlines():
        if line.startswith("case "):
            title, lines, memory = line[5:], [], b""
        elif line.startswith("memory "):
            memory = bytes.fromhex(line[7:])
        elif line.startswith("result "):
            yield Case(file, title, "\n".join(lines), memory, int(line[7:], 16))
        else:
            lines.append(line)


@cache
def files():
    return {path.stem: list(parse(path.stem, path.read_text())) for path in sorted(FOLDER.glob("*.data"))}
