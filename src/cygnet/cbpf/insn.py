"""Instructions of classic BPF: one table of what there is, and the bytes of struct sock_filter.

A row is an opcode: its mnemonic, how its operand is written, and what it does. The numbers are those of
<linux/bpf_common.h> and <linux/filter.h>.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from cygnet.errors import InsnDecodeError

MEMWORDS = 16
MAXINSNS = 4096

# where a load's offset means something else than a place in the packet (<linux/filter.h>)
AD_OFF, NET_OFF, LL_OFF = -0x1000, -0x100000, -0x200000
ANCILLARY = (
    "proto", "type", "ifidx", "nla", "nlan", "mark", "queue", "hatype", "rxhash", "cpu", "xor_x", "vlan_tci",
    "vlan_avail", "poff", "rand", "vlan_tpid",
)  # fmt: skip
#: SKF_AD_ name -> k, as an unsigned word
AD = {name: (AD_OFF + 4 * index) & 0xFFFFFFFF for index, name in enumerate(ANCILLARY)}


class Insn(NamedTuple):
    """`k` is unsigned; `jt` and `jf` count instructions from the next one."""

    code: int
    jt: int = 0
    jf: int = 0
    k: int = 0


class Row(NamedTuple):
    """`form`: abs ind imm len mem msh (loads) · store · alu_k alu_x neg · ja · jump_k jump_x · ret_k ret_a ret_x ·
    none. `op` names the operation of an alu or jump row; `size` is that of a packet load, in bytes."""

    code: int
    mnemonic: str
    form: str
    op: str = ""
    size: int = 0


_ALU = ("add", "sub", "mul", "div", "or", "and", "lsh", "rsh", "neg", "mod", "xor")
_JUMPS = ("ja", "jeq", "jgt", "jge", "jset")


def _rows() -> dict[int, Row]:
    rows = [
        Row(0x20, "ld", "abs", size=4), Row(0x28, "ldh", "abs", size=2), Row(0x30, "ldb", "abs", size=1),
        Row(0x40, "ld", "ind", size=4), Row(0x48, "ldh", "ind", size=2), Row(0x50, "ldb", "ind", size=1),
        Row(0x00, "ld", "imm"), Row(0x80, "ld", "len"), Row(0x60, "ld", "mem"),
        Row(0x01, "ldx", "imm"), Row(0x81, "ldx", "len"), Row(0x61, "ldx", "mem"), Row(0xB1, "ldxb", "msh", size=1),
        Row(0x02, "st", "store"), Row(0x03, "stx", "store"),
        Row(0x06, "ret", "ret_k"), Row(0x16, "ret", "ret_a"), Row(0x0E, "ret", "ret_x"),
        Row(0x07, "tax", "none"), Row(0x87, "txa", "none"), Row(0x05, "ja", "ja"), Row(0x84, "neg", "none", "neg"),
    ]  # fmt: skip
    for index, op in enumerate(_ALU):
        if op != "neg":
            rows += [Row(0x04 | index << 4, op, "alu_k", op), Row(0x0C | index << 4, op, "alu_x", op)]
    for index, op in enumerate(_JUMPS):
        if op != "ja":
            rows += [Row(0x05 | index << 4, op, "jump_k", op), Row(0x0D | index << 4, op, "jump_x", op)]
    return {row.code: row for row in rows}


ROWS = _rows()
_LAYOUT = struct.Struct("=HBBI")


def encode(program: list[Insn]) -> bytes:
    """The bytes of an array of struct sock_filter, in this machine's byte order."""
    return b"".join([_LAYOUT.pack(*insn) for insn in program])


def decode(data: bytes) -> list[Insn]:
    """Instructions from bytes. Raises InsnDecodeError when they are no whole number of instructions."""
    if len(data) % _LAYOUT.size:
        raise InsnDecodeError("classic BPF comes in instructions of 8 bytes", len(data) // 8 * 8)
    return [Insn(*fields) for fields in _LAYOUT.iter_unpack(data)]


def signed(word: int) -> int:
    """A 32-bit word as a signed number."""
    return word - (1 << 32) if word >> 31 else word
