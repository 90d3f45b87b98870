"""The machine of classic BPF: runs a filter over a packet, or over the data of a system call."""

from __future__ import annotations

from cygnet.cbpf.insn import ANCILLARY, LL_OFF, MEMWORDS, NET_OFF, ROWS, Insn, signed
from cygnet.errors import RuntimeFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_WORD = 0xFFFFFFFF


class Fault(RuntimeFault):
    """A filter that runs off its end, or an opcode that there is not."""


class _Outside(Exception):
    """A load beyond the packet: the filter returns 0."""


_OPERATE: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a // b,
    "mod": lambda a, b: a % b, "or": lambda a, b: a | b, "and": lambda a, b: a & b, "xor": lambda a, b: a ^ b,
    "lsh": lambda a, b: a << (b & 31), "rsh": lambda a, b: a >> (b & 31),
}  # fmt: skip
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "jeq": lambda a, b: a == b, "jgt": lambda a, b: a > b, "jge": lambda a, b: a >= b, "jset": lambda a, b: bool(a & b),
}  # fmt: skip


class Machine:
    """One run. `ancillary` answers the kernel's extensions by name; what it lacks is 0."""

    __slots__ = ("a", "ancillary", "length", "link", "memory", "network", "order", "packet", "x")

    def __init__(
        self, packet: bytes, ancillary: Mapping[str, int], length: int, network: int, order: str, link: int
    ) -> None:
        self.packet = packet
        self.ancillary = ancillary
        self.length = length
        self.network = network
        self.link = link
        self.order = order
        self.a = self.x = 0
        self.memory = [0] * MEMWORDS

    def load(self, offset: int, size: int) -> int:
        """`size` bytes at an offset: of the packet, of its network or link header, or an extension."""
        if offset < 0:
            if offset >= LL_OFF:
                base, start = (self.network, NET_OFF) if offset >= NET_OFF else (self.link, LL_OFF)
                offset = base + offset - start
            else:
                raise _Outside
        if offset < 0 or offset + size > len(self.packet):
            raise _Outside
        return int.from_bytes(self.packet[offset : offset + size], self.order)  # type: ignore[arg-type]

    def extension(self, k: int) -> None:
        name = ANCILLARY[(signed(k) + 0x1000) // 4]
        if name == "xor_x":
            self.a ^= self.x
        elif name in ("nla", "nlan"):
            self.a = self._attribute(nested=name == "nlan")
        else:
            self.a = self.ancillary.get(name, 0) & _WORD

    def _attribute(self, nested: bool) -> int:
        """Where the netlink attribute of type X begins, looking from A on; 0 when there is none."""
        import sys

        at, end = self.a, len(self.packet)
        order = sys.byteorder
        if nested:
            if at + 4 > end:
                return 0
            size = int.from_bytes(self.packet[at : at + 2], order)
            if size < 4 or size > end - at:
                return 0
            end, at = at + size, at + 4
        while at + 4 <= end:
            size = int.from_bytes(self.packet[at : at + 2], order)
            kind = int.from_bytes(self.packet[at + 2 : at + 4], order) & 0x3FFF
            if size < 4 or size > end - at:
                return 0
            if kind == self.x:
                return at
            at += (size + 3) & ~3
        return 0


def run(
    program: Sequence[Insn],
    packet: bytes,
    *,
    ancillary: Mapping[str, int] | None = None,
    length: int | None = None,
    network: int = 14,
    link: int = 0,
    seccomp: bool = False,
) -> int:
    """What the filter returns: how many bytes to keep, 0 to drop, or a system call's verdict.

    `length` is the packet's own when it was cut; `network` and `link` are the offsets of those headers.
    With `seccomp` the packet is a struct seccomp_data and words are read in this machine's byte order.
    Raises Fault for a program that `validate` would refuse and that goes astray.
    """
    import sys

    order = sys.byteorder if seccomp else "big"
    full = len(packet) if length is None else length
    machine = Machine(packet, ancillary or {}, full, network, order, link)
    pc = 0
    while pc < len(program):
        insn = program[pc]
        row = ROWS.get(insn.code)
        if row is None:
            raise Fault(f"unknown opcode {insn.code:#x} at {pc}", pc, insn)
        pc += 1
        try:
            if row.form in _RETURNS:
                return _RETURNS[row.form](machine, insn)
            pc += _STEPS[row.form](machine, insn)
        except (_Outside, ZeroDivisionError):
            return 0
        except (KeyError, IndexError):
            raise Fault(f"a bad operand at {pc - 1}", pc - 1, insn) from None
    raise Fault("the program runs off its end", pc)


def _absolute(m: Machine, insn: Insn) -> int:
    place = signed(insn.k)
    if -0x1000 <= place < 0:
        m.extension(insn.k)
    else:
        m.a = m.load(place, ROWS[insn.code].size)
    return 0


def _indirect(m: Machine, insn: Insn) -> int:
    m.a = m.load(signed((insn.k + m.x) & _WORD), ROWS[insn.code].size)
    return 0


def _immediate(m: Machine, insn: Insn) -> int:
    return _give(m, insn, insn.k)


def _length(m: Machine, insn: Insn) -> int:
    return _give(m, insn, m.length)


def _from_memory(m: Machine, insn: Insn) -> int:
    return _give(m, insn, m.memory[insn.k])


def _give(m: Machine, insn: Insn, value: int) -> int:
    """To A or, for the ldx rows, to X."""
    if insn.code & 7:
        m.x = value
    else:
        m.a = value
    return 0


def _header_length(m: Machine, insn: Insn) -> int:
    m.x = (m.load(signed(insn.k), 1) & 0xF) << 2
    return 0


def _store(m: Machine, insn: Insn) -> int:
    m.memory[insn.k] = m.x if insn.code & 1 else m.a
    return 0


def _alu(m: Machine, insn: Insn) -> int:
    row = ROWS[insn.code]
    m.a = _OPERATE[row.op](m.a, m.x if row.form == "alu_x" else insn.k) & _WORD
    return 0


def _jump(m: Machine, insn: Insn) -> int:
    row = ROWS[insn.code]
    return insn.jt if _COMPARE[row.op](m.a, m.x if row.form == "jump_x" else insn.k) else insn.jf


def _simple(m: Machine, insn: Insn) -> int:
    if insn.code == 0x07:
        m.x = m.a
    elif insn.code == 0x87:
        m.a = m.x
    else:
        m.a = -m.a & _WORD
    return 0


_STEPS: dict[str, Callable[[Machine, Insn], int]] = {
    "abs": _absolute, "ind": _indirect, "imm": _immediate, "len": _length, "mem": _from_memory,
    "msh": _header_length, "store": _store, "alu_k": _alu, "alu_x": _alu, "none": _simple, "ja": lambda m, i: i.k,
    "jump_k": _jump, "jump_x": _jump,
}  # fmt: skip
_RETURNS: dict[str, Callable[[Machine, Insn], int]] = {
    "ret_k": lambda m, i: i.k, "ret_a": lambda m, i: m.a, "ret_x": lambda m, i: m.x,
}  # fmt: skip
