"""BPF_PROG_TEST_RUN in user space: the same signature, and the same answers (net/bpf/test_run.c)."""

from __future__ import annotations

import time
from errno import EAFNOSUPPORT, EINVAL, ENODEV, ERANGE

from cygnet.errors import SystemCallError
from cygnet.vm.contexts import Context, code_name, for_program, memory, skb, xdp
from cygnet.vm.contexts.model import get, structure
from cygnet.vm.contexts.packets import LINK_LAYER
from cygnet.vm.packets import ETHERNET
from cygnet.vm.testsockets import as_tested, selection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.contexts.model import Value
    from cygnet.vm.machine import Placed, VmProgram

_XDP_MD = 24
_SK_LOOKUP_GIVEN = 64  # bytes of struct bpf_sk_lookup up to local_port, the last that a caller gives
_MAX_XDP = 4096 - 256 - 320  # what fits a page beside headroom and skb_shared_info
#: fields of __sk_buff that a caller may give, and gets back
_GIVEN = ("mark", "priority", "ingress_ifindex", "ifindex", "tstamp", "wire_len", "gso_segs", "gso_size", "hwtstamp")


class TestResult:
    """What a test run gave: r0 as an unsigned 32-bit number, output data and context, mean nanoseconds of a run.

    `name` is the return value's, as XDP_DROP.
    """

    __test__ = False  # no test, for pytest
    __slots__ = ("ctx", "data", "duration_ns", "name", "retval")

    def __init__(self, retval: int, data: bytes, ctx: bytes, duration_ns: int, name: str = "") -> None:
        self.retval, self.data, self.ctx, self.duration_ns = retval, data, ctx, duration_ns
        self.name = name

    def __repr__(self) -> str:
        return f"<TestResult {self.name} data={len(self.data)} bytes>"


def _invalid(program: VmProgram, why: str, errno: int = EINVAL) -> SystemCallError:
    return SystemCallError(f"run program {program.name!r} on test input: {why}", call="bpf", errno=errno)


def test_run(
    program: VmProgram, data: bytes, ctx: bytes, data_out: int, ctx_out: int, repeat: int, flags: int, cpu: int
) -> TestResult:
    """One run, or `repeat` runs on the same packet as the kernel does them."""
    from cygnet.vm.machine import Placed

    machine = program.machine
    if cpu:
        machine.host.cpu = cpu
    context = _context(program, data, ctx, ctx_out)
    rounds = max(repeat, 1)
    with as_tested(machine.world, context), Placed(machine, program, context) as placed:
        before = time.perf_counter_ns()
        for _ in range(rounds):
            retval = placed.run()
        duration = (time.perf_counter_ns() - before) // rounds
        shown, after = _outputs(placed, ctx)
    retval &= 0xFFFFFFFF
    if program.type_name == "sk_lookup":
        retval, after = selection(machine.world, retval, after, ctx)
    name = code_name(program.type_name, retval)
    if program.type_name == "syscall":
        ctx_out = len(ctx)
    return TestResult(retval, shown[:data_out], after[:ctx_out], duration, name)


test_run.__test__ = False  # type: ignore[attr-defined]


def _context(program: VmProgram, data: bytes, ctx: bytes, ctx_out: int) -> Context:
    kind = for_program(program.type_name, b"").structure
    if kind == "xdp_md":
        return _xdp(program, data, ctx)
    if program.type_name == "flow_dissector":
        if len(data) < ETHERNET:
            raise _invalid(program, f"a packet has at least {ETHERNET} bytes")
        return for_program(program.type_name, data)
    if kind == "__sk_buff":
        return _skb(program, data, ctx, bool(ctx or ctx_out))
    if program.type_name == "sk_lookup":
        return _sk_lookup(program, data, ctx)
    if program.type_name == "syscall" and ctx_out:
        raise _invalid(program, "the context of a syscall program comes back where it was, whatever it is")
    return for_program(program.type_name, data) if kind == "sk_msg_md" else memory(ctx or data)


