"""One refusal to be explained: the path, what is known of the program, and names for what it speaks of."""

from __future__ import annotations

import re

from cygnet.verifier.explaining import origins
from cygnet.verifier.explaining.kinds import Match
from cygnet.verifier.explaining.origins import Link
from cygnet.verifier.explaining.trail import Step, Trail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_ASSIGNED = re.compile(r"(?:^|[\s(*;{])([A-Za-z_]\w*)\s*=(?!=)")
_USED = re.compile(r"([A-Za-z_]\w*)\s*(?:->|\[)|\*\s*([A-Za-z_]\w*)\b")
_TRACED = re.compile(r"\$\w+|@\w*(?:\[[^\]]*\])?")
_ASM = (".s", ".asm")
_NOT_VARIABLES = frozenset("if while for return sizeof int u8 u16 u32 u64 s32 s64 long void struct char __u32".split())


class Place:
    """Where in a person's text. `line` counts from 1; `column` to `end` are the part of `text` in question, from 1."""

    __slots__ = ("column", "end", "file", "line", "text")

    def __init__(self, file: str, line: int, text: str, column: int = 0, end: int = 0) -> None:
        self.file = file
        self.line = line
        self.text = text
        self.column = column
        self.end = end

    def __str__(self) -> str:
        head = self.file or "the program"
        return f"{head}:{self.line}" + (f":{self.column}" if self.column else "") if self.line else head


class Note:
    """A step of the way to the refusal. `role` is cause, step, branch or missing."""

    __slots__ = ("insn", "place", "role", "text")

    def __init__(self, role: str, text: str, insn: int | None, place: Place | None) -> None:
        self.role = role
        self.text = text
        self.insn = insn
        self.place = place


class About:
    """What is known of the program beside the log. All of it may be missing."""

    __slots__ = ("kernel", "source", "spec", "type")

    def __init__(self, type: str = "", spec: Any = None, source: Any = None, kernel: str = "6.18") -> None:
        self.type = type
        self.spec = spec
        self.source = source  # a cygnet.source.Source
        self.kernel = kernel


