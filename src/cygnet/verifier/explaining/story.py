"""From a log to an Explanation: the kind of the mistake, its reason, its place, the way to it, what to write instead."""

from __future__ import annotations

from cygnet.verifier.explaining import calls, flow, kinds, memory, pointers
from cygnet.verifier.explaining.case import About, Case, Note, Place
from cygnet.verifier.explaining.trail import Trail, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_EXPLAIN: dict[str, Callable[[Case], None]] = {
    "null-check": pointers.explain_null,
    "packet-bounds": memory.explain_packet,
    "unbounded-index": memory.explain_index,
    "out-of-bounds": memory.explain_outside,
    "stack-depth": memory.explain_depth,
    "infinite-loop": flow.explain_loop,
    "scalar-pointer": pointers.explain_scalar,
    "kernel-pointer": pointers.explain_kernel,
    "reference-leak": calls.explain_leak,
    "double-release": calls.explain_released,
    "helper-not-allowed": calls.explain_helper,
    "bad-context": flow.explain_context,
    "unset-register": flow.explain_register,
    "unset-stack": memory.explain_unset_stack,
    "too-many-insns": flow.explain_insns,
    "too-many-branches": flow.explain_branches,
    "unreachable": flow.explain_unreachable,
    "wrong-map": calls.explain_map,
    "sleepable": calls.explain_sleepable,
    "gpl-only": calls.explain_gpl,
    "bad-return": flow.explain_return,
    "misaligned": memory.explain_misaligned,
    "spin-lock": calls.explain_lock,
    "pointer-arithmetic": pointers.explain_arithmetic,
    "read-only": memory.explain_read_only,
    "wrong-argument": calls.explain_argument,
    "object-state": calls.explain_state,
    "critical-section": calls.explain_section,
    "special-field": calls.explain_field,
    "bad-spill": memory.explain_spill,
    "bad-jump": flow.explain_jump,
    "bad-instruction": flow.explain_instruction,
}
_STATIC = frozenset(("unreachable", "bad-jump", "bad-instruction", "too-new"))  # found before any path is followed


class Explanation:
    """Why a program is refused.

    kind        one of kinds.TITLES, whose phrase `title` is
    reason      a sentence about the person's own program; `verifier` is what the verifier said
    insn        the instruction, `text` how it reads; None and "" where the log does not tell
    place       in the person's text, or None
    path        Notes, in the order of the path: what brought it there, and what was missing
    lead, fix   what to do, and the line or two to write
    more        further facts, a sentence each
    """

    __slots__ = (
        "fix",
        "insn",
        "kind",
        "lead",
        "more",
        "path",
        "place",
        "program",
        "reason",
        "text",
        "title",
        "trail",
        "verifier",
    )

    def __init__(self, case: Case) -> None:
        self.kind = case.kind
        self.title = kinds.TITLES[case.kind]
        self.reason = case.reason or case.match.line
        self.verifier = "\n".join(case.trail.reason)
        self.insn = case.insn
        self.place: Place | None = case.place_of(case.insn)
        self.text = _text(case)
        self.path: list[Note] = _ordered(case)
        self.lead = case.lead
        self.fix = [line for line in case.fix if line]
        self.more = case.more
        self.trail: Trail = case.trail
        self.program = case.about.spec.name if case.about.spec is not None else ""

    def hints(self) -> tuple[str, ...]:
        """What to do, as sentences: for whoever prints an error with hints."""
        first = self.lead
        if self.fix:
            first += f": {'; '.join([line.strip() for line in self.fix])}"
        return (first, *self.more) if first else tuple(self.more)

    def __repr__(self) -> str:
        return f"<Explanation {self.kind} at {self.insn}: {self.reason}>"


def of_log(lines: Sequence[str], about: About | None = None, insn: int | None = None) -> Explanation | None:
    """The explanation of a section of a log; None when it tells of no refusal."""
    trail = parse(lines)
    if not trail.reason:
        return None
    return of_trail(trail, about or About(), insn)


def of_trail(trail: Trail, about: About, insn: int | None = None) -> Explanation:
    """`insn` is the refused instruction, where it is known; otherwise it is found."""
    match = kinds.classify(trail.reason)
    if insn is None:
        insn = match.number("insn", "at")
    if insn is None and trail.steps and match.kind not in _STATIC and not _whole(match):
        insn = trail.steps[-1].insn
    case = Case(trail, match, about, insn)
    refine(case)
    _EXPLAIN.get(case.kind, _other)(case)
    return Explanation(case)


def _whole(match: kinds.Match) -> bool:
    """Is the reason about all functions together, after they were followed?"""
    return "combined stack size" in match.line or "stack size of subprog" in match.line


def refine(case: Case) -> None:
    """The verifier's sentence may fit several mistakes: what the path says decides."""
    if case.kind == "scalar-pointer":
        case.kind = pointers.refine_scalar(case)
    elif case.kind == "stack-depth":
        off = case.match.number("off", "off2")
        if off is not None and off >= -512:  # below what was written, for a verifier that minds; or above the frame
            case.kind = "unset-stack" if off + case.size <= 0 else "out-of-bounds"
    elif case.kind == "unbounded-index" and "max value" in case.match.line and _constant(case):
        case.kind = "out-of-bounds"
    elif case.kind == "out-of-bounds" and _indexed(case):
        case.kind = "unbounded-index"


def _constant(case: Case) -> bool:
    return memory.index_of(case, case.reg)[1] < 0


def _indexed(case: Case) -> bool:
    """A constant place that only a number before made bad: ``R0 min value is outside`` after an addition."""
    return "max value" in "".join(case.trail.reason) and not _constant(case)


def _other(case: Case) -> None:
    case.reason = case.match.line
    if case.kind == "too-new":
        lines = case.trail.reason
        case.reason = lines[-1].strip("()") if lines else case.match.line
        case.lead = "do without it, or ask for a newer Linux"


def _text(case: Case) -> str:
    if case.step is not None and case.step.insn == case.insn:
        return case.step.text
    return flow.disassembled(case.about.spec, case.insn)


def _ordered(case: Case) -> list[Note]:
    """Each note once; what is missing comes last."""
    seen: set[tuple[str, int | None]] = set()
    notes = []
    for note in case.path:
        key = (note.text, note.insn)
        if key not in seen:
            seen.add(key)
            notes.append(note)
    missing = [note for note in notes if note.role == "missing"]
    way = [note for note in notes if note.role != "missing"]
    order = {step.insn: at for at, step in enumerate(case.trail.steps)}
    way.sort(key=lambda note: order.get(note.insn, -1) if note.insn is not None else -1)
    return way + missing
