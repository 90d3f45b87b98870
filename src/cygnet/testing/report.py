"""Coverage of BPF source lines as text, HTML and lcov."""

from __future__ import annotations

from html import escape
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.machine import Machine, VmProgram

_STYLE = (
    "body{font:14px monospace;margin:2em}td{padding:0 .6em;white-space:pre}"
    ".no{background:#fdd}.yes{background:#dfd}.count{text-align:right;color:#666}"
)


class Text:
    """One source text: its lines, and how often each that has code was executed."""

    __slots__ = ("counts", "lines", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[int, str] = {}
        self.counts: dict[int, int] = {}

    @property
    def covered(self) -> int:
        return sum(count > 0 for count in self.counts.values())

    @property
    def percent(self) -> float:
        """100 for a text without code."""
        return 100 * self.covered / len(self.counts) if self.counts else 100.0


class Report:
    """What all tests executed, by text. Add the machines made with ``coverage=True`` before they are closed."""

    def __init__(self) -> None:
        self.texts: dict[str, Text] = {}

    def add(self, machine: Machine) -> None:
        for program in machine.programs.values():
            self.add_program(program)

    def add_program(self, program: VmProgram) -> None:
        coverage = program.machine.coverage
        if coverage is None or not program.spec.lines:
            return
        name = program.spec.source or program.name
        text = self.texts.setdefault(name, Text(name))
        for info in program.spec.lines:
            text.lines[info.line] = info.text
        for line, count in coverage.lines(program.code).items():
            text.counts[line] = text.counts.get(line, 0) + count

    def __bool__(self) -> bool:
        return bool(self.texts)

    def _source(self, text: Text) -> list[tuple[int, str]]:
        """(number, line): the whole file where it can be read, else the lines that are known."""
        try:
            return list(enumerate(Path(text.name).read_text().splitlines(), 1))
        except (OSError, UnicodeDecodeError):
            return sorted(text.lines.items())

    # ── forms ──

    def text(self) -> str:
        """A table: lines, how many were executed, and which were not."""
        width = max((len(name) for name in self.texts), default=0)
        rows = [f"{'source':{width}}  lines  missed  cover  missing"]
        for name, text in sorted(self.texts.items()):
            missing = [line for line, count in text.counts.items() if not count]
            row = f"{name:{width}}  {len(text.counts):5}  {len(missing):6}  {text.percent:4.0f}%  {_ranges(missing)}"
            rows.append(row.rstrip())
        return "\n".join(rows) + "\n"

    def lcov(self) -> str:
        """An lcov trace file."""
        out: list[str] = []
        for name, text in sorted(self.texts.items()):
            out += [f"SF:{name}", *(f"DA:{line},{count}" for line, count in sorted(text.counts.items()))]
            out += [f"LF:{len(text.counts)}", f"LH:{text.covered}", "end_of_record"]
        return "\n".join(out) + "\n" if out else ""

    def html(self) -> str:
        """One page that needs nothing else."""
        parts = [f"<!doctype html><meta charset=utf-8><title>BPF coverage</title><style>{_STYLE}</style>"]
        for name, text in sorted(self.texts.items()):
            parts.append(
                f"<h2>{escape(name)}: {text.covered} of {len(text.counts)} lines, {text.percent:.0f}%</h2><table>"
            )
            for number, line in self._source(text):
                count = text.counts.get(number)
                kind = "" if count is None else " class=yes" if count else " class=no"
                shown = "" if count is None else str(count)
                cells = f"<td class=count>{number}<td class=count>{shown}<td>{escape(line)}"
                parts.append(f"<tr{kind}>{cells}")
            parts.append("</table>")
        return "\n".join(parts) + "\n"

    def write(self, folder: str | Path) -> list[Path]:
        """coverage.txt, coverage.html and coverage.info into a folder, which is made."""
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        made = {"coverage.txt": self.text(), "coverage.html": self.html(), "coverage.info": self.lcov()}
        for name, content in made.items():
            (place / name).write_text(content)
        return [place / name for name in made]


def _ranges(numbers: list[int]) -> str:
    """``3-5, 9``"""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in found)
