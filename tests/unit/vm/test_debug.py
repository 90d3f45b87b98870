"""The debugger's commands, coverage, and the two commands of the command line."""

import json

import pytest

from cygnet.cli.debug import run as debug_command
from cygnet.cli.run import run as run_command
from cygnet.errors import RuntimeFault, UsageError
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.spec.objects import LineInfo
from cygnet.vm import run
from cygnet.vm.coverage import Coverage
from cygnet.vm.debug import COMMANDS, Debugger
from cygnet.vm.host import Host
from cygnet.vm.program import Program

TEXT = """
	r6 = 0
loop:	r1 = r6
	call square
	*(u64 *)(r10 -8) = r0
	r6 += 1
	if r6 < 3 goto loop
	r0 = *(u64 *)(r10 -8)
	exit
square:	r0 = r1
	r0 *= r0
	exit
"""
LINES = (LineInfo(0, 1, 1, "for (i = 0;", 0, 1), LineInfo(1, 2, 1, "x = square(i)", 2, 3), LineInfo(4, 1, 8, "i < 3", 4, 5),
         LineInfo(6, 3, 1, "return x", 6, 7), LineInfo(8, 5, 1, "return n * n", 8, 9))  # fmt: skip


def program():
    return Program(encode(assemble(TEXT)), name="p.c", lines=LINES)


@pytest.fixture
def debugger():
    with Host() as host:
        yield Debugger(host, program())


def test_steps(debugger):
    assert debugger.execute("where") == "   0: r6 = 0\n"
    assert debugger.execute("step") == "   1: r1 = r6\n"
    assert debugger.execute("s 2") == "   8: r0 = r1\n  called from slot 2\n"
    assert debugger.execute("finish") == "   3: *(u64 *)(r10 -8) = r0\n"
    assert debugger.execute("next") == "   4: r6 += 1\n"
    assert debugger.execute("registers r6") == "r6 = 0x0\n"
    assert debugger.execute("r r6 = 2") == "r6 = 0x2\n"
    assert debugger.execute("c") == "ended after 11 instructions: r0 = 0x0\n"
    assert debugger.execute("step").startswith("ended")


def test_breakpoints(debugger):
    assert debugger.execute("break") == "no breakpoints\n"
    debugger.execute("break line 5")
    debugger.execute("b 6")
    assert debugger.execute("break") == "   6  r0 = *(u64 *)(r10 -8)\n   8  r0 = r1\n"
    assert [debugger.execute("continue")[:5] for _ in range(4)] == ["   8:"] * 3 + ["   6:"]
    debugger.execute("delete line 5")
    assert debugger.execute("restart") == "   0: r6 = 0\n"
    assert debugger.execute("continue").startswith("   6:")
    debugger.execute("delete")
    assert debugger.execute("continue") == "ended after 27 instructions: r0 = 0x4\n"


def test_views(debugger):
    debugger.execute("b 6")
    debugger.execute("c")
    assert " r6 = 0x0000000000000003  3" in debugger.execute("registers")
    assert "stack+4096" in debugger.execute("registers")
    assert debugger.execute("stack 16").startswith("          r10-16  00 00 00 00 00 00 00 00 04 00")
    assert "=>    6: r0 = *(u64 *)(r10 -8)  ; 3: return x" in debugger.execute("list")
    assert "rw  stack" in debugger.execute("memory")
    address = debugger.execution.registers[10] - 8
    assert debugger.execute(
        f"x {address:#x} 8"
    ) == f"{address:#16x}  04 00 00 00 00 00 00 00  {'':24}........\n".replace("00  " + " " * 24, "00" + " " * 26)
    assert len(debugger.execute("help").splitlines()) == len(COMMANDS)


@pytest.mark.parametrize(
    ("line", "message"),
    [("frob", "no command"), ("break 99", "no instruction begins"), ("break line 77", "line 77"), ("step x", "not a number"),
     ("registers r11", "not a register"), ("memory 0", "no memory")],
)  # fmt: skip
def test_mistakes(debugger, line, message):
    with pytest.raises(UsageError, match=message):
        debugger.execute(line)


def test_a_fault_ends_the_run():
    with Host() as host:
        debugger = Debugger(host, Program(encode(assemble("r0 = 1\nr0 = *(u8 *)(r0 +0)\nexit"))))
        assert debugger.execute("c").startswith("fault: read of 1 byte")
        assert debugger.execute("s").startswith("fault: read of 1 byte")


