"""The assembler: labels, comments, pasted listings, and what it says of mistakes."""

import pytest

from cygnet.errors import AsmError, FormatError, InsnDecodeError, SourceErrors
from cygnet.isa.asm import assemble, assemble_source
from cygnet.isa.disasm import insn_text, listing
from cygnet.isa.encode import decode, encode
from cygnet.isa.insn import Insn, imm64, ld_imm64, signed32
from cygnet.isa.opcodes import by_name, find, rows
from cygnet.source import Source

# text, bytes of the encoding as RFC 9669 lays them out
ENCODINGS = [
    ("r0 = *(u64 *)(r1 +8)", "79 10 08 00 00 00 00 00"),
    ("if w1 s< 5 goto +3", "c6 01 03 00 05 00 00 00"),
    ("call bpf_map_lookup_elem#1", "85 00 00 00 01 00 00 00"),
    ("lock *(u64 *)(r0 +0) += r1", "db 10 00 00 00 00 00 00"),
    ("r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)", "db 21 00 00 01 00 00 00"),
    ("r1 = 0x123 ll", "18 01 00 00 23 01 00 00 00 00 00 00 00 00 00 00"),
    ("r2 = map[fd:5]", "18 12 00 00 05 00 00 00 00 00 00 00 00 00 00 00"),
    ("r2 = map[fd:5][0]+16", "18 22 00 00 05 00 00 00 00 00 00 00 10 00 00 00"),
    ("goto pc+3", "05 00 03 00 00 00 00 00"),
    ("goto +3", "05 00 03 00 00 00 00 00"),
    ("goto -1", "05 00 ff ff 00 00 00 00"),
    ("w3 = (s8)w4", "bc 43 08 00 00 00 00 00"),
    ("r3 s/= r4", "3f 43 01 00 00 00 00 00"),
    ("r1 = be32 r1", "dc 01 00 00 20 00 00 00"),
    ("r1 = bswap64 r1", "d7 01 00 00 40 00 00 00"),
    ("r1 = load_acquire((u16 *)(r2 -4))", "cb 21 fc ff 00 01 00 00"),
    ("store_release((u64 *)(r2 +8), r1)", "db 12 08 00 10 01 00 00"),
    ("may_goto +2", "e5 00 02 00 00 00 00 00"),
    ("gotol +70000", "06 00 00 00 70 11 01 00"),
    ("r1 = *(s16 *)(r2 +2)", "89 21 02 00 00 00 00 00"),
    ("r0 = atomic_cmpxchg((u32 *)(r1 +0), r0, r2)", "c3 21 00 00 f1 00 00 00"),
    ("call kfunc name#300 fd[2]", "85 20 02 00 2c 01 00 00"),
    ("call pc+4", "85 10 00 00 04 00 00 00"),
    ("*(u16 *)(r10 -2) = -1", "6a 0a fe ff ff ff ff ff"),
    ("r0 = *(u16 *)skb[12]", "28 00 00 00 0c 00 00 00"),
    ("exit", "95 00 00 00 00 00 00 00"),
]


@pytest.mark.parametrize(("text", "expected"), ENCODINGS)
def test_encoding(text, expected):
    assert encode(assemble(text)) == bytes.fromhex(expected)


def test_labels_count_slots():
    insns = assemble("start: r1 = 1 ll\n if r1 == 0 goto end\n goto start\nend:\n exit")
    assert [insn.off for insn in insns[2:4]] == [1, -4]
    assert assemble("x:y: goto x") == [Insn(5, 0, 0, -1, 0)]


def test_functions_are_called_and_pointed_to_by_label():
    insns = assemble("call f\nr2 = subprog[f]\nexit\nf: r0 = 0\nexit")
    assert insns[0] == Insn(0x85, 0, 1, 0, 3)
    assert insns[1] == Insn(0x18, 2, 4, 0, 2)


def test_helpers_by_name():
    names = {"bpf_ktime_get_ns": 5}.get
    assert assemble("call bpf_ktime_get_ns", names) == [Insn(0x85, 0, 0, 0, 5)]
    assert assemble("call 5") == assemble("call bpf_ktime_get_ns#5") == [Insn(0x85, 0, 0, 0, 5)]


def test_comments_and_blank_lines():
    assert assemble("; one\n\n // two\n# three\nexit ; four\nexit // five\nexit # six\n") == [Insn(0x95)] * 3


@pytest.mark.parametrize(
    "line",
    [
        "12: (b7) r1 = 7",
        "  12: (b7) r1 = 7                        ; R1_w=7",
        "       0:\tb7 01 00 00 07 00 00 00\tr1 = 7",
        "12: r1 = 7",
    ],
)
def test_listings_can_be_pasted(line):
    assert assemble(line) == [Insn(0xB7, 1, 0, 0, 7)]


def test_spans_and_labels():
    done = assemble_source(Source("p.s", "a: r1 = 5 ll ; x\n  exit\n"))
    assert [str(span) for span in done.spans] == ["p.s:1:4-13", "p.s:1:4-13", "p.s:2:3-7"]
    assert done.labels == {"a": 0}


