"""Random programs that are nearly valid and can be run: numbers from packets, contexts and maps, squeezed by masks,
shifts and comparisons, and used as offsets into map values, packets and the stack.

What the verifier concludes about a number decides whether such an access is allowed, so a wrong conclusion lets a
program run into memory that is not its own.
"""

from __future__ import annotations

import random

from tests.verifier import random_programs as base
from tests.verifier.random_programs import Writer

from cygnet.isa.encode import encode
from cygnet.spec.objects import MapSpec
from cygnet.verifier.program import ProgramSpec

TYPES = (
    "socket_filter",
    "sched_cls",
    "xdp",
    "cgroup_skb",
    "lwt_xmit",
    "kprobe",
    "tracepoint",
    "raw_tracepoint",
    "perf_event",
)
_PACKETS = {"sched_cls": (76, 80), "xdp": (0, 4), "cgroup_skb": (76, 80), "lwt_xmit": (76, 80)}
# one value each, so that memory outside of a value is nobody's
_SINGLE = {spec: spec._replace(max_entries=1) for spec in (base.HASH, base.ARRAY, base.BIG, base.PERCPU)}
SMALL = MapSpec("small", 2, 4, 24, 1)
LOADS = {0x71: 1, 0x69: 2, 0x61: 4, 0x79: 8, 0x91: 1, 0x89: 2, 0x81: 4}
_COMPARE = (0x20, 0x30, 0xA0, 0xB0, 0x60, 0x70, 0xC0, 0xD0, 0x10, 0x50, 0x40)


