"""Where a register's value came from on a path, which branches tested it, and what released it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.verifier.explaining.trail import Step, Trail

_LIMIT = 64


class Link:
    """One link of a chain, from the use back to the origin. `at` is a step's index, -1 before the first.

    what        the value …
    call        is the result of a helper or kernel function
    clobber     was lost in a call
    load        was read from memory (step.mem)
    stack       was read from a stack slot, where a store had put it: the next link is about what was stored
    store       was stored there
    move        was copied from `reg`, which the next link is about
    alu         was computed from the register itself, which the next link is about, and maybe `other`
    constant    is written in the instruction
    map         is the address of a map or something else that is loaded in 64 bits
    entry       was there when the program or function began
    none        was never set
    """

    __slots__ = ("at", "other", "reg", "what")

    def __init__(self, what: str, at: int, reg: int, other: int = -1) -> None:
        self.what = what
        self.at = at
        self.reg = reg
        self.other = other

    def __repr__(self) -> str:
        return f"<{self.what} r{self.reg} @{self.at}>"


def chain(trail: Trail, at: int, reg: int) -> list[Link]:
    """What made the value that `reg` has before step `at`, nearest first."""
    links: list[Link] = []
    frame = trail.steps[at].frame if at < len(trail.steps) else trail.steps[-1].frame if trail.steps else 0
    for _ in range(_LIMIT):
        index, frame, reg = _written(trail, at, reg, frame)
        if index < 0:
            links.append(Link("entry" if reg in (1, 2, 3, 4, 5, 10) else "none", -1, reg))
            break
        more = _link(trail, index, reg, frame)
        links += more
        last = more[-1]
        if last.what in ("move", "alu", "store"):
            at, reg = last.at, last.reg
            continue
        break
    return links


def _written(trail: Trail, at: int, reg: int, frame: int) -> tuple[int, int, int]:
    """(index of the step that gave `reg` its value before `at`, its frame, the register); index -1 when none did."""
    steps = trail.steps
    for index in range(min(at, len(steps)) - 1, -1, -1):
        step = steps[index]
        if step.frame == frame:
            if step.writes == reg or (step.call and 1 <= reg <= 5):
                return index, frame, reg
        elif step.frame < frame:
            if not 1 <= reg <= 5 or step.helper:
                return -1, frame, reg
            frame = step.frame  # arguments of a function of the program: as the caller set them
        elif step.is_exit and step.frame == frame + 1 and reg == 0 and _called_here(steps, index, frame):
            frame += 1  # the result, as the function set it
    return -1, frame, reg


def _called_here(steps: list[Step], index: int, frame: int) -> bool:
    """Does this exit go back to a call of a function, rather than to a helper that called back?"""
    for step in reversed(steps[:index]):
        if step.frame == frame:
            return step.call == "pc"
    return False


def _link(trail: Trail, index: int, reg: int, frame: int) -> list[Link]:
    step = trail.steps[index]
    if step.call:
        return [Link("call" if reg == 0 else "clobber", index, reg)]
    if step.cls == 1:
        slot = _slot(trail, index)
        stored = _stored(trail, index, slot, frame) if slot is not None else -1
        if stored < 0:
            return [Link("load", index, reg)]
        store = trail.steps[stored]
        if store.cls == 3:
            return [Link("stack", index, reg), Link("store", stored, store.src)]
        return [Link("stack", index, reg), Link("constant", stored, reg)]
    if step.is_move:
        return [Link("move", index, step.src)] if step.src >= 0 else [Link("constant", index, reg)]
    if step.cls in (4, 7):
        return [Link("alu", index, reg, step.src if step.src != reg else -1)]
    if step.code == 0x18:
        return [Link("map" if "map" in step.after.get(f"R{reg}", "") else "constant", index, reg)]
    return [Link("load", index, reg)]


def _slot(trail: Trail, index: int) -> int | None:
    """The stack offset that a load or store is about, or None when it is about other memory."""
    step = trail.steps[index]
    if step.mem is None:
        return None
    base, offset, _ = step.mem
    if base == 10:
        return offset
    text = trail.value(index, f"R{base}")
    if text.startswith("fp") and text[2:].lstrip("-").isdigit():
        return int(text[2:] or "0") + offset
    return None


def _stored(trail: Trail, at: int, slot: int, frame: int) -> int:
    """The last store to a slot before step `at`, or -1."""
    for index in range(at - 1, -1, -1):
        step = trail.steps[index]
        if step.frame == frame and step.cls in (2, 3) and step.mem is not None and _slot(trail, index) == slot:
            return index
    return -1


class Seen:
    """A step between origin and use that concerned the value: it was tested, or handed to a call.

    `reg` is the register it was in; `taken` says which way a branch went.
    """

    __slots__ = ("at", "reg", "taken")

    def __init__(self, at: int, reg: int, taken: bool) -> None:
        self.at = at
        self.reg = reg
        self.taken = taken


def concerned(trail: Trail, start: int, end: int, reg: int) -> list[Seen]:
    """Branches and calls between two steps that had the value which step `start` put into `reg`.

    `start` -1 is the beginning of the program. Copies are followed, in registers and in stack slots.
    """
    return list(_concerned(trail, start, end, reg))


def _concerned(trail: Trail, start: int, end: int, reg: int) -> Iterator[Seen]:
    steps = trail.steps
    first = steps[start].frame if start >= 0 else 0
    if start >= 0 and start + 1 < len(steps) and steps[start].call == "pc":
        first = steps[start].frame
    holders: set[tuple[int, int]] = {(first, reg)}
    slots: set[tuple[int, int]] = set()
    for index in range(start + 1, min(end, len(steps))):
        step = steps[index]
        frame = step.frame
        if step.is_branch:
            for each in _tested(step):
                if (frame, each) in holders:
                    yield Seen(index, each, taken(trail, index))
                    break
        elif step.call:
            for each in range(1, 6):
                if (frame, each) in holders:
                    yield Seen(index, each, False)
            _pass(trail, index, holders)
        _follow(trail, index, holders, slots)


def _tested(step: Step) -> list[int]:
    import re

    return [int(number) for number in re.findall(r"\b[rw](\d+)\b", step.text)]


def _pass(trail: Trail, index: int, holders: set[tuple[int, int]]) -> None:
    """Arguments go into a function of the program; other calls lose them."""
    step = trail.steps[index]
    inside = step.call == "pc"
    for each in range(6):
        if (step.frame, each) in holders:
            if inside and each:
                holders.add((step.frame + 1, each))
            holders.discard((step.frame, each))


def _follow(trail: Trail, index: int, holders: set[tuple[int, int]], slots: set[tuple[int, int]]) -> None:
    step = trail.steps[index]
    frame = step.frame
    if step.call:
        return
    if step.cls in (2, 3):
        slot = _slot(trail, index)
        if slot is not None:
            slots.discard((frame, slot))
            if step.cls == 3 and (frame, step.src) in holders:
                slots.add((frame, slot))
        return
    if step.writes < 0:
        return
    held = step.is_move and step.cls == 7 and (frame, step.src) in holders
    if step.cls == 1:
        slot = _slot(trail, index)
        held = slot is not None and (frame, slot) in slots
    if held:
        holders.add((frame, step.writes))
    else:
        holders.discard((frame, step.writes))


def taken(trail: Trail, index: int) -> bool:
    """Did the path go where the branch jumps to?"""
    steps = trail.steps
    if index + 1 >= len(steps):
        return False
    return steps[index + 1].insn != steps[index].insn + 1
