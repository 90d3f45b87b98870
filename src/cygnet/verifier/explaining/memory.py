"""Accesses outside of what is known to be there: packets, map values, the stack."""

from __future__ import annotations

import re

from cygnet.verifier.explaining import origins
from cygnet.verifier.explaining.case import Case, number, parsed, signed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.verifier.explaining.origins import Link

_STACK_BYTES = 512
_U64, _U32 = (1 << 64) - 1, (1 << 32) - 1


# -- packets


def explain_packet(case: Case) -> None:
    reg = case.match.number("reg")
    reg = case.reg if reg is None else reg
    off, size, checked = case.match.number("off") or 0, case.size, case.match.number("range") or 0
    need = off + size
    links = case.chain(reg)
    name = case.name(reg, links)
    known = f"{checked} bytes are known to be there" if checked else "none is known to be there"
    case.reason = f"this needs {need} bytes of the packet from {_base(case, links, name)} on, and {known}"
    if links and links[-1].at >= 0:
        case.note("cause", f"{name} points into the packet: {case.origin(links)}", links[-1].at)
    checks = _packet_checks(case)
    for at in checks:
        case.note("branch", f"`{case.code(at)}` compares with data_end: it covers {checked} bytes", at)
    between = f"between {case.cite(links[-1].at)} and {case.cite(case.at)}" if links else "before"
    case.note("missing", f"no check of {need} bytes against data_end {between}", case.at)
    end = _holder(case, "pkt_end")
    case.lead = f"compare the end of the {need} bytes with data_end first"
    if case.dialect == "asm":
        spare = _spare(case)
        case.fix = [f"r{spare} = r{reg}"]
        inner = parsed(case.value(reg))[1].get("off")
        case.fix.append(f"r{spare} += {need - (number(inner) or 0)}")
        case.fix.append(f"if r{spare} > r{end if end >= 0 else 3} goto out")
        if end < 0:
            case.fix.insert(0, "r3 = DATA_END of the context")
    else:
        case.fix = [f"if ((void *){case.short(reg, links)} + {need} > data_end)", "    return 0;"]


def _base(case: Case, links: list[Link], name: str) -> str:
    return (
        name if links and any(link.what == "alu" for link in links) else f"{name} (data)" if "(" not in name else name
    )


def _packet_checks(case: Case) -> list[int]:
    found = []
    for at in range(min(case.at, len(case.trail.steps))):
        step = case.trail.steps[at]
        if step.is_branch:
            numbers = re.findall(r"\br(\d+)\b", step.text)
            if any(case.trail.value(at, f"R{number}").startswith("pkt_end") for number in numbers):
                found.append(at)
    return found


def _holder(case: Case, kind: str) -> int:
    """A register that holds a pointer of this kind at the refused instruction, or -1."""
    for reg in range(10):
        if case.value(reg).partition("(")[0] == kind:
            return reg
    return -1


def _spare(case: Case) -> int:
    for reg in (5, 4, 9, 8, 7, 0, 3, 2):
        if not case.value(reg):
            return reg
    return 0


# -- an index or a length


def explain_index(case: Case) -> None:
    """Which number is not bounded enough, how large it may be, and where it was used."""
    step = case.step
    line = case.match.line
    pointer = case.reg
    at, index = index_of(case, pointer)
    if index < 0:
        case.reason = f"{case.name(pointer)} may point outside of its memory: {line}"
        return
    added = at
    at, index, scale = _unscaled(case, at, index)
    links = origins.chain(case.trail, at, index)
    name = case.name(index, links)
    value = case.trail.value(at, f"R{index}")
    low, high = bounds(value)
    is_size = added == case.at and step is not None and bool(step.call)
    room, what = _room(case, pointer, index, is_size)
    case.reason = f"{name} {_said(low, high)}"
    if "zero" in line:
        case.reason = f"{name} may be 0, and {step.helper if step else 'the function'} wants at least one byte"
    elif room is not None:
        where = f"{what} has {room} bytes"
        limit = _most(case, room, pointer, is_size) // scale
        where += f", and each step is {scale}" if scale > 1 else ""
        case.reason += f"; {where}" + ("" if is_size else f", so {limit} is the most here")
    if is_size and step is not None:
        case.reason += f" (size of what {step.helper} accesses)"
    if links:
        case.note("cause", f"{name} is {case.origin(links)}", links[-1].at)
    _steps_of(case, links, index)
    for seen in origins.concerned(case.trail, links[0].at if links else -1, at, index):
        if case.trail.steps[seen.at].is_branch:
            way = "taken" if seen.taken else "not taken"
            case.note("branch", f"`{case.code(seen.at)}` was {way}, which leaves {_range(low, high)}", seen.at)
    if added != case.at:
        case.note("step", f"added to the pointer: `{case.code(added)}`", added)
    most = _most(case, room, pointer, is_size) // scale if room is not None else None
    _bound(case, index, links, most)


