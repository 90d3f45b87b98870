"""Reads `cases/*.txt`: programs in assembly that are nearly valid, for both verifiers to judge.

A case begins with ``=== name``. Lines that begin with a dot tell what the program is::

    .type xdp                           the program's type
    .attach XDP_DEVMAP                  its attach type;  .to sched_switch: the function it is for
    .license MIT                        GPL else;  .flags sleepable strict test_state
    .map m hash 4 48 8                  name, type, key and value bytes, entries, and words such as flags=0x400
    .map m array 4 v_lock 1             a structure of the type kit as the value
    .map m array_of_maps 4 4 4 inner=n  n is another map
    .func label proto                   the function that begins at a label has that prototype (typekit)
    .main proto                         and the program itself

All others are instructions as `cygnet asm` takes them, and ``rN = map NAME``, ``rN = value NAME+OFF``,
``rN = kernel VARIABLE``, ``rN = func LABEL``, ``rN = type STRUCTURE`` and ``kfunc NAME``. ``{a ~ b ~ c}`` are
alternatives: the case is many programs, one for each choice; ``$$`` is the end of a line.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.verifier.typekit import kit

from cygnet.facts.helpers import helper
from cygnet.facts.maptypes import map_type
from cygnet.isa.asm import assemble_source
from cygnet.isa.encode import encode
from cygnet.source import Source
from cygnet.spec.objects import MapSpec
from cygnet.verifier.program import ProgramSpec

FOLDER = Path(__file__).with_name("cases")
MOST = 600  # programs of one case; of more, so many are drawn
_LOAD = re.compile(r"(r\d+) = (map|value|kernel|func|type) ([\w.]+)(?:\+(\d+))?$")
_FLAGS = {"strict": 1, "any": 2, "test_state": 8, "sleepable": 16, "frags": 32, "invariants": 128}
_MAGIC = 0x7EAD0000
Slots = tuple[int, int, int, int, int]


class Case:
    """One program: `name` is the case's with the numbers of its choices."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self.name = name
        self.lines = lines

    def spec(self, kernel: Any) -> ProgramSpec:
        """Build it; `kernel` is the kernel's BTF, for kfuncs and variables."""
        return _Build(self, kernel).spec()


def expand(name: str, text: str) -> Iterator[Case]:
    """Every program of a case."""
    texts = list(itertools.islice(_choices(text), MOST + 1))
    if len(texts) > MOST:
        rng = random.Random(name)
        texts = sorted({_chosen(text, rng) for _ in range(MOST)})
    for number, out in enumerate(texts):
        lines = [line.strip() for line in out.replace("$$", "\n").splitlines() if line.strip()]
        yield Case(f"{name} [{number}]", lines)


def _choices(text: str) -> Iterator[str]:
    """The text with each choice of its alternatives, which may hold others."""
    start = text.find("{")
    if start < 0:
        yield text
        return
    parts, begin = _parts(text, start)
    for tail in _choices(text[begin:]):
        for part in parts:
            for inner in _choices(part):
                yield text[:start] + inner + tail


def _chosen(text: str, rng: random.Random) -> str:
    """The text with some choice; the first alternative is the likeliest, and best a right one."""
    start = text.find("{")
    if start < 0:
        return text
    parts, begin = _parts(text, start)
    return (
        text[:start] + _chosen(parts[0] if rng.random() < 0.5 else rng.choice(parts), rng) + _chosen(text[begin:], rng)
    )


def _parts(text: str, start: int) -> tuple[list[str], int]:
    """The alternatives that begin at `start`, and where they end."""
    depth, at, parts, begin = 0, start, [], start + 1
    while True:
        char = text[at]
        depth += (char == "{") - (char == "}")
        if (char == "~" and depth == 1) or depth == 0:
            parts.append(text[begin:at].strip())
            begin = at + 1
            if depth == 0:
                break
        at += 1
    return parts, begin


def read(pattern: str = "*.txt") -> Iterator[Case]:
    for path in sorted(FOLDER.glob(pattern)):
        seen: set[str] = set()
        for chunk in ("\n" + path.read_text()).split("\n=== ")[1:]:
            name, _, text = chunk.partition("\n")
            assert name not in seen, f"{path.name}: two cases are called {name!r}"
            seen.add(name)
            text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
            yield from expand(f"{path.stem}: {name}", text)


_helpers: dict[str, int] = {}


