"""TCP header options of sock_ops programs, types by name, mappings of the task."""

from __future__ import annotations

import pytest
from tests.vmcases.helpers import call, store

from cygnet.btf.builder import Builder
from cygnet.btf.reader import Btf
from cygnet.testing import assemble_object
from cygnet.vm import contexts
from cygnet.vm.machine import Machine

HEADER = bytes(20)
OPTIONS = (
    b"\x01\x02\x04\x05\xb4\x01\x03\x03\x07\xfe\x06\xeb\x9f\x12\x34"  # nop, mss 1460, nop, window scale, experimental
)
LENGTH_CB, WRITE_CB, PARSE_CB = 14, 15, 13
E = {"EINVAL": 22, "EPERM": 1, "ENOSPC": 28, "EEXIST": 17, "ENOMSG": 42, "EFAULT": 14, "ENOENT": 2}


def _run(
    text: str, op: int, header: bytes | None = HEADER + OPTIONS, room: int = 40, syn: bytes = b""
) -> tuple[int, Machine]:
    with Machine(assemble_object(f"r6 = r1\n{text}exit\n", "sock_ops")) as machine:
        machine.world.tcp_room, machine.world.tcp_syn = room, syn
        return machine.run("program", contexts.sock_ops(op, header=header)), machine


def _load(asked: bytes, length: int, flags: int = 0) -> str:
    return store(-16, asked.ljust(16, b"\0")) + call("load_hdr_opt", "ctx", "fp-16", length, flags)


_SHOW = "r1 = *(u64 *)(r10 -16)\nr0 <<= 56\nr0 ^= r1\n"


def _shown(length: int, found: bytes) -> int:
    return (length << 56) ^ int.from_bytes(found.ljust(8, b"\0"), "little")


@pytest.mark.parametrize(
    ("asked", "found"),
    [(b"\x02\0", b"\x02\x04\x05\xb4"), (b"\x03\0", b"\x03\x03\x07"), (b"\xfe\x04\xeb\x9f", b"\xfe\x06\xeb\x9f\x12\x34")],
)  # fmt: skip
def test_an_option_is_found(asked: bytes, found: bytes) -> None:
    assert _run(_load(asked, 7) + _SHOW, PARSE_CB)[0] == _shown(len(found), found)
    assert _run(_load(asked, 7, 1) + _SHOW, PARSE_CB, HEADER, syn=HEADER + OPTIONS)[0] == _shown(len(found), found)


@pytest.mark.parametrize(
    ("text", "op", "header", "error"),
    [
        (_load(b"\x08\0", 7), PARSE_CB, HEADER + OPTIONS, "ENOMSG"),
        (_load(b"\xfe\x04\xeb\x00", 7), PARSE_CB, HEADER + OPTIONS, "ENOMSG"),
        (_load(b"\x02\0", 3), PARSE_CB, HEADER + OPTIONS, "ENOSPC"),
        (_load(b"\x02\0", 7), LENGTH_CB, HEADER + OPTIONS, "EPERM"),
        (_load(b"\x02\0", 7), PARSE_CB, None, "EPERM"),
        (_load(b"\x02\0", 7, 1), PARSE_CB, HEADER + OPTIONS, "ENOENT"),
        (_load(b"\x02\0", 7, 2), PARSE_CB, HEADER + OPTIONS, "EINVAL"),
        (_load(b"\x01\0", 7), PARSE_CB, HEADER + OPTIONS, "EINVAL"),
        (_load(b"\x02\x04", 7), PARSE_CB, HEADER + OPTIONS, "EINVAL"),
        (_load(b"\xfe\x05", 7), PARSE_CB, HEADER + OPTIONS, "EINVAL"),
        (_load(b"\x02\0", 7), PARSE_CB, HEADER + b"\x03\x09", "EFAULT"),
    ],
)  # fmt: skip
def test_a_search_is_refused(text: str, op: int, header: bytes | None, error: str) -> None:
    assert _run(text, op, header)[0] == -E[error] & (1 << 64) - 1


