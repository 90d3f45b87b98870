"""Random calls of helpers: every helper, its arguments nearly what it wants, in programs of every type."""

from __future__ import annotations

import random

from tests.verifier.typekit import kit

from cygnet.facts.helpers import Helper, helper, variant
from cygnet.facts.maptypes import map_type
from cygnet.facts.progtypes import names
from cygnet.isa.encode import encode
from cygnet.spec.objects import MapSpec
from cygnet.verifier.program import ProgramSpec

Slots = tuple[int, int, int, int, int]
_SHAPES = {  # key, value, entries, flags
    "hash": (4, 16, 4, 0), "array": (4, 16, 4, 0), "percpu_array": (4, 16, 4, 0), "percpu_hash": (4, 16, 4, 0),
    "lru_hash": (8, 8, 4, 0), "prog_array": (4, 4, 4, 0), "perf_event_array": (4, 4, 4, 0), "ringbuf": (0, 0, 4096, 0),
    "stack_trace": (4, 64, 4, 0), "queue": (0, 8, 4, 0), "stack": (0, 8, 4, 0), "bloom_filter": (0, 8, 4, 0),
    "cgroup_array": (4, 4, 4, 0), "devmap": (4, 4, 4, 0), "cpumap": (4, 4, 4, 0), "sockmap": (4, 4, 4, 0),
    "sockhash": (4, 4, 4, 0), "array_of_maps": (4, 4, 4, 0), "lpm_trie": (8, 4, 4, 1), "user_ringbuf": (0, 0, 4096, 0),
    "xskmap": (4, 4, 4, 0), "reuseport_sockarray": (4, 8, 4, 0),
}  # fmt: skip
_WANTED = {"tail_call": "prog_array", "perf_event_output": "perf_event_array", "get_stackid": "stack_trace",
           "redirect_map": "devmap", "map_push_elem": "queue", "map_pop_elem": "stack", "map_peek_elem": "bloom_filter",
           "user_ringbuf_drain": "user_ringbuf", "skb_under_cgroup": "cgroup_array", "sk_redirect_map": "sockmap",
           "map_lookup_percpu_elem": "percpu_array", "current_task_under_cgroup": "cgroup_array"}  # fmt: skip