class Case:
    """`at` is the index of the step that is refused (or the number of steps), `insn` its instruction or None.

    An explanation fills in `kind`, `reason` (a sentence), `path`, `lead` and `fix` (what to write instead), `more`.
    """

    def __init__(self, trail: Trail, match: Match, about: About, insn: int | None) -> None:
        self.trail = trail
        self.match = match
        self.about = about
        self.kind = match.kind
        self.insn = insn
        self.at = self._find(insn)
        self.dialect = self._dialect()
        self.reason = ""
        self.path: list[Note] = []
        self.lead = ""
        self.fix: list[str] = []
        self.more: list[str] = []

    def _find(self, insn: int | None) -> int:
        steps = self.trail.steps
        if insn is None:
            return len(steps) - 1
        for index in range(len(steps) - 1, -1, -1):
            if steps[index].insn == insn:
                return index
        return len(steps)

    def _dialect(self) -> str:
        """``asm``, ``c`` or ``trace``: what a suggestion is written in."""
        place = self.place_of(self.insn)
        name = place.file if place is not None else ""
        if name.endswith(".bt") or name == "stdin":
            return "trace"
        return "asm" if place is None or name.endswith(_ASM) or _is_insn(place.text) else "c"

    # -- the refused instruction

    @property
    def step(self) -> Step | None:
        return self.trail.steps[self.at] if 0 <= self.at < len(self.trail.steps) else None

    @property
    def reg(self) -> int:
        """The register that the reason speaks of: named in it, or the base of the access, or -1."""
        number = self.match.number("reg", "r2", "r3", "r4", "r5", "r6", "reg2")
        if number is not None:
            return number
        step = self.step
        found = re.search(r"\bR(\d+)\b", self.match.line)
        if found is not None:
            return int(found[1])
        return step.mem[0] if step is not None and step.mem is not None else -1

    @property
    def size(self) -> int:
        """Bytes of the refused access, 0 when it is none."""
        size = self.match.number("size", "size2", "ssize")
        if size is not None:
            return size
        return self.step.mem[2] if self.step is not None and self.step.mem is not None else 0

    def value(self, reg: int) -> str:
        """The register before the refused instruction, as the log tells it."""
        return self.trail.value(self.at, f"R{reg}") if reg >= 0 else ""

    def chain(self, reg: int) -> list[Link]:
        return origins.chain(self.trail, self.at, reg) if reg >= 0 else []

    # -- places

    def place_of(self, insn: int | None) -> Place | None:
        """Where an instruction stems from: by the program's own lines, or by what the log quotes."""
        if insn is None:
            return None
        spec = self.about.spec
        if spec is not None and spec.lines:
            return self._known_place(spec, insn)
        for step in self.trail.steps:
            if step.insn == insn and step.source is not None:
                quoted = step.source
                return Place(quoted.file, quoted.line, quoted.text)
        return None

    def _known_place(self, spec: Any, insn: int) -> Place | None:
        found = None
        for line in spec.lines:
            if line.insn > insn:
                break
            found = line
        if found is None:
            return None
        source = self.about.source
        if source is None or not source.text:
            name = spec.source if isinstance(spec.source, str) else getattr(spec.source, "name", "")
            return Place(name or "", found.line, found.text.strip())
        row, column = source.line_col(found.start)
        text = source.line_text(row)
        end = min(len(text) + 1, column + max(found.end - found.start, 1))
        return Place(source.name, row, text, column, end)

    def cite(self, at: int) -> str:
        """``line 4`` or ``instruction 7``, of a step."""
        if at < 0:
            return "the beginning"
        insn = self.trail.steps[at].insn
        place = self.place_of(insn)
        own = self.place_of(self.insn)
        if place is None or not place.line:
            return f"instruction {insn}"
        if own is not None and place.file != own.file:
            return f"{place.file}:{place.line}"
        return f"line {place.line}"

    def note(self, role: str, text: str, at: int) -> None:
        """A note on a step; -1 is before the first."""
        insn = self.trail.steps[at].insn if 0 <= at < len(self.trail.steps) else None
        self.path.append(Note(role, text, insn, self.place_of(insn)))

    def note_insn(self, role: str, text: str, insn: int | None) -> None:
        """A note on an instruction that was not followed."""
        self.path.append(Note(role, text, insn, self.place_of(insn)))

    def code(self, at: int) -> str:
        """A step in the person's words: the source line where there is one, else the instruction."""
        step = self.trail.steps[at]
        place = self.place_of(step.insn)
        if place is None or not place.text.strip():
            return step.text
        if place.column:
            return place.text[place.column - 1 : place.end - 1].strip()
        return place.text.strip()

    # -- names

    def variable(self, links: Sequence[Link], reg: int) -> str:
        """What the person calls the value: a variable of C, a ``$x`` or ``@map`` of the tracing language, or ""."""
        if self.dialect == "asm":
            return ""
        pattern = _TRACED if self.dialect == "trace" else _ASSIGNED
        if self.dialect == "trace" and self.step is not None:  # its spans are expressions: the nearest says most
            found = pattern.search(self.code(self.at))
            if found is not None:
                return found[0]
        for link in links:
            if link.at >= 0 and link.what in ("call", "load", "move", "alu", "map", "constant"):
                found = pattern.search(self.code(link.at))
                if found is not None and found.groups() and found[1] not in _NOT_VARIABLES:
                    return found[1]
                if found is not None and not found.groups():
                    return found[0]
        used = _USED.search(self.code(self.at)) if self.step is not None and self.dialect == "c" else None
        name = (used[1] or used[2] or "") if used is not None else ""
        return "" if name in _NOT_VARIABLES else name

    def name(self, reg: int, links: Sequence[Link] | None = None) -> str:
        """``v (r6)``, or ``r6`` alone."""
        if reg < 0:
            return "it"
        variable = self.variable(self.chain(reg) if links is None else links, reg)
        return f"{variable} (r{reg})" if variable else f"r{reg}"

    def short(self, reg: int, links: Sequence[Link] | None = None) -> str:
        """The variable, or the register: for code."""
        return self.variable(self.chain(reg) if links is None else links, reg) or f"r{reg}"

    def origin(self, links: Sequence[Link]) -> str:
        """Half a sentence on where a value comes from: ``the result of bpf_map_lookup_elem at line 4``."""
        if not links:
            return ""
        last = links[-1]
        where = self.cite(last.at)
        if last.what == "call":
            step = self.trail.steps[last.at]
            return f"the result of {step.helper or 'a function of the program'} at {where}"
        if last.what == "load":
            return f"{self.loaded(last.at)} at {where}"
        if last.what == "entry":
            if last.reg == 1:
                return "the context, which the program gets in r1"
            return "the frame pointer" if last.reg == 10 else f"what the caller left in r{last.reg}"
        if last.what == "clobber":
            return f"lost in the call of {self.trail.steps[last.at].helper or 'a function'} at {where}"
        if last.what == "none":
            return "never set on this path"
        return f"set at {where}: `{self.code(last.at)}`"

    def loaded(self, at: int) -> str:
        """What a load reads: ``read from the context (data_end)``."""
        step = self.trail.steps[at]
        if step.mem is None:
            return "read from memory"
        base, offset, _ = step.mem
        text = self.trail.value(at, f"R{base}")
        if text.startswith("ctx"):
            return f"read from the context ({self.field(offset)})"
        if text.startswith("fp"):
            return f"read from the stack ({text} {offset:+d})"
        kind = text.partition("(")[0]
        return f"read from {_KINDS.get(kind, kind or 'memory')}"

    def field(self, offset: int) -> str:
        """A context's byte as its field's name, where the program's type is known."""
        row = self.context_field(offset)
        return row.name if row is not None else f"byte {offset}"

    def context_field(self, offset: int) -> Any:
        from cygnet.facts.contexts import field_at

        structure = self.context
        if not structure:
            return None
        try:
            return field_at(structure, offset)
        except KeyError:
            return None

    @property
    def context(self) -> str:
        """The structure of the program's context, or ""."""
        from cygnet.facts.progtypes import program_type

        try:
            return program_type(self.about.type).context if self.about.type else ""
        except KeyError:
            return ""


