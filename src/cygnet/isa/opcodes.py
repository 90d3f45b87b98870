"""The opcode table: every instruction, once. Assembler, disassembler and engines read these rows.

A row's columns, which adding an instruction means filling in:

name        what engines and tests call it
code        the opcode byte
text        how the kernel's verifier log prints it, as a `str.format` template over the fields
            d (dst) s (src) o (off) i (imm) x (imm as unsigned) h (the second slot's imm)
            q (the 64-bit immediate) f (a function's name and number); what the template does not
            mention must be zero, or the value the selector gives
form        what executing it does with the semantics (see FORMS)
bits        operand or memory width
selector    fixed field values that tell variants of one code apart: {"off": 1}
legal       a condition over {i} {o}, empty when always legal
group       conformance group of RFC 9669 (section 2.4); "linux" and "kernel" are ours: Linux's own
            additions, and forms that only the kernel's rewritten programs contain
semantics   one Python expression over {d} {s} (operands cut to the width, unsigned; s is the
            sign-extended immediate in an immediate form) and {m} (the value in memory), with the
            functions of `isa.semantics`
aliases     other spellings the assembler takes (llvm-objdump's)

The rows are made on first use: importing this module is cheap.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cygnet.isa.insn import Insn

# What an engine does with the expression e of a row.
FORMS: Mapping[str, str] = {
    "alu": "dst = e",
    "const": "dst = e, a 64-bit constant or an address that the loader puts in",
    "load": "m = memory[src + off]; dst = e",
    "packet": "m = packet[e] in network order, or leave the program with 0; r0 = m",
    "store": "memory[dst + off] = e",
    "atomic": "m = memory[dst + off]; memory[dst + off] = e",
    "fetch": "as atomic; then src = m",
    "cmpxchg": "as atomic; then r0 = m",
    "jump": "if e: pc += off",
    "goto": "pc += e",
    "call": "call function e",
    "callx": "call the function whose address is e",
    "exit": "leave the function, r0 is the result",
    "none": "nothing",
}

_FIELDS = ("dst", "src", "off", "imm")
_LETTERS = {"dst": ("{d",), "src": ("{s",), "off": ("{o",), "imm": ("{i", "{x", "{q", "{f")}


class Opcode:
    """One row. `fixed` is (dst, src, off, imm), None where the field is an operand."""

    __slots__ = ("aliases", "bits", "code", "fixed", "form", "group", "legal", "name", "semantics", "text", "wide")

    def __init__(
        self,
        name: str,
        code: int,
        text: str,
        form: str,
        bits: int,
        group: str,
        semantics: str = "",
        *,
        selector: Mapping[str, int] | None = None,
        legal: str = "",
        aliases: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.code = code
        self.text = text
        self.form = form
        self.bits = bits
        self.group = group
        self.semantics = semantics.replace("MASK", hex((1 << bits) - 1)).replace("BITS", str(bits))
        self.legal = legal.replace("BITS", str(bits))
        self.aliases = tuple(aliases)
        self.wide = code == 0x18
        chosen = selector or {}
        self.fixed: tuple[int | None, ...] = tuple(
            None if any(letter in text for letter in _LETTERS[field]) else chosen.get(field, 0) for field in _FIELDS
        )

    def __repr__(self) -> str:
        return f"<Opcode {self.name} {self.code:#04x}>"

    @property
    def operands(self) -> tuple[str, ...]:
        """The fields that are operands, such as ("dst", "imm")."""
        return tuple(field for field, value in zip(_FIELDS, self.fixed) if value is None)

    @property
    def writes(self) -> str:
        """Which register it changes: ``dst``, ``src``, ``r0`` or nothing (calls also lose r1 to r5)."""
        return _WRITES.get(self.form, "")

    def matches(self, insn: Insn, high: int = 0) -> bool:
        """Is `insn` this instruction? `high` is the second slot's imm of a 64-bit load."""
        dst, src, off, imm = self.fixed
        return (
            (dst is None or dst == insn.dst)
            and (src is None or src == insn.src)
            and (off is None or off == insn.off)
            and (imm is None or imm == insn.imm)
            and (high == 0 or "{h" in self.text or "{q" in self.text)
        )


