"""Calls that are refused: functions a program may not call, maps and arguments of the wrong kind, references, locks."""

from __future__ import annotations

import re

from cygnet.verifier.explaining import origins
from cygnet.verifier.explaining.case import Case, parsed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.facts.helpers import Helper

#: what takes a reference → what gives it back
PAIRS = {
    "bpf_ringbuf_reserve": ("bpf_ringbuf_submit", "bpf_ringbuf_discard"),
    "bpf_ringbuf_reserve_dynptr": ("bpf_ringbuf_submit_dynptr", "bpf_ringbuf_discard_dynptr"),
    "bpf_sk_lookup_tcp": ("bpf_sk_release",),
    "bpf_sk_lookup_udp": ("bpf_sk_release",),
    "bpf_skc_lookup_tcp": ("bpf_sk_release",),
    "bpf_kptr_xchg": ("the release function of its type",),
    "bpf_task_acquire": ("bpf_task_release",),
    "bpf_task_from_pid": ("bpf_task_release",),
    "bpf_task_from_vpid": ("bpf_task_release",),
    "bpf_cgroup_acquire": ("bpf_cgroup_release",),
    "bpf_cgroup_from_id": ("bpf_cgroup_release",),
    "bpf_cgroup_ancestor": ("bpf_cgroup_release",),
    "bpf_cpumask_create": ("bpf_cpumask_release",),
    "bpf_cpumask_acquire": ("bpf_cpumask_release",),
    "bpf_obj_new_impl": ("bpf_obj_drop_impl",),
    "bpf_percpu_obj_new_impl": ("bpf_percpu_obj_drop_impl",),
    "bpf_get_task_exe_file": ("bpf_put_file",),
    "bpf_iter_num_new": ("bpf_iter_num_destroy",),
}
RELEASES = frozenset(name for names in PAIRS.values() for name in names)
_MOST_TYPES = 10


def _helper(case: Case) -> tuple[Helper | None, str]:
    """The helper's row (or None) and its name."""
    from cygnet.facts.helpers import helper

    name = case.match.found.get("helper") or case.match.found.get("func") or ""
    number = case.match.number("number", "n")
    step = case.step
    if not name and step is not None:
        name = step.helper
    for which in (name, number):
        if which is None or which == "":
            continue
        try:
            row = helper(which)
        except KeyError:
            continue
        return row, row.name
    return None, name or "this function"


def explain_helper(case: Case) -> None:
    row, name = _helper(case)
    kind = case.about.type
    kfunc = case.match.found.get("kfunc")
    if kfunc is not None:
        case.reason = f"programs of {f'type {kind}' if kind else 'this type'} cannot call the kernel function {kfunc}"
        _kfunc_types(case, kfunc)
        return
    if row is None:
        number = case.match.number("n", "number")
        case.reason = f"there is no helper {number}" if number is not None else case.match.line
        case.lead = "the newest helper is number 211; what came later is a kernel function (kfunc)"
        return
    allowed = sorted(row.programs)
    if kind in row.programs:
        case.reason = f"{name} is for programs of type {kind}, but not attached as this one is: {case.match.line}"
        return
    case.reason = f"programs of {f'type {kind}' if kind else 'this type'} cannot call {name}"
    types = ", ".join(allowed[:_MOST_TYPES]) + (
        f" and {len(allowed) - _MOST_TYPES} more" if len(allowed) > _MOST_TYPES else ""
    )
    case.more.append(f"{name} is there since Linux {row.since}, for programs of type {types}")
    case.lead = "make it a program of one of these types, or use another helper"
    other = _OTHERS.get(name)
    if other is not None:
        case.lead = f"use {other} instead"
        if case.step is not None:
            case.fix = [case.code(case.at).replace(name, other)]


_OTHERS = {
    "bpf_probe_read": "bpf_probe_read_kernel",
    "bpf_probe_read_str": "bpf_probe_read_kernel_str",
    "bpf_get_current_task_btf": "bpf_get_current_task",
}


def _kfunc_types(case: Case, name: str) -> None:
    from cygnet.facts.kfuncs import kfunc

    row = kfunc(name)
    programs = getattr(row, "programs", None)
    if programs:
        case.more.append(f"{name} is for programs of type {', '.join(sorted(programs))}")
    case.lead = "kernel functions are there for the program types that the kernel registers them for"


def explain_gpl(case: Case) -> None:
    _, name = _helper(case)
    spec = case.about.spec
    own = f", {spec.license!r}," if spec is not None else ""
    case.reason = f"{name} is for programs with a GPL-compatible license only; this program's license{own} is not"
    case.lead = "declare the license"
    case.fix = {
        "asm": ["# license: GPL"],
        "c": ['char LICENSE[] SEC("license") = "GPL";'],
    }.get(case.dialect, ["license: GPL"])


