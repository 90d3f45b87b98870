"""Any instruction survives bytes and text."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cygnet.isa.asm import assemble
from cygnet.isa.disasm import disassemble, insn_text, listing
from cygnet.isa.encode import decode, encode
from cygnet.isa.insn import Insn, ld_imm64
from cygnet.isa.opcodes import find, rows

S32 = st.integers(-(1 << 31), (1 << 31) - 1)
ANY_INSN = st.builds(
    Insn, st.integers(0, 255), st.integers(0, 15), st.integers(0, 15), st.integers(-0x8000, 0x7FFF), S32
).filter(lambda insn: insn.code != 0x18)


@st.composite
def table_insns(draw):
    """One instance of a random row: one slot, or two."""
    row = draw(st.sampled_from(rows()))
    free = (st.integers(0, 10), st.integers(0, 10), st.integers(-0x8000, 0x7FFF), S32)
    dst, src, off, imm = (draw(strategy) if value is None else value for value, strategy in zip(row.fixed, free))
    first = Insn(row.code, dst, src, off, imm)
    if not row.wide:
        return row, [first]
    high = draw(S32) if "{h" in row.text or "{q" in row.text else 0
    return row, [first, Insn(0, 0, 0, 0, high)]


@given(st.lists(ANY_INSN, max_size=20), st.sampled_from(["little", "big"]))
@settings(deadline=None)
def test_bytes_round_trip(insns, byteorder):
    data = encode(insns, byteorder)
    assert len(data) == 8 * len(insns)
    assert decode(data, byteorder) == insns


@given(st.lists(table_insns(), max_size=12))
@settings(deadline=None)
def test_text_round_trip(parts):
    insns = [insn for _, slots in parts for insn in slots]
    assert decode(encode(insns)) == insns
    assert assemble("\n".join(text for _, text in disassemble(insns))) == insns
    assert assemble(listing(insns)) == insns


@given(table_insns())
@settings(deadline=None)
def test_every_row_finds_itself(part):
    row, slots = part
    assert find(*slots) is row
    assert ".insn" not in insn_text(*slots)


@given(ANY_INSN)
@settings(deadline=None)
def test_an_instruction_outside_the_table_round_trips_too(insn):
    assert assemble(insn_text(insn)) == [insn]


@given(st.integers(0, 10), st.integers(0, (1 << 64) - 1))
@settings(deadline=None)
def test_wide_immediates(dst, value):
    first, second = ld_imm64(dst, value)
    assert insn_text(first, second) == f"r{dst} = {value:#x} ll"
    assert assemble(f"r{dst} = {value} ll") == [first, second]