def index_of(case: Case, pointer: int) -> tuple[int, int]:
    """(step, register) of the number: an operand of the refused addition, the size itself, or what was added before."""
    step = case.step
    if step is None:
        return case.at, -1
    if step.cls == 7 and step.src >= 0:
        other = step.src
        if parsed(case.value(other))[0].lstrip("P") not in ("scalar",) and number(case.value(other)) is None:
            other = step.dst
        return case.at, other
    if step.call:
        kind = parsed(case.value(pointer))[0].lstrip("P")
        if kind == "scalar" or number(case.value(pointer)) is not None:
            return case.at, pointer
    for link in case.chain(pointer):
        if link.what == "alu" and link.other >= 0:
            text = case.trail.value(link.at, f"R{link.other}")
            if number(text) is None and text.lstrip("P").startswith("scalar"):
                return link.at, link.other
            own = case.trail.value(link.at, f"R{case.trail.steps[link.at].dst}")
            if own.lstrip("P").startswith("scalar"):
                return link.at, case.trail.steps[link.at].dst
    return case.at, -1


def _unscaled(case: Case, at: int, index: int) -> tuple[int, int, int]:
    """The number before it was made a distance in bytes: (step, register, bytes of one).

    Compilers write ``r1 <<= 2``, or ``r1 <<= 32; r1 >>= 30``, which cuts it to 32 bits too.
    """
    total = 0
    for link in origins.chain(case.trail, at, index):
        text = case.trail.steps[link.at].text if link.what == "alu" else ""
        found = re.match(r"[rw]\d+ (<<=|>>=|\*=) (\w+)$", text)
        amount = number(found[2]) if found is not None else None
        if found is None or amount is None:
            break
        if found[1] == "*=":
            return (link.at, index, amount) if total == 0 and 0 < amount < 65536 else (at, index, 1)
        if found[1] == "<<=":
            total += amount
            return (link.at, index, 1 << total) if 0 < total < 16 else (at, index, 1)
        total -= amount
    return at, index, 1


def bounds(value: str) -> tuple[int, int]:
    """The least and the greatest number that a register's text allows."""
    known = number(value)
    if known is not None:
        return signed(known), signed(known)
    fields = parsed(value)[1]
    smin, smax = (
        number(fields.get("smin", fields.get("smin_value"))),
        number(fields.get("smax", fields.get("smax_value"))),
    )
    umin, umax = (
        number(fields.get("umin", fields.get("umin_value"))),
        number(fields.get("umax", fields.get("umax_value"))),
    )
    low = signed(smin) if smin is not None else -(1 << 63) if umax is None or umax >= 1 << 63 else umin or 0
    high = signed(smax) if smax is not None else umax if umax is not None else (1 << 63) - 1
    return low, high if umax is None or umax >= 1 << 63 else min(high, umax)


def _said(low: int, high: int) -> str:
    if low < 0 and high >= 1 << 31:
        return "has no bounds: it may be negative, or as large as a number can be"
    if low < 0:
        return f"may be negative: it is between {low} and {high}"
    if high >= _U32:
        return "has no upper bound" + (f" but {high}" if high < 1 << 62 else "")
    return f"may be as large as {high}"


def _range(low: int, high: int) -> str:
    least = "no lower bound" if low <= -(1 << 62) else str(low)
    most = "no upper bound" if high >= 1 << 62 else str(high)
    return f"{least} to {most}"


def _room(case: Case, pointer: int, index: int, is_size: bool) -> tuple[int | None, str]:
    """How many bytes there are, and of what."""
    if is_size:
        return room_of(case, case.value(index - 1) if index > 1 else "")
    value = case.value(pointer)
    step = case.step
    if step is not None and step.cls == 7:
        other = step.dst if index != step.dst else step.src
        value = case.value(other)
    room, what = room_of(case, value)
    if room is None:
        for text in case.trail.reason:
            found = re.search(r"(?:value_size|mem_size|key_size)=(\d+)", text)
            if found is not None:
                return int(found[1]), "the memory"
    return room, what


def room_of(case: Case, value: str) -> tuple[int | None, str]:
    """The bytes behind a pointer, and what they are."""
    kind, fields = parsed(value)
    name = f"`{fields['map']}`" if fields.get("map") else "the map"
    if kind.startswith("map_value"):
        return number(fields.get("vs")), f"a value of {name}"
    if kind.startswith("map_key"):
        return number(fields.get("ks")), f"a key of {name}"
    if kind.endswith("mem"):
        return number(fields.get("sz")), "the memory"
    if kind.startswith("fp"):
        depth = number(kind[2:])
        return (-depth if depth is not None else _STACK_BYTES), "the stack there"
    return None, "the memory"


