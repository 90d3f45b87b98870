"""Classic BPF to eBPF, as the kernel does it for itself when a filter is attached.

A lives in r0, X in r7, the context in r6, M[] in the lowest 64 bytes of the stack. Arithmetic is 32 bits
wide, so both registers always hold zero-extended words. Packet loads stay the packet instructions that
eBPF kept for this purpose: they return 0 from the program when the packet is too short.
"""

from __future__ import annotations

from cygnet.cbpf.insn import ANCILLARY, MEMWORDS, ROWS, Insn, signed
from cygnet.cbpf.validate import validate
from cygnet.errors import NotSupported
from cygnet.isa import consts as c
from cygnet.isa.insn import Insn as EInsn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

A, X, CTX, TMP = 0, 7, 6, 8
_JUMPS = {"jeq": c.BPF_JEQ, "jgt": c.BPF_JGT, "jge": c.BPF_JGE, "jset": c.BPF_JSET}
_ALU = {
    "add": c.BPF_ADD, "sub": c.BPF_SUB, "mul": c.BPF_MUL, "div": c.BPF_DIV, "mod": c.BPF_MOD, "or": c.BPF_OR,
    "and": c.BPF_AND, "xor": c.BPF_XOR, "lsh": c.BPF_LSH, "rsh": c.BPF_RSH,
}  # fmt: skip
#: extension -> offset in struct __sk_buff of the word that answers it (include/uapi/linux/bpf.h)
_SKB = {
    "proto": 16, "type": 4, "ifidx": 40, "mark": 8, "queue": 12, "rxhash": 44, "vlan_tci": 24, "vlan_avail": 20,
    "vlan_tpid": 28,
}  # fmt: skip
_SKB_LEN = 0
_BIG_ENDIAN_WORDS = frozenset(("proto", "vlan_tpid"))
_GET_PRANDOM_U32, _GET_SMP_PROCESSOR_ID = 7, 8
_SECCOMP_DATA_BYTES = 64


def to_ebpf(program: Sequence[Insn], *, seccomp: bool = False) -> list[EInsn]:
    """The filter as an eBPF program: of a socket filter (r1 = struct __sk_buff *), or with `seccomp` one whose
    context is a struct seccomp_data. Raises VerifierError for what the kernel would refuse, and NotSupported for
    extensions that eBPF programs have no word for (hatype, poff, nla, nlan)."""
    validate(program, seccomp=seccomp)
    live = _reachable(program)  # eBPF verifiers refuse code that nothing reaches; classic filters may have it
    chunks = [_one(insn, seccomp) if index in live else [] for index, insn in enumerate(program)]
    prologue = [_mov(CTX, 1), _mov32(A, 0), _mov32(X, 0)]
    starts, at = [], len(prologue)
    for chunk in chunks:
        starts.append(at)
        at += len(chunk)
    out = list(prologue)
    for index, (insn, chunk) in enumerate(zip(program, chunks)):
        if chunk:
            out += _placed(insn, index, chunk, starts)
    return out


def _reachable(program: Sequence[Insn]) -> set[int]:
    live: set[int] = set()
    pending = [0]
    while pending:
        index = pending.pop()
        if index in live:
            continue
        live.add(index)
        insn = program[index]
        form = ROWS[insn.code].form
        if form == "ja":
            pending.append(index + 1 + insn.k)
        elif form.startswith("jump"):
            pending += (index + 1 + insn.jt, index + 1 + insn.jf)
        elif not form.startswith("ret"):
            pending.append(index + 1)
    return live


def _placed(insn: Insn, index: int, chunk: list[EInsn], starts: list[int]) -> list[EInsn]:
    """Set the jumps of one instruction, now that every place is known."""
    form = ROWS[insn.code].form
    end = starts[index] + len(chunk)
    if form == "ja":
        return [chunk[0]._replace(off=starts[index + 1 + insn.k] - end)]
    if form.startswith("jump"):
        there, other = starts[index + 1 + insn.jt], starts[index + 1 + insn.jf]
        return [*chunk[:-2], chunk[-2]._replace(off=there - (end - 1)), chunk[-1]._replace(off=other - end)]
    return chunk


def _mov(dst: int, src: int) -> EInsn:
    return EInsn(c.BPF_ALU64 | c.BPF_MOV | c.BPF_X, dst, src, 0, 0)


def _mov32(dst: int, number: int) -> EInsn:
    return EInsn(c.BPF_ALU | c.BPF_MOV | c.BPF_K, dst, 0, 0, signed(number))


def _word(dst: int, base: int, offset: int) -> EInsn:
    return EInsn(c.BPF_LDX | c.BPF_MEM | c.BPF_W, dst, base, offset, 0)


def _exit() -> EInsn:
    return EInsn(c.BPF_JMP | c.BPF_EXIT, 0, 0, 0, 0)


