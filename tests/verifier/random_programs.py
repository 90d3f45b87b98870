"""Random programs that are nearly valid: a generator that knows roughly what each register holds.

Mistakes come from it not knowing exactly, and from a share of careless choices.
"""

from __future__ import annotations

import random

from cygnet.isa.encode import encode
from cygnet.spec.objects import MapSpec
from cygnet.verifier.program import ProgramSpec

HASH = MapSpec("hash", 1, 4, 48, 8)
ARRAY = MapSpec("array", 2, 4, 64, 4)
BIG = MapSpec("big", 2, 4, 4096, 1)
RING = MapSpec("ring", 27, 0, 0, 4096)
PERCPU = MapSpec("percpu", 6, 4, 16, 4)
PROGS = MapSpec("progs", 3, 4, 4, 4)

TYPES = (
    "socket_filter", "sched_cls", "xdp", "kprobe", "tracepoint", "raw_tracepoint", "perf_event", "cgroup_skb",
    "sk_skb", "lwt_xmit", "sock_ops", "sk_msg",
)  # fmt: skip
_PACKET = {"sched_cls": (76, 80), "xdp": (0, 4), "cgroup_skb": (76, 80), "sk_skb": (76, 80), "lwt_xmit": (76, 80)}
_ALU = (0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xA0, 0xC0)
_JUMPS = (0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xA0, 0xB0, 0xC0, 0xD0)
_IMMEDIATES = (0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 255, 256, 511, 0xFFFF, 0x7FFFFFFF, -1, -2, -8, -0x80000000)