def _most(case: Case, room: int, pointer: int, is_size: bool) -> int:
    if is_size:
        return room
    step = case.step
    inside = number(parsed(case.value(pointer))[1].get("off")) or 0
    mem = step.mem if step is not None else None
    if mem is None:
        return max(room - 1, 0)
    return max(room - inside - mem[1] - max(mem[2], 1), 0)


def _steps_of(case: Case, links: list[Link], index: int) -> None:
    for link in reversed(links[:-1]):
        if link.what == "alu":
            case.note("step", f"`{case.code(link.at)}`", link.at)


def _bound(case: Case, index: int, links: list[Link], most: int | None) -> None:
    limit = most if most is not None else "LIMIT"
    origin = links[-1].at if links else -1
    short = case.short(index, links)
    case.note(
        "missing",
        f"no check that {short} is at most {limit} between {case.cite(origin)} and {case.cite(case.at)}",
        case.at,
    )
    case.lead = "bound it first; an unsigned comparison rules out negative numbers too"
    if "zero" in case.match.line:
        case.lead = "rule out 0 first"
        case.fix = [f"if r{index} == 0 goto out"] if case.dialect == "asm" else [f"if ({short} == 0)", "    return 0;"]
    elif case.dialect == "asm":
        case.fix = [f"if r{index} > {limit} goto out"]
    elif case.dialect == "trace":
        case.fix = [f"if ((uint64){short} <= {limit}) {{ … }}"]
    else:
        case.fix = [f"if ((__u64){short} > {limit})", "    return 0;"]
    if isinstance(limit, int) and limit > 0 and limit & (limit + 1) == 0:
        case.more.append(f"or cut it: `{short} &= {limit}`")


# -- constant places


def explain_outside(case: Case) -> None:
    step = case.step
    reg = case.match.number("reg", "sreg", "r3")
    reg = case.reg if reg is None else reg
    value = case.value(reg)
    soff = case.match.number("soff")
    if soff is not None or " stack R" in case.match.line:
        _above_frame(case, soff if soff is not None else case.match.number("off") or 0)
        return
    room, what = room_of(case, value)
    sizes = [
        re.search(r"(?:value_size|mem_size|key_size)=(\d+) off=(-?\d+) size=(\d+)", text) for text in case.trail.reason
    ]
    found = next((each for each in sizes if each is not None), None)
    if found is not None:
        room, off, size = int(found[1]), int(found[2]), int(found[3])
        field = _value_field(case, value, off)
        bytes_text = f"bytes {off} to {off + size - 1}" if size > 1 else f"byte {off}"
        case.reason = f"{what} has {room} bytes, and this is {bytes_text}{field}: {off + size} would be needed"
        if off < 0:
            case.reason = f"this begins {-off} bytes before {what}, which has {room} bytes"
    elif room is not None and step is not None and step.mem is not None:
        case.reason = f"{what} has {room} bytes; this is outside of them"
    else:
        case.reason = case.match.line
    links = case.chain(reg)
    if links:
        case.note("cause", f"{case.name(reg, links)} is {case.origin(links)}", links[-1].at)
        for link in reversed(links[:-1]):
            if link.what == "alu":
                case.note("step", f"`{case.code(link.at)}`", link.at)
    case.lead = "use an offset that is inside, or make it larger where it is declared"


def _above_frame(case: Case, off: int) -> None:
    size, step = case.size, case.step
    case.reason = f"{size} bytes from fp{off:+d} on reach above the frame pointer; the stack ends there"
    case.lead = "begin lower, or use fewer bytes"
    if step is not None and step.helper and case.reg > 0 and case.dialect == "asm":
        case.fix = [f"r{case.reg} = r10", f"r{case.reg} += {-((size + 7) // 8 * 8)}", case.code(case.at)]
    links = case.chain(case.reg)
    for link in reversed(links):
        if link.what == "alu":
            case.note("step", f"`{case.code(link.at)}`", link.at)


def _value_field(case: Case, value: str, off: int) -> str:
    """The field of a map's value at an offset, where the map has types: `` (field count)``."""
    name = parsed(value)[1].get("map", "")
    spec = case.about.spec
    for key, each in getattr(spec, "maps", {}).items():
        if getattr(each, "name", key)[:15] == name and each.btf is not None and each.value_type_id:
            from cygnet.verifier.records import open_btf

            for member in getattr(open_btf(each.btf).type(each.value_type_id), "members", ()):
                if member.bits_offset // 8 == off:
                    return f" (field {member.name})"
    return ""


# -- the stack


