"""What an object will do, before it does it: where it attaches, what an event costs, what it makes and needs.

`explanation` is plain data (it goes to JSON as it is; docs/json.md names its members); `text` tells it to a person.
Nothing is made and nothing attached; `Machine` says what the system at hand has.
"""

from __future__ import annotations

from cygnet.session.costs import HELPER_NS, MEASURED_ON, PLACE_NS, UNKNOWN_NS, cost_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Protocol

    from cygnet.session.options import Options
    from cygnet.spec.objects import MapSpec, ObjectSpec, ProgramSpec

    class Machine(Protocol):
        """Each answer is True, False, or None where it could not be told."""

        cpus: int

        def feature(self, name: str) -> bool | None: ...
        def helper(self, number: int, prog_type: int) -> bool | None: ...
        def map_type(self, number: int) -> bool | None: ...
        def prog_type(self, number: int) -> bool | None: ...


NO_PLACE = frozenset(("begin", "end", "signal", "test", "bench"))
_ARRAYS = frozenset(("array", "percpu_array"))
#: kind of link → the feature of kernel.features that it stands on
_KIND_NEEDS = {
    "kprobe": "kprobe", "kretprobe": "kprobe", "fentry": "fentry", "fexit": "fentry", "uprobe": "uprobe",
    "uretprobe": "uprobe", "usdt": "uprobe", "raw_tracepoint": "raw_tracepoint", "hardware": "hardware_events",
    "iter": "tracing",
}  # fmt: skip
#: kinds whose programs themselves ask for the process (-p, -c); the others' attachments are bound to it
_IN_PROGRAM = frozenset(("tracepoint", "raw_tracepoint", "kprobe", "kretprobe", "fentry", "fexit"))
_BY_ATTACHING = frozenset(("uprobe", "uretprobe", "usdt", "perf_sample", "software", "hardware", "watchpoint"))
_UNSAFE_HELPERS = ("override_return", "probe_write_user", "send_signal", "send_signal_thread")
_RINGBUF, _SHOWN = 27, 12


def explanation(spec: ObjectSpec, options: Options, machine: Machine) -> dict[str, Any]:
    """Everything that is known of an object before it runs."""
    control = spec.control
    ring = control.ring if control is not None else ""
    programs = [_program(spec, program) for program in spec.programs]
    maps = [_map(one, spec, machine.cpus) for one in spec.maps]
    return {
        "attach": _attach(spec),
        "programs": programs,
        "maps": maps,
        "ring_bytes": next((one.max_entries for one in spec.maps if one.name == ring), 0),
        "memory_bytes": sum(one["memory_bytes"] for one in maps),
        "actions": [_action(action) for action in spec.actions],
        "needs": list(_needs(spec, machine)),
        "unsafe": _unsafe(spec),
        "filter": _filter(spec, options),
        "estimate": f"costs are estimates: instructions and helpers, priced as measured on {MEASURED_ON}",
    }


# ── where it attaches ──


def _attach(spec: ObjectSpec) -> dict[str, Any]:
    kinds: dict[str, int] = {}
    for link in spec.links:
        kinds[link.kind] = kinds.get(link.kind, 0) + 1
    places = sum(count for kind, count in kinds.items() if kind not in NO_PLACE)
    probes = [{"probe": link.probe, "kind": link.kind, "program": link.program} for link in spec.links]
    return {"count": len(spec.links), "places": places, "kinds": kinds, "probes": probes}


# ── what an event costs ──


def _program(spec: ObjectSpec, program: ProgramSpec) -> dict[str, Any]:
    from cygnet.facts.progtypes import program_type

    cost = cost_of(program)
    kinds = sorted({link.kind for link in spec.links if link.program == program.name})
    place = [PLACE_NS[kind] for kind in kinds if kind in PLACE_NS]
    return {
        "name": program.name,
        "type": program_type(program.type).name,
        "probes": sum(link.program == program.name for link in spec.links),
        "instructions": cost.insns,
        "path_instructions": [cost.path.least_insns, cost.path.most_insns],
        "helpers": cost.helpers,
        "kfuncs": list(cost.kfuncs),
        "estimate_ns": [round(cost.path.least_ns), round(cost.path.most_ns)],
        "place_estimate_ns": max(place) if place else None,
        "loops": cost.loops,
        "not_measured": list(cost.unmeasured),
        "frequency": _frequency(spec, program.name),
    }


def _frequency(spec: ObjectSpec, program: str) -> str:
    """How often a sampling program runs; empty where events decide."""
    for link in spec.links:
        if link.program == program and link.kind == "perf_sample":
            target = link.target
            each = "" if target["cpus"] == "one" else " on each CPU"
            if target["unit"] == "hz":
                return f"{target['value']} times a second{each}"
            return f"every {target['value'] / 1e9:g} s{each}"
    return ""


# ── what it makes ──


