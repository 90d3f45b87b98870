"""Where a program goes: loops, limits, jumps, code that nothing reaches, registers without a value, results, context."""

from __future__ import annotations

import re

from cygnet.verifier.explaining import origins
from cygnet.verifier.explaining.case import Case, number, parsed, signed
from cygnet.verifier.explaining.memory import bounds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


# -- loops and limits


def explain_loop(case: Case) -> None:
    body = _round(case)
    if not body:
        to = case.match.number("to")
        case.reason = "the program jumps back" + (f" to instruction {to}" if to is not None else "")
        if case.match.number("to") is not None:
            case.more.append("Linux before 5.3, and programs without privileges, allow no loops")
        case.lead = "count rounds in a register that is compared with a constant, or use bpf_loop"
        return
    jump = body[-1]
    tested = _tested(case, body)
    written = {case.trail.steps[at].writes for at in body}
    idle = sorted(reg for reg in tested if reg not in written)
    back = f"`{case.code(jump)}` at {case.cite(jump)}"
    if idle:
        names = " and ".join([case.short(reg) for reg in idle])
        case.reason = (
            f"the loop that {back} closes tests {names}, and nothing in it changes {names}: a round ends as it began"
        )
    else:
        case.reason = (
            f"a round of the loop that {back} closes can end in the state that it began with, so it may never end"
        )
    case.note("cause", f"the loop begins: `{case.code(body[0])}`", body[0])
    case.note("branch", f"{back} goes back", jump)
    for reg in idle:
        case.note(
            "missing",
            f"no instruction between {case.cite(body[0])} and {case.cite(jump)} changes {case.short(reg)}",
            jump,
        )
    case.lead = "change the counter in each round, and compare it with a constant; or use bpf_loop"
    _bounded(case, idle[0] if idle else min(tested, default=6), jump)


def _bounded(case: Case, reg: int, jump: int) -> None:
    label = re.search(r"goto (\S+)", case.code(jump))
    if case.dialect == "asm":
        case.fix = [f"r{reg} += 1", f"if r{reg} < 100 goto {label[1] if label else 'again'}"]
    else:
        case.fix = ["for (int i = 0; i < 100; i++) { … }"]


def _round(case: Case) -> list[int]:
    """The steps of the last round: from one visit of the loop's instruction to the jump back to it."""
    target = case.match.number("insn")
    steps = case.trail.steps
    if target is None:
        target = _busiest(case)
    visits = [at for at, step in enumerate(steps) if step.insn == target]
    if not visits:
        return []
    if len(visits) > 1:
        return list(range(visits[-2], visits[-1]))
    return list(range(visits[-1], len(steps)))


def _busiest(case: Case) -> int:
    counts: dict[int, int] = {}
    for step in case.trail.steps:
        counts[step.insn] = counts.get(step.insn, 0) + 1
    return max(counts, key=lambda insn: (counts[insn], -insn), default=-1)


def _tested(case: Case, body: Sequence[int]) -> set[int]:
    return {
        int(reg) for at in body if case.trail.steps[at].is_branch
        for reg in re.findall(r"\b[rw](\d+)\b", case.trail.steps[at].text)
    }  # fmt: skip


def explain_insns(case: Case) -> None:
    count = case.match.number("count") or case.trail.processed
    limit = (count - 1) if count else 1_000_000
    case.reason = f"following all paths takes more than {limit:,} instructions"
    if limit == 1_000_000:
        case.reason += ", the kernel's limit"
    jump = _back_jump(case)
    if jump is not None:
        place = case.place_of(jump)
        where = f"line {place.line}" if place is not None and place.line else f"instruction {jump}"
        case.reason += f"; most of them are rounds of the loop that ends at {where}"
        case.insn = jump
        from cygnet.verifier.explaining.case import Note

        text = (
            place.text[place.column - 1 : place.end - 1]
            if place is not None and place.column
            else f"instruction {jump}"
        )
        case.path.append(Note("branch", f"`{text.strip()}` goes back", jump, place))
    case.lead = "make fewer rounds, or let bpf_loop count them: its callback is followed once, however many they are"
    case.fix = (
        ["call bpf_loop"]
        if case.dialect == "asm"
        else ["bpf_loop(1 << 20, callback, &data, 0);"]
        if case.dialect == "c"
        else []
    )
    case.more.append("functions that are global are followed once, by themselves; a tail call begins to count anew")


def _back_jump(case: Case) -> int | None:
    """The jump back that was followed most, or the last one before the instruction where it ended."""
    steps = case.trail.steps
    counts: dict[int, int] = {}
    for at in range(len(steps) - 1):
        if steps[at + 1].insn <= steps[at].insn and not steps[at].call and not steps[at].is_exit:
            counts[steps[at].insn] = counts.get(steps[at].insn, 0) + 1
    if counts:
        return max(counts, key=lambda insn: counts[insn])
    jumps = [(at, to) for at, to in _jumps(case) if to <= at]
    around = [at for at, to in jumps if case.insn is not None and to <= case.insn <= at]
    return min(around, default=jumps[-1][0] if jumps else None)


