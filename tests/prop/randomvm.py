"""Random programs that are right: they touch only their memory and stack, end, and tell everything in r0.

`build(pick)` makes one; `pick(low, high)` chooses a number, by hypothesis or by a random generator. r9 points
to the memory of `MEMORY_BYTES`, which r1 points to at the start; no address gets into r0 or the memory.
"""

from cygnet.isa.encode import encode
from cygnet.isa.insn import Insn, ld_imm64
from cygnet.isa.opcodes import illegal, rows

MEMORY_BYTES = 64
M64 = (1 << 64) - 1
EDGES = (
    *(0, 1, 2, 3, 7, 8, 31, 32, 33, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000),
    *(0xFFFFFFFF, 1 << 32, 0x7FFFFFFFFFFFFFFF, 1 << 63, M64, M64 - 1, 0xFFFFFFFF80000000, 0xFFFFFFFF7FFFFFFF),
    *(0x0123456789ABCDEF, 0xFEDCBA9876543210, 0x8000000080000000, 0x00000001FFFFFFFF),
)
IMMEDIATES = (0, 1, -1, 2, 3, 7, 8, -8, 31, 32, 33, 63, 64, 127, 128, -128, -129, 255, 256, 0x7FFF, 0x8000, 1000003,
              0x7FFFFFFF, -0x80000000, -0x7FFFFFFF)  # fmt: skip
ALU = [r for r in rows() if r.form == "alu" and r.group not in ("linux", "kernel")]
MEMORY = [r for r in rows() if r.form in ("load", "store", "atomic", "fetch", "cmpxchg")]
JUMPS = [r for r in rows() if r.form == "jump" and r.name != "may_goto"]
COUNTER = -72  # where loops count, in the frame
STACK_BYTES = 64