def test_stepping_over_callbacks():
    text = "r1 = 3\nr2 = subprog[f]\nr3 = 0\nr4 = 0\ncall 181\nexit\nf: r0 = 0\nexit"
    with Host() as host:
        debugger = Debugger(host, Program(encode(assemble(text))))
        debugger.execute("b 7")
        assert debugger.execute("c") == "ended after 12 instructions: r0 = 0x3\n"


def test_coverage():
    coverage, made = Coverage(), program()
    with Host() as host:
        assert coverage.run(host, made) == coverage.run(host, made) == 4
        assert coverage.lines(made) == {1: 6, 2: 6, 3: 2, 5: 6}
        assert coverage.summary(made) == (11, 11, 4, 4)
        text = coverage.text(made)
        assert "           6     1: r1 = r6" in text and "; 5: return n * n" in text
        assert coverage.lcov(made) == "SF:p.c\nDA:1,6\nDA:2,6\nDA:3,2\nDA:5,6\nLF:4\nLH:4\nend_of_record\n"


def test_coverage_until_a_fault():
    coverage, made = Coverage(), Program(encode(assemble("r0 = *(u8 *)(r1 +0)\nexit")))
    with Host() as host, pytest.raises(RuntimeFault):
        coverage.run(host, made)
    assert coverage.counts(made) == [1, 0, 0]


def test_run_gives_memory_back():
    memory = bytearray(b"abcd")
    assert run(encode(assemble("*(u8 *)(r1 +0) = 0x7a\nr0 = r2\nexit")), memory) == 4
    assert memory == b"zbcd"
    with pytest.raises(ValueError, match="no engine"):
        run(b"", engine="lua")


# arguments, what is printed
COMMANDS_RUN = [
    (["--hex", "b7 00 00 00 2a 00 00 00 95 00 00 00 00 00 00 00"], "0x2a\n"),
    (["--hex", "0x791000000000000095000000 00000000", "--memory", "0102030405060708"], "0x807060504030201\n"),
    (["--hex", "b7000000ffffffff9500000000000000", "--engine", "python"], "0xffffffffffffffff\n"),
    (["--hex", "b7000000ffffffff9500000000000000", "--engine", "interpreter"], "0xffffffffffffffff\n"),
    (["--hex", "b7000000ffffffff9500000000000000", "--engine", "jit", "--unsafe"], "0xffffffffffffffff\n"),
    (["--hex", "bf200000000000009500000000000000"], "0x0\n"),
]


@pytest.mark.parametrize(("arguments", "printed"), COMMANDS_RUN)
def test_run_command(arguments, printed, capsys):
    assert run_command(arguments) == 0
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("suffix", [".s", ".bin", ".txt"])
def test_run_files(tmp_path, suffix, capsys):
    code = encode(assemble("r0 = 7\nexit"))
    path = tmp_path / f"p{suffix}"
    path.write_bytes({".s": b"r0 = 7\nexit\n", ".bin": code, ".txt": code.hex().encode()}[suffix])
    assert run_command([str(path)]) == 0 and run_command([str(path), "--json"]) == 0
    plain, as_json = capsys.readouterr().out.splitlines()
    assert plain == "0x7"
    assert json.loads(as_json) == {"r0": 7, "hex": "0x7", "memory": "", "engine": "jit"}


def test_run_faults(tmp_path, capsys):
    path = tmp_path / "p.s"
    path.write_text("r0 = 1\nr0 = *(u8 *)(r0 +0)\nexit\n")
    assert run_command([str(path), "--json"]) == 1
    out, err = capsys.readouterr()
    fault = json.loads(out)["fault"]
    assert (fault["pc"], fault["line"], fault["registers"][0]) == (1, 2, "0x1")
    assert "line 2" in err and "Traceback" not in err
    assert run_command(["--hex", "05 00 ff ff 00 00 00 00", "--budget", "1000"]) == 1
    assert "more than 1,000 instructions" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/no/such.bin"], "No such file"),
        (["--hex", "zz"], "hex digits"),
        (["--hex", "00", "--memory", "1"], "hex digits"),
    ],
)
def test_run_mistakes(arguments, message, capsys):
    assert run_command(arguments) == 1
    assert message in capsys.readouterr().err


def test_debug_command(tmp_path, capsys):
    path = tmp_path / "p.s"
    path.write_text(TEXT)
    assert debug_command([str(path), "-e", "break line 10", "-e", "c", "-e", "nonsense", "-e", "q", "-e", "s"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:3] == ["   0: r6 = 0", "   8: r0 = r1", "  called from slot 2"] and out[3].startswith(
        "ERROR: there is no command"
    )
    assert len(out) == 4
