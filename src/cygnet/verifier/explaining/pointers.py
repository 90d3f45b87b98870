"""Pointers that are not what they are taken for: NULL, numbers, kernel addresses, arithmetic that they do not have."""

from __future__ import annotations

import re

from cygnet.verifier.explaining import origins
from cygnet.verifier.explaining.case import Case, number, parsed, signed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.verifier.explaining.origins import Link

_TRACERS = frozenset(("kprobe", "tracepoint", "raw_tracepoint", "raw_tracepoint_writable", "perf_event", ""))
_ADDRESSES = ("bpf_get_current_task", "bpf_get_current_task_btf", "bpf_per_cpu_ptr", "bpf_get_func_arg")
_OPPOSITE = {"!=": "==", "==": "!="}


def nullable(case: Case, link: Link) -> bool:
    """Is this the result of a function that may give NULL?"""
    if link.what != "call":
        return False
    step = case.trail.steps[link.at]
    if "_or_null" in step.after.get("R0", ""):
        return True
    from cygnet.facts.helpers import helper

    try:
        return helper(step.helper).result.endswith("?")
    except KeyError:
        return False


def map_name(case: Case, value: str) -> str:
    """The name of the map in a register's value, or "" ."""
    return parsed(value)[1].get("map", "")


def explain_null(case: Case) -> None:
    reg = case.reg
    links = case.chain(reg)
    name = case.name(reg, links)
    if not links or links[-1].what != "call":
        case.reason = f"{name} may be NULL where it is used"
        _how(case, links)
        _check(case, reg, links)
        return
    call = links[-1].at
    step = case.trail.steps[call]
    target = map_name(case, step.after.get("R0", ""))
    why = f", which gives NULL when `{target}` has no such key" if target and "lookup" in step.helper else ""
    branches = [seen for seen in origins.concerned(case.trail, call, case.at, 0) if case.trail.steps[seen.at].is_branch]
    if number(case.value(reg)) == 0 and branches:
        _inverted(case, reg, links, branches[-1].at, name, step.helper)
        return
    case.reason = f"{name} may be NULL: it is {case.origin(links)}{why}"
    into = f" into `{target}`" if target else ""
    case.note("cause", f"r0 comes from {step.helper}: a pointer{into}, or NULL", call)
    _how(case, links)
    for seen in branches:
        way = "taken" if seen.taken else "not taken"
        case.note("branch", f"`{case.code(seen.at)}` was {way}: that does not rule out NULL", seen.at)
    if not branches:
        _ways(case, call)
        _checks_elsewhere(case, call, {0, reg})
    case.note("missing", f"no check of {name} against NULL between {case.cite(call)} and {case.cite(case.at)}", case.at)
    _check(case, reg, links)


def _ways(case: Case, start: int) -> None:
    """The branches that led here without a check, the last few."""
    steps = case.trail.steps
    for at in [at for at in range(start + 1, min(case.at, len(steps))) if steps[at].is_branch][-4:]:
        case.note("branch", f"`{case.code(at)}` was {'taken' if origins.taken(case.trail, at) else 'not taken'}", at)