class _Calls:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.insns: list[Slots] = []
        self.maps: dict[int | str, MapSpec] = {}

    def emit(self, code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> None:
        self.insns.append((code, dst, src, off, imm))

    def map_spec(self, row: Helper) -> MapSpec:
        kind = next((kind for name, kind in _WANTED.items() if row.name == f"bpf_{name}"), "")
        if "ringbuf" in row.name and not kind:
            kind = "ringbuf"
        if not kind or self.rng.random() < 0.2:
            kind = self.rng.choice(["hash", "array", self.rng.choice(list(_SHAPES))])
        key, value, entries, flags = _SHAPES[kind]
        return MapSpec(kind, map_type(kind).id, key, value, entries, flags)

    def load(self, reg: int, spec: MapSpec, value: bool = False) -> None:
        self.maps[len(self.insns)] = spec
        self.emit(0x18, reg, 2 if value else 1)
        self.emit(0)

    def stack(self, reg: int, off: int) -> None:
        self.emit(0xBF, reg, 10)
        self.emit(0x07, reg, 0, 0, off)

    def argument(self, reg: int, word: str, row: Helper) -> None:
        pick = self.rng.random()
        kind = word.rstrip("?").partition(":")[0]
        if word.endswith("?") and pick < 0.2:
            self.emit(0xB7, reg)
        elif pick < 0.08:
            self.anything(reg)
        elif kind == "ctx":
            self.emit(0xBF, reg, 6)
        elif kind == "map":
            self.load(reg, self.map_spec(row))
        elif kind in ("key", "value", "value_out", "mem", "mem_out", "mem_rw", "long_out", "int_rw", "fixed"):
            if self.rng.random() < 0.25:
                self.load(reg, MapSpec("value", 2, 4, 64, 1), True)
                if self.rng.random() < 0.3:
                    self.emit(0x07, reg, 0, 0, self.rng.choice((8, 32, 60, 64)))
            else:
                self.stack(reg, -8 * self.rng.choice((1, 2, 4, 8)))
        elif kind in ("size", "size0", "alloc_size"):
            self.emit(0xB7, reg, 0, 0, self.rng.choice((8, 8, 4, 16, 1, 0, 12, 64, -1)))
        elif kind == "str":
            self.load(reg, MapSpec("text", 2, 4, 16, 1, 0x80, b"a %d\0".ljust(16, b"\0"), True), True)
        elif kind in ("lock", "timer"):
            name = f"v_{kind}"
            spec = MapSpec(name, 2, 4, kit().sizes[name], 1, btf=kit().data, value_type_id=kit().structs[name])
            self.load(reg, spec, True)
        elif kind in ("dynptr", "dynptr_out", "stack"):
            self.stack(reg, -8 * self.rng.choice((2, 4)))
        elif kind == "btf":
            self.emit(0xBF, reg, 9)
        else:
            self.emit(0xB7, reg, 0, 0, self.rng.choice((0, 0, 1, 2, -1, 0x100)))

    def anything(self, reg: int) -> None:
        pick = self.rng.randrange(5)
        if pick == 0:
            self.emit(0xBF, reg, 6)
        elif pick == 1:
            self.emit(0xB7, reg, 0, 0, self.rng.choice((0, 1, -1)))
        elif pick == 2:
            self.emit(0xBF, reg, 7)
        elif pick == 3:
            self.load(reg, MapSpec("array", 2, 4, 16, 4))
        else:
            self.stack(reg, -16)


def program(seed: int) -> ProgramSpec:
    """One or two calls, from a type that may make the first of them, mostly."""
    rng = random.Random(seed)
    calls = _Calls(rng)
    number = rng.randrange(1, 212)
    row = helper(number)
    choice = sorted(row.programs - {"lsm", "ext", "struct_ops", "tracing", "lirc_mode2"}) or ["kprobe"]
    kind = rng.choice(choice) if rng.random() < 0.95 else rng.choice(["xdp", "kprobe", "sched_cls"])
    assert kind in names()
    calls.emit(0xBF, 6, 1)
    if any(word.startswith("btf") for word in variant(row, kind)) and kind in ("kprobe", "tracepoint", "perf_event"):
        calls.emit(0x85, 0, 0, 0, 158)
        calls.emit(0xBF, 9, 0)
    else:
        calls.emit(0xB7, 9)
    calls.emit(0x85, 0, 0, 0, 7)
    calls.emit(0xBF, 7, 0)
    for off in range(-64, 0, 8):
        if rng.random() < 0.95:
            calls.emit(0x7A, 10, 0, off)
    for _ in range(rng.choice((1, 1, 2))):
        words = [word for word in variant(row, kind) if word != "..."]
        for index, word in enumerate(words):
            calls.argument(index + 1, word, row)
        calls.emit(0x85, 0, 0, 0, row.id)
        _use(calls, row)
    calls.emit(0xB7, 0, 0, 0, rng.choice((0, 1, 1)))
    calls.emit(0x95)
    flags = 16 if kind == "syscall" else 0
    return ProgramSpec(kind, encode(calls.insns), f"call{seed} {row.name}", 0, flags, calls.maps)


def _use(calls: _Calls, row: Helper) -> None:
    """What a caller does with the result: a check for null, a look, giving it back."""
    rng = calls.rng
    if row.result in ("int", "void") or rng.random() < 0.2:
        return
    if rng.random() < 0.85:
        calls.emit(0x55, 0, 0, 2, 0)
        calls.emit(0xB7, 0, 0, 0, 1)
        calls.emit(0x95)
    calls.emit(0xBF, 8, 0)
    if rng.random() < 0.7:
        calls.emit(rng.choice((0x61, 0x79, 0x71)), 1, 0, rng.choice((0, 4, 8, 12)), 0)
    if row.id in (84, 85, 99) and rng.random() < 0.85:
        calls.emit(0xBF, 1, 8)
        calls.emit(0x85, 0, 0, 0, 86)
    if row.id == 131 and rng.random() < 0.85:
        calls.emit(0xBF, 1, 8)
        calls.emit(0xB7, 2)
        calls.emit(0x85, 0, 0, 0, rng.choice((132, 133)))
