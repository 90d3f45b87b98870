"""What an event costs, as an estimate: instructions and helpers on a program's paths, priced by a measured table.

The prices are nanoseconds on one machine (`MEASURED_ON`), measured by ``python -m benchmarks.helpers``. Another
machine has others, and so has this one when it is busy: they compare programs, and tell cheap from dear.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final, NamedTuple

    from cygnet.spec.objects import ProgramSpec
else:
    from cygnet.named import NamedTuple

MEASURED_ON: Final = "a virtual machine with 2 AMD EPYC processors, Linux 6.18"
INSN_NS: Final = 0.4
#: nanoseconds of a call. Reads are of 8 bytes, strings of 40; a stack of some fifteen frames; look-ups in hash maps.
HELPER_NS: Final = {
    "ktime_get_ns": 38, "ktime_get_boot_ns": 45, "ktime_get_tai_ns": 45, "get_current_pid_tgid": 8,
    "get_current_uid_gid": 32, "get_smp_processor_id": 2, "get_current_task": 9, "get_current_cgroup_id": 25,
    "get_prandom_u32": 18, "get_numa_node_id": 8, "get_current_comm": 52, "get_ns_current_pid_tgid": 93,
    "probe_read_kernel": 28, "probe_read_user": 94, "probe_read_kernel_str": 27, "probe_read_user_str": 106,
    "map_lookup_elem": 35, "map_update_elem": 146, "get_stackid": 2600, "get_stack": 2500, "ringbuf_reserve": 30,
    "ringbuf_submit": 9,
}  # fmt: skip
UNKNOWN_NS: Final = 50  # a helper that was not measured
#: kind of link → nanoseconds from the event to the program's first instruction and back. A usdt probe is a uprobe.
#: Traps are dear on a virtual machine. Kinds that machine has not got (kprobe, fentry …) have no price.
PLACE_NS: Final = {"tracepoint": 220, "raw_tracepoint": 120, "uprobe": 14000, "uretprobe": 14000, "usdt": 14000}

_CALL, _EXIT, _GOTO, _GOTO_LONG, _MAY_GOTO, _LD_IMM64 = 0x85, 0x95, 0x05, 0x06, 0xE5, 0x18
_JUMPS = (0x05, 0x06)  # instruction classes
_LOOPS = frozenset(("loop", "for_each_map_elem"))
_PSEUDO_CALL, _PSEUDO_KFUNC, _PSEUDO_FUNC = 1, 2, 4


class PathCost(NamedTuple):
    """The cheapest and the dearest way through a program, every loop's body taken once."""

    least_insns: int
    most_insns: int
    least_ns: float
    most_ns: float


class ProgramCost(NamedTuple):
    """One program. `helpers` says how many calls of each its code has; `loops` whether some of it may run often."""

    insns: int
    helpers: dict[str, int]
    kfuncs: tuple[str, ...]
    unmeasured: tuple[str, ...]
    loops: bool
    path: PathCost


def cost_of(program: ProgramSpec) -> ProgramCost:
    """Count and price a program."""
    from cygnet.isa.encode import decode

    code = decode(program.insns)
    helpers = _helpers(code)
    kfuncs = tuple(sorted({reloc.name for reloc in program.relocs if reloc.kind == "kfunc"}))
    unmeasured = tuple(sorted({name for name in helpers if name not in HELPER_NS} | set(kfuncs)))
    loops = bool(_LOOPS & set(helpers)) or any(_goes_back(insn) for insn in code)
    starts = sorted({0, *(function.insn for function in program.functions)})
    path = _Paths(code, starts).cost(0)
    return ProgramCost(len(code), helpers, kfuncs, unmeasured, loops, path)


def _name(number: int) -> str:
    from cygnet.facts.helpers import helper_name

    return (helper_name(number) or f"bpf_helper_{number}").removeprefix("bpf_")


def _helpers(code: Sequence[tuple[int, int, int, int, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for op, _, src, _, imm in code:
        if op == _CALL and src == 0:
            found[_name(imm)] = found.get(_name(imm), 0) + 1
    return dict(sorted(found.items()))


def _goes_back(insn: tuple[int, int, int, int, int]) -> bool:
    op, _, _, off, imm = insn
    if op & 7 not in _JUMPS or op in (_CALL, _EXIT, _MAY_GOTO):
        return False
    return (imm if op == _GOTO_LONG else off) < 0


class _Paths:
    """Costs from an instruction to the end of its function; jumps back are left out, so the graph has no circle."""

    def __init__(self, code: Sequence[tuple[int, int, int, int, int]], starts: Iterable[int]) -> None:
        self._code = code
        self._starts = [*starts, len(code)]
        self._known: dict[int, PathCost] = {}
        self._open: set[int] = set()

    def cost(self, start: int) -> PathCost:
        """Of the function at slot `start`."""
        if start not in self._known:
            if start in self._open:
                return _NOTHING  # recursion, which no verifier takes
            self._open.add(start)
            self._known[start] = self._function(start, next((at for at in self._starts if at > start), start))
        return self._known[start]

    def _function(self, start: int, end: int) -> PathCost:
        after: dict[int, PathCost] = {}
        at = end - 1
        while at >= start:
            after[at] = self._step(at, after)
            at -= 1
        return after.get(start, _NOTHING)

    def _step(self, at: int, after: dict[int, PathCost]) -> PathCost:
        op, _, _, off, imm = self._code[at]
        own = self._own(at)
        if op == _EXIT:
            return own
        if op == _LD_IMM64:
            ways = [at + 2]
        elif op in (_GOTO, _GOTO_LONG):
            ways = [at + 1 + (imm if op == _GOTO_LONG else off)]
        elif op & 7 in _JUMPS and op != _CALL:
            ways = [at + 1, at + 1 + off]
        else:
            ways = [at + 1]
        ends = [after[way] for way in ways if way in after]
        return _then(own, ends) if ends else own

    def _own(self, at: int) -> PathCost:
        """An instruction by itself: with what it calls."""
        op, _, src, _, imm = self._code[at]
        ns, called = INSN_NS, _NOTHING
        if op == _CALL and src == 0:
            ns += HELPER_NS.get(_name(imm), UNKNOWN_NS)
        elif op == _CALL and src == _PSEUDO_KFUNC:
            ns += UNKNOWN_NS
        elif (op == _CALL and src == _PSEUDO_CALL) or (op == _LD_IMM64 and src == _PSEUDO_FUNC):
            called = self.cost(at + 1 + imm)  # a callback is counted where it is named: once
        return _then(PathCost(1, 1, ns, ns), [called])


_NOTHING = PathCost(0, 0, 0.0, 0.0)


def _then(first: PathCost, ends: Sequence[PathCost]) -> PathCost:
    return PathCost(
        first.least_insns + min(end.least_insns for end in ends),
        first.most_insns + max(end.most_insns for end in ends),
        first.least_ns + min(end.least_ns for end in ends),
        first.most_ns + max(end.most_ns for end in ends),
    )
