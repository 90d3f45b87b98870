"""Test runs: contexts in and out, every readable field, text helpers with constant strings, callbacks; as in the kernel."""

from __future__ import annotations

import struct

import pytest
from tests.vmcases.helpers import pointer, store

from cygnet.errors import KernelVerifierError, SystemCallError
from cygnet.facts.contexts import fields
from cygnet.facts.helpers import helper_id
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.loader.runtime import KernelRuntime, kernel_runtime
from cygnet.spec.objects import FuncInfo, MapSpec, ObjectSpec, ProgramSpec
from cygnet.spec.relocs import Reloc
from cygnet.testing import assemble_object, assert_same, packets
from cygnet.vm.contexts.model import structure
from cygnet.vm.machine import Machine

ARRAY, RDONLY_PROG = 2, 0x80
_EINVAL = -22 & 0xFFFFFFFF
FRAMES = {
    "tcp": packets.tcp(b"abc"),
    "udp6": packets.udp(b"abc", source="fd00::1", destination="fd00::2"),
    "arp": packets.arp(),
    "vlan": packets.vlan(packets.tcp(), 7),
    "short": packets.ethernet(bytes(3), 0x1234),
    "llc": packets.ethernet(bytes(20), 0x40),
}
# what depends on the kernel's dummy socket, or on its clock
_LEFT_OUT = ("sk", "flow_keys", "data", "data_end", "data_meta", "tstamp_type")
_READ = [
    (kind, name)
    for kind in ("socket_filter", "sched_cls", "cgroup_skb", "lwt_xmit")
    for name, field in fields("__sk_buff").items()
    if kind in field.readers and name not in _LEFT_OUT
]


@pytest.mark.parametrize(("kind", "name"), _READ, ids=lambda value: value)
def test_fields_of_skbs(kind: str, name: str) -> None:
    field = fields("__sk_buff")[name]
    text = f"r0 = *(u{8 * field.size} *)(r1 +{field.offset + field.size * (field.count - 1)})\n"
    if kind == "cgroup_skb":  # may give 0 and 1 only
        text += "*(u32 *)(r1 +8) = r0\nr0 = 1\n"
    spec = assemble_object(text + "exit\n", kind)
    room = 192 if kind == "cgroup_skb" else 0
    with Machine(spec) as machine, kernel_runtime(spec) as kernel:
        for frame in FRAMES.values():
            assert_same(machine.program("program"), kernel.program("program"), frame, ctx_out_bytes=room)


_CHANGE = """
r2 = *(u32 *)(r1 +8)
r2 += 1
*(u32 *)(r1 +8) = r2
r2 = *(u32 *)(r1 +48)
r2 += 5
*(u32 *)(r1 +52) = r2
r2 = 99
*(u32 *)(r1 +32) = r2
r0 = *(u32 *)(r1 +160)
exit
"""


@pytest.mark.parametrize("values", [{}, {"mark": 7}, {"cb": (1, 2, 3)}, {"priority": 3, "wire_len": 500}, {"tstamp": 77}],
                         ids=str)  # fmt: skip
def test_contexts_of_skbs(values: dict[str, int]) -> None:
    spec = assemble_object(_CHANGE, "sched_cls")
    ctx = bytes(structure("__sk_buff", values, 192)) if values else b""
    with Machine(spec) as machine, kernel_runtime(spec) as kernel:
        programs = machine.program("program"), kernel.program("program")
        assert_same(*programs, FRAMES["tcp"], ctx, ctx_out_bytes=192 if values else 0)


def test_contexts_that_are_refused() -> None:
    spec = assemble_object("r0 = 0\nexit\n", "sched_cls")
    ctx = bytes(structure("__sk_buff", {"len": 3}, 192))
    with Machine(spec) as machine, kernel_runtime(spec) as kernel:
        for program in (machine.program("program"), kernel.program("program")):
            for data, context in ((FRAMES["tcp"], ctx), (bytes(13), b"")):
                with pytest.raises(SystemCallError) as caught:
                    program.test_run(data, context)
                assert caught.value.errno == 22


_META = """
r2 = *(u32 *)(r1 +8)
r3 = *(u32 *)(r1 +0)
r4 = r2
r4 += 4
r0 = 77
if r4 > r3 goto +1
r0 = *(u32 *)(r2 +0)
exit
"""


@pytest.mark.parametrize("meta", [0, 4, 8, 200])
def test_metadata_of_xdp(meta: int) -> None:
    spec = assemble_object(_META, "xdp")
    data = bytes(range(1, meta + 1)) + FRAMES["tcp"]
    ctx = bytes(structure("xdp_md", {"data": meta, "data_end": len(data)}))
    with Machine(spec) as machine, kernel_runtime(spec) as kernel:
        assert_same(machine.program("program"), kernel.program("program"), data, ctx, ctx_out_bytes=24)


# ── constant strings ─────────────────────────────────────────────────────────────────────────────────────

