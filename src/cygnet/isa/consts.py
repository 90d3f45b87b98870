"""Opcode parts as plain ints, for code that builds instructions: names as in <linux/bpf.h>.

A code is class | operation | source for arithmetic and jumps, class | mode | size for loads and
stores (RFC 9669, section 3.1). Nothing here costs anything to import.
"""

# Classes (the low three bits)
BPF_LD = 0x00
BPF_LDX = 0x01
BPF_ST = 0x02
BPF_STX = 0x03
BPF_ALU = 0x04
BPF_JMP = 0x05
BPF_JMP32 = 0x06
BPF_ALU64 = 0x07
BPF_CLASS_MASK = 0x07

# Second operand of arithmetic and jumps: imm or src
BPF_K = 0x00
BPF_X = 0x08

# Arithmetic operations
BPF_ADD = 0x00
BPF_SUB = 0x10
BPF_MUL = 0x20
BPF_DIV = 0x30
BPF_OR = 0x40
BPF_AND = 0x50
BPF_LSH = 0x60
BPF_RSH = 0x70
BPF_NEG = 0x80
BPF_MOD = 0x90
BPF_XOR = 0xA0
BPF_MOV = 0xB0
BPF_ARSH = 0xC0
BPF_END = 0xD0
BPF_TO_LE = 0x00
BPF_TO_BE = 0x08

# Jump operations
BPF_JA = 0x00
BPF_JEQ = 0x10
BPF_JGT = 0x20
BPF_JGE = 0x30
BPF_JSET = 0x40
BPF_JNE = 0x50
BPF_JSGT = 0x60
BPF_JSGE = 0x70
BPF_CALL = 0x80
BPF_EXIT = 0x90
BPF_JLT = 0xA0
BPF_JLE = 0xB0
BPF_JSLT = 0xC0
BPF_JSLE = 0xD0
BPF_JCOND = 0xE0
BPF_OP_MASK = 0xF0

# Sizes of loads and stores
BPF_W = 0x00
BPF_H = 0x08
BPF_B = 0x10
BPF_DW = 0x18
BPF_SIZE_MASK = 0x18

# Modes of loads and stores
BPF_IMM = 0x00
BPF_ABS = 0x20
BPF_IND = 0x40
BPF_MEM = 0x60
BPF_MEMSX = 0x80
BPF_ATOMIC = 0xC0
BPF_MODE_MASK = 0xE0

# imm of BPF_ATOMIC (beside BPF_ADD, BPF_OR, BPF_AND, BPF_XOR)
BPF_FETCH = 0x01
BPF_XCHG = 0xE1
BPF_CMPXCHG = 0xF1
BPF_LOAD_ACQ = 0x100
BPF_STORE_REL = 0x110

# src of the 64-bit immediate load
BPF_PSEUDO_MAP_FD = 1
BPF_PSEUDO_MAP_VALUE = 2
BPF_PSEUDO_BTF_ID = 3
BPF_PSEUDO_FUNC = 4
BPF_PSEUDO_MAP_IDX = 5
BPF_PSEUDO_MAP_IDX_VALUE = 6

# src of BPF_CALL
BPF_PSEUDO_CALL = 1
BPF_PSEUDO_KFUNC_CALL = 2

# src of BPF_JCOND
BPF_MAY_GOTO = 0

# Registers
BPF_REG_0, BPF_REG_1, BPF_REG_2, BPF_REG_3, BPF_REG_4, BPF_REG_5 = 0, 1, 2, 3, 4, 5
BPF_REG_6, BPF_REG_7, BPF_REG_8, BPF_REG_9, BPF_REG_10 = 6, 7, 8, 9, 10
BPF_REG_FP = 10

# Whole codes of the two-slot load, and of leaving a program
LD_IMM64 = 0x18  # BPF_LD | BPF_IMM | BPF_DW
CALL = 0x85  # BPF_JMP | BPF_CALL
EXIT = 0x95  # BPF_JMP | BPF_EXIT

INSN_BYTES = 8
STACK_BYTES = 512
