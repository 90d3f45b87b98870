"""`cygnet asm` and `cygnet disasm`."""

import subprocess

import pytest

from cygnet.cli.asm import run as asm
from cygnet.cli.disasm import run as disasm

TEXT = "r0 = 1\nif r0 == 0x1 goto pc+1\ncall bpf_ktime_get_ns#5\nexit\n"


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "p.s"
    path.write_text(TEXT)
    return str(path)


def test_asm_prints_hex(text_file, capfdbinary):
    assert asm([text_file]) == 0
    out = capfdbinary.readouterr().out.decode().splitlines()
    assert out[0] == "b7 00 00 00 01 00 00 00" and len(out) == 4


@pytest.mark.parametrize(
    ("form", "first"),
    [("c", b"{ 0xb7, 0, 0, 0, 1 },\n"), ("list", b"   0: (b7) r0 = 1\n"), ("bin", b"\xb7\0\0\0\1\0\0\0")],
)
def test_asm_forms(text_file, form, first, capfdbinary):
    assert asm([text_file, "-f", form]) == 0
    assert capfdbinary.readouterr().out.startswith(first)


def test_there_and_back(text_file, tmp_path, capfdbinary):
    raw = str(tmp_path / "p.bin")
    assert asm([text_file, "-o", raw]) == 0
    assert disasm([raw, "-p"]) == 0
    assert capfdbinary.readouterr().out.decode() == TEXT


def test_an_object_of_clang(tmp_path, capfdbinary):
    (tmp_path / "f.c").write_text("int f(int a) { return a * 3; }\n")
    target = str(tmp_path / "f.o")
    subprocess.run(["clang", "-target", "bpf", "-O2", "-c", tmp_path / "f.c", "-o", target], check=True)
    assert disasm([target]) == 0
    out = capfdbinary.readouterr().out.decode()
    assert out.startswith("section .text:\n   0: ") and out.endswith("(95) exit\n")


def test_hex_on_the_command_line(capfdbinary):
    assert disasm(["-e", "95 00 00 00 00 00 00 00"]) == 0
    assert capfdbinary.readouterr().out == b"   0: (95) exit\n"


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (asm, ["-e", "r1 = = 2"], "stdin:1:1-9: ERROR: not an instruction"),
        (asm, ["/no/such/file"], "ERROR: cannot read /no/such/file: No such file or directory"),
        (asm, ["-e", "exit", "-o", "/no/such/file"], "ERROR: cannot write /no/such/file: No such file or directory"),
        (disasm, ["/no/such/file"], "ERROR: cannot read /no/such/file: No such file or directory"),
        (disasm, ["-e", "95 00"], "ERROR: 2 bytes are not a whole number of 8-byte instructions (at byte 0)"),
        (disasm, ["/bin/sh"], "ERROR: /bin/sh holds code for machine"),
    ],
)
def test_mistakes_are_one_clear_line(command, arguments, message, capfdbinary):
    assert command(arguments) == 1
    assert capfdbinary.readouterr().err.decode().startswith(message)