def _jumps(case: Case) -> list[tuple[int, int]]:
    """(instruction, target) of all jumps of the program, where it is known."""
    import struct

    spec = case.about.spec
    if spec is None or len(spec.insns) % 8:
        return []
    found = []
    for at, (code, _, off, imm) in enumerate(struct.iter_unpack("<BBhi", spec.insns)):
        if code & 7 in (5, 6) and code & 0xF0 not in (0x80, 0x90):
            found.append((at, at + 1 + (imm if code == 0x06 else off)))
    return found


def explain_branches(case: Case) -> None:
    case.reason = "more than 8,192 branches are open at once: each `if` whose other way is still to be followed is one"
    case.lead = (
        "test less in a row: a look-up in a map, or a number made of the conditions, in place of a chain of comparisons"
    )
    at = _back_jump(case)
    if at is not None:
        case.more.append("a loop with branches in it opens them anew in each round: bpf_loop does not")


# -- jumps and code


def explain_unreachable(case: Case) -> None:
    text = text_of(case, case.insn)
    before = text_of(case, case.insn - 1 if case.insn else None)
    case.reason = f"no path leads to `{text}`" if text else case.match.line
    if before and re.match(r"exit|goto|gotol", before):
        case.note_insn("cause", f"`{before}` before it always leaves", case.insn - 1 if case.insn else None)
    case.lead = "remove it, or let a jump lead there"


def text_of(case: Case, insn: int | None) -> str:
    """An instruction as the person wrote it, or as it is disassembled; "" when it is not known."""
    place = case.place_of(insn)
    if place is not None and place.text.strip():
        text = place.text[place.column - 1 : place.end - 1] if place.column else place.text
        return text.strip()
    return disassembled(case.about.spec, insn)


def disassembled(spec: object, insn: int | None) -> str:
    code = getattr(spec, "insns", b"")
    if insn is None or insn < 0 or len(code) < insn * 8 + 8:
        return ""
    from cygnet.errors import InsnDecodeError
    from cygnet.facts.helpers import helper_name
    from cygnet.isa.disasm import insn_text
    from cygnet.isa.encode import decode

    size = 16 if code[insn * 8] == 0x18 else 8  # a 64-bit load has two slots
    try:
        insns = decode(code[insn * 8 : insn * 8 + size])
        return insn_text(insns[0], insns[1] if len(insns) > 1 else None, helper_name=helper_name)
    except (ValueError, KeyError, InsnDecodeError):
        return ""  # refused for being none


def explain_jump(case: Case) -> None:
    line = case.match.line
    text = text_of(case, case.insn)
    if "last insn" in line:
        case.reason = (
            f"the program's last instruction, `{text}`, goes on behind the end"
            if text
            else "the program has no exit at its end"
        )
        case.lead = "end it"
        case.fix = {"asm": ["r0 = 0", "exit"]}.get(case.dialect, ["return 0;"])
        return
    to = case.match.number("to")
    case.reason = f"`{text}` leads out of the program or of its function" if text else line
    if to is not None:
        size = len(case.about.spec.insns) // 8 if case.about.spec is not None else None
        end = f"; it ends with instruction {size - 1}" if size else ""
        case.reason = f"`{text or 'the jump'}` leads to instruction {to}, behind the end of its function{end}"
        if to < 0:
            case.reason = f"`{text or 'the jump'}` leads to before the beginning"
    if case.match.number("middle") is not None:
        case.reason = f"`{text or 'a jump'}` leads into the middle of a 64-bit load, which is two slots long"
    case.lead = "jump to a label of the same function"


def explain_instruction(case: Case) -> None:
    line = case.match.line
    opcode = case.match.found.get("opcode")
    case.reason = line
    if opcode is not None:
        case.reason = f"there is no instruction with opcode {opcode}"
        case.lead = "the code may be cut off, or not be BPF at all"
    elif "reserved" in line:
        case.reason = f"fields are set that this instruction does not use: {line}"
        case.lead = "they must be 0"
    elif case.match.number("shift") is not None:
        case.reason = f"a shift by {case.match.number('shift')} is more than the register has bits"


# -- registers


def explain_register(case: Case) -> None:
    reg = case.reg
    links = case.chain(reg)
    step = case.step
    if reg == 0 and step is not None and step.is_exit:
        case.reason = "the program ends without a result: r0 was never set on this path"
        case.lead = "set it"
        case.fix = {"asm": ["r0 = 0", "exit"]}.get(case.dialect, ["return 0;"])
        _branches(case)
        return
    case.reason = f"r{reg} has no value here"
    if links and links[-1].what == "clobber":
        at = links[-1].at
        name = case.trail.steps[at].helper or "a function"
        case.reason = f"r{reg} lost its value in the call of {name} at {case.cite(at)}: calls overwrite r1 to r5"
        case.note("cause", f"`{case.code(at)}` overwrites r1 to r5", at)
        case.lead = "keep it in r6 to r9, or on the stack, over the call"
        if case.dialect == "asm":
            case.fix = [f"r6 = r{reg}", case.code(at), f"r{reg} = r6"]
        return
    if links and links[-1].what in ("none", "entry"):
        case.reason += ": nothing sets it on this path"
    _branches(case)
    case.lead = "give it a value on every path that comes here"
    if case.dialect == "asm":
        case.fix = [f"r{reg} = 0"]