class Runnable(Writer):
    """Adds to Writer what makes programs that depend on their input."""

    def __init__(self, rng: random.Random, kind: str, care: float) -> None:
        super().__init__(rng, kind, care)
        self.outs: list[int] = []  # jumps to the function's end

    def out(self, code: int, dst: int, src: int = 0, imm: int = 0) -> None:
        self.outs.append(len(self.insns))
        self.emit(code, dst, src, 0, imm)

    # -- numbers that nobody knows

    def unknown(self, dst: int) -> None:
        pick = self.rng.randrange(4)
        context = self.pick("ctx")
        if pick == 0 and context is not None and context != dst:
            self.read_context(dst, context)
        elif pick == 1:
            self.map_number(dst)
        else:
            saved = self.pick_saved()
            if self.regs.get(1) == "ctx" and saved is None:
                self.emit(0xBF, 6, 1)
                self.regs[6] = "ctx"
            self.emit(0x85, 0, 0, 0, 7)
            self.lost()
            self.emit(0xBF, dst, 0)
        self.regs[dst] = "num"

    def read_context(self, dst: int, context: int) -> None:
        if self.kind in ("kprobe", "raw_tracepoint"):
            self.emit(0x79, dst, context, 8 * self.rng.randrange(5))
        elif self.kind == "tracepoint":
            self.emit(self.rng.choice((0x79, 0x61, 0x69, 0x71)), dst, context, 8 * self.rng.randrange(1, 6))
        elif self.kind == "perf_event":
            self.emit(0x79, dst, context, 8 * self.rng.randrange(12))
        else:
            self.emit(0x61, dst, context, 12 if self.kind == "xdp" else self.rng.choice((0, 8, 12, 16, 32)))

    def value(self, keep: int, which: MapSpec) -> None:
        """A pointer to the value of an array of one, checked."""
        self.emit(0x62, 10, 0, -4, 0)
        if self.regs.get(1) == "ctx" and self.pick_saved() is None:
            self.emit(0xBF, 6, 1)
            self.regs[6] = "ctx"
        self.load_map(1, which)
        self.emit(0xBF, 2, 10)
        self.emit(0x07, 2, 0, 0, -4)
        self.emit(0x85, 0, 0, 0, 1)
        self.lost()
        self.out(0x15, 0, imm=0)
        self.emit(0xBF, keep, 0)
        self.regs[0] = "other"
        self.regs[keep] = "other"

    def map_number(self, dst: int) -> None:
        keep = self.rng.choice((7, 8, 9))
        self.value(keep, SMALL)
        self.emit(self.rng.choice(tuple(LOADS)), dst, keep, 8 * self.rng.randrange(3))

    # -- squeezing

    def squeeze(self, reg: int, most: int) -> None:
        """Steps after which the number may be known to be at most `most`, or thereabouts."""
        for _ in range(self.rng.randrange(1, 4)):
            self.twist(reg)
        pick = self.rng.randrange(7)
        wide = self.rng.random() < 0.7
        limit = most if self.careful() else most + self.rng.randrange(1, 9)
        if pick == 0 or limit < 1:
            self.emit(0x57 if wide else 0x54, reg, 0, 0, (1 << max(limit, 0).bit_length()) // 2 - 1 if limit > 0 else 0)
        elif pick == 1:
            self.out(0x25 if wide else 0x26, reg, imm=limit)
            if not wide:
                self.emit(0xBC, reg, reg)
        elif pick == 2:
            low = self.rng.choice((0, 0, 0, -1, 1, -8))
            self.out(0x65 if wide else 0x66, reg, imm=limit)
            self.out(0xC5 if wide else 0xC6, reg, imm=low)
            if not wide:
                self.emit(0xBC, reg, reg)
            if low < 0:
                self.emit(0x07, reg, 0, 0, -low)
        elif pick == 3:
            other = self.rng.choice([r for r in (2, 3, 4, 5) if r != reg])
            self.emit(0xB7, other, 0, 0, limit)
            self.regs[other] = "num"
            self.out(0x2D, reg, other)
        elif pick == 4:
            self.emit(0x77 if wide else 0x74, reg, 0, 0, max((64 if wide else 32) - max(limit, 1).bit_length() + 1, 0))
        elif pick == 5:
            base_number = self.rng.choice((1, 100, -5, 0x1000))
            self.emit(0x07, reg, 0, 0, base_number)
            self.out(0xA5, reg, imm=base_number)
            self.out(0x25, reg, imm=base_number + limit)
            self.emit(0x07, reg, 0, 0, -base_number)
        else:
            copy = self.rng.choice([r for r in (2, 3, 4, 5) if r != reg])
            self.emit(0xBF, copy, reg)
            self.out(0x25, copy, imm=limit)

    def twist(self, reg: int) -> None:
        """One operation that says something, or forgets something, about the number."""
        rng = self.rng
        pick = rng.randrange(10)
        wide = 7 if rng.random() < 0.6 else 4
        if pick < 5:
            op = rng.choice((0x00, 0x10, 0x20, 0x40, 0x50, 0xA0))
            self.emit(op | wide, reg, 0, 0, self.immediate())
        elif pick == 5:
            self.emit(rng.choice((0x60, 0x70, 0xC0)) | wide, reg, 0, 0, rng.randrange(64 if wide == 7 else 32))
        elif pick == 6:
            self.emit(rng.choice((0x30, 0x90)) | wide, reg, 0, rng.randrange(2), rng.choice((1, 2, 3, 7, 8, 100, -1)))
        elif pick == 7:
            self.emit(0xBF if wide == 7 else 0xBC, reg, reg, rng.choice((0, 8, 16, 32) if wide == 7 else (0, 8, 16)))
        elif pick == 8:
            self.emit(rng.choice((0x87, 0x84, 0xD4, 0xDC, 0xD7)), reg)
            code = self.insns[-1][0]
            if code in (0xD4, 0xDC, 0xD7):
                self.insns[-1] = (code, reg, 0, 0, rng.choice((16, 32, 64)))
        else:
            jump = len(self.insns)
            self.emit(rng.choice((5, 6)) | rng.choice(_COMPARE), reg, 0, 0, self.immediate())
            for _ in range(rng.randrange(1, 3)):
                self.emit(rng.choice((0x07, 0x57, 0x47, 0x27, 0x04, 0x54)), reg, 0, 0, self.immediate())
            code, d, s, _, imm = self.insns[jump]
            self.insns[jump] = (code, d, s, len(self.insns) - jump - 1, imm)

    # -- uses

    def index_value(self) -> None:
        which = self.rng.choice((SMALL, base.ARRAY, base.BIG))
        number = self.rng.choice((7, 8))
        self.unknown(number)
        self.value(9, which)
        self.use(9, number, which.value_size)

    def use(self, pointer: int, number: int, size: int) -> None:
        """Squeeze, add, access."""
        code = self.rng.choice((0x71, 0x69, 0x61, 0x79, 0x73, 0x6B, 0x63, 0x7B, 0xDB, 0xC3))
        width = {0x71: 1, 0x69: 2, 0x61: 4, 0x79: 8, 0x73: 1, 0x6B: 2, 0x63: 4, 0x7B: 8, 0xDB: 8, 0xC3: 4}[code]
        off = self.rng.randrange(0, max(1, size // 2))
        self.squeeze(number, size - width - off)
        self.emit(0x0F if self.rng.random() < 0.9 else 0x1F, pointer, number)
        if code in (0xDB, 0xC3):
            if width > 1 and self.rng.random() < 0.8:
                self.emit(0x57, number, 0, 0, -width)
            self.emit(code, pointer, self.scalar(), off, self.rng.choice((0x00, 0x01, 0x40, 0x50, 0xA0, 0xE1)))
        elif code < 0x72 or code == 0x79:
            self.emit(code, number, pointer, off)
        else:
            self.emit(code, pointer, self.scalar(), off)
        self.regs[number] = "num"

    def index_stack(self) -> None:
        number, pointer = 7, 8
        self.unknown(number)
        slots = self.rng.randrange(1, 9)
        for slot in range(slots):
            self.emit(0x7A, 10, 0, -8 * (slot + 1), self.immediate())
        self.emit(0xBF, pointer, 10)
        self.emit(0x07, pointer, 0, 0, -8 * slots)
        self.regs[pointer] = "other"
        self.use(pointer, number, 8 * slots)

    def index_packet(self) -> None:
        place, context = _PACKETS.get(self.kind), self.pick_saved()
        if place is None or context is None:
            self.index_value()
            return
        number, reach = 7, self.rng.choice((4, 14, 34))
        self.unknown(number)
        self.squeeze(number, self.rng.choice((0, 3, 20, 255)))
        self.emit(0x61, 2, context, place[0])
        self.emit(0x61, 3, context, place[1])
        self.emit(0x0F, 2, number)
        self.emit(0xBF, 4, 2)
        self.emit(0x07, 4, 0, 0, reach)
        if self.rng.random() < 0.7:
            self.out(0x2D, 4, 3)
        else:
            self.out(self.rng.choice((0x3D, 0xAD)), 4 if self.careful() else 3, 3 if self.careful() else 4)
        load = self.rng.choice((0x71, 0x69, 0x61, 0x79))
        width = LOADS[load]
        off = self.rng.randrange(0, max(1, reach - width + (1 if self.careful() else 3)))
        self.emit(load, number, 2, off)
        for reg in (2, 3, 4):
            self.regs[reg] = "other"
        self.regs[number] = "num"

    def turn(self) -> None:
        """A loop as often as an unknown number says, up to a limit."""
        counter, limit = 8, 7
        self.unknown(limit)
        self.squeeze(limit, self.rng.randrange(1, 12))
        self.emit(0xB7, counter, 0, 0, 0)
        self.regs[counter] = "counter"
        start = len(self.insns)
        self.emit(0x07, counter, 0, 0, 1)
        off = -8 * self.rng.randrange(1, 4)
        self.emit(self.rng.choice((0x7B, 0x63)), 10, counter, off)
        if self.rng.random() < 0.5:
            self.out(0x25, counter, imm=self.rng.randrange(8, 40))
        self.emit(0xAD if self.rng.random() < 0.8 else 0xCD, counter, limit, start - len(self.insns) - 1)
        self.regs[counter] = "num"

    def step(self, depth: int = 0) -> None:
        pick = self.rng.random()
        if depth or pick < 0.55:
            super().step(depth)
        elif pick < 0.70:
            self.index_value()
        elif pick < 0.80:
            self.index_stack()
        elif pick < 0.92:
            self.index_packet()
        else:
            self.turn()

    def end(self) -> None:
        """The function's end, where all that is out of range goes."""
        self.emit(0xB7 if self.regs.get(0) != "num" else 0xBF, 0, 0)
        self.emit(0x95)
        for at in self.outs:
            code, dst, src, _, imm = self.insns[at]
            self.insns[at] = (code, dst, src, len(self.insns) - at - 1, imm)
        if self.outs:
            self.emit(0xB7, 0)
            self.emit(0x95)
        self.outs = []


def program(seed: int, care: float = 0.98) -> ProgramSpec:
    """A program of a type that the machine in user space has."""
    rng = random.Random(seed)
    writer = Runnable(rng, rng.choice(TYPES), care)
    functions = rng.choice((0, 0, 0, 1, 2))
    writer.functions = functions
    writer.emit(0xBF, 6, 1)
    writer.regs[6] = "ctx"
    for _ in range(rng.randrange(1, 6)):
        writer.step()
    if functions and not writer.calls:
        writer.call_function()
    writer.end()
    called = sorted({number for _, number in writer.calls})
    starts = {}
    for number in called:
        starts[number] = len(writer.insns)
        writer.regs, writer.stack, writer.functions = {10: "fp", 1: "arg", 2: "arg"}, set(), 0
        for _ in range(rng.randrange(1, 4)):
            writer.step(1) if rng.random() < 0.5 else writer.index_value()
        writer.end()
    for at, number in writer.calls:
        writer.insns[at] = (0x85, 0, 1, 0, starts[number] - at - 1)
    maps = {at: _SINGLE.get(spec, spec) for at, spec in writer.maps.items()}
    return ProgramSpec(writer.kind, encode(writer.insns), f"s{seed}", maps=maps)