def _helper_id(name: str) -> int | None:
    if not _helpers:
        for number in range(1, 212):
            try:
                _helpers[helper(number).name] = number
            except KeyError:
                continue
    return _helpers.get(name)


class _Build:
    def __init__(self, case: Case, kernel: Any) -> None:
        self.case, self.kernel = case, kernel
        self.type, self.attach, self.to, self.license, self.flags = "socket_filter", "", "", "GPL", 0
        self.maps: dict[str, MapSpec] = {}
        self.loads: list[tuple[str, str, int]] = []
        self.funcs: dict[str, str] = {}
        self.main = ""
        self.body: list[str] = []

    def spec(self) -> ProgramSpec:
        for line in self.case.lines:
            if line.startswith(".") and not line.startswith(".insn"):
                word, _, rest = line[1:].partition(" ")
                getattr(self, f"on_{word}")(rest.strip())
            else:
                self.body.append(self._line(line))
        made = assemble_source(Source(self.case.name, "\n".join(self.body)), _helper_id)
        insns, maps = self._patched([(insn.code, insn.dst, insn.src, insn.off, insn.imm) for insn in made.insns])
        info = self._func_info(made.labels)
        return ProgramSpec(
            self.type, encode(insns), self.case.name, self.attach, self.flags, maps, kit().data if info else None,
            license=self.license, attach_to=self.to, func_info=info,
        )  # fmt: skip

    def on_type(self, text: str) -> None:
        self.type = text

    def on_attach(self, text: str) -> None:
        self.attach = text

    def on_to(self, text: str) -> None:
        self.to = text

    def on_license(self, text: str) -> None:
        self.license = text

    def on_main(self, text: str) -> None:
        self.main = text

    def on_flags(self, text: str) -> None:
        self.flags = sum(_FLAGS[word] for word in text.split())

    def on_func(self, text: str) -> None:
        label, proto = text.split()
        self.funcs[label] = proto

    def on_map(self, text: str) -> None:
        name, kind, key, value, entries, *words = text.split()
        more: dict[str, Any] = {}
        for word in words:
            what, _, given = word.partition("=")
            if what == "inner":
                more["inner"] = self.maps[given]
            elif what == "data":
                more["data"] = bytes.fromhex(given)
            elif what == "frozen":
                more["frozen"] = True
            else:
                more[what] = int(given, 0)
        size = int(value) if value.isdigit() else kit().sizes[value]
        if not value.isdigit():
            more.update(btf=kit().data, value_type_id=kit().structs[value])
        self.maps[name] = MapSpec(name, map_type(kind).id, int(key), size, int(entries), **more)

    def _line(self, line: str) -> str:
        found = _LOAD.match(line)
        if found is not None:
            if found[2] == "type":
                self.main = self.main or "main"
                return f"{found[1]} = {kit().structs[found[3]]}"
            self.loads.append((found[2], found[3], int(found[4] or 0)))
            if found[2] == "func":
                return f"{found[1]} = subprog[{found[3]}]"
            return f"{found[1]} = {_MAGIC + len(self.loads) - 1:#x} ll"
        if line.startswith("kfunc "):
            from cygnet.btf.kinds import FUNC

            func = self.kernel.find(line[6:].strip(), FUNC)
            assert func is not None, f"{self.case.name}: no {line}"
            return f".insn 0x85, 0, 2, 0, {func.id}"
        return line

    def _patched(self, insns: list[Slots]) -> tuple[list[Slots], dict[int | str, MapSpec]]:
        maps: dict[int | str, MapSpec] = {}
        for at, (code, dst, src, off, imm) in enumerate(insns):
            if code != 0x18 or src or imm & 0xFFFF0000 != _MAGIC:
                continue
            kind, name, offset = self.loads[imm & 0xFFFF]
            if kind == "kernel":
                from cygnet.btf.kinds import VAR

                insns[at] = (code, dst, 3, off, self.kernel.find(name, VAR).id)
                insns[at + 1] = (0, 0, 0, 0, 0)
                continue
            maps[at] = self.maps[name]
            insns[at] = (code, dst, 1 if kind == "map" else 2, off, 0)
            insns[at + 1] = (0, 0, 0, 0, offset)
        return insns, maps

    def _func_info(self, labels: dict[str, int]) -> bytes:
        import struct

        if not self.funcs and not self.main:
            return b""
        rows = [(0, kit().funcs[self.main or "main"])]
        rows += [(labels[label], kit().funcs[proto]) for label, proto in self.funcs.items()]
        return b"".join(struct.pack("<II", *row) for row in sorted(rows))
