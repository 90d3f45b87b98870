"""A verifier's log, freed from what loaders, terminals and journals wrapped around it."""

from __future__ import annotations

import re

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# journald and syslog: "Jan 02 03:04:05 host tool[123]: "; dmesg: "[  123.456] "
_STAMP = re.compile(
    r"^(?:[A-Z][a-z]{2} +\d+ [\d:]{8} \S+ \S+?(?:\[\d+\])?: |\d{4}-\d\d-\d\dT\S+ \S+ \S+?: |\[ *\d+\.\d+\] )"
)
_LOADER = re.compile(r"^(?:libbpf|libxdp|bpftool|bpf|bcc|INFO|WARN|ERROR)(?:\[\d+\])?: ?", re.IGNORECASE)
_BEGIN = re.compile(r"BEGIN PROG LOAD LOG")
_END = re.compile(r"END PROG LOAD LOG")
_PROGRAM = re.compile(r"prog(?:ram)? '([^']+)'(?=.*(?:load|BPF))")
_BULLET = re.compile(r"^(?:\s*[|>│]\s|\t+)")
_HEAD = re.compile(
    r"^(?:\d+: (?:\([0-9a-f]{2}\)|R\d|R10)|; |func#\d+ @|from \d+ to \d+|arg#\d|processed \d+ insns|R\d+[ (=])"
)
_TOOL = re.compile(r"^(?:Error|Warning|Failed|failed|Traceback|load program|sudo |[$#] |  File |Exception|field \w+: )")
_MOST_LINES = 200_000


class Section:
    """The log of one program; `program` is its name, where the wrapping tells."""

    __slots__ = ("lines", "program")

    def __init__(self, program: str, lines: list[str]) -> None:
        self.program = program
        self.lines = lines

    def text(self) -> str:
        return "\n".join(self.lines)


def sections(text: str) -> list[Section]:
    """The logs in a text, each freed of its wrapping; none when there is nothing like a log in it."""
    lines = [_bare(line) for line in text.splitlines()[-_MOST_LINES:]]
    found = _marked(lines)
    if not found:
        found = _unmarked(lines)
    return [section for section in found if any(line.strip() for line in section.lines)]


def _bare(line: str) -> str:
    """Without colours, time stamps, a quoting mark in front; a loader's prefix goes too."""
    line = _COLOUR.sub("", line).rstrip("\r\n")
    line = _STAMP.sub("", line)
    line = _BULLET.sub("", line)
    return line


def _marked(lines: list[str]) -> list[Section]:
    """Between libbpf's marks."""
    found: list[Section] = []
    program, inside = "", None
    for line in lines:
        named = _PROGRAM.search(line)
        if inside is None and named is not None:
            program = named[1]
        if _BEGIN.search(line):
            inside = Section(program, [])
        elif _END.search(line) and inside is not None:
            found.append(inside)
            inside = None
        elif inside is not None:
            inside.lines.append(_LOADER.sub("", line))
    if inside is not None:  # cut off
        found.append(inside)
    return found


def _unmarked(lines: list[str]) -> list[Section]:
    """From the first line that looks like a log's on. What a tool said before it is dropped."""
    program = next((named[1] for named in map(_PROGRAM.search, lines) if named is not None), "")
    lines = [_LOADER.sub("", line) for line in lines]
    begin = _beginning(lines)
    return [] if begin < 0 else _split(program, [line for line in lines[begin:] if not _TOOL.match(line)])


def _beginning(lines: list[str]) -> int:
    """The index of the first line, or -1. A program may be refused with a reason and statistics alone."""
    from cygnet.verifier.explaining.kinds import known

    heads = [at for at, line in enumerate(lines) if _HEAD.match(line)]
    if heads and not lines[heads[0]].startswith("processed "):
        return heads[0]
    if heads:
        return max(heads[0] - 12, 0)
    return next((at for at, line in enumerate(lines) if known(line)), -1)


def _split(program: str, lines: list[str]) -> list[Section]:
    """One section for each verification: statistics end one."""
    found = [Section(program, [])]
    for line in lines:
        if found[-1].lines and found[-1].lines[-1].startswith("processed "):
            if not _HEAD.match(line) or line.startswith("processed "):
                continue
            found.append(Section(program, []))
        found[-1].lines.append(line)
    return found
