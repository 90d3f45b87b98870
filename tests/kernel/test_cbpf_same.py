"""Classic BPF against the kernel: what it accepts, and what translated filters return."""

from __future__ import annotations

import ctypes
import random
import socket
import struct

import pytest
from tests.unit.cbpf.test_cbpf import random_program

from cygnet import cbpf
from cygnet.cbpf.insn import AD, Insn
from cygnet.errors import NotSupported, VerifierError
from cygnet.isa.encode import encode
from cygnet.kernel.progs import load
from cygnet.uapi.bpf import BPF_PROG_TYPE_SOCKET_FILTER

SO_ATTACH_FILTER = 26


def kernel_takes(program: list[Insn]) -> bool:
    data = cbpf.encode(program)
    buffer = ctypes.create_string_buffer(data)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.setsockopt(
                socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
            )
        except OSError:
            return False
    return True


def accepted(program: list[Insn]) -> bool:
    try:
        cbpf.validate(program)
    except VerifierError:
        return False
    return True


def test_the_kernel_accepts_the_same_filters() -> None:
    rng = random.Random(11)
    verdicts = []
    for _ in range(1500):
        program = random_program(rng)
        if rng.random() < 0.4:  # damage one instruction
            at = rng.randrange(len(program))
            program[at] = program[at]._replace(
                **{rng.choice(["code", "jt", "jf", "k"]): rng.choice([0, 3, 16, 33, 250])}
            )
        ours = accepted(program)
        assert ours == kernel_takes(program), cbpf.listing(program)
        verdicts.append(ours)
    assert 200 < sum(verdicts) < 1300  # both verdicts were there


def test_translated_filters_return_the_same() -> None:
    """The filter on our machine, and its translation run by the kernel on the same packet."""
    rng = random.Random(5)
    compared = 0
    while compared < 150:
        program = random_program(rng)
        if not accepted(program):
            continue
        packet = rng.randbytes(rng.choice([20, 60, 80]))
        with load(encode(cbpf.to_ebpf(program)), BPF_PROG_TYPE_SOCKET_FILTER, name="cbpf") as loaded:
            got = loaded.test_run(packet).retval
        # the kernel's test run gives the filter a packet that begins behind the Ethernet header
        assert got == cbpf.run(program, packet[14:], length=len(packet) - 14, network=0, link=-14), cbpf.listing(
            program
        )
        compared += 1


@pytest.mark.parametrize("name", ["proto", "mark", "queue", "vlan_avail", "xor_x"])
def test_extensions_load(name: str) -> None:
    program = [Insn(0x20, 0, 0, AD[name]), Insn(0x16)]
    with load(encode(cbpf.to_ebpf(program)), BPF_PROG_TYPE_SOCKET_FILTER, name="cbpf") as loaded:
        loaded.test_run(bytes(60))


def test_extensions_without_a_word() -> None:
    with pytest.raises(NotSupported) as caught:
        cbpf.to_ebpf([Insn(0x20, 0, 0, AD["hatype"]), Insn(0x16)])
    assert "hatype" in str(caught.value)