# text, the message's beginning, line:column of the fault
MISTAKES = [
    ("exit\nr1 = = 2", "not an instruction", "2:1-9"),
    ("r1 += w2", "not an instruction", "1:1-9"),
    ("r12 = 1", "there is no register r12", "1:1-4"),
    ("r1 += 0x80000000", "2147483648 does not fit a signed 32-bit immediate", "1:7-17"),
    ("r1 = *(u8 *)(r2 +40000)", "40000 does not fit a 16-bit offset", "1:17-23"),
    ("goto nowhere", "there is no label 'nowhere'", "1:6-13"),
    ("a: exit\na: exit", "label 'a' is already defined", "2:1-2"),
    ("goto", "expected a label", "1:5-6"),
    ("call", "expected a helper", "1:5-6"),
    ("r1 ? 2", "unexpected character '?'", "1:3-7"),
    ("call kfunc name", "a kfunc is called by its BTF id", "1:5-16"),
    (".insn 1, 2", "expected .insn", "1:6-11"),
    ("r1 = be32 r2", "not an instruction", "1:1-13"),
    ("r3 = r4 + 5", "not an instruction", "1:1-12"),
]


@pytest.mark.parametrize(("text", "message", "place"), MISTAKES)
def test_mistakes_point_at_their_place(text, message, place):
    with pytest.raises(AsmError) as caught:
        assemble(text)
    assert caught.value.message.startswith(message)
    assert str(caught.value.span).removeprefix("asm:") == place


def test_several_mistakes_at_once():
    with pytest.raises(SourceErrors) as caught:
        assemble("goto x\nr99 = 1\nexit\nr1 = *(u7 *)(r2 +0)")
    assert [str(error.span) for error in caught.value.errors] == ["asm:1:6-7", "asm:2:1-4", "asm:4:1-20"]


def test_hints():
    with pytest.raises(AsmError) as caught:
        assemble("lop: goto loop")
    assert caught.value.hints == ("did you mean 'lop'?",)
    with pytest.raises(AsmError) as caught:
        assemble("r1 += w2")
    assert "do not mix" in caught.value.hints[0]


def test_far_labels_want_gotol():
    far = "goto end\n" + "r1 = 0\n" * 33000 + "end: exit"
    with pytest.raises(AsmError, match="use gotol"):
        assemble(far)
    assert assemble(far.replace("goto", "gotol", 1))[0] == Insn(6, 0, 0, 0, 33000)


def test_bytes_that_are_no_program():
    with pytest.raises(InsnDecodeError, match="at byte 8"):
        decode(bytes(11))
    with pytest.raises(InsnDecodeError, match="ends inside"):
        decode(encode([Insn(0x18)]))
    with pytest.raises(InsnDecodeError, match="second slot"):
        decode(encode([Insn(0x18), Insn(0x95)]))


@pytest.mark.parametrize(
    "insn",
    [(0xB7, 16, 0, 0, 0), (0xB7, 0, 16, 0, 0), (0xB7, 0, 0, 40000, 0), (0xB7, 0, 0, 0, 1 << 31), (256, 0, 0, 0, 0)],
)
@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_numbers_that_do_not_fit(insn, byteorder):
    with pytest.raises(FormatError, match="instruction 1 "):
        encode([(0x95, 0, 0, 0, 0), insn], byteorder)


def test_unknown_instructions_are_written_raw():
    assert insn_text(Insn(0xFF, 1, 2, 3, 4)) == ".insn 0xff, 1, 2, 3, 4"
    assert listing([Insn(0x18, 1)]) == "   0: (18) .insn 0x18, 1, 0, 0, 0\n"


def test_wide_numbers():
    assert imm64(*ld_imm64(1, 0xFFFFFFFF80000001)) == 0xFFFFFFFF80000001
    assert signed32(0xFFFFFFFF) == -1


def test_table():
    names = [row.name for row in rows()]
    assert len(set(names)) == len(names)
    assert by_name("sdiv64_imm") is find(Insn(0x37, 1, 0, 1, 5))
    assert find(Insn(0x37, 1, 0, 2, 5)) is None
    groups = {row.group for row in rows()}
    assert groups == {
        *("base32", "base64", "atomic32", "atomic64", "divmul32", "divmul64", "packet"),
        *("linux", "kernel"),
    }


def test_every_code_of_the_rfc_has_a_row():
    """RFC 9669, appendix A: arithmetic, jumps, loads and stores by their structure."""
    codes = {row.code for row in rows()}
    for cls in (4, 7):
        assert {cls | op << 4 | src for op in range(13) if op != 8 for src in (0, 8)} | {cls | 0x80} <= codes
    for cls in (5, 6):
        assert {cls | op << 4 | src for op in (1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13) for src in (0, 8)} <= codes
    sizes = (0x00, 0x08, 0x10, 0x18)
    assert {0x60 | cls | size for cls in (1, 2, 3) for size in sizes} <= codes
    assert {0x81, 0x89, 0x91, 0xC3, 0xDB, 0x05, 0x06, 0x85, 0x95, 0x18, 0xD4, 0xDC, 0xD7} <= codes
    assert {mode | size for mode in (0x20, 0x40) for size in sizes[:3]} <= codes


def test_constants_agree_with_the_kernel_headers():
    from cygnet.isa import consts
    from cygnet.uapi import bpf_insn

    shared = [name for name in vars(consts) if name.startswith("BPF_") and hasattr(bpf_insn, name)]
    assert len(shared) > 70
    for name in shared:
        assert getattr(consts, name) == getattr(bpf_insn, name), name
