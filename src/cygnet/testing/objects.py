"""Objects from assembly text: a program, the maps it names, and a source line for every instruction."""

from __future__ import annotations

from cygnet.errors import SourceError
from cygnet.facts.helpers import helper_id
from cygnet.facts.progtypes import program_type, program_types
from cygnet.isa.asm import assemble_source
from cygnet.isa.encode import encode
from cygnet.source import Source
from cygnet.spec.objects import FuncInfo, LineInfo, MapSpec, ObjectSpec, ProgramSpec
from cygnet.spec.relocs import MAP, MAP_VALUE, Reloc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cygnet.isa.asm import Assembled

_LDDW = 0x18
_BY_INDEX, _VALUE_BY_INDEX = 5, 6
_CALL, _LOCAL, _FUNCTION = 0x85, 1, 4


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

    `path` is the file that coverage reports speak of. AsmError for text that is not understood, ValueError for a type
    or a map that there is not.
    """
    assembled = _assembled(Source(path or name, text))
    insns = assembled.insns
    relocs: list[Reloc] = []
    for slot, insn in enumerate(insns):
        if insn.code == _LDDW and insn.src in (_BY_INDEX, _VALUE_BY_INDEX):
            kind = MAP if insn.src == _BY_INDEX else MAP_VALUE
            if not 0 <= insn.imm < len(maps):
                raise ValueError(f"the text names map {insn.imm}, and {len(maps)} maps were given, counted from 0")
            relocs.append(Reloc(slot, kind, maps[insn.imm].name, "imm64", insns[slot + 1].imm or None))
    made = ProgramSpec(
        name, _type(type), encode(insns), tuple(relocs), _functions(name, assembled), _lines(text, len(insns)), license,
        source=path,
    )  # fmt: skip
    return ObjectSpec(programs=(made,), maps=tuple(maps))


def _assembled(source: Source) -> Assembled:
    """The instructions; errors have a note for each place, which pytest shows."""
    try:
        return assemble_source(source, helper_id)
    except SourceError as error:
        for one in getattr(error, "errors", (error,)):
            if one.span is not None:
                line, col = source.line_col(one.span.start)
                words = source.text.splitlines()[line - 1].strip()
                error.add_note(f"{source.name}:{line}:{col}: {one.message}: {words}")
        raise


def _type(name: str) -> int:
    try:
        return program_type(name).id
    except KeyError:
        from difflib import get_close_matches

        names = [row.name for row in program_types()]
        near = get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]}?" if near else ", ".join(names)
        raise ValueError(f"there is no program type {name!r}: {hint}") from None


def _functions(name: str, assembled: Assembled) -> tuple[FuncInfo, ...]:
    """Where the functions begin that are called, or whose address is taken: the kernel wants to know of callbacks."""
    starts: dict[int, str] = {}
    labels = {slot: label for label, slot in assembled.labels.items()}
    for slot, insn in enumerate(assembled.insns):
        at = slot + 1 + insn.imm
        if (insn.code, insn.src) in ((_CALL, _LOCAL), (_LDDW, _FUNCTION)) and at > 0:
            starts[at] = labels.get(at, f"function_{at}")
    if not starts:
        return ()
    return FuncInfo(0, name, "main"), *(FuncInfo(at, starts[at], "callback") for at in sorted(starts))


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