def _store(option: bytes, length: int, flags: int = 0) -> str:
    return store(-16, option.ljust(16, b"\0")) + call("store_hdr_opt", "ctx", "fp-16", length, flags)


def test_options_are_written_behind_those_that_are_there() -> None:
    seen = (
        "r1 = *(u64 *)(r6 +192)\nr2 = *(u64 *)(r6 +200)\nr2 -= r1\nr1 = *(u8 *)(r1 +36)\nr2 <<= 8\nr0 = r2\nr0 |= r1\n"
    )
    text = _store(b"\x22\x04ab", 4) + "if r0 != 0 goto end\n" + seen + "end:\n"
    result, machine = _run(text, WRITE_CB)
    assert result == (20 + len(OPTIONS) + 4) << 8 | 4
    assert machine.world.tcp_room == 36


@pytest.mark.parametrize(
    ("option", "length", "op", "header", "room", "error"),
    [
        (b"\x22\x04ab", 4, PARSE_CB, HEADER, 40, "EPERM"),
        (b"\x22\x04ab", 1, WRITE_CB, HEADER, 40, "EINVAL"),
        (b"\x22\x05ab", 4, WRITE_CB, HEADER, 40, "EINVAL"),
        (b"\x01\x04ab", 4, WRITE_CB, HEADER, 40, "EINVAL"),
        (b"\x22\x04ab", 4, WRITE_CB, HEADER, 3, "ENOSPC"),
        (b"\x02\x04ab", 4, WRITE_CB, HEADER + OPTIONS, 40, "EEXIST"),
        (b"\xfe\x04\xeb\x9f", 4, WRITE_CB, HEADER + OPTIONS, 40, "EEXIST"),
        (b"\x22\x04ab", 4, WRITE_CB, HEADER + b"\x00", 40, "ENOSPC"),
        (b"\x22\x04ab", 4, WRITE_CB, HEADER + b"\x03\x01", 40, "EFAULT"),
    ],
)  # fmt: skip
def test_an_option_is_refused(option: bytes, length: int, op: int, header: bytes, room: int, error: str) -> None:
    assert _run(_store(option, length), op, header, room)[0] == -E[error] & (1 << 64) - 1


def test_room_is_reserved() -> None:
    twice = call("reserve_hdr_opt", "ctx", 30, 0) + "r7 = r0\n" + call("reserve_hdr_opt", "ctx", 11, 0) + "r0 += r7\n"
    assert _run(twice, LENGTH_CB)[0] == -E["ENOSPC"] & (1 << 64) - 1
    assert _run(call("reserve_hdr_opt", "ctx", 1, 0), LENGTH_CB)[0] == -E["EINVAL"] & (1 << 64) - 1
    assert _run(call("reserve_hdr_opt", "ctx", 4, 0), WRITE_CB)[0] == -E["EPERM"] & (1 << 64) - 1


def test_types_by_name() -> None:
    types = Builder()
    number = types.struct("sock", 8, [("x", types.integer(8, False, "u64"), 0)])
    text = store(-8, b"sock") + call("btf_find_by_name_kind", "fp-8", 5, 4, 0)
    with Machine(assemble_object(f"r6 = r1\n{text}exit\n", "syscall")) as machine:
        assert machine.run("program") == -2 & (1 << 64) - 1
        machine.world.btf = Btf(types.to_bytes())
        assert machine.run("program") == number


def test_mappings() -> None:
    text = call("get_current_task_btf") + "r7 = r0\n*(u64 *)(r10 -8) = 0\n"
    text += "r1 = r7\nr2 = 0x5000\nr3 = subprog[found]\nr4 = r10\nr4 += -8\nr5 = 0\ncall bpf_find_vma\n"
    text += "r1 = *(u64 *)(r10 -8)\nr0 += r1\nexit\nfound:\n*(u64 *)(r3 +0) = r2\nr0 = 0\nexit\n"
    with Machine(assemble_object(f"r6 = r1\n{text}", "raw_tracepoint")) as machine:
        assert machine.run("program") == -2 & (1 << 64) - 1
        machine.world.mappings = [(0x4000, 0x5000, 1), (0x5000, 0x6000, 77)]
        assert machine.run("program") == 77
