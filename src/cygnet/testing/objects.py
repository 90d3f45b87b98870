"""Objects from assembly text: a program, the maps it names, and a source line for every instruction."""

from __future__ import annotations

from cygnet.facts.helpers import helper_id
from cygnet.facts.progtypes import program_type
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.spec.objects import LineInfo, MapSpec, ObjectSpec, ProgramSpec
from cygnet.spec.relocs import MAP, MAP_VALUE, Reloc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_LDDW = 0x18
_BY_INDEX, _VALUE_BY_INDEX = 5, 6


def assemble_object(
    text: str,
    type: str,
    maps: Sequence[MapSpec] = (),
    *,
    name: str = "program",
    license: str = "GPL",
    path: str = "",
) -> ObjectSpec:
    """An object of one program of a type (``xdp``). Its text names maps by their place: ``r1 = map[idx:0]``.

    `path` is the file that coverage reports speak of. AsmError for text that is not understood.
    """
    insns = assemble(text, helper_id=helper_id)
    relocs: list[Reloc] = []
    for slot, insn in enumerate(insns):
        if insn.code == _LDDW and insn.src in (_BY_INDEX, _VALUE_BY_INDEX):
            kind = MAP if insn.src == _BY_INDEX else MAP_VALUE
            relocs.append(Reloc(slot, kind, maps[insn.imm].name, "imm64", insns[slot + 1].imm or None))
    made = ProgramSpec(
        name, program_type(type).id, encode(insns), tuple(relocs), lines=_lines(text, len(insns)), license=license,
        source=path,
    )  # fmt: skip
    return ObjectSpec(programs=(made,), maps=tuple(maps))


def _lines(text: str, slots: int) -> tuple[LineInfo, ...]:
    """Which line each instruction came from: lines that assemble to something, in order."""
    found: list[LineInfo] = []
    slot = start = 0
    for number, line in enumerate(text.split("\n"), 1):
        size = _slots_of(line)
        if size and slot < slots:
            found.append(LineInfo(slot, number, 1, line.strip(), start, start + len(line)))
        slot += size
        start += len(line) + 1
    return tuple(found) if slot == slots else ()


def _slots_of(line: str) -> int:
    """How many slots a line takes."""
    code = line.partition(";")[0].partition("//")[0].partition("#")[0].strip()
    if ":" in code and code.partition(":")[0].replace("_", "").replace(".", "").isalnum() and "[" not in code:
        code = code.partition(":")[2].strip()
    if not code:
        return 0
    return 2 if code.endswith(" ll") or "map[" in code or "subprog[" in code or "btf[" in code else 1
