"""Prepared programs: the same answers as runs that set everything up anew, whatever came before; and machines that ended."""

from __future__ import annotations

import gc
import random
import struct
from array import array
from typing import Any

import pytest
from tests.vmcases.helpers import call

from cygnet.errors import BudgetExceeded, CygnetError, HelperFault, MapError, MemoryFault, RuntimeFault
from cygnet.spec.objects import MapSpec
from cygnet.testing import assemble_object, packets
from cygnet.vm.machine import Machine
from cygnet.vm.sockets import Socket

ENGINES = ("jit", "python", "interpreter")
# every field of the context that is the same wherever memory lies, and the packet, into one number
_SKB = "\n".join(
    f"r1 = *(u32 *)(r6 +{at})\nr0 *= 31\nr0 += r1" for at in (0, 4, 8, 16, 40, 88, 92, 96, 100, 112, 116, 128, 132)
)
_BOUNDS = "r1 = *(u32 *)(r6 +{end})\nr2 = *(u32 *)(r6 +{data})\nr1 -= r2\nr0 *= 31\nr0 += r1\n"
_FIRST = "r1 = *(u8 *)(r2 +0)\nr0 *= 31\nr0 += r1\n"
SEES = {
    "sched_cls": _SKB.replace("*(u32 *)(r6 +88)", "*(u32 *)(r6 +8)") + "\n" + _BOUNDS.format(end=80, data=76) + _FIRST,
    "cgroup_skb": _SKB + "\n" + _BOUNDS.format(end=80, data=76) + _FIRST,
    "socket_filter": "r0 = *(u16 *)skb[12]\nr1 = *(u32 *)(r6 +0)\nr0 += r1\n",
    "xdp": _BOUNDS.format(end=4, data=0) + _FIRST + "r1 = *(u32 *)(r6 +12)\nr0 += r1\n",
    "sk_msg": "r0 = *(u32 *)(r6 +68)\n",
}
CHANGES = {
    "xdp": "r1 = r6\nr2 = -20\n" + call("xdp_adjust_head") + "r7 = r0\nr1 = r6\nr2 = 7\n" + call("xdp_adjust_tail"),
    "sched_cls": call("skb_vlan_push", "ctx", 0xA888, 5) + "r7 = r0\n" + call("skb_change_tail", "ctx", 5000, 0),
}


