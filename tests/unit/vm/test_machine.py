"""Machines: maps and programs of an object, contexts, the world, callbacks, timers, tail calls, attached probes."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from tests.vmcases.helpers import PACKET, call, pointer, store

from cygnet.errors import HelperFault, RelocationError
from cygnet.facts.helpers import helper_id
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.maps.facade import Map
from cygnet.maps.fields import SpecialField
from cygnet.spec.objects import LinkSpec, MapSpec, ObjectSpec, ProgramSpec
from cygnet.testing import assemble_object, packets
from cygnet.vm import contexts
from cygnet.vm.machine import Machine
from cygnet.vm.sockets import Socket
from cygnet.vm.world import Route

ENGINES = ("jit", "python", "interpreter")
HASH, ARRAY, PROG_ARRAY, PERF, STACK_TRACE, RING = 1, 2, 3, 4, 7, 27


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


def machine_of(engine: str, text: str, type: str = "raw_tracepoint", *maps: MapSpec) -> Machine:
    return Machine(assemble_object(f"r6 = r1\n{text}\nexit\n", type, maps), engine)


def test_task(engine: str) -> None:
    text = call("get_current_pid_tgid") + "r7 = r0\n" + call("get_current_uid_gid") + "r7 ^= r0\nr0 = r7"
    with machine_of(engine, text) as machine:
        task = machine.world.task
        task.pid, task.tgid, task.uid, task.gid = 11, 10, 1000, 100
        assert machine.run("program") == (10 << 32 | 11) ^ (100 << 32 | 1000)


def test_comm_and_clock(engine: str) -> None:
    text = call("get_current_comm", "fp-16", 16) + "r7 = *(u64 *)(r10 -16)\n" + call("ktime_get_ns") + "r0 ^= r7"
    with machine_of(engine, text) as machine:
        machine.world.task.comm = "a very long name indeed"
        machine.world.clock_ns = 5
        assert machine.run("program") == int.from_bytes(b"a very l", "little") ^ 5


def test_memory_of_snippets(engine: str) -> None:
    text = call("probe_read_user_str", "fp-16", 16, 0x7F0000000FFD) + "r1 = *(u64 *)(r10 -16)\nr0 <<= 56\nr0 ^= r1"
    with machine_of(engine, text) as machine:
        machine.world.user.add(0x7F0000000FF0, bytes(13) + b"/et")
        machine.world.user.add(0x7F0000001000, b"c\0zzz")
        assert machine.run("program") == (5 << 56) ^ int.from_bytes(b"/etc", "little")


def test_callbacks(engine: str) -> None:
    text = (
        "*(u64 *)(r10 -8) = 0\nr1 = 5\nr2 = subprog[each]\n" + pointer(3, -8) + "r4 = 0\ncall bpf_loop\n"
        "r1 = *(u64 *)(r10 -8)\nr0 <<= 8\nr0 |= r1\nexit\n"
        "each:\nr3 = *(u64 *)(r2 +0)\nr3 += r1\n*(u64 *)(r2 +0) = r3\nr0 = 0\nif r1 < 3 goto +1\nr0 = 1"
    )
    with machine_of(engine, text) as machine:
        assert machine.run("program") == 4 << 8 | 0 + 1 + 2 + 3


def test_for_each_element(engine: str) -> None:
    text = (
        "*(u64 *)(r10 -8) = 0\nr1 = map[idx:0]\nr2 = subprog[each]\n" + pointer(3, -8) + "r4 = 0\n"
        "call bpf_for_each_map_elem\nr1 = *(u64 *)(r10 -8)\nr0 <<= 8\nr0 |= r1\nexit\n"
        "each:\nr5 = *(u64 *)(r4 +0)\nr1 = *(u64 *)(r3 +0)\nr5 += r1\n*(u64 *)(r4 +0) = r5\nr0 = 0"
    )
    with machine_of(engine, text, "raw_tracepoint", MapSpec("m", HASH, 4, 8, 8)) as machine:
        counts = Map(machine.map("m"), "I", "Q")
        counts.update({1: 10, 2: 20, 3: 5})
        assert machine.run("program") == 3 << 8 | 35


_TIMER = """
r1 = 0
*(u32 *)(r10 -4) = r1
r1 = map[idx:0]
r2 = r10
r2 += -4
call bpf_map_lookup_elem
r7 = r0
r1 = r7
r2 = map[idx:0]
r3 = 1
call bpf_timer_init
r1 = r7
r2 = subprog[tick]
call bpf_timer_set_callback
r1 = r7
r2 = 1000
r3 = 0
call bpf_timer_start
exit
tick:
r1 = *(u64 *)(r3 +16)
r1 += 1
*(u64 *)(r3 +16) = r1
r6 = r3
if r1 > 2 goto done
r1 = r6
r2 = 500
r3 = 0
call bpf_timer_start
done:
r0 = 0
"""


def test_timers_fire_on_the_worlds_clock(engine: str) -> None:
    insns = assemble("r6 = r1\n" + _TIMER + "exit\n", helper_id=helper_id)
    with Machine(engine=engine) as machine:
        machine.open_map(MapSpec("m", ARRAY, 4, 24, 1), fields=[SpecialField("timer", 0, 16)])
        machine.load(ProgramSpec("program", 17, encode(insns)))
        machine.world.clock_ns = 0
        assert machine.run("program") == 0
        counts = [(machine.advance(by), machine.map("m").lookup(bytes(4))[16]) for by in (999, 1, 499, 1, 5000)]
        assert counts == [(0, 0), (1, 1), (0, 1), (1, 2), (1, 3)]
        assert machine.world.clock_ns == 6500


def test_tail_call(engine: str) -> None:
    first = "r1 = r6\nr2 = map[idx:0]\nr3 = 1\ncall bpf_tail_call\nr0 = 7"
    with machine_of(engine, first, "raw_tracepoint", MapSpec("jumps", PROG_ARRAY, 4, 4, 4)) as machine:
        assert machine.run("program") == 7
        machine.load(ProgramSpec("other", 17, encode(assemble("r0 = 9\nexit"))))
        machine.set_program("jumps", 1, "other")
        assert machine.run("program") == 9


def test_locks_must_be_free(engine: str) -> None:
    held = pointer(1, -8) + "*(u64 *)(r10 -8) = 1\ncall bpf_spin_lock"
    with machine_of(engine, held) as machine, pytest.raises(HelperFault, match="held already"):
        machine.run("program")


def test_printing(engine: str) -> None:
    text = store(-24, b"%5d|%-4x|%llu|%s\0") + store(-32, b"hi\0") + "r7 = -3\n"
    text += store(-64, b"") + "*(u64 *)(r10 -64) = r7\n*(u64 *)(r10 -56) = 255\nr1 = -1\n*(u64 *)(r10 -48) = r1\n"
    text += pointer(1, -32) + "*(u64 *)(r10 -40) = r1\n" + call("trace_vprintk", "fp-24", 18, "fp-64", 32)
    with machine_of(engine, text) as machine:
        assert machine.run("program") == len("   -3|ff  |18446744073709551615|hi")
        assert machine.world.printed == ["   -3|ff  |18446744073709551615|hi"]


def test_ring_and_perf_events(engine: str) -> None:
    text = store(-8, b"abcdefgh") + call("ringbuf_output", "map0", "fp-8", 8, 0)
    text += call("perf_event_output", "ctx", "map1", 0xFFFFFFFF, "fp-8", 4)
    text = text.replace("map[fd:", "map[idx:")
    rings = MapSpec("ring", RING, 0, 0, 4096), MapSpec("events", PERF, 4, 4, 2)
    with machine_of(engine, text, "raw_tracepoint", *rings) as machine:
        event = machine.map("events").open(0)  # type: ignore[attr-defined]
        assert machine.run("program") == 0
        assert machine.events("ring").drain() == [b"abcdefgh"] and event.drain() == [b"abcd"]


def test_stacks(engine: str) -> None:
    text = call("get_stackid", "ctx", "map0", 1).replace("map[fd:", "map[idx:")
    with machine_of(engine, text, "kprobe", MapSpec("stacks", STACK_TRACE, 4, 32, 16)) as machine:
        machine.world.task.kernel_stack = (0xA, 0xB, 0xC)
        number = machine.run("program", contexts.registers(di=1))
        assert machine.map("stacks").lookup(number.to_bytes(4, "little")) == struct.pack("<4Q", 0xB, 0xC, 0, 0)


def test_routes(engine: str) -> None:
    parameters = bytes((2,)) + bytes(31) + bytes((192, 168, 1, 9)) + bytes(28)
    text = store(-64, parameters) + call("fib_lookup", "ctx", "fp-64", 64, 0)
    text += "r1 = *(u32 *)(r10 -56)\nr0 <<= 8\nr0 |= r1\nr1 = *(u8 *)(r10 -1)\nr0 <<= 8\nr0 |= r1"
    with machine_of(engine, text, "xdp") as machine:
        assert machine.run("program", PACKET) == 4 << 16
        machine.world.routes += [Route("0.0.0.0/0", 2), Route("192.168.1.0/24", 3, destination_mac=b"\1\2\3\4\5\6")]
        assert machine.run("program", PACKET) == 3 << 8 | 6


def test_sockets(engine: str) -> None:
    ends = bytes((10, 0, 0, 9, 10, 0, 0, 1)) + (4000).to_bytes(2, "big") + (80).to_bytes(2, "big")
    text = store(-16, ends) + call("sk_lookup_tcp", "ctx", "fp-16", 12, -1, 0)
    text += "if r0 == 0 goto end\nr7 = *(u32 *)(r0 +44)\nr1 = r0\ncall bpf_sk_release\nr0 = r7\nend:"
    with machine_of(engine, text, "sched_cls") as machine:
        assert machine.run("program", PACKET) == 0
        machine.world.sockets.append(Socket(("10.0.0.1", 80)))
        assert machine.run("program", PACKET) == 80
        assert set(machine.world.references.values()) == {0}


def test_redirects_are_recorded(engine: str) -> None:
    with machine_of(engine, call("redirect", 7, 1), "sched_cls") as machine:
        assert contexts.code_name("sched_cls", machine.run("program", PACKET)) == "TC_ACT_REDIRECT"
        made = machine.world.redirects[0]
        assert (made.how, made.target, made.flags, made.packet) == ("redirect", 7, 1, PACKET)


def test_sysctl(engine: str) -> None:
    text = call("sysctl_get_name", "ctx", "fp-16", 16, 1) + "r7 = r0\n" + store(-24, b"9")
    text += call("sysctl_set_new_value", "ctx", "fp-24", 1) + "r1 = *(u32 *)(r6 +0)\nr0 = r7\nr0 <<= 8\nr0 |= r1"
    with machine_of(engine, text, "cgroup_sysctl") as machine:
        given = contexts.sysctl("net/ipv4/ip_forward", "0", new="1")
        assert machine.run("program", given) == len("ip_forward") << 8 | 1
        assert machine.world.sysctl_new == b"9"


@pytest.mark.parametrize(
    ("type", "given", "offset", "size", "value"),
    [
        ("cgroup_device", contexts.device(("read", "write"), "char", 1, 3), 0, 4, 6 << 16 | 2),
        ("cgroup_sock_addr", contexts.sock_addr("1.2.3.4", 80), 4, 4, 0x04030201),
        ("cgroup_sock_addr", contexts.sock_addr("1.2.3.4", 80), 24, 4, 0x5000),
        ("sock_ops", contexts.sock_ops(4, "10.0.0.1", "10.0.0.2"), 24, 4, 0x0200000A),
        ("sk_lookup", contexts.sk_lookup(("10.0.0.1", 80), ("10.0.0.2", 4660)), 60, 4, 80),
        ("sk_lookup", contexts.sk_lookup(("10.0.0.1", 80), ("10.0.0.2", 4660)), 36, 2, 0x3412),
        ("kprobe", contexts.registers(di=77), 112, 8, 77),
        ("perf_event", contexts.perf_event(sample_period=5, address=9), 168, 8, 5),
        ("raw_tracepoint", contexts.raw_tracepoint(1, -2), 8, 8, (1 << 64) - 2),
        ("tracing", contexts.function((1, 2), result=9), 16, 8, 9),
        ("cgroup_sockopt", contexts.sockopt(6, 1, b"abcd"), 32, 4, 4),
        ("sched_cls", contexts.skb(PACKET, mark=7), 8, 4, 7),
        ("sched_cls", contexts.skb(PACKET), 16, 4, 8),
        ("xdp", contexts.xdp(PACKET, ingress_ifindex=5), 12, 4, 5),
        ("sk_msg", contexts.sk_msg(b"hello"), 68, 4, 5),
    ],
)
def test_contexts(engine: str, type: str, given: contexts.Context, offset: int, size: int, value: int) -> None:
    with machine_of(engine, f"r0 = *(u{8 * size} *)(r6 +{offset})", type) as machine:
        assert machine.run("program", given) == value


def test_optval_is_memory(engine: str) -> None:
    with machine_of(engine, "r1 = *(u64 *)(r6 +8)\nr0 = *(u32 *)(r1 +0)", "cgroup_sockopt") as machine:
        assert machine.run("program", contexts.sockopt(6, 1, b"abcd")) == int.from_bytes(b"abcd", "little")


def test_attached_programs_run_when_their_probe_fires() -> None:
    spec = assemble_object("r0 = *(u64 *)(r1 +0)\nexit\n", "raw_tracepoint")
    link = LinkSpec("program", "raw_tracepoint", {"event": "sched_switch"}, "rawtracepoint:sched_switch")
    with Machine(spec._replace(links=(link,))) as machine:
        attached = machine.attach(link)
        assert machine.fire("rawtracepoint:sched_switch", contexts.raw_tracepoint(3)) == [3]
        attached.close()
        assert machine.fire("rawtracepoint:sched_switch") == []


def test_prepared_calls(engine: str) -> None:
    with machine_of(engine, "r0 = *(u64 *)(r6 +8)") as machine:
        call_it = machine.prepare("program")
        assert [call_it(struct.pack("<2Q", 1, number)) for number in (5, 6)] == [5, 6]


def test_a_missing_map_is_a_relocation_error() -> None:
    insns = encode(assemble("r1 = map[fd:9]\nr0 = 0\nexit"))
    with pytest.raises(RelocationError, match="map 9"):
        Machine(ObjectSpec(programs=(ProgramSpec("p", 17, insns),)))


def test_packets_have_right_checksums() -> None:
    for frame in (packets.tcp(b"odd"), packets.udp(b"abc"), packets.icmp(b"x")):
        head, segment = frame[14:34], frame[34:]
        assert packets.checksum(head) == 0
        pseudo = b"" if frame[23] == 1 else head[12:20] + bytes((0, frame[23])) + len(segment).to_bytes(2, "big")
        assert packets.checksum(pseudo + segment) == 0
