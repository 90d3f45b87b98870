"""Programs on the live kernel: load, refuse with reasons, run, count; bpftool is the witness."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Callable

import pytest

from cygnet.btf.builder import Builder
from cygnet.errors import BtfError, KernelVerifierError, NotSupported, PermissionDenied, SystemCallError
from cygnet.kernel import objects, progs
from cygnet.kernel.btfload import KernelBtf
from cygnet.kernel.maps import KernelMap
from cygnet.uapi import bpf

Asm = Callable[[str], bytes]
PACKET = bytes(range(64))


def test_load_and_info(asm: Asm) -> None:
    with progs.load(asm("r0 = 7\nexit"), bpf.BPF_PROG_TYPE_SOCKET_FILTER, name="seven") as prog:
        info = prog.info()
        run = subprocess.run(["bpftool", "-j", "prog", "show", "id", str(info.id)], capture_output=True, check=True)
        seen = json.loads(run.stdout)
        assert seen["name"] == info.name == "seven"
        assert seen["type"] == "socket_filter"
        assert seen["tag"] == info.tag
        assert seen["gpl_compatible"] == info.gpl
        assert seen["bytes_xlated"] == info.xlated_bytes == 16
        assert seen["uid"] == info.uid == os.getuid()
        assert info.verified_insns == 2
        assert objects.xlated(prog.fd) == asm("r0 = 7\nexit")


def test_info_names_the_maps(count_into: Callable[[int], bytes]) -> None:
    with (
        KernelMap.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 8, 1) as store,
        progs.load(count_into(store.fd), bpf.BPF_PROG_TYPE_RAW_TRACEPOINT) as prog,
    ):
        assert prog.info().map_ids == (store.id,)


def test_licence_is_told(asm: Asm) -> None:
    with progs.load(asm("r0 = 0\nexit"), bpf.BPF_PROG_TYPE_SOCKET_FILTER, license="Proprietary") as prog:
        assert prog.info().gpl is False


def test_from_id_and_fd(asm: Asm) -> None:
    with progs.load(asm("r0 = 7\nexit"), bpf.BPF_PROG_TYPE_SOCKET_FILTER, name="seven") as prog:
        for other in (progs.Program.from_id(prog.id), progs.Program.from_fd(os.dup(prog.fd))):
            with other:
                assert (other.name, other.type, other.id) == ("seven", prog.type, prog.id)


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────

REFUSED = {
    "unread register": ("r0 = r5\nexit", 0, "R5 !read_ok"),
    "no exit": ("r0 = 0", 0, "last insn is not an exit or jmp"),
    "null": ("r1 = 0\nr0 = *(u64 *)(r1 +0)\nexit", 1, "R1 invalid mem access 'scalar'"),
    "stack": ("r0 = *(u64 *)(r10 +8)\nexit", 0, "invalid read from stack"),
    "no such helper": ("call 9999\nexit", 0, "invalid func unknown#9999"),
    "endless": ("r0 = 0\nif r0 == 0 goto -1\nexit", 1, "infinite loop detected at insn 1"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_refused_program_tells_why(asm: Asm, why: str) -> None:
    text, insn, words = REFUSED[why]
    with pytest.raises(KernelVerifierError) as caught:
        progs.load(asm(text), bpf.BPF_PROG_TYPE_RAW_TRACEPOINT, name="bad")
    error = caught.value
    assert words in error.message
    assert "program 'bad'" in error.message
    assert words in error.log
    assert error.errno > 0
    assert error.insn in (insn, None)


def test_long_log_is_whole(asm: Asm) -> None:
    """A log that does not fit the first buffer: every one of 3,000 instructions is in it."""
    text = "r0 = 0\n" + "r0 += 1\n" * 3000 + "r0 = r9\nexit"
    with pytest.raises(KernelVerifierError) as caught:
        progs.load(asm(text), bpf.BPF_PROG_TYPE_RAW_TRACEPOINT)
    assert len(caught.value.log) > 1 << 16
    assert caught.value.log.startswith("0: ")
    assert "R9 !read_ok" in caught.value.message
    assert caught.value.insn == 3001


def test_log_of_an_accepted_program(asm: Asm) -> None:
    log = progs.load_log(asm("r0 = 0\nexit"), bpf.BPF_PROG_TYPE_RAW_TRACEPOINT)
    assert "0: (b7) r0 = 0" in log
    assert "processed 2 insns" in log


def test_unknown_program_type(asm: Asm) -> None:
    with pytest.raises(NotSupported) as caught:
        progs.load(asm("r0 = 0\nexit"), 999)
    assert caught.value.feature == "program type 999"


def test_unprivileged_is_told_so(asm: Asm) -> None:
    """In a child that gave up root: the sentence names the capabilities."""
    code = asm("r0 = 0\nexit")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgid(65534)
            os.setuid(65534)
            progs.load(code, bpf.BPF_PROG_TYPE_RAW_TRACEPOINT, name="p")
        except PermissionDenied as error:
            os.write(write, f"{error.reason}|{error}".encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    text = os.read(read, 1000).decode()
    os.close(read)
    assert os.waitpid(child, 0)[1] == 0
    assert text.startswith("privilege|")
    assert "CAP_BPF" in text


# ── test runs ────────────────────────────────────────────────────────────────────────────────────────────


def test_run_raw_tracepoint(asm: Asm) -> None:
    text = "r2 = *(u64 *)(r1 +0)\nr0 = *(u64 *)(r1 +8)\nr0 += r2\nexit"
    with progs.load(asm(text), bpf.BPF_PROG_TYPE_RAW_TRACEPOINT) as prog:
        assert prog.test_run(ctx_in=struct.pack("=QQ", 30, 12)).retval == 42


def test_run_raw_tracepoint_on_a_cpu(asm: Asm) -> None:
    with progs.load(asm("call bpf_get_smp_processor_id\nexit"), bpf.BPF_PROG_TYPE_RAW_TRACEPOINT) as prog:
        for cpu in sorted(os.sched_getaffinity(0)):
            assert prog.test_run(flags=bpf.BPF_F_TEST_RUN_ON_CPU, cpu=cpu).retval == cpu


def test_run_socket_filter(asm: Asm) -> None:
    with progs.load(asm("r0 = *(u32 *)(r1 +0)\nexit"), bpf.BPF_PROG_TYPE_SOCKET_FILTER) as prog:
        result = prog.test_run(PACKET, repeat=100)
        assert result.retval == len(PACKET) - 14  # __sk_buff.len; a socket filter sees no Ethernet header
        assert result.duration_ns >= 0


@pytest.mark.parametrize("type", [bpf.BPF_PROG_TYPE_XDP, bpf.BPF_PROG_TYPE_SCHED_CLS])
def test_run_gives_the_packet_back(asm: Asm, type: int) -> None:
    at = 0 if type == bpf.BPF_PROG_TYPE_XDP else 76  # xdp_md.data and __sk_buff.data, each followed by data_end
    flags = f"r2 = *(u32 *)(r1 +{at})\nr3 = *(u32 *)(r1 +{at + 4})\nr4 = r2\nr4 += 14\nr0 = 1\n"
    text = flags + "if r4 > r3 goto +2\nr5 = 0xab\n*(u8 *)(r2 +0) = r5\nr0 = 2\nexit"
    with progs.load(asm(text), type) as prog:
        result = prog.test_run(PACKET, data_out_bytes=256)
        assert result.retval == 2
        assert result.data == b"\xab" + PACKET[1:]


def test_type_without_test_run(asm: Asm) -> None:
    with (
        progs.load(asm("r0 = 0\nexit"), bpf.BPF_PROG_TYPE_TRACEPOINT) as prog,
        pytest.raises(NotSupported, match="another program type"),
    ):
        prog.test_run(ctx_in=bytes(8))


def test_run_input_that_is_too_small(asm: Asm) -> None:
    with (
        progs.load(asm("r0 = 0\nexit"), bpf.BPF_PROG_TYPE_SOCKET_FILTER) as prog,
        pytest.raises(SystemCallError, match="on test input"),
    ):
        prog.test_run(b"x")


def test_run_time_statistics(asm: Asm) -> None:
    with progs.load(asm("r0 = 0\nexit"), bpf.BPF_PROG_TYPE_SOCKET_FILTER) as prog:
        with progs.RunStats():
            prog.test_run(PACKET, repeat=50)
            info = prog.info()
        # A test run counts where the kernel's dispatcher does; what is sure is that numbers never shrink.
        assert info.run_cnt >= 0
        assert prog.info().run_time_ns >= info.run_time_ns


# ── BTF ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_load_btf_and_read_it_back() -> None:
    builder = Builder()
    builder.integer(4, signed=True, name="int")
    data = builder.to_bytes()
    with KernelBtf.load(data) as loaded:
        info = objects.btf_info(loaded.fd)
        assert not info.kernel
        assert info.size == len(data)
        assert loaded.data() == data
        again = KernelBtf.from_id(info.id)
        assert again.data() == data
        again.close()


def test_kernel_refuses_bad_btf() -> None:
    with pytest.raises(BtfError, match="the kernel refuses this BTF"):
        KernelBtf.load(b"not BTF at all, but long enough for a header")


def test_the_kernels_own_btf_is_among_the_ids() -> None:
    number = next(iter(objects.ids("btf")))
    with KernelBtf.from_id(number) as first:
        info = objects.btf_info(first.fd)
        assert (info.name, info.kernel) == ("vmlinux", True)
        assert info.size == os.path.getsize("/sys/kernel/btf/vmlinux")


def test_line_info_quotes_the_source(asm: Asm) -> None:
    """A program with BTF line info: the verifier's log quotes the user's own line."""
    builder = Builder()
    number = builder.integer(4, signed=True, name="int")
    proto = builder.func_proto(number, [("ctx", builder.ptr(0))])
    func = builder.func("probe", proto)
    file, text = builder.string("hello.bt"), builder.string("$x = *bad;")
    with KernelBtf.load(builder.to_bytes()) as types, pytest.raises(KernelVerifierError) as caught:
        progs.load(
            asm("r1 = 0\nr0 = *(u64 *)(r1 +0)\nexit"),
            bpf.BPF_PROG_TYPE_RAW_TRACEPOINT,
            btf_fd=types.fd,
            func_info=struct.pack("=II", 0, func),
            line_info=struct.pack("=IIII", 0, file, text, 3 << 10 | 5),
        )
    from cygnet.kernel.verifierlog import last_source

    assert last_source(caught.value.log) == "$x = *bad; @ hello.bt:3"