_WRITES = {
    "alu": "dst",
    "const": "dst",
    "load": "dst",
    "packet": "r0",
    "fetch": "src",
    "cmpxchg": "r0",
    "call": "r0",
    "callx": "r0",
}

# --- arithmetic: each row is four opcodes (64 and 32 bits, register and immediate) -------------------------
#     op   name    symbol  off  group    legal immediate      semantics
_ALU = (
    (0x00, "add", "+=", 0, "base", "", "({d} + {s}) & MASK"),
    (0x10, "sub", "-=", 0, "base", "", "({d} - {s}) & MASK"),
    (0x20, "mul", "*=", 0, "divmul", "", "({d} * {s}) & MASK"),
    (0x30, "div", "/=", 0, "divmul", "{i} != 0", "{d} // {s} if {s} else 0"),
    (0x30, "sdiv", "s/=", 1, "divmul", "{i} != 0", "quotient(sxBITS({d}), sxBITS({s})) & MASK if {s} else 0"),
    (0x40, "or", "|=", 0, "base", "", "{d} | {s}"),
    (0x50, "and", "&=", 0, "base", "", "{d} & {s}"),
    (0x60, "lsh", "<<=", 0, "base", "0 <= {i} < BITS", "({d} << ({s} & BITS - 1)) & MASK"),
    (0x70, "rsh", ">>=", 0, "base", "0 <= {i} < BITS", "{d} >> ({s} & BITS - 1)"),
    (0x90, "mod", "%=", 0, "divmul", "{i} != 0", "{d} % {s} if {s} else {d}"),
    (0x90, "smod", "s%=", 1, "divmul", "{i} != 0", "remainder(sxBITS({d}), sxBITS({s})) & MASK if {s} else {d}"),
    (0xA0, "xor", "^=", 0, "base", "", "{d} ^ {s}"),
    (0xB0, "mov", "=", 0, "base", "", "{s}"),
    (0xC0, "arsh", "s>>=", 0, "base", "0 <= {i} < BITS", "(sxBITS({d}) >> ({s} & BITS - 1)) & MASK"),
)

# --- conditional jumps: four opcodes each as well ----------------------------------------------------------
_JUMP = (
    (0x10, "jeq", "==", "{d} == {s}"),
    (0x20, "jgt", ">", "{d} > {s}"),
    (0x30, "jge", ">=", "{d} >= {s}"),
    (0x40, "jset", "&", "({d} & {s}) != 0"),
    (0x50, "jne", "!=", "{d} != {s}"),
    (0x60, "jsgt", "s>", "sxBITS({d}) > sxBITS({s})"),
    (0x70, "jsge", "s>=", "sxBITS({d}) >= sxBITS({s})"),
    (0xA0, "jlt", "<", "{d} < {s}"),
    (0xB0, "jle", "<=", "{d} <= {s}"),
    (0xC0, "jslt", "s<", "sxBITS({d}) < sxBITS({s})"),
    (0xD0, "jsle", "s<=", "sxBITS({d}) <= sxBITS({s})"),
)

# --- sizes of memory operations: size bits, letter, bits ---------------------------------------------------
_SIZES = ((0x10, "b", 8), (0x08, "h", 16), (0x00, "w", 32), (0x18, "dw", 64))

# --- read-modify-write: two opcodes each (32 and 64 bits): imm, name, operator or call, semantics ----------
_ATOMIC = (
    (0x00, "add", "+=", "({m} + {s}) & MASK"),
    (0x40, "or", "|=", "{m} | {s}"),
    (0x50, "and", "&=", "{m} & {s}"),
    (0xA0, "xor", "^=", "{m} ^ {s}"),
)


