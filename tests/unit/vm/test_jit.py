"""Machine code: its encoding against a disassembler, the table's completeness, memory that is never writable and executable."""

import re
import subprocess

import pytest
from tests.opcases import files

from cygnet.errors import MemoryFault, RuntimeFault
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.isa.opcodes import by_name, rows
from cygnet.maps.making import create
from cygnet.uapi import bpf
from cygnet.vm.calls import prepared, run_batch
from cygnet.vm.host import Host
from cygnet.vm.jit import emitters, x86_64
from cygnet.vm.jit.compile import CODES
from cygnet.vm.jit.encoding import load_imm64, nops, rotate_into, vex_shift
from cygnet.vm.jit.engine import Jit
from cygnet.vm.program import Program


def program(text):
    return Program(encode(assemble(text)))


@pytest.fixture
def host():
    with Host(seed=1) as made:
        yield made


@pytest.fixture(params=[False, True], ids=["checked", "unchecked"])
def jit(host, request):
    made = Jit(host, request.param)
    host.closing.append(made.close)
    return made


def test_the_column_is_complete():
    """Every row that is not about control flow has a maker."""
    elsewhere = {"goto", "exit", "call", "callx", "packet", "none", "const"}
    wanted = {row.name for row in rows() if row.form not in elsewhere and row.group != "kernel"}
    wanted -= {"may_goto", "arena_user", "arena_kernel"}
    assert wanted | {"lddw"} == set(x86_64.COLUMN)