def _xdp(program: VmProgram, data: bytes, ctx: bytes) -> Context:
    if len(data) < ETHERNET or len(data) > _MAX_XDP:
        raise _invalid(program, f"a packet has {ETHERNET} to {_MAX_XDP} bytes here")
    given = ctx.ljust(_XDP_MD, b"\0")
    before, end = get("xdp_md", given, "data"), get("xdp_md", given, "data_end")
    interface, queue = get("xdp_md", given, "ingress_ifindex"), get("xdp_md", given, "rx_queue_index")
    if not ctx:
        return xdp(data)
    if get("xdp_md", given, "data_meta") or end != len(data) or before > end or before % 4 or before > 255:
        raise _invalid(program, "data_end is the size of the data, data that of the metadata, a multiple of 4")
    _ingress(program, interface, queue, get("xdp_md", given, "egress_ifindex"))
    return xdp(data[before:], meta=data[:before], ingress_ifindex=interface or 1, rx_queue_index=queue)


def _ingress(program: VmProgram, interface: int, queue: int, egress: int) -> None:
    """xdp_convert_md_to_buff: an interface that exists, whose receive queue 0 is the only one here."""
    if egress or queue:
        raise _invalid(program, "there is one receive queue, and no interface that the packet goes out of")
    if interface and program.machine.world.interface(interface) is None:
        raise _invalid(program, f"there is no interface {interface}", ENODEV)


def _skb(program: VmProgram, data: bytes, ctx: bytes, with_context: bool) -> Context:
    if len(data) < ETHERNET:
        raise _invalid(program, f"a packet has at least {ETHERNET} bytes")
    given = ctx.ljust(192, b"\0")
    values: dict[str, Value] = {name: get("__sk_buff", given, name) for name in _GIVEN}
    values["cb"] = [get("__sk_buff", given, "cb", index) for index in range(5)]
    if ctx and bytes(structure("__sk_buff", values, len(given))) != given:
        raise _invalid(program, "the context sets what it may not")
    values["ifindex"] = values["ifindex"] or 1
    if with_context and not values["wire_len"]:
        values["wire_len"] = len(data) - (0 if program.type_name in LINK_LAYER else ETHERNET)
    return skb(data, program_type=program.type_name, **values)


def _sk_lookup(program: VmProgram, data: bytes, ctx: bytes) -> Context:
    """bpf_prog_test_run_sk_lookup."""
    if data or not ctx or any(ctx[:8]) or any(ctx[_SK_LOOKUP_GIVEN:]):
        raise _invalid(program, "there is no packet, and the context's first and last fields are zeros")
    if get("bpf_sk_lookup", ctx, "local_port") > 0xFFFF:
        raise _invalid(program, "a port has 16 bits", ERANGE)
    if get("bpf_sk_lookup", ctx, "family") & 0xFFFF not in (2, 10):
        raise _invalid(program, "the family is AF_INET or AF_INET6", EAFNOSUPPORT)
    return memory(ctx.ljust(72, b"\0"))


def _outputs(placed: Placed, given: bytes) -> tuple[bytes, bytes]:
    """(data, context) after the run, which was given a context or none."""
    packet, context = placed.packet, placed.data()
    if packet is None:
        return b"", context
    if placed.context.structure == "xdp_md":
        meta = packet.data - packet.meta
        values: dict[str, Value] = {"data": meta, "data_end": packet.end - packet.meta}
        for name in ("ingress_ifindex", "rx_queue_index"):
            values[name] = get("xdp_md", given.ljust(_XDP_MD, b"\0"), name)
        return packet.metadata() + packet.payload(), bytes(structure("xdp_md", values))
    if placed.program.type_name == "flow_dissector":
        return placed.machine.world.flow_keys(packet.length), b""
    if placed.context.structure != "__sk_buff":
        return packet.payload(), context
    shown: dict[str, Value] = {name: get("__sk_buff", context, name) for name in _GIVEN}
    shown["cb"] = [get("__sk_buff", context, "cb", index) for index in range(5)]
    # what is below the network layer was never seen by the program: it comes back as zeros
    head = bytes(ETHERNET) if placed.context.skip else b""
    return head + packet.payload(), bytes(structure("__sk_buff", shown, 192))
