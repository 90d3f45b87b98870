"""Which opcode an IR operation becomes: tables over the instruction set's own constants."""

from __future__ import annotations

from cygnet.isa import consts as c

#: 64-bit arithmetic with an immediate; BPF_X makes the register form
ALU = {
    "add": c.BPF_ALU64 | c.BPF_ADD,
    "sub": c.BPF_ALU64 | c.BPF_SUB,
    "mul": c.BPF_ALU64 | c.BPF_MUL,
    "udiv": c.BPF_ALU64 | c.BPF_DIV,
    "umod": c.BPF_ALU64 | c.BPF_MOD,
    "sdiv": c.BPF_ALU64 | c.BPF_DIV,
    "smod": c.BPF_ALU64 | c.BPF_MOD,
    "and": c.BPF_ALU64 | c.BPF_AND,
    "or": c.BPF_ALU64 | c.BPF_OR,
    "xor": c.BPF_ALU64 | c.BPF_XOR,
    "shl": c.BPF_ALU64 | c.BPF_LSH,
    "shr": c.BPF_ALU64 | c.BPF_RSH,
    "sar": c.BPF_ALU64 | c.BPF_ARSH,
}
#: those whose signed form is chosen by off = 1 (instruction set v4)
SIGNED = frozenset(("sdiv", "smod"))
X = c.BPF_X
COMMUTES = frozenset(
    (ALU["add"] | X, ALU["mul"] | X, ALU["and"] | X, ALU["or"] | X, ALU["xor"] | X),
)
ADD_K = ALU["add"]
SHL_K = ALU["shl"]
SHR_K = ALU["shr"]
SAR_K = ALU["sar"]
AND_K = ALU["and"]
NEG = c.BPF_ALU64 | c.BPF_NEG
MOV_X = c.BPF_ALU64 | c.BPF_MOV | c.BPF_X
MOV_K = c.BPF_ALU64 | c.BPF_MOV
MOV32_X = c.BPF_ALU | c.BPF_MOV | c.BPF_X
MOV32_K = c.BPF_ALU | c.BPF_MOV
#: to big-endian, which on a little-endian machine reverses the bytes
SWAP = c.BPF_ALU | c.BPF_END | c.BPF_TO_BE

#: conditional jumps with an immediate; BPF_X makes the register form. "clear" has no opcode.
JUMP = {
    "eq": c.BPF_JMP | c.BPF_JEQ,
    "ne": c.BPF_JMP | c.BPF_JNE,
    "ugt": c.BPF_JMP | c.BPF_JGT,
    "uge": c.BPF_JMP | c.BPF_JGE,
    "ult": c.BPF_JMP | c.BPF_JLT,
    "ule": c.BPF_JMP | c.BPF_JLE,
    "sgt": c.BPF_JMP | c.BPF_JSGT,
    "sge": c.BPF_JMP | c.BPF_JSGE,
    "slt": c.BPF_JMP | c.BPF_JSLT,
    "sle": c.BPF_JMP | c.BPF_JSLE,
    "set": c.BPF_JMP | c.BPF_JSET,
}
_PAIRS = (
    (c.BPF_JEQ, c.BPF_JNE),
    (c.BPF_JGT, c.BPF_JLE),
    (c.BPF_JGE, c.BPF_JLT),
    (c.BPF_JSGT, c.BPF_JSLE),
    (c.BPF_JSGE, c.BPF_JSLT),
)
#: the code that jumps exactly when this one does not; JSET has none
INVERSE = {a | x | c.BPF_JMP: b | x | c.BPF_JMP for p in _PAIRS for a, b in (p, p[::-1]) for x in (c.BPF_K, c.BPF_X)}
GOTO = c.BPF_JMP | c.BPF_JA
GOTO_LONG = c.BPF_JMP32 | c.BPF_JA
MAY_GOTO = c.BPF_JMP | c.BPF_JCOND

SIZE = {1: c.BPF_B, 2: c.BPF_H, 4: c.BPF_W, 8: c.BPF_DW}
LOAD = {size: c.BPF_LDX | c.BPF_MEM | code for size, code in SIZE.items()}
STORE = {size: c.BPF_STX | c.BPF_MEM | code for size, code in SIZE.items()}
STORE_K = {size: c.BPF_ST | c.BPF_MEM | code for size, code in SIZE.items()}
ATOMIC = {size: c.BPF_STX | c.BPF_ATOMIC | SIZE[size] for size in (4, 8)}
ATOMIC_IMM = {
    "add": c.BPF_ADD,
    "or": c.BPF_OR,
    "and": c.BPF_AND,
    "xor": c.BPF_XOR,
    "xchg": c.BPF_XCHG,
}