def _one(insn: Insn, seccomp: bool) -> list[EInsn]:
    row = ROWS[insn.code]
    if row.form in ("abs", "len") and seccomp:
        if row.form == "len":
            return [_mov32(X if insn.code & 7 else A, _SECCOMP_DATA_BYTES)]
        return [_word(A, CTX, insn.k)]
    return _FORMS[row.form](insn)


def _absolute(insn: Insn) -> list[EInsn]:
    if -0x1000 <= signed(insn.k) < 0:
        return _extension(ANCILLARY[(signed(insn.k) + 0x1000) // 4])
    return [EInsn(insn.code, 0, 0, 0, signed(insn.k))]  # the packet loads kept their opcodes


def _extension(name: str) -> list[EInsn]:
    if name == "xor_x":
        return [EInsn(c.BPF_ALU | c.BPF_XOR | c.BPF_X, A, X, 0, 0)]
    if name in ("rand", "cpu"):
        helper = _GET_PRANDOM_U32 if name == "rand" else _GET_SMP_PROCESSOR_ID
        return [EInsn(c.BPF_JMP | c.BPF_CALL, 0, 0, 0, helper)]
    if name not in _SKB:
        raise NotSupported(f"the classic extension {name} in an eBPF program", "a classic filter (SO_ATTACH_FILTER)")
    load = [_word(A, CTX, _SKB[name])]
    if name in _BIG_ENDIAN_WORDS:  # a 16-bit word in network order; the classic machine gives a number
        load.append(EInsn(c.BPF_ALU | c.BPF_END | c.BPF_TO_BE, A, 0, 0, 16))
    return load


def _indirect(insn: Insn) -> list[EInsn]:
    return [EInsn(insn.code, 0, X, 0, signed(insn.k))]


def _load_length(insn: Insn) -> list[EInsn]:
    return [_word(X if insn.code & 7 else A, CTX, _SKB_LEN)]


def _memory(insn: Insn) -> int:
    """Where M[k] lies under the frame pointer."""
    return -4 * (MEMWORDS - insn.k)


def _header_length(insn: Insn) -> list[EInsn]:
    """X = 4 * (P[k] & 15), and A as it was."""
    return [
        _mov(TMP, A),
        EInsn(c.BPF_LD | c.BPF_ABS | c.BPF_B, 0, 0, 0, signed(insn.k)),
        EInsn(c.BPF_ALU | c.BPF_AND | c.BPF_K, A, 0, 0, 0xF),
        EInsn(c.BPF_ALU | c.BPF_LSH | c.BPF_K, A, 0, 0, 2),
        _mov(X, A),
        _mov(A, TMP),
    ]


def _alu(insn: Insn) -> list[EInsn]:
    row = ROWS[insn.code]
    if row.form == "alu_k":
        return [EInsn(c.BPF_ALU | _ALU[row.op] | c.BPF_K, A, 0, 0, signed(insn.k))]
    operate = EInsn(c.BPF_ALU | _ALU[row.op] | c.BPF_X, A, X, 0, 0)
    if row.op not in ("div", "mod"):
        return [operate]
    # the classic machine returns 0 when it divides by 0
    return [EInsn(c.BPF_JMP | c.BPF_JNE | c.BPF_K, X, 0, 2, 0), _mov32(A, 0), _exit(), operate]


def _jump(insn: Insn) -> list[EInsn]:
    row = ROWS[insn.code]
    if row.form == "jump_x":
        test = EInsn(c.BPF_JMP | _JUMPS[row.op] | c.BPF_X, A, X, 0, 0)
    else:
        test = EInsn(c.BPF_JMP32 | _JUMPS[row.op] | c.BPF_K, A, 0, 0, signed(insn.k))
    return [test, EInsn(c.BPF_JMP | c.BPF_JA, 0, 0, 0, 0)]


def _simple(insn: Insn) -> list[EInsn]:
    if insn.code == 0x07:
        return [_mov(X, A)]
    if insn.code == 0x87:
        return [_mov(A, X)]
    return [EInsn(c.BPF_ALU | c.BPF_NEG | c.BPF_K, A, 0, 0, 0)]


_FORMS: dict[str, Callable[[Insn], list[EInsn]]] = {
    "abs": _absolute,
    "ind": _indirect,
    "len": _load_length,
    "imm": lambda i: [_mov32(X if i.code & 7 else A, i.k)],
    "mem": lambda i: [_word(X if i.code & 7 else A, 10, _memory(i))],
    "msh": _header_length,
    "store": lambda i: [EInsn(c.BPF_STX | c.BPF_MEM | c.BPF_W, 10, X if i.code & 1 else A, _memory(i), 0)],
    "alu_k": _alu,
    "alu_x": _alu,
    "none": _simple,
    "ja": lambda i: [EInsn(c.BPF_JMP | c.BPF_JA, 0, 0, 0, 0)],
    "jump_k": _jump,
    "jump_x": _jump,
    "ret_k": lambda i: [_mov32(A, i.k), _exit()],
    "ret_a": lambda i: [_exit()],
}