def _alu_rows() -> Iterator[Opcode]:
    for op, name, symbol, off, group, legal, semantics in _ALU:
        for cls, bits, reg in ((7, 64, "r"), (4, 32, "w")):
            for source, kind, operand, condition in ((8, "reg", reg + "{s}", ""), (0, "imm", "{i}", legal)):
                text = f"{reg}{{d}} {symbol} {operand}"
                full, sel = f"{name}{bits}_{kind}", {"off": off}
                yield Opcode(
                    full,
                    cls | op | source,
                    text,
                    "alu",
                    bits,
                    f"{group}{bits}",
                    semantics,
                    selector=sel,
                    legal=condition,
                )


def _move_rows() -> Iterator[Opcode]:
    """Negation, sign-extending moves, byte order, and address conversions."""
    for cls, bits, reg in ((7, 64, "r"), (4, 32, "w")):
        base = f"base{bits}"
        yield Opcode(f"neg{bits}", cls | 0x80, f"{reg}{{d}} = -{reg}{{d}}", "alu", bits, base, "-{d} & MASK")
        for width in (8, 16, 32)[: 3 if bits == 64 else 2]:
            text = f"{reg}{{d}} = (s{width}){reg}{{s}}"
            name, semantics = f"movsx{width}_{bits}", f"sx{width}({{s}}) & MASK"
            yield Opcode(name, cls | 0xB8, text, "alu", bits, base, semantics, selector={"off": width})
    for width in (16, 32, 64):
        # the kernel prints the wide register here, the width is in the name (RFC 9669, section 4.2)
        group, only = "base64" if width == 64 else "base32", {"imm": width}
        for name, code, semantics in (
            ("le", 0xD4, f"{{d}} & {(1 << width) - 1:#x}"),
            ("be", 0xDC, f"bswap{width}({{d}})"),
            ("bswap", 0xD7, f"bswap{width}({{d}})"),
        ):
            text = f"r{{d}} = {name}{width} r{{d}}"
            yield Opcode(f"{name}{width}", code, text, "alu", 64, group, semantics, selector=only)
    for to, src_space, dst_space in (("user", 0, 1), ("kernel", 1, 0)):
        text = f"r{{d}} = addr_space_cast(r{{s}}, {dst_space}, {src_space})"
        sel = {"off": 1, "imm": dst_space << 16 | src_space}
        yield Opcode(f"arena_{to}", 0xBF, text, "alu", 64, "linux", "", selector=sel)
    yield Opcode("mov_percpu", 0xBF, "r{d} = &(void __percpu *)(r{s})", "alu", 64, "kernel", "", selector={"off": -1})


def _memory_rows() -> Iterator[Opcode]:
    for size, letter, bits in _SIZES:
        group = "base64" if bits == 64 else "base32"
        sources, kind = "(r{s} {o:+d})", f"*(u{bits} *)"
        target = f"{kind}(r{{d}} {{o:+d}})"
        narrow = bits < 64
        text, other = f"r{{d}} = {kind}{sources}", [f"w{{d}} = {kind}{sources}"] if narrow else []
        yield Opcode(f"ldx{letter}", 0x61 | size, text, "load", bits, group, "{m}", aliases=other)
        if narrow:
            text = f"r{{d}} = *(s{bits} *){sources}"
            yield Opcode(
                f"ldxs{letter}", 0x81 | size, text, "load", bits, "base64", f"sx{bits}({{m}}) & {(1 << 64) - 1:#x}"
            )
        yield Opcode(f"st{letter}", 0x62 | size, target + " = {i}", "store", bits, group, "{s} & MASK")
        other = [target + " = w{s}"] if narrow else []
        yield Opcode(f"stx{letter}", 0x63 | size, target + " = r{s}", "store", bits, group, "{s} & MASK", aliases=other)
        atomic, cast = "atomic64" if bits == 64 else "atomic32", f"(u{bits} *)"
        text, sel = f"r{{d}} = load_acquire({cast}{sources})", {"imm": 0x100}
        yield Opcode(f"load_acq{bits}", 0xC3 | size, text, "load", bits, atomic, "{m}", selector=sel)
        text, sel = f"store_release({cast}(r{{d}} {{o:+d}}), r{{s}})", {"imm": 0x110}
        yield Opcode(f"store_rel{bits}", 0xC3 | size, text, "store", bits, atomic, "{s} & MASK", selector=sel)
        if narrow:
            text, sel = f"r0 = *(u{bits} *)skb[{{i}}]", {}
            yield Opcode(f"ldabs{letter}", 0x20 | size, text, "packet", bits, "packet", "{s}", selector=sel)
            text = f"r0 = *(u{bits} *)skb[r{{s}} + {{i}}]"
            other = [f"r0 = *(u{bits} *)skb[r{{s}}]"]
            yield Opcode(f"ldind{letter}", 0x40 | size, text, "packet", bits, "packet", "{s} + {i}", aliases=other)


