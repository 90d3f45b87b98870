"""Classic BPF against tcpdump's listings, and its parts against each other."""

from __future__ import annotations

import random
import shutil
import subprocess

import pytest

from cygnet import cbpf
from cygnet.cbpf.insn import AD, ROWS, Insn
from cygnet.errors import FormatError, InsnDecodeError, NotSupported, SourceErrors, VerifierError

FILTERS = [
    "tcp port 80",
    "ip6 and udp portrange 1000-2000",
    "vlan 5 and ip",
    "ip[0] & 0xf != 5",
    "ether[6:4] * 2 > len - 4",
    "ether[0] << 2 > 7 or ether[1] % 3 = 1",
    "icmp or arp",
    "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420",
    "host 10.1.2.3 and not port 22",
    "ip[6:2] & 0x1fff = 0 and greater 100",
    "ip[8] ^ 3 = 1 or -ip[2:2] = 5 or ip[9] / 2 = 3",
    "ether host 01:02:03:04:05:06 or multicast",
]


def tcpdump(flag: str, text: str) -> str:
    if shutil.which("tcpdump") is None:
        raise NotSupported("comparing with tcpdump", "apt-get install tcpdump")
    return subprocess.run(["tcpdump", "-y", "EN10MB", flag, text], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("text", FILTERS)
def test_listings_are_those_of_tcpdump(text: str) -> None:
    program = cbpf.read_decimal(tcpdump("-ddd", text))
    shown = tcpdump("-d", text)
    assert cbpf.listing(program) == shown
    assert cbpf.listing_c(program) == tcpdump("-dd", text)
    assert cbpf.assemble(shown) == [insn if ROWS[insn.code].form != "none" else insn._replace(k=0) for insn in program]
    assert cbpf.decode(cbpf.encode(program)) == program
    cbpf.validate(program)


def test_every_row_assembles_from_its_listing() -> None:
    for code, row in ROWS.items():
        if row.form == "ret_x":
            continue
        program = [Insn(code, 1 if row.form.startswith("jump") else 0, 0, 0 if row.form in ("ja", "none") else 3)]
        if row.form in ("len", "ret_a", "alu_x", "jump_x"):
            program[0] = program[0]._replace(k=0)
        program += [Insn(0x06), Insn(0x06)]
        assert cbpf.assemble(cbpf.listing(program)) == program, row


def test_labels_extensions_and_inverted_jumps() -> None:
    program = cbpf.assemble(
        """
        ld proto            ; comment
        jneq #0x800, drop
        ld #len
        jlt #64, drop, keep // the other way round
        keep: ret a
        drop: ret #0
        """
    )
    assert program == [
        Insn(0x20, 0, 0, AD["proto"]), Insn(0x15, 0, 3, 0x800), Insn(0x80), Insn(0x35, 0, 1, 64), Insn(0x16), Insn(0x06)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ldq [3]\nret #0", "unknown instruction ldq"),
        ("ld [3\nret #0", "not an operand"),
        ("jeq #1, nowhere\nret #0", "no label nowhere"),
        ("a: ret #0\na: ret #1", "stands twice"),
        ("back: ld [0]\nja back\nret #0", "backwards"),
        ("ld #99999999999\nret #0", "32 bits"),
        ("tax #5", "takes no such operand"),
    ],
)
def test_assembler_errors_name_the_place(text: str, message: str) -> None:
    with pytest.raises(SourceErrors) as caught:
        cbpf.assemble(text)
    assert message in str(caught.value) and caught.value.errors[0].span is not None


def test_formats_are_checked() -> None:
    for text in ("", "2\n6 0 0 0", "1\n6 0 0", "1\n6 0 0 x", "1\n6 0 300 0"):
        with pytest.raises(FormatError):
            cbpf.read_decimal(text)
    assert cbpf.read_decimal("1,6 0 0 7") == [Insn(6, 0, 0, 7)]
    with pytest.raises(InsnDecodeError):
        cbpf.decode(bytes(9))


@pytest.mark.parametrize(
    ("program", "index"),
    [
        ([], None),
        ([Insn(0x00)], 0),
        ([Insn(0x34), Insn(0x06)], 0),
        ([Insn(0x64, 0, 0, 32), Insn(0x06)], 0),
        ([Insn(0x60, 0, 0, 3), Insn(0x06)], 0),
        ([Insn(0x02, 0, 0, 16), Insn(0x06)], 0),
        ([Insn(0x15, 1, 0, 3), Insn(0x06)], 0),
        ([Insn(0x05, 0, 0, 5), Insn(0x06)], 0),
        ([Insn(0xFF), Insn(0x06)], 0),
        ([Insn(0x0E)], 0),
        ([Insn(0x15, 0, 1), Insn(0x02), Insn(0x60), Insn(0x06)], 2),
    ],
)
def test_validation_names_the_instruction(program: list[Insn], index: int | None) -> None:
    with pytest.raises(VerifierError) as caught:
        cbpf.validate(program)
    assert caught.value.insn == index


def test_running() -> None:
    packet = bytes(12) + b"\x08\x00\x45" + bytes(5) + b"\x00\x00\x40\x06" + bytes(30)
    assert cbpf.run(cbpf.assemble("ldxb 4*([14]&0xf)\ntxa\nret a"), packet) == 20
    assert cbpf.run(cbpf.assemble("ld [100]\nret #1"), packet) == 0  # beyond the packet
    assert cbpf.run(cbpf.assemble("ld #5\ndiv x\nret #1"), packet) == 0  # division by 0
    assert cbpf.run(cbpf.assemble("ld cpu\nret a"), packet, ancillary={"cpu": 3}) == 3
    assert cbpf.run(cbpf.assemble("ld #pktlen\nret a"), packet, length=1500) == 1500
    assert cbpf.run(cbpf.assemble("ldb [-1048567]\nret a"), packet) == packet[14 + 9]  # SKF_NET_OFF + 9
    assert cbpf.run(cbpf.assemble("ld [4]\nret a"), (7).to_bytes(4, "little") * 16, seccomp=True) == 7
    with pytest.raises(cbpf.Fault):
        cbpf.run([Insn(0x00)], packet)


def random_program(rng: random.Random) -> list[Insn]:
    """Mostly legal: every form, jumps forward, words of memory written now and then."""
    count = rng.randrange(2, 14)
    program = []
    codes = [code for code, row in ROWS.items() if row.form not in ("ret_x",)]
    for index in range(count - 1):
        code = rng.choice(codes)
        left = count - index - 2
        row = ROWS[code]
        k = rng.choice([0, 1, 3, 12, 31, 0x800, 0xFFFFFFFF, rng.getrandbits(32)])
        if row.form in ("abs", "ind", "msh"):
            k = rng.randrange(70)
        elif row.form in ("mem", "store"):
            k = rng.randrange(16)
        elif row.form == "ja":
            k = rng.randrange(left + 1)
        elif row.op in ("lsh", "rsh") and row.form == "alu_k":
            k %= 32
        jumps = (rng.randrange(min(left, 200) + 1), rng.randrange(min(left, 200) + 1))
        program.append(Insn(code, *(jumps if row.form.startswith("jump") else (0, 0)), k))
    return [*program, Insn(rng.choice([0x06, 0x16]), 0, 0, rng.getrandbits(32))]


def test_random_programs_print_and_assemble() -> None:
    rng = random.Random(7)
    for _ in range(300):
        program = [
            i if ROWS[i.code].form not in ("none", "len", "ret_a", "alu_x", "jump_x") else i._replace(k=0)
            for i in random_program(rng)
        ]
        assert cbpf.assemble(cbpf.listing(program)) == program