_KINDS = {
    "map_value": "a map's value", "pkt": "the packet", "map_key": "a map's key", "mem": "memory", "fp": "the stack",
    "ctx": "the context", "scalar": "an address",
}  # fmt: skip


def _is_insn(text: str) -> bool:
    """Does a source line look like an instruction of the assembler?"""
    return re.match(r"\s*(?:\w+:\s*)?(?:[rw]\d+ |\*\(u|if [rw]\d|goto |call |exit|lock )", text) is not None


def parsed(value: str) -> tuple[str, dict[str, str]]:
    """``map_value(off=0,ks=4)`` as its kind and its fields; ``smin=umin=5`` gives both."""
    kind, bracket, rest = value.partition("(")
    fields: dict[str, str] = {}
    if not bracket:
        return kind, fields
    for part in re.split(r",(?![^(]*\))", rest.rstrip(")")):
        *names, last = part.split("=")
        for name in names:
            fields[name.strip()] = last
    return kind, fields


def number(text: str | None) -> int | None:
    if not text:
        return None
    try:
        return int(text.lstrip("P"), 0)
    except ValueError:
        return None


def signed(value: int) -> int:
    """A 64-bit pattern that the log prints in hexadecimal, as a signed number."""
    return value - (1 << 64) if value >= 1 << 63 else value