class Builder:
    def __init__(self, pick, kernel=False):
        self.pick = pick
        self.kernel = kernel  # keep to what a verifier takes
        self.out = []
        self.functions = []  # (slot of the call, body)

    def choose(self, things):
        return things[self.pick(0, len(things) - 1)]

    def constant(self, reg):
        """A random number for a register."""
        how = self.pick(0, 3)
        if how == 0:
            self.out.append(Insn(0xB7, reg, 0, 0, self.choose(IMMEDIATES)))
        elif how == 1:
            self.out.append(Insn(0xB4, reg, 0, 0, self.choose(IMMEDIATES)))
        else:
            self.out += ld_imm64(reg, self.choose(EDGES) ^ (self.pick(0, M64) if how == 3 else 0))

    def alu(self):
        row = self.choose(ALU)
        dst, src = self.pick(0, 8), self.pick(0, 8)
        fixed = row.fixed
        imm = self.choose(IMMEDIATES) if fixed[3] is None else fixed[3]
        insn = Insn(row.code, dst, src if fixed[1] is None else fixed[1], fixed[2] or 0, imm)
        if self.kernel and illegal(insn):
            return
        self.out.append(insn)

    def place(self, size, aligned):
        """A base register and an offset at which `size` bytes may be touched; maybe through a copy of the base."""
        step = size if aligned else 1
        memory = self.pick(0, 1)
        offset = self.pick(0, (MEMORY_BYTES - size) // step) * step
        if not memory:
            offset -= STACK_BYTES
        base = 9 if memory else 10
        if self.pick(0, 2):
            return base, offset, None
        copy, more = self.pick(1, 8), self.pick(-300, 300)
        self.out += [Insn(0xBF, copy, base), Insn(0x07, copy, 0, 0, more)]
        return copy, offset - more, copy

    def memory(self):
        row = self.choose(MEMORY)
        size = row.bits // 8
        base, offset, copy = self.place(size, "atomic" in row.group)
        other = self.pick(0, 8)
        while other == copy:
            other = self.pick(0, 8)
        imm = row.fixed[3] if row.fixed[3] is not None else self.choose(IMMEDIATES)
        dst, src = (other, base) if row.form == "load" else (base, other)
        if row.fixed[1] is not None:
            src = 0
        if copy == 0 and row.form == "cmpxchg":
            return self.forget(copy)
        self.out.append(Insn(row.code, dst, src, offset, imm))
        self.forget(copy)
        return None

    def forget(self, copy):
        """No address stays in a register."""
        if copy is not None:
            self.constant(copy)

    def shift_pair(self):
        """What compilers make for narrowing and for rotation: shapes that a code generator may know."""
        how, dst, other = self.pick(0, 7), self.pick(0, 8), self.pick(0, 8)
        if how == 0:
            self.out += [Insn(0x67, dst, 0, 0, 32), Insn(self.choose((0x77, 0xC7)), dst, 0, 0, 32)]
        elif how == 1:
            self.out += [Insn(0xBF, dst, other), Insn(0x07, dst, 0, 0, self.choose(IMMEDIATES))]
        elif how == 2:
            self.remainder(dst, other)
        elif how == 3:
            left, right = self.choose(((0xBF, 0x0F), (0xBC, 0x0C)))
            self.out += [
                Insn(left, dst, other),
                Insn(right, dst, self.pick(0, 8)),
                Insn(0x07, dst, 0, 0, self.choose(IMMEDIATES)),
            ]
        elif how == 4:
            code, imm = self.choose((0x67, 0x77)), self.pick(1, 63)
            self.out += [Insn(0xBF, other, dst), Insn(code, other, 0, 0, imm), Insn(code ^ 0x10, dst, 0, 0, 64 - imm)]
            self.out.append(Insn(0x4F, *self.choose(((dst, other), (other, dst)))))
        elif how == 5:
            self.rotated(dst, other)
        else:
            count = self.pick(0, 31)
            left, right = (0x64, 0x74) if self.pick(0, 1) else (0x74, 0x64)
            self.out += [
                Insn(0xBC, other, dst),
                Insn(left, other, 0, 0, count),
                Insn(right, dst, 0, 0, 32 - count & 31),
            ]
            self.out.append(Insn(0x4C, *self.choose(((dst, other), (other, dst)))))

    def remainder(self, q, n):
        """What a compiler without a remainder makes of n % d."""
        d, r = self.pick(0, 8), self.pick(0, 8)
        mov, div, mul, sub = self.choose(((0xBF, 0x3F, 0x2F, 0x1F), (0xBC, 0x3C, 0x2C, 0x1C)))
        self.out += [Insn(mov, q, n), Insn(div, q, d), Insn(mul, q, d)]
        if self.pick(0, 1):
            self.out += [Insn(mov, r, n), Insn(sub, r, q)]
        else:
            self.out.append(Insn(sub, n, q))
        if self.pick(0, 1):
            self.constant(self.choose((0, 3, q)))

    def rotated(self, dst, src):
        """A rotation into another register."""
        half, count = self.pick(0, 8), self.pick(1, 31)
        first, second = self.choose(((0x74, 0x64), (0x64, 0x74)))
        self.out += [Insn(0xBC, half, src), Insn(first, half, 0, 0, count), Insn(0xBC, dst, src)]
        self.out += [Insn(second, dst, 0, 0, 32 - count), Insn(0x4C, dst, half)]
        if self.pick(0, 1):
            self.constant(half)

    def jump_over(self, depth):
        """A condition over a jump, as compilers write far jumps."""
        row = self.choose(JUMPS)
        at = len(self.out)
        self.out += [None, None]
        self.body(self.pick(1, 3), depth + 1)
        imm = self.choose(IMMEDIATES) if row.fixed[3] is None else 0
        self.out[at] = Insn(row.code, self.pick(0, 8), self.pick(0, 8) if row.fixed[1] is None else 0, 1, imm)
        self.out[at + 1] = Insn(0x05, 0, 0, len(self.out) - at - 2)

    def branch(self, depth):
        row = self.choose(JUMPS)
        fixed = row.fixed
        imm = self.choose(IMMEDIATES) if fixed[3] is None else 0
        at = len(self.out)
        self.out.append(None)
        self.body(self.pick(1, 4), depth + 1)
        self.out[at] = Insn(
            row.code, self.pick(0, 8), self.pick(0, 8) if fixed[1] is None else 0, len(self.out) - at - 1, imm
        )

    def loop(self, depth):
        self.out.append(Insn(0x7A, 10, 0, COUNTER - 8 * depth, self.pick(1, 5)))
        at = len(self.out)
        self.body(self.pick(1, 4), depth + 1)
        self.out += [
            Insn(0x79, 8, 10, COUNTER - 8 * depth),
            Insn(0x17, 8, 0, 0, 1),
            Insn(0x7B, 10, 8, COUNTER - 8 * depth),
        ]
        self.out.append(Insn(0x55, 8, 0, at - len(self.out) - 1, 0))

    def call(self, depth):
        self.functions.append((len(self.out), depth))
        self.out.append(Insn(0x85, 0, 1, 0, 0))
        for reg in range(1, 6):
            self.constant(reg)

    def helper(self):
        self.out.append(Insn(0x85, 0, 0, 0, 8))
        for reg in range(1, 6):
            self.constant(reg)
        if self.kernel:
            self.constant(0)

    def body(self, count, depth=0):
        for _ in range(count):
            kind = self.pick(0, 15)
            if kind < 8:
                self.alu()
            elif kind < 11:
                self.memory()
            elif kind == 11:
                self.shift_pair()
            elif kind == 12 and depth < 3:
                self.choose((self.branch, self.branch, self.jump_over))(depth)
            elif kind == 13 and depth < 3:
                self.loop(depth)
            elif kind == 14 and len(self.functions) < 3:
                self.call(depth)
            elif kind == 15:
                self.helper()

    def begin(self):
        """All registers, and what the stack begins with."""
        for reg in range(9):
            self.constant(reg)
        for at in range(0, STACK_BYTES, 8):
            self.out.append(Insn(0x7B, 10, self.pick(0, 8), at - STACK_BYTES))

    def end(self):
        """Everything into r0."""
        for reg in range(1, 9):
            self.out += [Insn(0x27, 0, 0, 0, 31), Insn(0xAF, 0, reg)]
        for at in range(0, STACK_BYTES, 8):
            self.out += [Insn(0x79, 1, 10, at - STACK_BYTES), Insn(0x27, 0, 0, 0, 31), Insn(0xAF, 0, 1)]
        self.out.append(Insn(0x95))

    def function(self, slot):
        self.out[slot] = Insn(0x85, 0, 1, 0, len(self.out) - slot - 1)
        for reg in (0, 6, 7, 8):
            self.constant(reg)
        for reg in range(1, 6):
            self.constant(reg)
        for at in range(0, STACK_BYTES, 8):
            self.out.append(Insn(0x7B, 10, self.pick(0, 8), at - STACK_BYTES))
        self.body(self.pick(2, 8), 2)
        self.end()


def build(pick, first=None, kernel=False):
    """The instructions of a program; `first` puts the memory's address into r9 (from r1, if not given)."""
    builder = Builder(pick, kernel)
    builder.out += first or [Insn(0xBF, 9, 1)]
    builder.begin()
    builder.body(pick(3, 25))
    builder.end()
    done = 0
    while done < len(builder.functions):
        builder.function(builder.functions[done][0])
        done += 1
    return builder.out


def program(pick):
    return encode(build(pick))