def _frames(count: int) -> list[bytes]:
    chance = random.Random(count)
    made = [packets.tcp(), packets.udp(), packets.tcp(payload=bytes(900)), bytes(64), bytes(range(60))]
    for _ in range(count):
        size = chance.choice((14, 20, 54, 60, 64, 64, 64, 1500, 4000))
        made.append(chance.choice((b"\x08\x00", b"\x86\xdd", b"\x00\x05")).rjust(14, b"\1") + chance.randbytes(size))
    return [chance.choice(made) for _ in range(3 * count)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", SEES)
def test_a_prepared_program_sees_what_a_run_sees(kind: str, engine: str) -> None:
    with Machine(assemble_object(f"r6 = r1\nr0 = 0\n{SEES[kind]}\nexit\n", kind), engine) as machine:
        program, prepared = machine.program("program"), machine.prepare("program")
        for frame in _frames(40):
            wanted = machine.run_apart(program, frame)
            assert prepared(frame) == wanted == prepared(bytearray(frame)) == machine.run(program, frame)


@pytest.mark.parametrize("kind", CHANGES)
def test_what_helpers_did_is_forgotten(kind: str) -> None:
    text = f"r6 = r1\nr0 = 0\n{SEES[kind]}\nr8 = r0\n{CHANGES[kind]}\nr0 ^= r7\nr0 ^= r8\n{SEES[kind]}\nexit\n"
    with Machine(assemble_object(text, kind)) as machine:
        program, prepared = machine.program("program"), machine.prepare("program")
        for frame in _frames(40):
            assert prepared(frame) == machine.run_apart(program, frame)


def test_headroom_is_clean_after_another_packet() -> None:
    text = "r6 = r1\nr2 = -8\n" + call("xdp_adjust_head") + "r1 = *(u32 *)(r6 +0)\nr0 = *(u64 *)(r1 +0)\nr2 = -1\n"
    with Machine(assemble_object(text + "*(u64 *)(r1 +0) = r2\nexit\n", "xdp")) as machine:
        prepared = machine.prepare("program")
        assert [prepared(bytes(64)) for _ in range(3)] == [0, 0, 0]


def test_the_worlds_socket_is_seen() -> None:
    text = "r0 = *(u64 *)(r1 +168)\nif r0 == 0 goto +1\nr0 = *(u32 *)(r0 +44)\nexit\nr0 = 0\n" + call("ktime_get_ns")
    with Machine(assemble_object(text + "exit\n", "cgroup_skb")) as machine:
        prepared = machine.prepare("program")
        assert prepared(packets.tcp()) == 0
        machine.world.socket = Socket(("10.0.0.2", 80), ("10.0.0.1", 1234))
        assert prepared(packets.tcp()) == 80


def test_a_run_inside_of_a_run() -> None:
    """A helper that runs another program: neither disturbs the other's packet."""
    text = f"r6 = r1\nr0 = 0\n{SEES['xdp']}\n*(u64 *)(r10 -8) = r0\n" + call("ktime_get_ns")
    text += f"r0 = *(u64 *)(r10 -8)\n{SEES['xdp']}\nexit\n"
    with Machine(assemble_object(text, "xdp")) as machine:
        prepared, outer, inner = machine.prepare("program"), packets.tcp(), bytes(64)
        wanted = prepared(outer)
        seen: list[int] = []

        def nested() -> int:
            if not seen:
                seen.append(0)
                seen[:] = [prepared(inner), machine.run("program", inner)]
            return 0

        machine.world.now_ns = nested  # type: ignore[method-assign]
        assert prepared(outer) == wanted
        assert seen[0] == seen[1] != wanted


def test_a_socket_set_late_is_seen() -> None:
    """Without helpers the program is called from machine code, which knows the context of the last packet."""
    text = "r0 = *(u64 *)(r1 +168)\nif r0 == 0 goto +1\nr0 = *(u32 *)(r0 +44)\nexit\n"
    with Machine(assemble_object(text, "cgroup_skb")) as machine:
        prepared = machine.prepare("program")
        assert [prepared(packets.tcp()) for _ in range(4)] == [0] * 4
        machine.world.socket = Socket(("10.0.0.2", 80), ("10.0.0.1", 1234))
        assert [prepared(packets.tcp()) for _ in range(4)] == [80] * 4
        machine.world.socket = None
        assert [prepared(packets.tcp()) for _ in range(4)] == [0] * 4


# ── functions in machine code ────────────────────────────────────────────────────────────────────────────────


def test_any_buffer_will_do_and_nothing_else() -> None:
    with Machine(assemble_object("r0 = *(u32 *)(r1 +4)\nexit\n", "raw_tracepoint")) as machine:
        prepared: Any = machine.prepare("program")
        data = bytes(range(12))
        for given in (data, bytearray(data), memoryview(data), array("B", data)):
            assert [prepared(given) for _ in range(3)] == [0x07060504] * 3
        for wrong in ("text", None, object()):
            with pytest.raises(TypeError):
                prepared(wrong)
        assert prepared(data) == 0x07060504


def test_faults_come_through_and_leave_the_function_whole() -> None:
    text = "r2 = *(u32 *)(r1 +0)\nr1 += r2\nr0 = *(u8 *)(r1 +0)\nagain: if r0 == 7 goto again\nexit\n"
    with Machine(assemble_object(text, "raw_tracepoint"), budget=10_000) as machine:
        prepared = machine.prepare("program")
        for _ in range(3):
            assert prepared(struct.pack("<II", 4, 5)) == 5
            with pytest.raises(MemoryFault) as fault:
                prepared(struct.pack("<II", 8, 5))
            assert fault.value.pc == 2 and fault.value.registers[2] == 8
            with pytest.raises(BudgetExceeded):
                prepared(struct.pack("<II", 4, 7))


def test_another_budget_counts_at_once() -> None:
    text = "r0 = 0\nagain: r0 += 1\nif r0 != 1000 goto again\nexit\n"
    with Machine(assemble_object(text, "raw_tracepoint")) as machine:
        prepared = machine.prepare("program")
        assert [prepared(b"") for _ in range(3)] == [1000] * 3
        machine.host.budget = 500
        with pytest.raises(BudgetExceeded):
            prepared(b"")
        machine.host.budget = None
        assert prepared(b"") == 1000


def test_maps_are_changed_from_machine_code() -> None:
    text = "r2 = r1\nr1 = map[idx:0]\ncall bpf_map_lookup_elem\nif r0 == 0 goto +3\nr1 = *(u64 *)(r0 +0)\nr1 += 1\n"
    text += "*(u64 *)(r0 +0) = r1\nr0 = 0\nexit\n"
    with Machine(assemble_object(text, "raw_tracepoint", (MapSpec("m", 2, 4, 8, 4),))) as machine:
        prepared = machine.prepare("program")
        for number in range(40):
            prepared((number % 4).to_bytes(4, "little"))
        with pytest.raises(HelperFault):
            prepared(b"\0\0")
        assert [machine.map("m").lookup(n.to_bytes(4, "little")) for n in range(4)] == [(10).to_bytes(8, "little")] * 4


def test_inside_of_a_run_it_takes_the_long_way() -> None:
    """A helper of one program calls the prepared function of another, which has the same stack."""
    outer = "*(u64 *)(r10 -8) = 5\n" + call("ktime_get_ns") + "r0 = *(u64 *)(r10 -8)\nexit\n"
    inner = "r0 = *(u64 *)(r1 +0)\n*(u64 *)(r10 -8) = r0\nexit\n"
    with Machine(assemble_object(outer, "raw_tracepoint")) as machine:
        other = machine.load(assemble_object(inner, "raw_tracepoint").programs[0]._replace(name="inner"))
        prepared = machine.prepare(other)
        seen: list[int] = []
        assert [prepared(bytes(8)) for _ in range(3)] == [0] * 3

        def nested() -> int:
            seen.append(prepared(b"\x09" + bytes(7)))
            return 0

        machine.world.now_ns = nested  # type: ignore[method-assign]
        assert machine.run("program") == 5
        assert seen == [9]


def test_the_function_outlives_its_machine() -> None:
    kept = []
    for _ in range(5):
        with Machine(assemble_object("r0 = *(u8 *)(r1 +0)\nexit\n", "raw_tracepoint")) as machine:
            kept.append(machine.prepare("program"))
            assert kept[-1](b"\5") == 5 == kept[-1](b"\5")
        gc.collect()
    for prepared in kept:
        with pytest.raises((RuntimeFault, MapError)):
            prepared(b"\5")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ("xdp", "raw_tracepoint"))