def explain_depth(case: Case) -> None:
    line = case.match.line
    off = case.match.number("off", "off2")
    case.lead = "keep large data in a map: the one value of a per-CPU array is memory of its own"
    if off is not None:
        case.reason = f"this is {-off} bytes below the frame pointer; a function has {_STACK_BYTES} bytes of stack"
        return
    depth, own, frames = case.match.number("depth"), case.match.number("own"), case.match.number("frames")
    if depth is not None:
        calls = case.match.number("calls")
        case.reason = (
            f"{calls} functions that call each other take {depth} bytes of stack together; there are {_STACK_BYTES}"
        )
        for start, need in _functions(case):
            who = "the program itself" if not start else "the function that begins here"
            case.note_insn("step", f"{who} takes {need} bytes", start)
        case.lead = "move the larger buffers into a per-CPU array map, or fewer into functions that call others"
    elif own is not None:
        case.reason = f"one function takes {own} bytes of stack; there are {_STACK_BYTES}"
    elif frames is not None:
        case.reason = f"{frames} functions are called from one another; 8 is the most"
        case.lead = "call fewer functions from within others, or let the compiler put them in (__always_inline)"
        for at, step in enumerate(case.trail.steps):
            if step.call == "pc":
                case.note("step", f"`{case.code(at)}`", at)
    elif "tail_calls" in line:
        case.reason = "a function that makes a tail call may have callers with at most 256 bytes of stack together"


def _functions(case: Case) -> list[tuple[int, int]]:
    """(first instruction, bytes of stack) of the program's functions that use any, where the program is known."""
    import struct

    code = getattr(case.about.spec, "insns", b"")
    insns = list(struct.iter_unpack("<BBhi", code[: len(code) // 8 * 8]))
    starts = {0} | {at + 1 + imm for at, (op, regs, _, imm) in enumerate(insns) if op == 0x85 and regs >> 4 == 1}
    need: dict[int, int] = {}
    for at, (op, regs, off, _) in enumerate(insns):
        base = regs >> 4 if op & 7 == 1 else regs & 15
        if op & 7 in (1, 2, 3) and base == 10 and off < 0:
            start = max(each for each in starts if each <= at)
            need[start] = max(need.get(start, 0), -off)
    return sorted(need.items())


def explain_unset_stack(case: Case) -> None:
    off, size = case.match.number("off", "off2"), case.size
    where = f"fp{off:+d}" if off is not None else "a place of the stack"
    step = case.step
    who = step.helper if step is not None and step.helper else "this"
    case.reason = f"{who} reads {size or 'some'} bytes at {where}, and not all of them were written before"
    case.lead = "write them first"
    if off is not None and case.dialect == "asm":
        case.fix = [f"*(u64 *)(r10 {off // 8 * 8}) = 0"]
    elif case.dialect == "c":
        case.fix = ["struct … value = {};   /* clears padding too */"]
    case.more.append("Linux 6.3 and later accept this from root")


def explain_misaligned(case: Case) -> None:
    size = case.size
    found = re.search(r"off \S*?(-?\d+) size|off=(-?\d+)", case.match.line)
    step = case.step
    where = "it"
    off = None
    if step is not None and step.mem is not None:
        text = case.value(step.mem[0])
        where = f"fp{step.mem[1]:+d}" if step.mem[0] == 10 else f"r{step.mem[0]} {step.mem[1]:+d} ({parsed(text)[0]})"
        off = step.mem[1]
    elif found is not None:
        where = f"offset {found[1] or found[2]}"
    case.reason = f"{size} bytes at {where}: the place must be a multiple of {size}"
    case.lead = "use an aligned place, or read it in smaller parts"
    if off is not None and size and step is not None and case.dialect == "asm":
        case.fix = [re.sub(r"[+-] ?\d+\)", f"{off // size * size:+d})", case.code(case.at), count=1)]


def explain_read_only(case: Case) -> None:
    reg = case.reg
    links = case.chain(reg)
    kind = parsed(case.value(reg))[0]
    case.reason = f"{case.name(reg, links)} points to memory that the program may only read ({kind or case.match.line})"
    if links:
        case.note("cause", f"{case.name(reg, links)} is {case.origin(links)}", links[-1].at)
    case.lead = "write to the stack or to a map of your own instead"


def explain_spill(case: Case) -> None:
    case.reason = "a pointer is kept whole, in an aligned place of 8 bytes of the function's own stack, or not at all"
    links = case.chain(case.step.src) if case.step is not None and case.step.src >= 0 else []
    if links and case.step is not None:
        case.note("cause", f"r{case.step.src} is {case.origin(links)}", links[-1].at)
    case.lead = "store all 8 bytes of it, at a multiple of 8"