def _map(one: MapSpec, spec: ObjectSpec, cpus: int) -> dict[str, Any]:
    from cygnet.facts.maptypes import map_type

    kind = map_type(one.type)
    copies = cpus if kind.percpu else 1
    value = -(-one.value_size // 8) * 8 * copies
    if one.type == _RINGBUF:
        memory = one.max_entries
    else:
        key = 0 if kind.name in _ARRAYS else -(-one.key_size // 8) * 8 + 48  # struct htab_elem, or a stack's bucket
        memory = (value + key) * one.max_entries
    views = [view.name for view in spec.views if any(store.map == one.name for store in view.stores)]
    return {
        "name": one.name,
        "of": views[0] if views else "",
        "type": kind.name,
        "key_bytes": one.key_size,
        "value_bytes": one.value_size,
        "max_entries": one.max_entries,
        "copies": copies,
        "memory_bytes": memory,
        "role": _role(one, spec),
    }


def _role(one: MapSpec, spec: ObjectSpec) -> str:
    if spec.control is not None and one.name in (spec.control.map, spec.control.ring):
        return "control words" if one.name == spec.control.map else "events to user space"
    if one.name.startswith("cygnet_scratch"):
        return "scratch memory of programs"
    if one.type == 7:  # BPF_MAP_TYPE_STACK_TRACE
        return "stacks"
    for view in spec.views:
        if any(store.map == one.name for store in view.stores):
            return f"{view.name} = {view.agg}()" if view.agg else view.name
    return ""


def _action(action: Any) -> dict[str, Any]:
    return {"kind": action.kind, "record_bytes": action.size, "text": action.text, "line": action.where[1]}


# ── what it needs ──


def _needs(spec: ObjectSpec, machine: Machine) -> Iterable[dict[str, Any]]:
    from cygnet.facts.helpers import helper, helper_id
    from cygnet.facts.maptypes import map_type
    from cygnet.facts.progtypes import program_type

    for number in sorted({program.type for program in spec.programs}):
        row = program_type(number)
        yield _need("program type", row.name, row.since, machine.prog_type(number))
    for number in sorted({one.type for one in spec.maps}):
        kind = map_type(number)
        yield _need("map type", kind.name, kind.since, machine.map_type(number))
    for kind_of_link in sorted({link.kind for link in spec.links}):
        if kind_of_link in _KIND_NEEDS:
            name = _KIND_NEEDS[kind_of_link]
            yield _need("probes", kind_of_link, "", machine.feature(name))
    for name, prog_type in _called(spec):
        found = helper_id(name)
        if found is not None:
            yield _need("helper", name, helper(found).since, machine.helper(found, prog_type))
    kinds = {reloc.kind for program in spec.programs for reloc in program.relocs}
    if "core" in kinds or "kvar" in kinds:
        yield _need("types", "btf", "5.2", machine.feature("btf"))
    for name in sorted({reloc.name for program in spec.programs for reloc in program.relocs if reloc.kind == "kfunc"}):
        yield _need("kfunc", name, "", None)


def _called(spec: ObjectSpec) -> list[tuple[str, int]]:
    """Each helper, with the type of the first program that calls it."""
    found: dict[str, int] = {}
    for program in spec.programs:
        for name in cost_of(program).helpers:
            found.setdefault(name, program.type)
    return sorted(found.items())


def _need(kind: str, name: str, since: str, here: bool | None) -> dict[str, Any]:
    return {"kind": kind, "name": name, "since": since, "here": here}


def _unsafe(spec: ObjectSpec) -> list[str]:
    """What changes the system it looks at, or runs commands."""
    found = ["system()" for action in spec.actions if action.kind == "system"][:1]
    return found + [name for name, _ in _called(spec) if name in _UNSAFE_HELPERS]


def _filter(spec: ObjectSpec, options: Options) -> str:
    if not (options.pid or options.cmd):
        return ""
    who = f"process {options.pid}" if options.pid else f"the process of `{options.cmd}`"
    kinds = {link.kind for link in spec.links}
    ways = []
    if kinds & _IN_PROGRAM and options.pid:
        ways.append(f"{', '.join(sorted(kinds & _IN_PROGRAM))}: the program itself looks for {who} first")
    bound = {link.kind for link in spec.links if link.kind in _BY_ATTACHING and link.target.get("cpus") != "one"}
    if bound:
        ways.append(f"{', '.join(sorted(bound))}: attached to {who} only")
    return "; ".join(ways)


# ── as text ──


def text(found: dict[str, Any], *, verbose: bool = False) -> str:
    """An explanation for a person. Long lists are cut unless `verbose`."""
    lines: list[str] = []
    _attach_text(found, lines, verbose)
    _programs_text(found, lines, verbose)
    _maps_text(found, lines)
    _actions_text(found, lines, verbose)
    _needs_text(found, lines)
    lines.append("")
    lines.append(f"Filter: {found['filter'] or 'none: every process of the system is seen'}")
    lines.append(f"Unsafe: {', '.join(found['unsafe']) or 'no: it only looks'}")
    return "\n".join(lines) + "\n"


def _many(count: int, one: str, more: str = "") -> str:
    return f"{count} {one if count == 1 else more or one + 's'}"


def _cut(rows: list[str], verbose: bool, what: str) -> list[str]:
    if verbose or len(rows) <= _SHOWN:
        return rows
    return [*rows[: _SHOWN - 2], f"  … and {len(rows) - _SHOWN + 2} {what} more (-v shows all)"]


def _attach_text(found: dict[str, Any], lines: list[str], verbose: bool) -> None:
    attach = found["attach"]
    kinds = ", ".join([f"{count} {kind}" for kind, count in attach["kinds"].items()])
    lines.append(f"Attaches to {_many(attach['places'], 'place')}, {_many(attach['count'], 'probe')} in all: {kinds}")
    lines += _cut([f"  {one['probe']:<52} runs {one['program']}" for one in attach["probes"]], verbose, "probes")


def _programs_text(found: dict[str, Any], lines: list[str], verbose: bool) -> None:
    lines += ["", "Cost per event (estimate)"]
    rows = []
    for one in found["programs"]:
        rows.append(_program_text(one))
    lines += _cut(rows, verbose, "programs")
    lines.append(f"  ({found['estimate']}; a loop's body counts once)")


def _program_text(one: dict[str, Any]) -> str:
    least, most = one["estimate_ns"]
    lowest, highest = one["path_instructions"]
    head = f"  {one['name']:<16} {one['type']}: {one['instructions']} instructions, {_range(lowest, highest)} on a path"
    rows = [f"{head}; {_range(least, most)} ns"]
    if one["place_estimate_ns"] is not None:
        rows[0] += f", and about {one['place_estimate_ns']} ns to get there"
    if one["frequency"]:
        rows.append(f"    runs {one['frequency']}")
    if one["loops"]:
        rows.append("    has loops: it may cost more than that; the kernel cuts them after a quarter of a second")
    calls = [_call_text(name, times) for name, times in one["helpers"].items()]
    rows += [f"    calls {', '.join(calls)}"] if calls else []
    rows += [f"    calls kernel functions {', '.join(one['kfuncs'])}"] if one["kfuncs"] else []
    return "\n".join(rows)


def _call_text(name: str, times: int) -> str:
    price = HELPER_NS.get(name)
    told = f"{price} ns" if price is not None else f"not measured, taken as {UNKNOWN_NS} ns"
    return f"{name}{f' ×{times}' if times > 1 else ''} ({told})"


def _range(least: int, most: int) -> str:
    return str(most) if least == most else f"{least} to {most}"


def _maps_text(found: dict[str, Any], lines: list[str]) -> None:
    lines += ["", f"Makes {_many(len(found['maps']), 'map')}, at most {size_text(found['memory_bytes'])}"]
    for one in found["maps"]:
        sizes = f"key {one['key_bytes']} B, value {one['value_bytes']} B"
        if one["copies"] > 1:
            sizes += f" × {one['copies']} CPUs"
        shape = f"{sizes}, {_many(one['max_entries'], 'entry', 'entries')}" if one["type"] != "ringbuf" else "ring"
        row = f"  {one['name']:<16} {one['type']:<13} {shape}; {size_text(one['memory_bytes'])}"
        lines.append(f"{row}; {one['role']}" if one["role"] else row)


def _actions_text(found: dict[str, Any], lines: list[str], verbose: bool) -> None:
    actions = found["actions"]
    if not actions:
        lines += ["", "Sends no events to user space"]
        return
    lines += [
        "",
        f"Sends {_many(len(actions), 'kind')} of events to user space, through a ring of {size_text(found['ring_bytes'])}",
    ]
    rows = [f"  {one['kind']:<13} {one['record_bytes'] + 8:>5} B a record  {_quoted(one['text'])}" for one in actions]
    lines += _cut(rows, verbose, "kinds")


def _quoted(text: str) -> str:
    shown = text.encode("unicode_escape").decode()
    return f'"{shown if len(shown) <= 50 else shown[:49] + "…"}"' if text else ""


def _needs_text(found: dict[str, Any], lines: list[str]) -> None:
    marks = {True: "+", False: "-", None: "?"}
    lacking = sum(one["here"] is False for one in found["needs"])
    lines += ["", "Needs of the kernel (+ this one has it, - it has not, ? not known)"]
    for one in found["needs"]:
        since = f"since Linux {one['since']}" if one["since"] else ""
        lines.append(f"  {marks[one['here']]} {one['kind']:<13} {one['name']:<26} {since}".rstrip())
    if lacking:
        lines.append(f"  {lacking} of these are missing here: the program cannot run on this machine")


def size_text(size: int) -> str:
    """Bytes in the largest unit that leaves a number of at least 1."""
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}".replace(".0 ", " ")
    return f"{size} B"