def test_a_machine_that_ended_refuses(kind: str, engine: str) -> None:
    hash_map = MapSpec("m", 1, 4, 8, 8)
    machine = Machine(assemble_object("r0 = *(u32 *)(r1 +0)\nexit\n", kind, (hash_map,)), engine)
    program, prepared, store, mapping = (
        machine.program("program"),
        machine.prepare("program"),
        machine.map("m"),
        machine.maps["m"],
    )
    prepared(bytes(64))
    store.update(bytes(4), bytes(8))
    machine.close()
    for use in (
        lambda: prepared(bytes(64)), lambda: prepared(bytes(65)), lambda: program.run(bytes(64)),
        lambda: machine.run_batch(program, bytes(64), 8), lambda: program.test_run(bytes(64)),
    ):  # fmt: skip
        with pytest.raises((RuntimeFault, MapError)):
            use()
    with pytest.raises(CygnetError, match="closed"):
        store.lookup(bytes(4))
    with pytest.raises(CygnetError, match="closed"):
        store.update(bytes(4), bytes(8))
    with pytest.raises(CygnetError, match="closed"):
        list(store.items())
    with pytest.raises(CygnetError, match="closed"):
        mapping[bytes(4)]
    with pytest.raises(CygnetError, match="closed"):
        store.lookup_ptr(0, 0)
    machine.close()