def _checks_elsewhere(case: Case, start: int, regs: set[int]) -> None:
    """Tests of the same register against 0 that the program has, on another way."""
    import struct

    code = getattr(case.about.spec, "insns", b"")
    steps = case.trail.steps
    passed = {step.insn for step in steps}
    for insn, (opcode, both, _, imm) in enumerate(struct.iter_unpack("<BBhi", code[: len(code) // 8 * 8])):
        null_test = opcode in (0x15, 0x55) and imm == 0 and both & 15 in regs
        if null_test and steps[start].insn < insn and insn not in passed:
            place = case.place_of(insn)
            where = f"line {place.line}" if place is not None and place.line else f"instruction {insn}"
            case.note_insn("missing", f"the check of r{both & 15} at {where} is not on this way", insn)


def _inverted(case: Case, reg: int, links: list[Link], branch: int, name: str, helper: str) -> None:
    test = case.code(branch)
    way = "goes on" if not origins.taken(case.trail, branch) else "jumps"
    case.reason = f"{name} is NULL on this path: `{test}` at {case.cite(branch)} {way} only when it is"
    case.note("cause", f"r0 comes from {helper}: a pointer, or NULL", links[-1].at)
    _how(case, links)
    case.note("branch", f"`{test}` was {'taken' if way == 'jumps' else 'not taken'}: {name} is NULL behind it", branch)
    case.lead = "turn the test round"
    found = re.search(r"[!=]=", test)
    if case.dialect == "asm" and found is not None:
        case.fix = [test.replace(found[0], _OPPOSITE[found[0]], 1)]
    else:
        _check(case, reg, links)


def _how(case: Case, links: list[Link]) -> None:
    """Copies on the way, oldest first."""
    for link in reversed(links):
        step = case.trail.steps[link.at] if link.at >= 0 else None
        if step is None:
            continue
        if link.what == "move":
            case.note("step", f"copied to r{step.dst}: `{case.code(link.at)}`", link.at)
        elif link.what == "store":
            case.note("step", f"kept on the stack: `{case.code(link.at)}`", link.at)
        elif link.what == "stack":
            case.note("step", f"fetched again into r{step.dst}: `{case.code(link.at)}`", link.at)


def _check(case: Case, reg: int, links: list[Link]) -> None:
    short = case.short(reg, links)
    case.lead = case.lead or "check it before"
    line = case.code(case.at) if case.step is not None else ""
    if case.dialect == "asm":
        case.fix = [f"if r{reg} == 0 goto out", line]
    elif case.dialect == "trace":
        case.fix = [f"if ({short} != 0) {{ … }}"]
    else:
        case.fix = [f"if (!{short})", "    return 0;", line]


def refine_scalar(case: Case) -> str:
    """What a number in a pointer's place really is: a NULL, a kernel address, something released, or a number."""
    reg = case.reg
    links = case.chain(reg)
    if not links:
        return "scalar-pointer"
    last = links[-1]
    if last.what == "call" and released(case, last) is not None:
        return "double-release"
    if number(case.value(reg)) == 0 and nullable(case, last):
        return "null-check"
    if case.about.type in _TRACERS and last.what == "load" and _from_kernel(case, last.at):
        return "kernel-pointer"
    if last.what == "call" and case.trail.steps[last.at].helper in _ADDRESSES:
        return "kernel-pointer"
    return "scalar-pointer"


def _from_kernel(case: Case, at: int) -> bool:
    step = case.trail.steps[at]
    if step.mem is None or step.mem[2] != 8:
        return False
    base = case.trail.value(at, f"R{step.mem[0]}")
    return base.startswith(("ctx", "ptr_", "trusted_ptr_", "untrusted_ptr_", "rcu_ptr_"))


def released(case: Case, link: Link) -> int | None:
    """The step that released what a call had given, or None."""
    from cygnet.verifier.explaining.calls import RELEASES

    for seen in origins.concerned(case.trail, link.at, case.at, 0):
        if seen.reg == 1 and case.trail.steps[seen.at].helper in RELEASES:
            return seen.at
    return None


def explain_scalar(case: Case) -> None:
    reg = case.reg
    links = case.chain(reg)
    name = case.name(reg, links)
    value = case.value(reg)
    known = number(value)
    expected = re.search(r"expected=(.*)", case.match.line)
    what = f"the number {signed(known)}" if known is not None else "a number, not an address"
    case.reason = f"{name} is {what}" + (f": {case.origin(links)}" if links else "")
    if expected is not None and case.step is not None:
        case.reason += f"; {case.step.helper or 'the call'} wants {_expected(expected[1])} there"
    for link in reversed(links):
        if link.at >= 0:
            case.note("cause" if link is links[-1] else "step", f"`{case.code(link.at)}`", link.at)
            if link.what == "alu" and case.trail.steps[link.at].cls == 4:
                case.note("missing", "32-bit arithmetic cuts an address in half and leaves a number", link.at)
    case.lead = "take the address from where the verifier knows it: the stack (r10), a map look-up, the context"
    if case.dialect == "asm":
        case.fix = [f"r{max(reg, 0)} = r10", f"r{max(reg, 0)} += -8"]


def _expected(words: str) -> str:
    return " or ".join([_WORDS.get(word.strip(), word.strip()) for word in words.split(",")])


_WORDS = {
    "pkt_end": "the end of the packet",
    "fp": "the stack", "pkt": "the packet", "pkt_meta": "packet metadata", "map_key": "a map's key",
    "map_value": "a map's value", "map_ptr": "a map", "ctx": "the context", "mem": "memory", "scalar": "a number",
    "ringbuf_mem": "a record that bpf_ringbuf_reserve gave", "buf": "a buffer", "trusted_ptr_": "a kernel pointer",
    "ptr_": "a kernel pointer", "rcu_ptr_": "a kernel pointer under RCU", "sock": "a socket",
    "sock_common": "a socket", "tcp_sock": "a TCP socket", "func": "a function", "xdp_sock": "an XDP socket",
    "timer": "a timer", "percpu_ptr_": "a per-CPU variable", "const_str": "a constant string",
    "dynptr_ptr": "a dynptr",
}  # fmt: skip


def explain_kernel(case: Case) -> None:
    reg = case.reg
    links = case.chain(reg)
    name = case.name(reg, links)
    case.reason = (
        f"{name} is an address in the kernel, {case.origin(links)}; a program may not read there without a helper"
    )
    for link in reversed(links):
        if link.at >= 0:
            case.note("cause" if link is links[-1] else "step", f"`{case.code(link.at)}`", link.at)
    step = case.step
    offset = step.mem[1] if step is not None and step.mem is not None else 0
    size = case.size or 8
    case.lead = "let bpf_probe_read_kernel copy it (bpf_probe_read_user for memory of a process)"
    if case.dialect == "asm" and step is not None:
        case.fix = [
            f"r3 = r{reg}",
            f"r3 += {offset}",
            f"r2 = {size}",
            "r1 = r10",
            "r1 += -8",
            "call bpf_probe_read_kernel",
        ]
        if step.writes >= 0:
            case.fix.append(re.sub(r"\(r\d+ ?[+-]?\w*\)", "(r10 -8)", step.text))
    else:
        short = case.short(reg, links)
        case.fix = [f"bpf_probe_read_kernel(&copy, {size}, (void *){short} + {offset});"]


def explain_arithmetic(case: Case) -> None:
    reg = case.match.number("reg", "r2", "r3")
    line = case.match.line
    if "frame pointer" in line:
        case.reason = "r10 is the frame pointer: it cannot be changed"
        step = case.step
        if step is not None:
            case.lead = "change a copy of it"
            case.fix = ["r2 = r10", re.sub(r"\br10\b", "r2", case.code(case.at), count=1)]
        return
    reg = case.reg if reg is None else reg
    step = case.step
    if step is not None and step.src >= 0 and parsed(case.value(reg))[0].lstrip("P") == "scalar":
        reg = step.src  # it is the other operand that is a pointer
    links = case.chain(reg)
    kind = parsed(case.value(reg))[0] or "pointer"
    kind = "fp" if kind.startswith("fp") else kind.removesuffix("_or_null")
    name = case.name(reg, links)
    case.reason = f"{name} is a pointer to {_WORDS.get(kind, kind)}; it allows no more than adding a number to it"
    if re.search(r"pointer \S+ pointer prohibited", line) and step is not None and step.src >= 0 and step.src != reg:
        case.reason = f"{name} and r{step.src} are both pointers: two of them cannot be put together so"
    if "32-bit" in line:
        case.reason = f"{name} is a pointer to {_WORDS.get(kind, kind)}, which has 64 bits: w{reg} would cut it in half"
        if step is not None and step.code & 0xF0 in (0x00, 0x10):
            case.lead = "use the 64-bit instruction"
            case.fix = [re.sub(r"\bw(\d+)\b", r"r\1", case.code(case.at))]
    if links and links[-1].at >= 0:
        case.note("cause", f"r{reg} is {case.origin(links)}", links[-1].at)
    elif links and links[-1].what == "entry":
        case.note("cause", f"r{reg} is {case.origin(links)}", -1)
    if not case.lead:
        case.lead = "add and subtract numbers only, or do the arithmetic on a number and add that"