def explain_sleepable(case: Case) -> None:
    _, name = _helper(case)
    found = re.search(r"(?:kfunc|func|helper) (bpf_\w+)", case.match.line)
    name = found[1] if found is not None else name
    case.reason = f"{name} may sleep, and this program may not"
    for what in ("rcu_read_lock", "non-preemptible", "IRQ-disabled"):
        if what in case.match.line:
            case.reason = f"{name} may sleep, which is forbidden in this section ({what})"
    case.lead = "use what does not sleep, or load the program as a sleepable one"
    if name == "bpf_copy_from_user":
        case.lead = "bpf_probe_read_user does not sleep (it fails where the page is not in memory)"
        case.fix = [case.code(case.at).replace(name, "bpf_probe_read_user")] if case.step is not None else []
    case.more.append(
        "only fentry, fexit, fmod_ret, LSM, iterator, uprobe and struct_ops programs can be sleepable"
        ' (SEC("fentry.s/…"), flag 16)'
    )


# -- maps and arguments


def explain_map(case: Case) -> None:
    from cygnet.facts.maptypes import map_type

    row, name = _helper(case)
    number = case.match.number("map_type")
    step = case.step
    if number is None:
        reg = case.reg
        links = case.chain(reg)
        if "fd " in case.match.line:
            case.reason = f"this map is not known: {case.match.line}"
            case.lead = "declare the map" if case.dialect == "asm" else "create the map before the program is loaded"
            case.fix = ["# map: NAME hash 4 8 1024"] if case.dialect == "asm" else []
            return
        case.reason = f"{case.name(reg, links)} is not a map"
        if "doesn't match" in case.match.line:
            case.reason = f"two arguments speak of different maps: {case.match.line}"
        if links:
            case.reason += f": it is {case.origin(links)}"
            case.note("cause", f"{case.name(reg, links)} is {case.origin(links)}", links[-1].at)
        if step is not None and step.helper:
            case.reason += f"; {step.helper} wants a map there"
        case.lead = "load the map itself, as a constant"
        case.fix = [f"r{reg} = map[fd:0]"] if case.dialect == "asm" else ["&the_map"] if case.dialect == "c" else []
        return
    try:
        kind = map_type(number).name
    except KeyError:
        kind = f"type {number}"
    which, at = _map_argument(case)
    label = f"`{which}`" if which else "this map"
    case.reason = f"{name} does not take maps of type {kind}, which {label} is"
    if at >= 0:
        case.note("cause", f"{label} is loaded: `{case.code(at)}`", at)
    takes = _takes(row)
    if takes:
        case.more.append(f"{name} takes maps of type {takes}")
        case.lead = f"give it a map of type {takes.split(',')[0]}"
    others = _others(kind)
    if others:
        case.more.append(f"maps of type {kind} are for {others}")
    case.lead = case.lead or "give it another map"


def _map_argument(case: Case) -> tuple[str, int]:
    for reg in (1, 2, 3):
        value = case.value(reg)
        if value.startswith("map_ptr"):
            links = case.chain(reg)
            return parsed(value)[1].get("map", ""), links[-1].at if links else -1
    return "", -1


def _takes(row: Helper | None) -> str:
    from cygnet.verifier.maprules import _MAPS

    return ", ".join(_MAPS.get(row.name.removeprefix("bpf_"), "").split()) if row is not None else ""


def _others(kind: str) -> str:
    from cygnet.verifier.maprules import _HELPERS

    return ", ".join([f"bpf_{name}" for name in _HELPERS.get(kind, "").split()])


def explain_argument(case: Case) -> None:
    from cygnet.verifier.explaining.pointers import _WORDS, _expected

    reg = case.reg
    links = case.chain(reg)
    step = case.step
    kind = case.match.found.get("type") or parsed(case.value(reg))[0]
    kind = "fp" if kind.startswith("fp") else kind
    expected = case.match.found.get("expected")
    who = step.helper if step is not None and step.helper else "this"
    own = f"{case.name(reg, links)} is {_WORDS.get(kind, kind)}" if reg >= 0 and kind else case.match.line
    if expected:
        case.reason = f"{own}; {who} wants {_expected(expected)} there"
    elif reg >= 0 and "invalid mem access" in case.match.line:
        case.reason = f"{own}, which cannot be read or written through"
    else:
        case.reason = f"{case.match.line}"
    if links:
        case.note("cause", f"{case.name(reg, links)} is {case.origin(links)}", links[-1].at)
    if step is not None and step.helper:
        row, _ = _helper(case)
        if row is not None:
            case.more.append(f"the arguments of {row.name}: {', '.join(row.args) or 'none'}")
    case.lead = "hand over what it wants"


# -- references


