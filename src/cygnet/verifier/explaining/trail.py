"""A log's lines as a path: instructions in the order they were followed, with the state that each left."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_INSN = re.compile(r"^\s*(\d+): \(([0-9a-f]{2})\) (.*)$")
_STATE = re.compile(r"^\s*(\d+): ((?:frame\d+: ?)?(?:[RrP]\d|fp-|refs=|$).*)$")
_FROM = re.compile(r"^\s*from (\d+) to (\d+): ?(.*)$")
_SOURCE = re.compile(r"^; (.*?)(?: @ (\S+?):(\d+))?$")
_EFFECT = re.compile(r"\s*; (?=(?:frame\d+:|[RrP]\d|fp-\d|refs=|cb\b|async_cb\b))")
_VALUE = re.compile(r"\b(R\d+|fp-\d+)(?:_[a-z]+)?=")
_STATE_COMMENT = re.compile(r"^; (?:frame\d+: ?)?(?:R\d+(?:_\w+)?=|fp-\d)")
_STATE_ALONE = re.compile(r"^(?:frame\d+: ?)?(?:R\d+(?:_\w+)?=|fp-\d+(?:_\w+)?=)")
_SAFE = re.compile(r"^(?:\d+: )?safe$")
_FRAME = re.compile(r"^frame(\d+):")
_STATISTICS = ("processed ", "verification time", "stack depth ", "mark_precise", "max_states ", "insns processed")
_NOISE = (*_STATISTICS, "last_idx ", "regs=", "cur state:", "old state:", "parent ", "first_idx", "func#", "Live regs",
          "caller:", "callee:", "returning from callee", "to caller at", "propagating ", "BPF_CORE", "Func#",
          "Validating ", "subprog ", "verifier stats", "-- ", "insn_idx", "falling ")  # fmt: skip
_NUMBER = r"[+-]?(?:0x[0-9a-f]+|\d+)"
_MEM = re.compile(rf"\*\((\w+) ?\*\)\(([rw])(\d+) ?({_NUMBER})?\)")
_SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "s8": 1, "s16": 2, "s32": 4}
_REG = re.compile(r"\b[rw](\d+)\b")
_CALL = re.compile(r"^call (?:([A-Za-z_]\w*)#(-?\d+)|pc([+-]\d+)|(?:unknown|kernel-function)?#?(-?\d+)?)")


class Source:
    """A source line that the log quotes. `file` and `line` are "" and 0 where it does not say."""

    __slots__ = ("file", "line", "text")

    def __init__(self, text: str, file: str = "", line: int = 0) -> None:
        self.text = text
        self.file = file
        self.line = line


class Step:
    """One instruction that was followed. `after` is what the log tells of registers and slots behind it.

    `dst` and `src` are registers or -1; `mem` is (register, offset, bytes) of what it reads or writes; `call` the name
    of what it calls (``pc`` for a function of the program).
    """

    __slots__ = ("after", "call", "cls", "code", "dst", "frame", "full", "insn", "mem", "source", "src", "text")

    def __init__(self, insn: int, code: int, text: str) -> None:
        self.insn = insn
        self.code = code
        self.cls = code & 7
        self.text = text
        self.after: dict[str, str] = {}
        self.full: dict[str, str] = {}  # the whole state before it, where the log printed that
        self.frame = 0
        self.source: Source | None = None
        self.dst = self.src = -1
        self.mem: tuple[int, int, int] | None = None
        self.call = ""
        self._parse()

    def __repr__(self) -> str:
        return f"<{self.insn}: {self.text}>"

    def _parse(self) -> None:
        registers = [int(number) for number in _REG.findall(self.text)]
        found = _MEM.search(self.text)
        if found is not None:
            self.mem = (int(found[3]), int(found[4] or "0", 0), _SIZES.get(found[1], 0))
        if self.cls == 1 or (self.cls == 0 and self.code == 0x18):
            self.dst = registers[0] if registers else -1
        elif self.cls in (4, 7):
            self.dst = registers[0] if registers else -1
            self.src = registers[1] if len(registers) > 1 else -1
            if self.src < 0 and self.code & 0xF0 in (0x80, 0xD0):
                self.src = self.dst
        elif self.cls in (2, 3):
            self._parse_store(registers)
        elif self.cls in (5, 6):
            self._parse_jump(registers)
        elif self.cls == 0:
            self.dst = 0

    def _parse_store(self, registers: list[int]) -> None:
        base = self.mem[0] if self.mem is not None else registers[0] if registers else -1
        if self.cls == 3 and registers:
            self.src = registers[-1]
        if "_fetch" in self.text or "xchg" in self.text or "load_acquire" in self.text:
            self.dst = registers[0]
        if self.mem is None:
            self.mem = (base, 0, 0)

    def _parse_jump(self, registers: list[int]) -> None:
        if self.code & 0xF0 == 0x80:
            found = _CALL.match(self.text)
            self.call = "pc" if found is None or found[3] else found[1] or f"#{found[2] or found[4]}"
            self.dst = 0
        elif registers:
            self.src = registers[0]  # what it tests

    @property
    def is_move(self) -> bool:
        return self.cls in (4, 7) and self.code & 0xF0 == 0xB0

    @property
    def is_branch(self) -> bool:
        return self.cls in (5, 6) and self.code & 0xF0 not in (0x80, 0x90, 0x00)

    @property
    def is_exit(self) -> bool:
        return self.cls == 5 and self.code & 0xF0 == 0x90

    @property
    def helper(self) -> str:
        """The helper or kernel function it calls; "" when it calls none."""
        return self.call if self.call and self.call != "pc" else ""

    @property
    def writes(self) -> int:
        """The register it gives a value, or -1."""
        return self.dst if self.cls not in (5, 6) or self.call else -1


class Trail:
    """The path to the refusal, and the lines that say why. `processed` is 0 where the log does not tell."""

    __slots__ = ("accepted", "processed", "reason", "steps")

    def __init__(self, steps: list[Step], reason: list[str], processed: int) -> None:
        self.steps = steps
        self.reason = reason
        self.processed = processed
        self.accepted = not reason

    def value(self, at: int, name: str) -> str:
        """What the log last told of a register or slot (``R1``, ``fp-8``) before step `at` did its work."""
        steps = self.steps
        frame = steps[at].frame if at < len(steps) else 0
        if at < len(steps) and name in steps[at].full:
            return steps[at].full[name]
        written = int(name[1:]) if name[0] == "R" else -1
        for index in range(at - 1, -1, -1):
            step = steps[index]
            after = steps[index + 1].frame if index + 1 < len(steps) else frame
            if name in step.after and after == frame:
                return step.after[name]
            if step.frame == frame and written >= 0 and (step.writes == written or (step.call and 1 <= written <= 5)):
                return ""
            if step.frame == frame and name in step.full:
                return step.full[name]
        return ""


def parse(lines: Sequence[str]) -> Trail:
    """The trail of a section of a log."""
    return _Parser().run(lines)


def values(text: str) -> dict[str, str]:
    """``R0=map_value(off=0,ks=4) fp-8=mmmm`` as a dictionary; parentheses may nest."""
    found: dict[str, str] = {}
    marks = list(_VALUE.finditer(text))
    depth_end = 0
    for mark in marks:
        if mark.start() < depth_end:
            continue  # inside another one's parentheses
        at, depth = mark.end(), 0
        while at < len(text) and (depth or text[at] != " "):
            depth += (text[at] == "(") - (text[at] == ")")
            at += 1
        found[mark[1]] = text[mark.end() : at]
        depth_end = at
    return found


class _Parser:
    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.reason: list[str] = []
        self.source: Source | None = None
        self.full: dict[str, str] = {}
        self.frame = -1  # the next instruction's, where a state line told it
        self.processed = 0

    def run(self, lines: Sequence[str]) -> Trail:
        for line in lines:
            self._line(line)
        return Trail(self.steps, self.reason, self.processed)

    def _line(self, line: str) -> None:
        found = _INSN.match(line)
        if found is not None:
            self._insn(int(found[1]), int(found[2], 16), found[3])
            return
        found = _FROM.match(line)
        if found is not None:
            self._from(int(found[1]), found[3])
            return
        found = _STATE.match(line)
        if found is not None:
            self._state(found[2])
        elif line.startswith(";"):
            self._quoted(line)
        else:
            self._other(line.strip())

    def _insn(self, insn: int, code: int, rest: str) -> None:
        effect = _EFFECT.search(rest)
        step = Step(insn, code, (rest if effect is None else rest[: effect.start()]).rstrip())
        step.source = self.source
        step.frame = self.frame if self.frame >= 0 else self._frame_of(insn)
        step.full, self.full, self.frame = self.full, {}, -1
        if effect is not None:
            step.after = values(rest[effect.end() :])
        self.steps.append(step)
        self.reason = []

    def _frame_of(self, insn: int) -> int:
        """Calls go in, exits come back; a callback is another place than the one behind the helper's call."""
        if not self.steps:
            return 0
        last = self.steps[-1]
        if last.call == "pc" or (last.helper and insn not in (last.insn, last.insn + 1)):
            return last.frame + 1
        return max(last.frame - 1, 0) if last.is_exit else last.frame

    def _from(self, insn: int, rest: str) -> None:
        """Another branch is taken up: what was followed behind the jump belongs to the one before."""
        for index in range(len(self.steps) - 1, -1, -1):
            if self.steps[index].insn == insn:
                del self.steps[index + 1 :]
                break
        self.reason = []
        if rest != "safe":
            self._state(rest)

    def _state(self, text: str) -> None:
        frame = _FRAME.match(text)
        self.frame = int(frame[1]) if frame is not None else 0
        self.full.update(values(text))

    def _quoted(self, line: str) -> None:
        if self.steps and _STATE_COMMENT.match(line):  # older kernels tell the effect in a line of its own
            self.steps[-1].after.update(values(line))
            return
        found = _SOURCE.match(line)
        if found is not None and found[1].strip():
            self.source = Source(found[1].strip(), found[2] or "", int(found[3] or 0))

    def _other(self, line: str) -> None:
        if line.startswith("processed "):
            count = line.split()[1]
            self.processed = int(count) if count.isdigit() else 0
        elif not line or line.startswith(_NOISE) or _STATE_ALONE.match(line):
            return
        elif _SAFE.match(line):
            self.reason = []
        else:
            self.reason.append(line)