class Writer:
    def __init__(self, rng: random.Random, kind: str, care: float) -> None:
        self.rng = rng
        self.kind = kind
        self.care = care
        self.insns: list[tuple[int, int, int, int, int]] = []
        self.maps: dict[int | str, MapSpec] = {}
        self.regs: dict[int, str] = {1: "ctx", 10: "fp"}
        self.size: dict[int, int] = {}
        self.stack: set[int] = set()
        self.calls: list[tuple[int, int]] = []  # instruction, number of the function
        self.functions = 0

    def emit(self, code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> None:
        self.insns.append((code, dst, src, off, imm))

    def careful(self) -> bool:
        return self.rng.random() < self.care

    def pick(self, kind: str) -> int | None:
        have = [reg for reg, what in self.regs.items() if what == kind]
        return self.rng.choice(have) if have else None

    def scalar(self) -> int:
        found = self.pick("num")
        if found is not None and self.careful():
            return found
        if not self.careful():
            return self.rng.randrange(11)
        reg = self.rng.choice([r for r in range(10) if r != 6 or "ctx" not in self.regs.values()])
        self.move(reg)
        return reg

    def move(self, reg: int) -> None:
        wide = self.rng.random() < 0.8
        self.emit(0xB7 if wide else 0xB4, reg, 0, 0, self.immediate())
        self.regs[reg] = "num"

    def immediate(self) -> int:
        if self.rng.random() < 0.7:
            return self.rng.choice(_IMMEDIATES)
        return self.rng.randrange(-200, 200)

    def free(self) -> int:
        return self.rng.choice([0, 2, 3, 4, 5, 7, 8, 9])

    # -- steps

    def alu(self) -> None:
        op = self.rng.choice(_ALU)
        dst = self.scalar()
        cls = 7 if self.rng.random() < 0.65 else 4
        if self.rng.random() < 0.5:
            imm = self.immediate()
            if op in (0x60, 0x70, 0xC0) and self.careful():
                imm = self.rng.randrange(32 if cls == 4 else 64)
            if op in (0x30, 0x90) and imm == 0:
                imm = 3
            off = 1 if op in (0x30, 0x90) and self.rng.random() < 0.3 else 0
            self.emit(cls | op, dst, 0, off, imm)
        else:
            self.emit(cls | op | 8, dst, self.scalar(), 0, 0)

    def unary(self) -> None:
        dst = self.scalar()
        pick = self.rng.randrange(6)
        if pick == 0:
            self.emit(self.rng.choice((0x84, 0x87)), dst)
        elif pick == 1:
            self.emit(self.rng.choice((0xD4, 0xDC, 0xD7)), dst, 0, 0, self.rng.choice((16, 32, 64)))
        elif pick == 2:
            other = self.free()
            off = self.rng.choice((8, 16, 32))
            self.emit(0xBF, other, dst, off)
            self.regs[other] = "num"
        elif pick == 3:
            other = self.free()
            self.emit(0xBC, other, dst, self.rng.choice((0, 8, 16)))
            self.regs[other] = "num"
        else:
            other = self.free()
            self.emit(0xBF, other, dst)
            self.regs[other] = self.regs.get(dst, "num")

    def spill(self) -> None:
        off = -8 * self.rng.randrange(1, 9)
        if self.rng.random() < 0.3:
            src = self.rng.choice([r for r in self.regs if r != 10] or [1])
            self.emit(0x7B, 10, src, off)
        elif self.rng.random() < 0.3:
            self.emit(self.rng.choice((0x7A, 0x62, 0x6A, 0x72)), 10, 0, off, self.immediate())
        else:
            size = self.rng.choice((0x7B, 0x63, 0x6B, 0x73))
            width = {0x7B: 8, 0x63: 4, 0x6B: 2, 0x73: 1}[size]
            if self.rng.random() < 0.3:
                off += width * self.rng.randrange(8 // width)
            self.emit(size, 10, self.scalar(), off)
        self.stack.add(off)

    def fill(self) -> None:
        if not self.stack:
            return self.spill()
        off = self.rng.choice(sorted(self.stack))
        dst = self.free()
        code = self.rng.choice((0x79, 0x79, 0x61, 0x69, 0x71, 0x81, 0x91, 0x89))
        self.emit(code, dst, 10, off)
        self.regs[dst] = "num"
        return None

    def context(self) -> None:
        reg = self.pick("ctx")
        if reg is None:
            return
        dst = self.free()
        if self.kind in ("kprobe", "perf_event", "raw_tracepoint"):
            self.emit(0x79, dst, reg, 8 * self.rng.randrange(12))
        elif self.kind == "tracepoint":
            self.emit(self.rng.choice((0x79, 0x61)), dst, reg, 8 * self.rng.randrange(1, 8))
        elif self.kind == "sk_msg":
            self.emit(0x61, dst, reg, 68)
        elif self.kind == "sock_ops":
            self.emit(0x61, dst, reg, 4 * self.rng.randrange(0, 40))
        else:
            self.emit(0x61, dst, reg, 4 * self.rng.randrange(0, 5 if self.kind == "xdp" else 17))
        self.regs[dst] = "num"

    def packet(self) -> None:
        place = _PACKET.get(self.kind)
        reg = self.pick("ctx")
        if place is None or reg is None:
            return
        data, end, at = self.rng.sample([2, 3, 4, 5, 7, 8, 9], 3)
        self.emit(0x61, data, reg, place[0])
        self.emit(0x61, end, reg, place[1])
        self.emit(0xBF, at, data)
        if self.rng.random() < 0.4:
            number = self.scalar()
            if number not in (data, end, at, 10) and self.regs.get(number) == "num":
                self.emit(0x57, number, 0, 0, self.rng.choice((7, 15, 255, 0xFFFF)))
                self.emit(0x0F, data if self.rng.random() < 0.5 else at, number)
                if self.rng.random() < 0.7:
                    self.emit(0xBF, at, data)
        reach = self.rng.choice((1, 2, 8, 14, 34))
        self.emit(0x07, at, 0, 0, reach)
        op = self.rng.choice((0x20, 0x30, 0xA0, 0xB0))
        jump = len(self.insns)
        if self.rng.random() < 0.5:
            self.emit(0x0D | op, at, end, 0)
        else:
            self.emit(0x0D | op, end, at, 0)
        load = self.rng.choice((0x71, 0x69, 0x61, 0x79))
        width = {0x71: 1, 0x69: 2, 0x61: 4, 0x79: 8}[load]
        body = len(self.insns)
        negate = op in (0xA0, 0xB0)
        if negate and self.careful():
            self.emit(0x05, 0, 0, 1)
        off = self.rng.randrange(0, max(1, reach - width + 1 + (0 if self.careful() else 4)))
        dst = self.free()
        self.emit(load, dst, data, off)
        if dst not in (data, end):
            self.emit(0xB7, dst, 0, 0, 0)
        code, d, s, _, imm = self.insns[jump]
        self.insns[jump] = (code, d, s, len(self.insns) - body if not negate else 1, imm)
        for each in (data, end, at):
            self.regs[each] = "other"
        self.regs[dst] = "num"

    def lookup(self) -> None:
        which = self.rng.choice((HASH, ARRAY, BIG, PERCPU))
        key = -8 * self.rng.randrange(1, 5) + self.rng.choice((0, 4))
        self.emit(0x62, 10, 0, key, self.rng.choice((0, 0, 1, 3, 9)))
        self.load_map(1, which)
        self.emit(0xBF, 2, 10)
        self.emit(0x07, 2, 0, 0, key)
        self.emit(0x85, 0, 0, 0, 1)
        self.lost()
        keep = self.rng.choice((0, 7, 8, 9))
        if keep:
            self.emit(0xBF, keep, 0)
        if self.careful():
            self.emit(self.rng.choice((0x55, 0x15)), 0, 0, 0, 0)
            jump = len(self.insns) - 1
            if self.insns[jump][0] == 0x55:
                self.emit(0xB7, 0, 0, 0, 0)
                self.emit(0x95)
                self.insns[jump] = (0x55, 0, 0, 2, 0)
            else:
                self.use_value(keep, which)
                self.insns[jump] = (0x15, 0, 0, len(self.insns) - jump - 1, 0)
                self.emit(0xB7, 0, 0, 0, 0)
                self.regs[0] = "num"
                if keep:
                    self.regs[keep] = "other"
                return
        self.use_value(keep, which)
        self.regs[keep] = "other"
        if keep:
            self.regs[0] = "other"

    def use_value(self, reg: int, which: MapSpec) -> None:
        for _ in range(self.rng.randrange(1, 4)):
            if self.rng.random() < 0.5:
                number = self.scalar()
                if self.regs.get(number) == "num" and number != reg:
                    pick = self.rng.randrange(4)
                    if pick == 0:
                        self.emit(0x57, number, 0, 0, self.rng.choice((7, 15, 31, 63)))
                    elif pick == 1:
                        self.emit(0x25, number, 0, 2, self.rng.choice((7, 15, 40, 1000)))
                    elif pick == 2:
                        self.emit(0x65, number, 0, 2, self.rng.choice((7, 15, 40)))
                    else:
                        self.emit(0x54, number, 0, 0, self.rng.choice((7, 15, 31)))
                    self.emit(0x0F, reg, number)
            code = self.rng.choice((0x71, 0x69, 0x61, 0x79, 0x72, 0x7A, 0x63, 0x7B))
            off = self.rng.randrange(0, which.value_size + (8 if not self.careful() else -8))
            off -= off % 8
            if code in (0x71, 0x69, 0x61, 0x79):
                dst = self.free()
                if dst != reg:
                    self.emit(code, dst, reg, off)
                    self.regs[dst] = "num"
            elif code in (0x72, 0x7A):
                self.emit(code, reg, 0, off, 1)
            else:
                src = self.scalar()
                self.emit(code, reg, src, off)

    def load_map(self, reg: int, which: MapSpec) -> None:
        self.maps[len(self.insns)] = which
        self.emit(0x18, reg, 1, 0, 0)
        self.emit(0)

    def lost(self) -> None:
        for reg in range(6):
            self.regs.pop(reg, None)
        self.regs[0] = "num"

    def call(self) -> None:
        if "ctx" in [self.regs.get(1)] and self.pick_saved() is None:
            self.emit(0xBF, 6, 1)
            self.regs[6] = "ctx"
        self.emit(0x85, 0, 0, 0, self.rng.choice((5, 7, 8, 14, 15, 125)))
        self.lost()

    def pick_saved(self) -> int | None:
        return next((reg for reg in (6, 7, 8, 9) if self.regs.get(reg) == "ctx"), None)

    def helper_memory(self) -> None:
        """bpf_get_current_comm, ringbuf_output, strtol …: memory and its size."""
        off = -8 * self.rng.randrange(1, 8)
        pick = self.rng.randrange(3)
        if self.regs.get(1) == "ctx" and self.careful():
            self.emit(0xBF, 6, 1)
            self.regs[6] = "ctx"
        size_reg = 2 if pick == 0 else 3
        if self.rng.random() < 0.3:
            number = self.scalar()
            self.emit(0xBF, size_reg, number)
            if self.careful():
                self.emit(0x57, size_reg, 0, 0, self.rng.choice((7, 15, 31)))
            if self.careful():
                self.emit(0x07, size_reg, 0, 0, 1)
        else:
            self.emit(0xB7, size_reg, 0, 0, self.rng.choice((0, 1, 4, 8, -off, -off + (0 if self.careful() else 8))))
        if pick == 0:
            self.emit(0xBF, 1, 10)
            self.emit(0x07, 1, 0, 0, off)
            self.emit(0x85, 0, 0, 0, 16)
        else:
            self.load_map(1, RING)
            self.emit(0xBF, 2, 10)
            self.emit(0x07, 2, 0, 0, off)
            self.emit(0xB7, 4, 0, 0, 0)
            self.emit(0x85, 0, 0, 0, 130)
        self.lost()

    def reserve(self) -> None:
        if self.regs.get(1) == "ctx":
            self.emit(0xBF, 6, 1)
            self.regs[6] = "ctx"
        size = self.rng.choice((8, 16, 24))
        self.load_map(1, RING)
        self.emit(0xB7, 2, 0, 0, size)
        self.emit(0xB7, 3, 0, 0, 0)
        self.emit(0x85, 0, 0, 0, 131)
        self.lost()
        if self.careful():
            self.emit(0x55, 0, 0, 2, 0)
            self.emit(0xB7, 0, 0, 0, 0)
            self.emit(0x95)
        self.emit(0x7A, 0, 0, self.rng.choice((0, 8, 16 if self.careful() else 24)), 1)
        if self.careful():
            self.emit(0xBF, 1, 0)
            self.emit(0xB7, 2, 0, 0, 0)
            self.emit(0x85, 0, 0, 0, self.rng.choice((132, 133)))
            self.lost()
            self.regs.pop(0, None)

    def atomic(self) -> None:
        off = -8 * self.rng.randrange(1, 6)
        if self.careful():
            self.emit(0x7A, 10, 0, off, self.immediate())
        src = self.scalar()
        imm = self.rng.choice((0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xA0, 0xA1, 0xE1, 0xF1, 0x100, 0x110))
        if imm == 0x100:
            self.emit(self.rng.choice((0xDB, 0xC3)), src if src != 10 else 3, 10, off, imm)
            return
        if imm == 0xF1 and self.regs.get(0) is None:
            self.emit(0xB7, 0, 0, 0, 0)
            self.regs[0] = "num"
        self.emit(self.rng.choice((0xDB, 0xC3)), 10, src, off, imm)

    def variable_stack(self) -> None:
        number = self.scalar()
        dst = self.free()
        if self.regs.get(number) != "num" or number == dst:
            return
        for off in (-8, -16, -24, -32):
            if self.careful():
                self.emit(0x7A, 10, 0, off, 0)
        self.emit(0x57, number, 0, 0, self.rng.choice((8, 16, 24, 7)))
        self.emit(0xBF, dst, 10)
        self.emit(0x07, dst, 0, 0, -32)
        self.emit(0x0F, dst, number)
        other = 0 if dst != 0 else 2
        if self.rng.random() < 0.5:
            self.emit(self.rng.choice((0x79, 0x71)), other, dst, 0)
            self.regs[other] = "num"
        else:
            self.emit(self.rng.choice((0x7A, 0x72)), dst, 0, 0, self.rng.choice((0, 5)))
        self.regs[dst] = "other"

    def branch(self, depth: int) -> None:
        dst = self.scalar()
        op = self.rng.choice(_JUMPS)
        cls = 5 if self.rng.random() < 0.7 else 6
        jump = len(self.insns)
        if self.rng.random() < 0.6:
            self.emit(cls | op, dst, 0, 0, self.immediate())
        else:
            self.emit(cls | op | 8, dst, self.scalar(), 0, 0)
            jump = len(self.insns) - 1
        before = dict(self.regs)
        for _ in range(self.rng.randrange(1, 4)):
            self.step(depth + 1)
        code, d, s, _, imm = self.insns[jump]
        self.insns[jump] = (code, d, s, len(self.insns) - jump - 1, imm)
        if self.careful():
            self.regs = {reg: what for reg, what in self.regs.items() if before.get(reg) == what}

    def loop(self, depth: int) -> None:
        reg = self.rng.choice((7, 8, 9))
        self.emit(0xB7, reg, 0, 0, 0)
        start = len(self.insns)
        self.regs[reg] = "counter"
        for _ in range(self.rng.randrange(1, 3)):
            self.step(depth + 2)
        self.emit(0x07, reg, 0, 0, 1 if self.careful() else 0)
        self.emit(self.rng.choice((0xA5, 0xC5, 0x55)), reg, 0, start - len(self.insns) - 1, self.rng.randrange(2, 12))
        self.regs[reg] = "num"

    def call_function(self) -> None:
        number = self.rng.randrange(self.functions)
        if self.regs.get(1) == "ctx" and self.careful():
            self.emit(0xBF, 6, 1)
            self.regs[6] = "ctx"
        for reg in (1, 2):
            pick = self.rng.randrange(4)
            if pick == 0:
                self.emit(0xBF, reg, 10)
                self.emit(0x07, reg, 0, 0, -8 * self.rng.randrange(1, 6))
            elif pick == 1 and self.pick_saved() is not None:
                self.emit(0xBF, reg, self.pick_saved() or 6)
            else:
                self.emit(0xB7, reg, 0, 0, self.immediate())
        self.calls.append((len(self.insns), number))
        self.emit(0x85, 0, 1, 0, 0)
        self.lost()

    def use_pointer(self) -> None:
        """In a function: its first argument may be a pointer into the caller's stack."""
        code = self.rng.choice((0x79, 0x71, 0x7A, 0x7B, 0x72))
        reg = self.rng.choice((1, 2))
        dst = self.free()
        if code in (0x79, 0x71):
            self.emit(code, dst, reg, self.rng.choice((0, 0, -8, 8)))
            self.regs[dst] = "num"
        elif code == 0x7B:
            self.emit(code, reg, self.scalar(), 0)
        else:
            self.emit(code, reg, 0, 0, 3)

    def step(self, depth: int = 0) -> None:
        rng = self.rng.random()
        if self.functions and rng > 0.86:
            self.call_function()
            return
        if rng < 0.28:
            self.alu()
        elif rng < 0.36:
            self.unary()
        elif rng < 0.46:
            self.spill()
        elif rng < 0.54:
            self.fill()
        elif rng < 0.61:
            self.context()
        elif rng < 0.66:
            self.packet()
        elif rng < 0.74:
            self.lookup()
        elif rng < 0.79:
            self.call()
        elif rng < 0.83:
            self.helper_memory()
        elif rng < 0.855:
            self.reserve()
        elif rng < 0.875:
            self.atomic()
        elif rng < 0.895:
            self.variable_stack()
        elif rng < 0.975 and depth < 3:
            self.branch(depth)
        elif depth < 1:
            self.loop(depth)


def program(seed: int, care: float = 0.97, functions: bool = False) -> ProgramSpec:
    rng = random.Random(seed)
    kind = rng.choice(TYPES)
    writer = Writer(rng, kind, care)
    count = rng.randrange(1, 4) if functions else 0
    writer.functions = count
    if rng.random() < 0.8:
        writer.emit(0xBF, 6, 1)
        writer.regs[6] = "ctx"
    for _ in range(rng.randrange(2, 14)):
        writer.step()
    _finish(writer)
    starts = [_function(writer, number, count) for number in range(count)]
    called = {number for _, number in writer.calls}
    if functions and len(called) < count:
        return program(seed + 1_000_003, care, functions)
    for at, number in writer.calls:
        writer.insns[at] = (0x85, 0, 1, 0, starts[number] - at - 1)
    return ProgramSpec(kind, encode(writer.insns), f"r{seed}", maps=dict(writer.maps))


def _finish(writer: Writer) -> None:
    if writer.careful() or writer.regs.get(0) == "num":
        if writer.regs.get(0) != "num" or writer.rng.random() < 0.5:
            writer.emit(0xB7, 0, 0, 0, writer.rng.choice((0, 1)))
    writer.emit(0x95)


def _function(writer: Writer, number: int, count: int) -> int:
    start = len(writer.insns)
    writer.regs = {10: "fp", 1: "arg", 2: "arg"}
    writer.stack = set()
    for _ in range(writer.rng.randrange(1, 7)):
        if writer.rng.random() < 0.2 and writer.regs.get(1) == "arg":
            writer.use_pointer()
        else:
            writer.functions = count if writer.rng.random() < 0.1 else 0
            writer.step(1)
            writer.functions = 0
    _finish(writer)
    return start
