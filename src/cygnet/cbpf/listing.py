"""The three listings of tcpdump: -d for people, -dd as C, -ddd as decimal numbers."""

from __future__ import annotations

from cygnet.cbpf.insn import ROWS, Insn, signed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: alu operations whose constant is shown in hexadecimal
_HEX = frozenset(("and", "or", "xor"))


def operand(insn: Insn, index: int) -> str:
    """The operand as tcpdump -d writes it."""
    row = ROWS[insn.code]
    return _FORMS[row.form](insn, index)


def _alu(insn: Insn, index: int) -> str:
    return f"#{insn.k:#x}" if ROWS[insn.code].op in _HEX else f"#{signed(insn.k)}"


_FORMS: dict[str, Callable[[Insn, int], str]] = {
    "abs": lambda i, n: f"[{signed(i.k)}]",
    "ind": lambda i, n: f"[x + {signed(i.k)}]",
    "imm": lambda i, n: f"#{i.k:#x}",
    "len": lambda i, n: "#pktlen",
    "mem": lambda i, n: f"M[{i.k}]",
    "msh": lambda i, n: f"4*([{i.k}]&0xf)",
    "store": lambda i, n: f"M[{i.k}]",
    "alu_k": _alu,
    "alu_x": lambda i, n: "x",
    "ja": lambda i, n: str(n + 1 + i.k),
    "jump_k": lambda i, n: f"#{i.k:#x}",
    "jump_x": lambda i, n: "x",
    "ret_k": lambda i, n: f"#{signed(i.k)}",
    "ret_a": lambda i, n: "",
    "ret_x": lambda i, n: "x",
    "none": lambda i, n: "",
}


def line(insn: Insn, index: int) -> str:
    """One line of tcpdump -d."""
    row = ROWS.get(insn.code)
    if row is None:
        return f"({index:03d}) unimp    {insn.code:#x}"
    text = f"({index:03d}) {row.mnemonic:<8} "
    if row.form.startswith("jump"):
        return f"{text}{operand(insn, index):<16} jt {index + 1 + insn.jt}\tjf {index + 1 + insn.jf}"
    return text + operand(insn, index)


def listing(program: Sequence[Insn]) -> str:
    """tcpdump -d"""
    return "".join([line(insn, index) + "\n" for index, insn in enumerate(program)])


def listing_c(program: Sequence[Insn]) -> str:
    """tcpdump -dd"""
    return "".join([f"{{ {i.code:#x}, {i.jt}, {i.jf}, 0x{i.k:08x} }},\n" for i in program])


def listing_decimal(program: Sequence[Insn]) -> str:
    """tcpdump -ddd"""
    return f"{len(program)}\n" + "".join([f"{i.code} {i.jt} {i.jf} {i.k}\n" for i in program])