TEXTS = [
    (b"%d %u %x %X|", (-5, -5, 255, 255)),
    (b"%ld %lu %llx %lli|", (-5, 5, -1, -9)),
    (b"%5d|%-5d|%05d|%+d|", (42, 42, -42, 42)),
    (b"%8x|%-8x|%08x|% d|", (0xABC, 0xABC, 0xABC, 7)),
    (b"100%% %c%c", (65, 66)),
    (b"%q", (1,)),
    (b"%d %d", (1,)),
    (b"%i%", (1,)),
    (b"plain", ()),
    (b"%px %llX", (0x1234, 0xABCDEF)),
    (b"\x01", ()),
]


def _frozen(text: bytes, body: str, kind: int = 17) -> tuple[int, int]:
    """Run with a constant string in map 0: (r0 of the machine, of the kernel)."""
    insns = assemble(f"r6 = r1\n{body}exit\n", helper_id=helper_id)
    relocs = tuple(
        Reloc(slot, "map_value", "text", "imm64", 0)
        for slot, insn in enumerate(insns)
        if (insn.code, insn.src) == (24, 2)
    )
    size = (len(text) + 8) // 8 * 8
    constant = MapSpec("text", ARRAY, 4, size, 1, RDONLY_PROG, text.ljust(size, b"\0"))
    program = ProgramSpec("program", kind, encode(insns), relocs)
    spec = ObjectSpec(maps=(constant,))
    with KernelRuntime(spec) as kernel, Machine() as machine:
        for runtime in (kernel, machine):
            runtime.open_map(constant).freeze()
        ours = machine.load(program).test_run(ctx_in=bytes(64)).retval
        try:
            theirs = kernel.load(program).test_run(ctx_in=bytes(64)).retval
        except KernelVerifierError:  # a format that is wrong is refused before it runs
            return ours, ours if "call bpf_snprintf\nr0" in body else _EINVAL
    return ours, theirs


@pytest.mark.parametrize(("text", "arguments"), TEXTS, ids=lambda value: repr(value))
def test_snprintf(text: bytes, arguments: tuple[int, ...]) -> None:
    """Every word of the output, and the length."""
    data = struct.pack(f"<{len(arguments)}q", *arguments) if arguments else b""
    for part in range(-1, 5):
        body = store(-40, data) + store(-96, bytes(48)) + pointer(1, -96) + "r2 = 48\nr3 = map[fd:0][0]+0\n"
        body += (pointer(4, -40) if data else "r4 = 0\n") + f"r5 = {len(data)}\ncall bpf_snprintf\n"
        if part >= 0:
            body += f"r0 = *(u32 *)(r10 {-96 + 4 * part})\n"
        ours, theirs = _frozen(text, body)
        assert ours == theirs


@pytest.mark.parametrize("first", [b"abc\0", b"abd\0", b"abb\0", b"ab\0\0", b"abcd", b"\xff\0\0\0"], ids=repr)
@pytest.mark.parametrize("size", [1, 3, 4])
def test_strncmp(first: bytes, size: int) -> None:
    ours, theirs = _frozen(
        b"abc", store(-8, first) + pointer(1, -8) + f"r2 = {size}\nr3 = map[fd:0][0]+0\ncall bpf_strncmp\n"
    )
    assert ours == theirs


# ── callbacks ────────────────────────────────────────────────────────────────────────────────────────────

_LOOP = (
    "*(u64 *)(r10 -8) = 0\nr1 = {count}\nr2 = subprog[each]\nr3 = r10\nr3 += -8\nr4 = {flags}\ncall bpf_loop\n"
    "r1 = *(u64 *)(r10 -8)\nr0 <<= 8\nr0 += r1\nexit\n"
    "each:\nr3 = *(u64 *)(r2 +0)\nr3 += r1\n*(u64 *)(r2 +0) = r3\nr0 = 0\nif r1 < {stop} goto done\nr0 = 1\ndone:\nexit\n"
)


@pytest.mark.parametrize(
    ("count", "flags", "stop"), [(5, 0, 3), (5, 0, 100), (0, 0, 1), (5, 1, 9), (1 << 24, 0, 2), (1000, 0, 500)]
)
def test_loop(count: int, flags: int, stop: int) -> None:
    text = _LOOP.format(count=count, flags=flags, stop=stop)
    spec = assemble_object(text, "raw_tracepoint")
    each = len(assemble(text.partition("each:")[0].replace("subprog[each]", "0 ll"), helper_id=helper_id))
    functions = (FuncInfo(0, "program", "main"), FuncInfo(each, "each", "callback"))
    spec = spec._replace(programs=(spec.programs[0]._replace(functions=functions, lines=()),))
    with Machine(spec) as machine, kernel_runtime(spec) as kernel:
        ours, theirs = (one.program("program").test_run(ctx_in=bytes(8)) for one in (machine, kernel))
    assert ours.retval == theirs.retval
