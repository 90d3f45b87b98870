"""Reads `cases/*.txt`: small programs of the tracing language, and what they must print.

A case is a paragraph of lines, each a keyword and its text; `#` starts a comment line::

    NAME    what it shows
    PROG    begin { print(1 + 2) }     more PROG lines are more lines of the program
    EXPECT  3                          the lines of stdout, in order; blank lines are not compared
    MATCH   ^[0-9]+$                   a regular expression some line of stdout must match
    WARN    text                       a part of some warning (stdout or stderr)
    ERROR   text                       a part of some error on stderr; STATUS is then 1
    STDERR  text                       a part of stderr, whatever it is
    ABSENT  text                       no part of stdout or stderr
    STATUS  0                          the exit status
    ARGS    --unsafe                   options, before -e;  PARAMS: words after the program
    ENV     BPFTRACE_MAX_STRLEN=64
    PEER    same                       bpftrace 0.17 prints the same lines (`begin` spelled `BEGIN`)
"""

from __future__ import annotations

import shlex
from pathlib import Path

FOLDER = Path(__file__).with_name("cases")
KEYWORDS = frozenset(
    ("NAME", "PROG", "EXPECT", "MATCH", "WARN", "ERROR", "STDERR", "ABSENT", "STATUS", "ARGS", "PARAMS", "ENV", "PEER")
)


class Case:
    """One paragraph. `lines` holds the texts of each keyword."""

    def __init__(self, file: str, number: int) -> None:
        self.place = f"{file}:{number}"
        self.lines: dict[str, list[str]] = {}

    def add(self, keyword: str, text: str) -> None:
        self.lines.setdefault(keyword, []).append(text)

    def all(self, keyword: str) -> list[str]:
        return self.lines.get(keyword, [])

    @property
    def name(self) -> str:
        return self.all("NAME")[0]

    @property
    def program(self) -> str:
        return "\n".join(self.all("PROG"))

    def words(self, keyword: str) -> list[str]:
        return [word for line in self.all(keyword) for word in shlex.split(line)]

    @property
    def environment(self) -> dict[str, str]:
        return dict(word.split("=", 1) for word in self.words("ENV"))

    @property
    def status(self) -> int:
        given = self.all("STATUS")
        return int(given[0]) if given else 1 if self.all("ERROR") else 0

    @property
    def peer(self) -> bool:
        return bool(self.all("PEER"))


def read_file(path: Path) -> list[Case]:
    cases: list[Case] = []
    case: Case | None = None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("#"):
            continue
        if not line.strip():
            case = None
            continue
        keyword, _, text = line.partition(" ")
        assert keyword in KEYWORDS, f"{path.name}:{number}: {keyword!r} is no keyword of a case"
        if case is None:
            case = Case(path.name, number)
            cases.append(case)
        case.add(keyword, text)
    for case in cases:
        assert "NAME" in case.lines and "PROG" in case.lines, f"{case.place}: NAME and PROG are needed"
    return cases


def read_all(pattern: str = "*.txt") -> list[Case]:
    return [case for path in sorted(FOLDER.glob(pattern)) for case in read_file(path)]