def disassembled(code, tmp_path):
    """(bytes, text) of each instruction, by binutils."""
    path = tmp_path / "code.bin"
    path.write_bytes(code)
    out = subprocess.run(
        ["objdump", "-D", "-b", "binary", "-m", "i386:x86-64", "-M", "intel", "-w", path],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    rows = re.findall(r"^ +[0-9a-f]+:\t((?:[0-9a-f]{2} )+) *\t?(.*)$", out, re.M)
    return [(bytes.fromhex(code), re.sub(r"\s+", " ", text).strip()) for code, text in rows]


NAMES64 = ("rax", "rdi", "rsi", "rdx", "rcx", "r8", "rbx", "r13", "r14", "r15", "rbp")
NAMES32 = ("eax", "edi", "esi", "edx", "ecx", "r8d", "ebx", "r13d", "r14d", "r15d", "ebp")


def test_arithmetic_as_a_disassembler_reads_it(tmp_path):
    """Simple operations on every pair of registers: one instruction each, with the right registers."""
    wanted, code = [], b""
    spelled = {"add": "add", "sub": "sub", "or": "or", "and": "and", "xor": "xor", "mov": "mov", "mul": "imul"}
    for stem, mnemonic in spelled.items():
        for bits, names in ((64, NAMES64), (32, NAMES32)):
            row = by_name(f"{stem}{bits}_reg")
            for dst in range(10):
                for src in range(11):
                    code += x86_64.COLUMN[row.name](row, dst, src)(0, 0)
                    wanted.append(f"{mnemonic} {names[dst]},{names[src]}")
    assert [text for _, text in disassembled(code, tmp_path)] == wanted


def test_memory_as_a_disassembler_reads_it(tmp_path):
    sizes = {"b": "BYTE", "h": "WORD", "w": "DWORD", "dw": "QWORD"}
    wanted, code = [], b""
    for letter, size in sizes.items():
        for dst in range(10):
            for src in range(11):
                for off in (0, 8, -8, 300, -512):
                    row = by_name(f"ldx{letter}")
                    code += x86_64.COLUMN[row.name](row, dst, src)(off, 0)
                    place = f"{size} PTR [{NAMES64[src]}{off:+#x}]"
                    names = NAMES64 if letter == "dw" else NAMES32
                    wanted.append(f"{'movzx' if letter in 'bh' else 'mov'} {names[dst]},{place}")
    assert [text for _, text in disassembled(code, tmp_path)] == wanted


def test_whatever_is_emitted_is_instructions(tmp_path):
    """No byte of what the cases become is unknown to a disassembler."""
    with Host() as host:
        for unsafe in (False, True):
            jit = Jit(host, unsafe)
            code = b"".join(
                jit.unit(Program(encode(case.insns))).compiled.code for cases in files().values() for case in cases[::7]
            )
            texts = [text for _, text in disassembled(code, tmp_path)]
            assert len(texts) > 1500 and not [text for text in texts if "(bad)" in text]
            jit.close()


@pytest.mark.parametrize("count", range(1, 20))
def test_padding_does_nothing(count, tmp_path):
    code = nops(count)
    assert len(code) == count
    assert all("nop" in text or text.startswith("xchg") for _, text in disassembled(code, tmp_path))


def test_constants_and_three_operand_forms(tmp_path):
    code = load_imm64(9, 0x123456789ABC) + load_imm64(0, -5) + load_imm64(3, 0x80000000)
    code += rotate_into(8, 3, False) + b"\7" + rotate_into(0, 15, True) + b"\x20"
    code += vex_shift(1, 0, 8, 13, True) + vex_shift(3, 14, 1, 2, False)
    assert [text for _, text in disassembled(code, tmp_path)] == [
        "movabs r9,0x123456789abc", "mov rax,0xfffffffffffffffb", "mov ebx,0x80000000",
        "rorx r8d,ebx,0x7", "rorx rax,r15,0x20", "shlx rax,r8,r13", "shrx r14d,ecx,edx",
    ]  # fmt: skip


def test_shifts_without_bmi2(host):
    """The same results with the older instructions."""
    x86_64.use_bmi2(False)
    emitters.EMITTERS.clear()
    CODES.clear()
    jit = Jit(host)
    x86_64.use_bmi2(False)
    try:
        for name in ("lsh", "rsh", "arsh", "shapes"):
            for case in files()[name]:
                assert jit.run(Program(encode(case.insns))) == case.result, case.title
        assert "c4" not in jit.unit(program("r0 <<= r1\nexit")).compiled.code.hex()
    finally:
        x86_64.use_bmi2(True)
        emitters.EMITTERS.clear()
        CODES.clear()
        jit.close()


def test_code_is_never_writable_and_executable(jit):
    def rights(address):
        with open("/proc/self/maps") as maps:
            for line in maps:
                start, end = (int(part, 16) for part in line.split()[0].split("-"))
                if start <= address < end:
                    return line.split()[1][:3]
        return None

    unit = jit.unit(program("r0 = 1\nexit"))
    assert rights(unit.executable.address) == rights(jit.labels["enter"]) == "r-x"
    assert rights(jit._state.address) == "rw-"


def test_prepared_calls(jit):
    call = prepared(
        jit, program("r0 = 0\nif r2 == 0 goto end\nr0 = *(u8 *)(r1 +0)\nr0 += r2\n*(u8 *)(r1 +0) = 9\nend: exit")
    )
    assert [call(data) for data in (b"\1abc", b"\5", b"", b"\1abc", bytes(5000))] == [5, 6, 0, 5, 5000]


def test_prepared_calls_of_every_engine(bench):
    call = prepared(bench.engine, program("r0 = *(u16 *)(r1 +0)\nexit"))
    assert call(b"\1\2") == call(bytearray(b"\1\2\3")) == 0x201
    if bench.name != "unchecked":
        with pytest.raises(MemoryFault):
            call(b"\1")
    assert call(b"\3\0") == 3


@pytest.mark.parametrize("size", [1, 3, 7, 8, 9, 16, 61])
def test_batches(bench, size):
    made = program("r1 += r2\nr0 = *(u8 *)(r1 -1)\nr0 <<= 8\nr0 |= r2\nexit")
    contexts = bytes(n & 0xFF for n in range(5 * size))
    assert list(run_batch(bench.engine, made, contexts, size)) == [
        contexts[n * size + size - 1] << 8 | size for n in range(5)
    ]
    assert list(run_batch(bench.engine, made, b"", size)) == []
    with pytest.raises(ValueError, match="whole number"):
        run_batch(bench.engine, made, bytes(size + 1), size if size > 1 else 0)


def test_a_fault_in_a_batch_tells_which(careful):
    made = program("r0 = *(u8 *)(r1 +0)\nr1 += r0\nr0 = *(u8 *)(r1 +0)\nexit")
    with pytest.raises(RuntimeFault) as caught:
        run_batch(careful.engine, made, bytes([0, 1, 2, 9, 0, 1]), 2)
    assert (caught.value.run, caught.value.pc) == (1, 2)


INCREMENT = """
	r6 = r1
	r7 = 0
again:	*(u64 *)(r10 -8) = r7
	r1 = {map} ll
	r2 = r10
	r2 += -8
	call 1
	if r0 == 0 goto miss
	r1 = *(u64 *)(r0 +0)
	r1 += 1
	*(u64 *)(r0 +0) = r1
	goto next
miss:	*(u64 *)(r10 -16) = 1
	r1 = {map} ll
	r2 = r10
	r2 += -8
	r3 = r10
	r3 += -16
	r4 = 0
	call 2
next:	r7 += 1
	if r7 < r6 goto again
	r0 = r7
	exit
"""


@pytest.mark.parametrize("kind", ["HASH", "LRU_HASH", "PERCPU_HASH"])
def test_maps_without_python(host, jit, kind):
    store = create(host.map_host, getattr(bpf, f"BPF_MAP_TYPE_{kind}"), 8, 8, 1000, 0, "m")
    made = program(INCREMENT.format(map=store.handle))
    calls = []
    host.helpers = {}  # nothing goes through Python
    for _ in range(3):
        assert jit.run(made, 500) == 500
    values = [store.lookup(key.to_bytes(8, "little")) for key in (0, 77, 499)]
    assert all(int.from_bytes(value[:8], "little") == 3 for value in values) and not calls
    assert store.lookup((500).to_bytes(8, "little")) is None


def lookup(handle, middle, end="r0 = *(u64 *)(r0 +0)"):
    return program(f"*(u32 *)(r10 -4) = 1\nr1 = {handle} ll\nr2 = r10\nr2 += -4\n{middle}\ncall 1\n{end}\nexit")


def test_a_value_is_as_large_as_it_is(host):
    """After a look-up that found something, accesses inside the value need no check, and others fault."""
    jit = Jit(host)
    store = create(host.map_host, bpf.BPF_MAP_TYPE_ARRAY, 4, 12, 4, 0, "m")
    store.update((1).to_bytes(4, "little"), b"abcdefghijkl")
    test = "if r0 == 0 goto out\nr0 = *({type} *)(r0 {off:+d})\nout:"
    assert jit.run(lookup(store.handle, "", test.format(type="u32", off=8))) == int.from_bytes(b"ijkl", "little")
    for kind, off in (("u64", 8), ("u8", 12), ("u8", -1), ("u32", 9)):
        with pytest.raises(MemoryFault):
            jit.run(lookup(store.handle, "", test.format(type=kind, off=off)))
    jit.close()


def test_a_map_lives_as_long_as_the_code_that_uses_it(host, jit):
    store = create(host.map_host, bpf.BPF_MAP_TYPE_HASH, 4, 8, 4, 0, "m")
    store.update((1).to_bytes(4, "little"), (42).to_bytes(8, "little"))
    made = lookup(store.handle, "", "if r0 == 0 goto out\nr0 = *(u64 *)(r0 +0)\nout:")
    assert jit.run(made) == 42
    store.close()
    assert jit.run(made) == 42


def test_bad_arguments_of_map_helpers_fault(host):
    """They go the way through Python, which tells what is wrong."""
    jit = Jit(host)
    store = create(host.map_host, bpf.BPF_MAP_TYPE_ARRAY, 4, 8, 4, 0, "m")
    for middle in ("r2 = 0", "r2 = 0x1234567", "r2 = r10", "r2 += 2"):
        with pytest.raises(RuntimeFault):
            jit.run(lookup(store.handle, middle))
    for middle in ("r1 = 0", "r1 += 8", "r1 = r10"):
        with pytest.raises(RuntimeFault):
            jit.run(lookup(store.handle, middle))
    assert jit.run(lookup(store.handle, "")) == 0
    jit.close()


def test_a_map_that_only_looks_like_the_one(host):
    """Two maps reach one call: the code is right for both, though it was made with one in mind."""
    jit = Jit(host)
    small = create(host.map_host, bpf.BPF_MAP_TYPE_ARRAY, 4, 4, 2, 0, "small")
    large = create(host.map_host, bpf.BPF_MAP_TYPE_ARRAY, 4, 16, 2, 0, "large")
    large.update(bytes(4), bytes(8) + b"12345678")
    text = f"""
	*(u32 *)(r10 -4) = 0
	r6 = {small.handle} ll
	if r1 == 0 goto here
	r6 = {large.handle} ll
here:	r1 = r6
	r2 = r10
	r2 += -4
	call 1
	if r0 == 0 goto out
	r0 = *(u64 *)(r0 +8)
out:	exit
"""
    assert jit.run(program(text), 1) == int.from_bytes(b"12345678", "little")
    with pytest.raises(MemoryFault):
        jit.run(program(text), 0)
    jit.close()


def test_a_batch_copies_contexts_of_any_size(jit):
    """The sum of a context's bytes, each times its place; what is behind the context stays as it is."""
    text = """
        r0 = 0
        r3 = 0
again:  if r3 >= r2 goto end
        r4 = r1
        r4 += r3
        r4 = *(u8 *)(r4 +0)
        r3 += 1
        r4 *= r3
        r0 += r4
        goto again
end:    exit"""
    for size in [*range(1, 90), 127, 128, 129, 192, 250]:
        contexts = bytes((7 * n + n // size) & 0xFF for n in range(3 * size))
        pieces = [contexts[at : at + size] for at in range(0, 3 * size, size)]
        wanted = [sum(byte * place for place, byte in enumerate(piece, 1)) for piece in pieces]
        assert list(run_batch(jit, program(text), contexts, size)) == wanted