def explain_leak(case: Case) -> None:
    alloc = case.match.number("alloc")
    at = -1
    for index, step in enumerate(case.trail.steps):
        if step.insn == alloc or (alloc is None and step.helper in PAIRS):
            at = index
    name = case.trail.steps[at].helper if at >= 0 else ""
    end = "the program ends" if case.step is None or case.step.is_exit else f"`{case.code(case.at)}`"
    taken_by = f"{name} at {case.cite(at)}" if name else f"instruction {alloc}"
    case.reason = f"what {taken_by} gave is still held where {end}"
    if at >= 0:
        case.note("cause", f"`{case.code(at)}` takes the reference", at)
        for seen in origins.concerned(case.trail, at, case.at, 0):
            if case.trail.steps[seen.at].is_branch:
                case.note(
                    "branch",
                    f"`{case.code(seen.at)}` was {'taken' if seen.taken else 'not taken'}: it was got",
                    seen.at,
                )
    pair = PAIRS.get(name, ())
    back = " or ".join(pair) or "the function that releases it"
    case.note("missing", f"no call of {back} between {case.cite(at)} and {case.cite(case.at)}", case.at)
    case.lead = f"call {back} on every path that leaves"
    if pair and case.dialect == "asm":
        holder = _holder_of(case, at)
        case.fix = [f"r1 = r{holder}"] + (["r2 = 0"] if "ringbuf" in name else []) + [f"call {pair[0]}"]
    elif pair:
        variable = case.variable(origins.chain(case.trail, at + 1, 0), 0) if at >= 0 else ""
        case.fix = [f"{pair[0]}({variable or 'pointer'}{', 0' if 'ringbuf' in name else ''});"]


def _holder_of(case: Case, at: int) -> int:
    """A register that still holds what the call at a step gave, or 0."""
    found = re.search(r"ref_obj_id=(\d+)", case.trail.steps[at].after.get("R0", ""))
    for reg in range(10):
        if found is not None and f"ref_obj_id={found[1]}" in case.value(reg):
            return reg
    return 0


def explain_released(case: Case) -> None:
    from cygnet.verifier.explaining.pointers import released

    reg = case.reg
    links = case.chain(reg)
    name = case.name(reg, links)
    step = case.step
    where = released(case, links[-1]) if links and links[-1].what == "call" else None
    if where is None:
        case.reason = f"{name} holds nothing that could be released"
        if links:
            case.reason += f": it is {case.origin(links)}"
            case.note("cause", f"{name} is {case.origin(links)}", links[-1].at)
        case.lead = "release only what a function that takes references gave, once"
        return
    gone = case.trail.steps[where].helper
    again = step is not None and step.helper in RELEASES
    case.reason = f"{name} was released by {gone} at {case.cite(where)}" + (
        ", and is released again" if again else ", and is used after that"
    )
    case.note("cause", f"{name} is {case.origin(links)}", links[-1].at)
    case.note("step", f"released: `{case.code(where)}`", where)
    case.lead = "release it once" if again else f"use it before {gone}, not after"
    if not again and step is not None:
        case.fix = [case.code(case.at), case.code(where)]


# -- locks


def explain_lock(case: Case) -> None:
    line = case.match.line
    lock = next(
        (at for at in range(min(case.at, len(case.trail.steps) - 1), -1, -1)
         if case.trail.steps[at].helper.endswith(("spin_lock", "spin_lock_irqsave"))),
        -1,
    )  # fmt: skip
    if lock >= 0 and lock != case.at:
        case.note("cause", f"the lock is taken: `{case.code(lock)}`", lock)
    since = f" since {case.cite(lock)}" if lock >= 0 and lock != case.at else ""
    if "calls are not allowed" in line:
        name = case.step.helper if case.step is not None and case.step.helper else "a function"
        case.reason = f"{name} is called while a lock is held{since}; only bpf_spin_unlock may be"
        case.lead = "unlock before, or call it before locking"
        if name == "bpf_spin_lock":
            case.reason = f"a second lock is taken while one is held{since}"
            case.lead = "release the first one before"
    elif "BPF_EXIT" in line or "missing unlock" in line:
        case.reason = f"the program ends while the lock is still held{since}"
        case.lead = "unlock on every path that leaves"
        case.fix = ["call bpf_spin_unlock"] if case.dialect == "asm" else ["bpf_spin_unlock(&value->lock);"]
    elif "Locking two" in line:
        case.reason = f"a second lock is taken while one is held{since}"
        case.lead = "release the first one before"
    elif "without taking" in line:
        case.reason = "a lock is released that was not taken on this path"
        case.lead = "lock first, on every path that comes here"
    elif "of different lock" in line:
        case.reason = f"another lock is released than the one that is held{since}"
        case.lead = "release the lock that was taken"
    elif "directly" in line:
        case.reason = "a bpf_spin_lock is read or written like a number"
        case.lead = "leave the field to bpf_spin_lock and bpf_spin_unlock"
    elif "no valid" in line or "has to have BTF" in line or "doesn't point to" in line:
        case.reason = f"there is no lock at this place: {line}"
        case.lead = "put a `struct bpf_spin_lock` into the map's value, and give the map its types"
    else:
        case.reason = line
        case.lead = "take and release one lock at a time, in the same function"


def explain_section(case: Case) -> None:
    case.reason = case.match.line
    case.lead = "pair the calls that begin and end the section, on every path"


def explain_state(case: Case) -> None:
    case.reason = case.match.line
    reg = case.reg
    links = case.chain(reg)
    if links and links[-1].at >= 0:
        case.note("cause", f"r{reg} is {case.origin(links)}", links[-1].at)
    case.lead = "make it with its constructor first, and hand it to its destructor once"


def explain_field(case: Case) -> None:
    case.reason = case.match.line
    case.lead = (
        "locks, timers, kernel pointers, lists and trees in a value are for the functions that are made for them"
    )