def _atomic_rows() -> Iterator[Opcode]:
    """llvm-objdump writes the 32-bit forms with w registers and without the kernel's 64 in the name."""
    for size, bits, suffix, reg in ((0x00, 32, "", "w"), (0x18, 64, "64", "r")):
        code, group, target = 0xC3 | size, f"atomic{bits}", f"(u{bits} *)(r{{d}} {{o:+d}})"
        address = "r{d} {o:+d}"
        for imm, name, symbol, semantics in _ATOMIC:
            text = f"lock *{target} {symbol} r{{s}}"
            also = [f"lock *{target} {symbol} w{{s}}"] if bits == 32 else []
            full = f"atomic{bits}_{name}"
            yield Opcode(full, code, text, "atomic", bits, group, semantics, selector={"imm": imm}, aliases=also)
            text = f"r{{s}} = atomic{suffix}_fetch_{name}({target}, r{{s}})"
            also = [f"{reg}{{s}} = atomic_fetch_{name}({target}, {reg}{{s}})"]
            full = f"atomic{bits}_fetch_{name}"
            yield Opcode(full, code, text, "fetch", bits, group, semantics, selector={"imm": imm | 1}, aliases=also)
        llvm = "_64" if bits == 64 else "32_32"
        text = f"r{{s}} = atomic{suffix}_xchg({target}, r{{s}})"
        also = [f"{reg}{{s}} = xchg{llvm}({address}, {reg}{{s}})"]
        sel = {"imm": 0xE1}
        yield Opcode(f"atomic{bits}_xchg", code, text, "fetch", bits, group, "{s}", selector=sel, aliases=also)
        text = f"r0 = atomic{suffix}_cmpxchg({target}, r0, r{{s}})"
        also, sel = [f"{reg}0 = cmpxchg{llvm}({address}, {reg}0, {reg}{{s}})"], {"imm": 0xF1}
        semantics = "{s} if {m} == ({r0} & MASK) else {m}"
        yield Opcode(f"atomic{bits}_cmpxchg", code, text, "cmpxchg", bits, group, semantics, selector=sel, aliases=also)


def _jump_rows() -> Iterator[Opcode]:
    for op, name, symbol, semantics in _JUMP:
        for cls, bits, reg in ((5, 64, "r"), (6, 32, "w")):
            for source, kind, operand in ((8, "reg", reg + "{s}"), (0, "imm", "{x:#x}")):
                text = f"if {reg}{{d}} {symbol} {operand} goto pc{{o:+d}}"
                yield Opcode(f"{name}{bits}_{kind}", cls | op | source, text, "jump", bits, f"base{bits}", semantics)
    yield Opcode("ja", 0x05, "goto pc{o:+d}", "goto", 64, "base32", "{o}")
    yield Opcode("gotol", 0x06, "gotol pc{i:+d}", "goto", 64, "base32", "{i}")
    # falls through until the kernel's loop budget is used up (Linux, kernel/bpf/verifier.c)
    yield Opcode("may_goto", 0xE5, "may_goto pc{o:+d}", "jump", 64, "linux", "budget_spent()")
    yield Opcode("call_helper", 0x85, "call {f}", "call", 64, "base32", "{i}")
    yield Opcode("call_local", 0x85, "call pc{i:+d}", "call", 64, "base32", "{i}", selector={"src": 1})
    yield Opcode("call_kfunc", 0x85, "call kfunc {f} fd[{o}]", "call", 64, "base32", "{i}", selector={"src": 2})
    yield Opcode("callx", 0x8D, "callx r{d}", "callx", 64, "linux", "{d}")
    yield Opcode("exit", 0x95, "exit", "exit", 64, "base32", "", aliases=["return"])


