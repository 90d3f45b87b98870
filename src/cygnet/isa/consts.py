"""Opcode parts as plain ints, for code that builds instructions: names as in <linux/bpf.h>.

A code is class | operation | source for arithmetic and jumps, class | mode | size for loads and
stores (RFC 9669, section 3.1). Nothing here costs anything to import. `Final` lets a compiled module put
the number in place of the name.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Classes (the low three bits)
BPF_LD: Final = 0x00
BPF_LDX: Final = 0x01
BPF_ST: Final = 0x02
BPF_STX: Final = 0x03
BPF_ALU: Final = 0x04
BPF_JMP: Final = 0x05
BPF_JMP32: Final = 0x06
BPF_ALU64: Final = 0x07
BPF_CLASS_MASK: Final = 0x07

# Second operand of arithmetic and jumps: imm or src
BPF_K: Final = 0x00
BPF_X: Final = 0x08

# Arithmetic operations
BPF_ADD: Final = 0x00
BPF_SUB: Final = 0x10
BPF_MUL: Final = 0x20
BPF_DIV: Final = 0x30
BPF_OR: Final = 0x40
BPF_AND: Final = 0x50
BPF_LSH: Final = 0x60
BPF_RSH: Final = 0x70
BPF_NEG: Final = 0x80
BPF_MOD: Final = 0x90
BPF_XOR: Final = 0xA0
BPF_MOV: Final = 0xB0
BPF_ARSH: Final = 0xC0
BPF_END: Final = 0xD0
BPF_TO_LE: Final = 0x00
BPF_TO_BE: Final = 0x08

# Jump operations
BPF_JA: Final = 0x00
BPF_JEQ: Final = 0x10
BPF_JGT: Final = 0x20
BPF_JGE: Final = 0x30
BPF_JSET: Final = 0x40
BPF_JNE: Final = 0x50
BPF_JSGT: Final = 0x60
BPF_JSGE: Final = 0x70
BPF_CALL: Final = 0x80
BPF_EXIT: Final = 0x90
BPF_JLT: Final = 0xA0
BPF_JLE: Final = 0xB0
BPF_JSLT: Final = 0xC0
BPF_JSLE: Final = 0xD0
BPF_JCOND: Final = 0xE0
BPF_OP_MASK: Final = 0xF0

# Sizes of loads and stores
BPF_W: Final = 0x00
BPF_H: Final = 0x08
BPF_B: Final = 0x10
BPF_DW: Final = 0x18
BPF_SIZE_MASK: Final = 0x18

# Modes of loads and stores
BPF_IMM: Final = 0x00
BPF_ABS: Final = 0x20
BPF_IND: Final = 0x40
BPF_MEM: Final = 0x60
BPF_MEMSX: Final = 0x80
BPF_ATOMIC: Final = 0xC0
BPF_MODE_MASK: Final = 0xE0

# imm of BPF_ATOMIC (beside BPF_ADD, BPF_OR, BPF_AND, BPF_XOR)
BPF_FETCH: Final = 0x01
BPF_XCHG: Final = 0xE1
BPF_CMPXCHG: Final = 0xF1
BPF_LOAD_ACQ: Final = 0x100
BPF_STORE_REL: Final = 0x110

# src of the 64-bit immediate load
BPF_PSEUDO_MAP_FD: Final = 1
BPF_PSEUDO_MAP_VALUE: Final = 2
BPF_PSEUDO_BTF_ID: Final = 3
BPF_PSEUDO_FUNC: Final = 4
BPF_PSEUDO_MAP_IDX: Final = 5
BPF_PSEUDO_MAP_IDX_VALUE: Final = 6

# src of BPF_CALL
BPF_PSEUDO_CALL: Final = 1
BPF_PSEUDO_KFUNC_CALL: Final = 2

# src of BPF_JCOND
BPF_MAY_GOTO: Final = 0

# Registers
BPF_REG_0, BPF_REG_1, BPF_REG_2, BPF_REG_3, BPF_REG_4, BPF_REG_5 = 0, 1, 2, 3, 4, 5
BPF_REG_6, BPF_REG_7, BPF_REG_8, BPF_REG_9, BPF_REG_10 = 6, 7, 8, 9, 10
BPF_REG_FP: Final = 10

# Whole codes of the two-slot load, and of leaving a program
LD_IMM64 = 0x18  # BPF_LD | BPF_IMM | BPF_DW
CALL = 0x85  # BPF_JMP | BPF_CALL
EXIT = 0x95  # BPF_JMP | BPF_EXIT

INSN_BYTES = 8
STACK_BYTES = 512