def _branches(case: Case) -> None:
    for at in range(max(case.at - 200, 0), min(case.at, len(case.trail.steps))):
        if case.trail.steps[at].is_branch:
            way = "taken" if origins.taken(case.trail, at) else "not taken"
            case.note("branch", f"`{case.code(at)}` was {way}", at)


def explain_return(case: Case) -> None:
    range_text = case.match.found.get("range", "")
    limits = [int(each, 0) for each in re.findall(r"-?0x[0-9a-f]+|-?\d+", range_text)]
    value = case.value(0)
    low, high = bounds(value) if value else (0, 0)
    links = case.chain(0)
    kind = f" of programs of type {case.about.type}" if case.about.type else ""
    if parsed(value)[0] not in ("scalar", "Pscalar") and number(value) is None and value:
        case.reason = f"the result in r0 is a pointer ({parsed(value)[0]}), not a number"
    elif limits:
        own = str(signed(low)) if low == high else f"between {low} and {high}" if low > -(1 << 62) else "any number"
        case.reason = f"the result in r0 is {own}; that{kind} must be between {limits[0]} and {limits[-1]}"
    else:
        case.reason = case.match.line
    if links and links[-1].at >= 0:
        case.note("cause", f"r0 is {case.origin(links)}", links[-1].at)
    case.lead = "return what the kernel knows to mean something"
    if limits:
        case.fix = {"asm": [f"r0 = {limits[0]}", "exit"]}.get(case.dialect, [f"return {limits[0]};"])


# -- the context


def explain_context(case: Case) -> None:
    off = case.match.number("off")
    size = case.size
    step = case.step
    structure = case.context
    write = step is not None and step.cls in (2, 3)
    verb = "written" if write else "read"
    found = case.match.found.get("func")
    if found is not None:
        case.reason = f"{found} has no argument number {case.match.number('arg')}"
        case.lead = "the context is an array of its arguments, 8 bytes each"
        return
    if off is None:
        case.reason = f"the context pointer was changed before it is used: {case.match.line}"
        case.lead = "use the context pointer as it came in, with constant offsets"
        links = case.chain(case.reg)
        for link in reversed(links):
            if link.what == "alu":
                case.note("cause", f"`{case.code(link.at)}`", link.at)
        return
    field = case.context_field(off)
    label = f"the context ({structure})" if structure else "the context"
    case.lead = "see the table of fields"
    if field is None:
        case.reason = f"bytes {off} to {off + max(size, 1) - 1} of {label} are no field"
        _fields(case, off)
        return
    if size and field.kind == "int" and size > field.size and field.count == 1:
        case.reason = f"{size} bytes of {label} are {verb} at offset {off}, where {field.name} has {field.size} bytes"
        case.lead = "use the field's own size"
        if step is not None and case.dialect == "asm":
            letters = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}.get(field.size, "u32")
            case.fix = [re.sub(r"\bu\d+\b", letters, case.code(case.at), count=1)]
        return
    allowed = field.writers if write else field.readers
    if case.about.type and case.about.type not in allowed:
        who = f"; programs of type {', '.join(sorted(allowed))} may" if allowed else ""
        case.reason = f"{field.name} of {label} cannot be {verb} by programs of type {case.about.type}{who}"
        case.lead = "leave it to them" if allowed else "it is for reading only" if write else "it cannot be used"
        return
    case.reason = f"{field.name} of {label} cannot be {verb} so: {size} bytes at offset {off}"
    if size and size != field.size:
        case.lead = f"{field.name} is {field.size} bytes at offset {field.offset}"
        if step is not None and case.dialect == "asm":
            letters = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}.get(field.size, "u32")
            case.fix = [re.sub(r"\bu\d+\b", letters, case.code(case.at), count=1)]


def _fields(case: Case, off: int) -> None:
    from cygnet.facts.contexts import fields

    if not case.context:
        case.lead = "give the program's type (--type) to have its fields named"
        return
    try:
        rows = list(fields(case.context).values())
    except KeyError:
        return
    end = max((row.offset + row.size * row.count for row in rows), default=0)
    case.reason += f"; {case.context} has {end} bytes" if off >= end else ""
    near = sorted(rows, key=lambda row: abs(row.offset - off))[:3]
    case.more.append("fields near it: " + ", ".join([f"{row.name} ({row.size} bytes at {row.offset})" for row in near]))
    case.lead = "use a field that there is"