def _wide_rows() -> Iterator[Opcode]:
    """The 64-bit immediate load: src says what the number stands for (RFC 9669, section 5.4)."""
    for src, name, text in (
        (0, "lddw", "r{d} = {q:#x} ll"),
        (1, "lddw_map_fd", "r{d} = map[fd:{i}]"),
        (2, "lddw_map_value", "r{d} = map[fd:{i}][0]+{h}"),
        (3, "lddw_btf_id", "r{d} = btf[fd:{h} id:{i}]"),
        (4, "lddw_func", "r{d} = subprog[{i:+d}]"),
        (5, "lddw_map_idx", "r{d} = map[idx:{i}]"),
        (6, "lddw_map_idx_value", "r{d} = map[idx:{i}]+{h}"),
    ):
        yield Opcode(name, 0x18, text, "const", 64, "base64", "{q}", selector={"src": src})
    yield Opcode("nospec", 0xC2, "nospec", "none", 64, "kernel")


_rows: tuple[Opcode, ...] = ()
_by_code: dict[int, tuple[Opcode, ...]] = {}
_by_name: dict[str, Opcode] = {}


def rows() -> tuple[Opcode, ...]:
    """Every row of the table."""
    global _rows
    if not _rows:
        makers = (_alu_rows, _move_rows, _memory_rows, _atomic_rows, _jump_rows, _wide_rows)
        _rows = tuple(row for maker in makers for row in maker())
    return _rows


def by_name(name: str) -> Opcode:
    """The row called `name`, such as ``add64_imm``; KeyError when there is none."""
    if not _by_name:
        _by_name.update((row.name, row) for row in rows())
    return _by_name[name]


def variants(code: int) -> Iterable[Opcode]:
    """The rows that share one opcode byte."""
    if not _by_code:
        for row in rows():
            _by_code[row.code] = (*_by_code.get(row.code, ()), row)
    return _by_code.get(code, ())


def find(insn: Insn, second: Insn | None = None) -> Opcode | None:
    """The row that `insn` is an instance of, or None: unknown code, variant or register, or stray bits.

    `second` is the next slot, which a 64-bit load needs. Register 11 is taken: the kernel's
    rewritten programs use it, though no program may be loaded with it.
    """
    if insn.dst > 11 or insn.src > 11:
        return None
    high = 0
    if insn.code == 0x18:
        if second is None or second[:4] != (0, 0, 0, 0):
            return None
        high = second.imm
    for row in variants(insn.code):
        if row.matches(insn, high):
            return row
    return None


def illegal(insn: Insn, second: Insn | None = None) -> str | None:
    """Why no program may contain `insn`, or None when one may.

    Judges one instruction alone, as the kernel does before it follows any path: field values, shift
    widths, divisors, writes to the frame pointer.
    """
    row = find(insn, second)
    if row is None or row.group == "kernel":
        return f"unknown opcode or reserved fields {insn.code:#04x}"
    used = row.operands
    if any(getattr(insn, field) > 10 for field in ("dst", "src") if field in used):
        return "no such register"
    if row.writes in ("dst", "src") and getattr(insn, row.writes) == 10:
        return "the frame pointer r10 is read-only"
    if row.form == "callx":
        return "calls through a register are reserved"
    if row.legal and not eval(row.legal.format(i=insn.imm, o=insn.off), {}):
        return "division by zero" if "!= 0" in row.legal else f"invalid shift {insn.imm}"
    return None
