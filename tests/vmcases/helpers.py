"""Cases for helper functions: programs in assembly whose result depends on the helper's arguments.

Each runs on every engine of the user-space machine with the result written here, and on the live kernel, which is the
witness for what is written. A case gives r0; a packet's bytes are compared too.
"""

from __future__ import annotations

from typing import NamedTuple

from cygnet.facts.helpers import helper_id
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.spec.objects import MapSpec, ObjectSpec, ProgramSpec
from cygnet.spec.relocs import Reloc

XDP, TC, FILTER, RAW, SYSCALL = 6, 3, 1, 17, 31
HASH, ARRAY, PERCPU_ARRAY, QUEUE, STACK, RING, BLOOM, LRU = 1, 2, 6, 22, 23, 27, 30, 9
_SLEEPABLE = 0x10

#: Ethernet, IPv4, TCP from 10.0.0.1:4660 to 10.0.0.2:80, four bytes of data
PACKET = bytes.fromhex(
    "000000000000" "020000000001" "0800"
    "45000034abcd4000400611c30a0000010a000002"
    "1234005000000001000000025018fff0abcd0000"
    "0101080a00000001000000026162636465"
)  # fmt: skip


class Case(NamedTuple):
    """`name` begins with the helper's; `expect` is r0's low half, None where only the kernel knows."""

    name: str
    type: int
    text: str
    expect: int | None
    maps: tuple[MapSpec, ...] = ()
    packet: bytes = PACKET

    @property
    def helper(self) -> str:
        return self.name.split()[0]


def store(at: int, data: bytes) -> str:
    """Put bytes on the stack at r10 + at (a multiple of 8 below 0), padded with zeros."""
    lines = []
    for i in range(0, len(data), 8):
        word = int.from_bytes(data[i : i + 8].ljust(8, b"\0"), "little")
        lines += [f"r1 = {word:#x} ll", f"*(u64 *)(r10 {at + i:+d}) = r1"]
    return "\n".join(lines) + "\n"


def pointer(register: int, at: int) -> str:
    return f"r{register} = r10\nr{register} += {at}\n"


def call(name: str, *arguments: int | str) -> str:
    """A call; an argument is a number, "fp-8" for a place on the stack, "map0", "ctx" (kept in r6) or a register."""
    lines = []
    for number, value in enumerate(arguments, 1):
        if isinstance(value, int):
            small = -(1 << 31) <= value < 1 << 31
            lines.append(f"r{number} = {value}" if small else f"r{number} = {value & (1 << 64) - 1:#x} ll")
        elif value.startswith("fp"):
            lines.append(pointer(number, int(value[2:])).rstrip())
        elif value.startswith("map"):
            lines.append(f"r{number} = map[fd:{value[3:]}]")
        else:
            lines.append(f"r{number} = {'r6' if value == 'ctx' else value}")
    return "\n".join([*lines, f"call bpf_{name}"]) + "\n"


def program(text: str) -> str:
    return f"r6 = r1\n{text}exit\n"


def spec_of(case: Case) -> ObjectSpec:
    insns = assemble(program(case.text), helper_id=helper_id)
    relocs = []
    for slot, insn in enumerate(insns):
        if insn.code == 0x18 and insn.src == 1:
            relocs.append(Reloc(slot, "map", case.maps[insn.imm].name, "imm64"))
        if insn.code == 0x18 and insn.src == 2:
            relocs.append(Reloc(slot, "map_value", case.maps[insn.imm].name, "imm64", insns[slot + 1].imm))
    flags = _SLEEPABLE if case.type == SYSCALL else 0
    made = ProgramSpec("case", case.type, encode(insns), tuple(relocs), flags=flags)
    return ObjectSpec(programs=(made,), maps=case.maps)


def arrays(*texts: bytes) -> tuple[MapSpec, ...]:
    """Read-only frozen strings are for constant formats; these are plain arrays of one value."""
    return tuple(MapSpec(f"text{i}", ARRAY, 4, (len(t) + 8) // 8 * 8, 1, 0, t.ljust((len(t) + 8) // 8 * 8, b"\0"))
                 for i, t in enumerate(texts))  # fmt: skip


_COUNTS = (MapSpec("counts", HASH, 4, 8, 4),)
_ARRAY = (MapSpec("values", ARRAY, 4, 8, 4),)
_QUEUE = (MapSpec("queue", QUEUE, 0, 8, 2),)
_STACK = (MapSpec("stack", STACK, 0, 8, 2),)
_RING = (MapSpec("ring", RING, 0, 0, 4096),)
_KEY = store(-8, b"\1") + store(-16, b"\x2a")
_R0 = "r7 = r0\n"
_E = {name: -number & 0xFFFFFFFF for name, number in
      {"EINVAL": 22, "EFAULT": 14, "E2BIG": 7, "ENOENT": 2, "EEXIST": 17, "EAGAIN": 11, "ERANGE": 34, "EACCES": 13,
       "ENOMEM": 12, "ENOTSUPP": 524}.items()}  # fmt: skip


def _number(name: str, text: bytes, flags: int, expect: int, value: bool = False) -> Case:
    body = store(-32, text) + call(name, "fp-32", len(text), flags, "fp-40")
    if value:
        body += "r0 = *(u64 *)(r10 -40)\n"
    return Case(f"{name} {text!r} base {flags}{' value' if value else ''}", SYSCALL, body, expect & 0xFFFFFFFF)


def _read(name: str, size: int, expect: int) -> Case:
    """From the program's own stack."""
    body = store(-16, b"abcdefgh") + store(-32, bytes(16)) + call(name, "fp-32", size, "fp-16")
    body += "r1 = *(u64 *)(r10 -32)\nr0 <<= 8\nr1 &= 255\nr0 |= r1\n"
    return Case(f"{name} {size}", RAW, body, expect & 0xFFFFFFFF)


def _cases() -> list[Case]:
    cases = [
        # ── maps
        Case("map_update_elem new", RAW, _KEY + call("map_update_elem", "map0", "fp-8", "fp-16", 0), 0, _COUNTS),
        Case("map_update_elem exist", RAW, _KEY + call("map_update_elem", "map0", "fp-8", "fp-16", 2),
             _E["ENOENT"], _COUNTS),
        Case("map_update_elem twice", RAW, _KEY + call("map_update_elem", "map0", "fp-8", "fp-16", 1)
             + call("map_update_elem", "map0", "fp-8", "fp-16", 1), _E["EEXIST"], _COUNTS),
        Case("map_update_elem flags", RAW, _KEY + call("map_update_elem", "map0", "fp-8", "fp-16", 8),
             _E["EINVAL"], _COUNTS),
        Case("map_update_elem outside", RAW, store(-8, b"\4") + store(-16, b"") + "r1 = 0\n*(u64 *)(r10 -16) = r1\n"
             + call("map_update_elem", "map0", "fp-8", "fp-16", 0), _E["E2BIG"], _ARRAY),
        Case("map_lookup_elem found", RAW, _KEY + call("map_update_elem", "map0", "fp-8", "fp-16", 0)
             + call("map_lookup_elem", "map0", "fp-8") + "if r0 == 0 goto +1\nr0 = *(u64 *)(r0 +0)\n", 42, _COUNTS),
        Case("map_lookup_elem missing", RAW, _KEY + call("map_lookup_elem", "map0", "fp-8")
             + "if r0 == 0 goto +1\nr0 = 1\n", 0, _COUNTS),
        Case("map_delete_elem missing", RAW, _KEY + call("map_delete_elem", "map0", "fp-8"), _E["ENOENT"], _COUNTS),
        Case("map_delete_elem", RAW, _KEY + call("map_update_elem", "map0", "fp-8", "fp-16", 0)
             + call("map_delete_elem", "map0", "fp-8"), 0, _COUNTS),
        Case("map_delete_elem array", RAW, _KEY + call("map_delete_elem", "map0", "fp-8"), _E["EINVAL"], _ARRAY),
        Case("map_push_elem full", RAW, _KEY + 3 * call("map_push_elem", "map0", "fp-16", 0), _E["E2BIG"], _QUEUE),
        Case("map_push_elem replace", RAW, _KEY + 3 * call("map_push_elem", "map0", "fp-16", 2), 0, _QUEUE),
        Case("map_pop_elem queue", RAW, _KEY + call("map_push_elem", "map0", "fp-16", 0)
             + call("map_push_elem", "map0", "fp-8", 0) + call("map_pop_elem", "map0", "fp-24")
             + "r0 = *(u64 *)(r10 -24)\n", 42, _QUEUE),
        Case("map_pop_elem stack", RAW, _KEY + call("map_push_elem", "map0", "fp-16", 0)
             + call("map_push_elem", "map0", "fp-8", 0) + call("map_pop_elem", "map0", "fp-24")
             + "r0 = *(u64 *)(r10 -24)\n", 1, _STACK),
        Case("map_pop_elem empty", RAW, call("map_pop_elem", "map0", "fp-24"), _E["ENOENT"], _QUEUE),
        Case("map_peek_elem", RAW, _KEY + call("map_push_elem", "map0", "fp-16", 0)
             + call("map_peek_elem", "map0", "fp-24") + "r0 = *(u64 *)(r10 -24)\n", 42, _QUEUE),
        Case("map_lookup_percpu_elem none", RAW, _KEY + call("map_lookup_percpu_elem", "map0", "fp-8", 4096)
             + "if r0 == 0 goto +1\nr0 = 1\n", 0, (MapSpec("percpu", PERCPU_ARRAY, 4, 8, 4),)),
        Case("map_lookup_percpu_elem", RAW, _KEY + call("map_lookup_percpu_elem", "map0", "fp-8", 0)
             + "if r0 == 0 goto +1\nr0 = 1\n", 1, (MapSpec("percpu", PERCPU_ARRAY, 4, 8, 4),)),
        # ── memory
        *(_read(name, size, expect) for name in ("probe_read_kernel", "probe_read")
          for size, expect in ((1, ord("a")), (0, 0), (8, ord("a")))),
        *(_read(name, size, expect) for name in ("probe_read_kernel_str", "probe_read_str")
          for size, expect in ((4, 4 << 8 | ord("a")), (9, 9 << 8 | ord("a")), (1, 1 << 8), (0, 0))),
        Case("probe_read_kernel null", RAW, _KEY + call("probe_read_kernel", "fp-8", 4, 0), _E["ERANGE"]),
        Case("probe_read_kernel nowhere", RAW, _KEY + call("probe_read_kernel", "fp-8", 4, 0xFFFFFFFFFFFFF000),
             _E["EFAULT"]),
        Case("probe_read_kernel_str null", RAW, _KEY + call("probe_read_kernel_str", "fp-8", 4, 0), _E["ERANGE"]),
        Case("probe_read null", RAW, _KEY + call("probe_read", "fp-8", 4, 0), _E["EFAULT"]),
        Case("probe_read_kernel zeroes", RAW, _KEY + call("probe_read_kernel", "fp-8", 4, 16)
             + "r0 = *(u64 *)(r10 -8)\n", 0),
        Case("probe_read_user null", RAW, _KEY + call("probe_read_user", "fp-8", 4, 0), _E["EFAULT"]),
        Case("probe_read_user_str null", RAW, _KEY + call("probe_read_user_str", "fp-8", 4, 0), _E["EFAULT"]),
        Case("copy_from_user null", SYSCALL, _KEY + call("copy_from_user", "fp-8", 4, 0), _E["EFAULT"]),
        Case("copy_from_user nothing", SYSCALL, _KEY + call("copy_from_user", "fp-8", 0, 0), 0),
        # ── text
        _number("strtol", b"123", 0, 3), _number("strtol", b"123", 0, 123, True),
        _number("strtol", b"-0x1f", 0, 5), _number("strtol", b"-0x1f", 0, -31, True),
        _number("strtol", b" \t77z", 0, 4), _number("strtol", b"077", 0, 63, True), _number("strtol", b"077", 10, 77, True),
        _number("strtol", b"0x10", 16, 16, True), _number("strtol", b"ff", 16, 255, True),
        _number("strtol", b"xyz", 10, _E["EINVAL"]), _number("strtol", b"12", 7, _E["EINVAL"]),
        _number("strtol", b"9223372036854775808", 10, _E["ERANGE"]),
        _number("strtol", b"-9223372036854775808", 10, 20), _number("strtol", b"-", 10, _E["EINVAL"]),
        _number("strtol", b"0x", 0, 1), _number("strtol", b"08", 0, 1), _number("strtol", b"-0", 0, 2),
        _number("strtoul", b"18446744073709551615", 0, 20), _number("strtoul", b"18446744073709551616", 0, _E["ERANGE"]),
        _number("strtoul", b"-5", 0, _E["EINVAL"]), _number("strtoul", b"42 ", 0, 2), _number("strtoul", b"42", 8, 34, True),
        _number("strtoul", b"-0", 0, _E["EINVAL"]),
        # ── printing
        Case("trace_printk length", RAW, store(-16, b"%d %x\0") + call("trace_printk", "fp-16", 6, 10, 255), None),
        Case("trace_printk bad", RAW, store(-16, b"%q\0") + call("trace_printk", "fp-16", 3), _E["EINVAL"]),
        Case("trace_printk no end", RAW, store(-16, b"abcd") + call("trace_printk", "fp-16", 4), _E["EINVAL"]),
        Case("trace_printk percent", RAW, store(-16, b"%\0") + call("trace_printk", "fp-16", 2), _E["EINVAL"]),
        # ── ring buffer
        Case("ringbuf_output", RAW, _KEY + call("ringbuf_output", "map0", "fp-8", 8, 0)
             + call("ringbuf_query", "map0", 0), 16, _RING),
        Case("ringbuf_output flags", RAW, _KEY + call("ringbuf_output", "map0", "fp-8", 8, 4), _E["EINVAL"], _RING),
        Case("ringbuf_query size", RAW, call("ringbuf_query", "map0", 1), 4096, _RING),
        Case("ringbuf_query unknown", RAW, call("ringbuf_query", "map0", 9), 0, _RING),
        Case("ringbuf_reserve", RAW, call("ringbuf_reserve", "map0", 20, 0) + "if r0 == 0 goto +4\nr1 = r0\nr2 = 0\n"
             "call bpf_ringbuf_submit\nr0 = 0\n" + call("ringbuf_query", "map0", 3), 32, _RING),
        Case("ringbuf_reserve too much", RAW, call("ringbuf_reserve", "map0", 4096, 0) + "if r0 == 0 goto +5\nr1 = r0\n"
             "r2 = 0\ncall bpf_ringbuf_discard\nr0 = 0\nexit\nr0 = 1\n", 1, _RING),
        Case("ringbuf_discard", RAW, call("ringbuf_reserve", "map0", 8, 0) + "if r0 == 0 goto +4\nr1 = r0\nr2 = 0\n"
             "call bpf_ringbuf_discard\nr0 = 0\n" + call("ringbuf_query", "map0", 0), 16, _RING),
        # ── dynptrs
        Case("ringbuf_reserve_dynptr", RAW, call("ringbuf_reserve_dynptr", "map0", 24, 0, "fp-16") + _R0
             + call("ringbuf_submit_dynptr", "fp-16", 0) + call("ringbuf_query", "map0", 3), 32, _RING),
        Case("ringbuf_reserve_dynptr flags", RAW, call("ringbuf_reserve_dynptr", "map0", 24, 1, "fp-16") + _R0
             + call("ringbuf_discard_dynptr", "fp-16", 0) + "r0 = r7\n", _E["EINVAL"], _RING),
        Case("dynptr_write", RAW, store(-8, b"abcdefgh") + call("ringbuf_reserve_dynptr", "map0", 24, 0, "fp-24")
             + call("dynptr_write", "fp-24", 4, "fp-8", 8, 0) + _R0
             + call("dynptr_read", "fp-8", 4, "fp-24", 6, 0) + "r7 = *(u32 *)(r10 -8)\n"
             + call("ringbuf_discard_dynptr", "fp-24", 0) + "r0 = r7\n", int.from_bytes(b"cdef", "little"), _RING),
        Case("dynptr_write outside", RAW, store(-8, b"abcdefgh") + call("ringbuf_reserve_dynptr", "map0", 24, 0, "fp-24")
             + call("dynptr_write", "fp-24", 17, "fp-8", 8, 0) + _R0
             + call("ringbuf_discard_dynptr", "fp-24", 0) + "r0 = r7\n", _E["E2BIG"], _RING),
        Case("dynptr_read outside", RAW, store(-8, b"abcdefgh") + call("ringbuf_reserve_dynptr", "map0", 24, 0, "fp-24")
             + call("dynptr_read", "fp-8", 8, "fp-24", 20, 0) + _R0
             + call("ringbuf_discard_dynptr", "fp-24", 0) + "r0 = r7\n", _E["E2BIG"], _RING),
        Case("dynptr_data", RAW, call("ringbuf_reserve_dynptr", "map0", 24, 0, "fp-24")
             + call("dynptr_data", "fp-24", 16, 8) + "r7 = 5\nif r0 == 0 goto +1\nr7 = 6\n"
             + call("ringbuf_discard_dynptr", "fp-24", 0) + "r0 = r7\n", 6, _RING),
        Case("dynptr_data outside", RAW, call("ringbuf_reserve_dynptr", "map0", 24, 0, "fp-24")
             + call("dynptr_data", "fp-24", 20, 8) + "r7 = 5\nif r0 == 0 goto +1\nr7 = 6\n"
             + call("ringbuf_discard_dynptr", "fp-24", 0) + "r0 = r7\n", 5, _RING),
        # ── the task: what is asked for is answered, whatever the answer is
        Case("get_current_comm ends", RAW, store(-16, b"xxxxxxxxxxxxxxxx") + call("get_current_comm", "fp-16", 16)
             + "r1 = *(u8 *)(r10 -1)\nr0 <<= 8\nr0 |= r1\n", 0),
        Case("get_current_comm cut", RAW, store(-8, b"xxxxxxxx") + call("get_current_comm", "fp-8", 2)
             + "r0 = *(u8 *)(r10 -7)\n", 0),
        Case("get_ns_current_pid_tgid wrong", RAW, call("get_ns_current_pid_tgid", 1, 1, "fp-8", 8), _E["EINVAL"]),
        Case("get_current_ancestor_cgroup_id deep", RAW, call("get_current_ancestor_cgroup_id", 4000), 0),
        # ── stacks and events
        Case("get_stack flags", RAW, call("get_stack", "ctx", "fp-16", 16, 0x10000), _E["EINVAL"]),
        Case("get_stack size", RAW, call("get_stack", "ctx", "fp-16", 12, 0), _E["EINVAL"]),
        Case("perf_event_output nobody", RAW, _KEY + call("perf_event_output", "ctx", "map0", 0, "fp-8", 8),
             _E["ENOENT"], (MapSpec("events", 4, 4, 4, 2),)),
        Case("perf_event_output outside", RAW, _KEY + call("perf_event_output", "ctx", "map0", 5, "fp-8", 8),
             _E["E2BIG"], (MapSpec("events", 4, 4, 4, 2),)),
        Case("perf_event_read nobody", RAW, call("perf_event_read", "map0", 0), _E["ENOENT"],
             (MapSpec("events", 4, 4, 4, 2),)),
        Case("perf_event_read flags", RAW, call("perf_event_read", "map0", 1 << 40), _E["EINVAL"],
             (MapSpec("events", 4, 4, 4, 2),)),
    ]  # fmt: skip
    return cases + _packet_cases()


def _xdp(
    name: str, helper: str, *arguments: int | str, expect: int | None = 0, before: str = "", after: str = ""
) -> Case:
    return Case(f"{helper} {name}", XDP, before + call(helper, "ctx", *arguments) + after, expect)


def _tc(
    name: str, helper: str, *arguments: int | str, expect: int | None = 0, before: str = "", after: str = ""
) -> Case:
    return Case(f"{helper} {name}", TC, before + call(helper, "ctx", *arguments) + after, expect)


def _diff(old: bytes, new: bytes, seed: int) -> Case:
    body = store(-16, old.ljust(8, b"\0")) + store(-32, new.ljust(8, b"\0"))
    body += call("csum_diff", "fp-16", len(old), "fp-32", len(new), seed)
    return Case(f"csum_diff {old.hex()} {new.hex()} {seed:#x}", TC, body, None)


_LEN = "r0 = *(u32 *)(r6 +0)\n"  # of __sk_buff


def _packet_cases() -> list[Case]:
    word = store(-8, b"\xaa\xbb\xcc\xdd\xee\xff\x11\x22")
    return [
        *(_xdp(f"by {n}", "xdp_adjust_head", n, expect=e) for n, e in
          ((-20, 0), (20, 0), (-217, _E["EINVAL"]), (-216, 0), (len(PACKET) - 13, _E["EINVAL"]), (0, 0))),
        *(_xdp(f"by {n}", "xdp_adjust_tail", n, expect=e) for n, e in
          ((-20, 0), (20, 0), (4000, _E["EINVAL"]), (13 - len(PACKET), _E["EINVAL"]), (0, 0))),
        *(_xdp(f"by {n}", "xdp_adjust_meta", n, expect=e) for n, e in
          ((-4, 0), (-3, _E["EACCES"]), (4, _E["EINVAL"]), (-256, _E["EINVAL"]), (-252, _E["EINVAL"]), (-200, 0))),
        _xdp("", "xdp_get_buff_len", expect=len(PACKET)),
        _xdp("after tail", "xdp_get_buff_len", expect=len(PACKET) - 9, before=call("xdp_adjust_tail", "ctx", -9)),
        _xdp("ports", "xdp_load_bytes", 34, "fp-8", 4, after="r0 = *(u32 *)(r10 -8)\n", expect=0x50003412),
        _xdp("outside", "xdp_load_bytes", len(PACKET) - 3, "fp-8", 4, expect=_E["EINVAL"]),
        _xdp("ports", "xdp_store_bytes", 34, "fp-8", 4, before=word),
        _xdp("outside", "xdp_store_bytes", len(PACKET) - 3, "fp-8", 4, before=word, expect=_E["EINVAL"]),
        Case("redirect xdp flags", XDP, call("redirect", 1, 1), 0),
        Case("redirect xdp", XDP, call("redirect", 1, 0), 4),
        Case("redirect tc", TC, call("redirect", 1, 0), 7),
        Case("redirect tc flags", TC, call("redirect", 1, 2), 2),
        Case("redirect_peer flags", TC, call("redirect_peer", 1, 1), 2),
        Case("redirect_peer", TC, call("redirect_peer", 1, 0), 7),
        Case("redirect_neigh", TC, call("redirect_neigh", 1, 0, 0, 0), 7),
        Case("redirect_neigh flags", TC, call("redirect_neigh", 1, 0, 0, 1), 2),
        *(Case(f"redirect_map {what}", XDP, call("redirect_map", "map0", key, flags), e,
               (MapSpec("devices", 14, 4, 4, 4),)) for what, key, flags, e in
          (("pass", 0, 2, 2), ("tx", 9, 3, 3), ("flags", 0, 64, 0))),
        _tc("ports", "skb_load_bytes", 34, "fp-8", 4, after="r0 = *(u32 *)(r10 -8)\n", expect=0x50003412),
        _tc("outside", "skb_load_bytes", len(PACKET) - 3, "fp-8", 4, expect=_E["EFAULT"]),
        _tc("zeroes", "skb_load_bytes", len(PACKET) - 3, "fp-8", 8, before=word, after="r0 = *(u64 *)(r10 -8)\n"),
        Case("skb_load_bytes filter", FILTER, call("skb_load_bytes", "ctx", 0, "fp-8", 4) + "r0 = *(u32 *)(r10 -8)\n",
             0x34000045),
        *(_tc(f"from {h}", "skb_load_bytes_relative", o, "fp-8", 2, h, after="r0 = *(u16 *)(r10 -8)\n", expect=e)
          for o, h, e in ((12, 0, 8), (0, 1, 0x45))),
        _tc("unknown header", "skb_load_bytes_relative", 0, "fp-8", 2, 2, expect=_E["EFAULT"]),
        _tc("ports", "skb_store_bytes", 34, "fp-8", 4, 0, before=word),
        _tc("recompute", "skb_store_bytes", 34, "fp-8", 4, 1, before=word),
        _tc("outside", "skb_store_bytes", len(PACKET) - 3, "fp-8", 4, 0, before=word, expect=_E["EFAULT"]),
        _tc("flags", "skb_store_bytes", 34, "fp-8", 4, 4, before=word, expect=_E["EINVAL"]),
        *(_tc(f"{o} {a} {b} {f}", "l3_csum_replace", o, a, b, f, expect=e) for o, a, b, f, e in
          ((24, 0x0A000001, 0x0A000005, 4, 0), (24, 0x1234, 0x4321, 2, 0), (24, 0, 0x12345, 0, 0),
           (24, 1, 2, 0, _E["EINVAL"]), (24, 1, 2, 3, _E["EINVAL"]), (25, 1, 2, 2, _E["EFAULT"]),
           (24, 1, 2, 16, _E["EINVAL"]), (400, 1, 2, 2, _E["EFAULT"]), (24, 0xFFFF, 0, 2, 0), (24, 0, 0xFFFF, 2, 0))),
        *(_tc(f"{o} {a} {b} {f:#x}", "l4_csum_replace", o, a, b, f, expect=e) for o, a, b, f, e in
          ((50, 0x0A000001, 0x0A000005, 0x14, 0), (50, 0x1234, 0x4321, 2, 0), (50, 0, 0x7654321, 0x10, 0),
           (52, 1, 2, 0x22, 0), (52, 1, 2, 0x62, 0), (50, 1, 2, 0x100, _E["EINVAL"]), (51, 1, 2, 2, _E["EFAULT"]))),
        _diff(b"\1\2\3\4", b"\5\6\7\x08", 0), _diff(b"\1\2\3\4", b"", 0x1234), _diff(b"", b"\xff\xfe\xfd\xfc", 7),
        _diff(b"\xff\xff\xff\xff\xff\xff\xff\xff", b"\0\0\0\0", 0xFFFFFFFF), _diff(b"", b"", 0x89ABCDEF),
        _diff(b"\1\2\3", b"\5\6\7\x08", 0),
        _tc("", "csum_update", 1, expect=_E["ENOTSUPP"]),
        _tc("query", "csum_level", 0, expect=_E["EACCES"]),
        _tc("query 2", "csum_level", 0, expect=1, before=2 * call("csum_level", "ctx", 1)),
        _tc("query 1", "csum_level", 0, expect=0, before=2 * call("csum_level", "ctx", 1) + call("csum_level", "ctx", 2)),
        _tc("reset", "csum_level", 0, expect=_E["EACCES"], before=call("csum_level", "ctx", 1) + call("csum_level", "ctx", 3)),
        _tc("unknown", "csum_level", 9, expect=_E["EINVAL"]),
        *(_tc(f"to {n}", "skb_change_tail", n, 0, after=_LEN, expect=e) for n, e in
          ((60, 60), (100, 100), (14, 14), (13, len(PACKET)), (70000, len(PACKET)))),
        _tc("flags", "skb_change_tail", 60, 1, expect=_E["EINVAL"]),
        _tc("by 10", "skb_change_head", 10, 0, after=_LEN, expect=len(PACKET) + 10),
        _tc("flags", "skb_change_head", 10, 1, expect=_E["EINVAL"]),
        *(_tc(f"{n} in mode {m} flags {f}", "skb_adjust_room", n, m, f, expect=e) for n, m, f, e in
          ((8, 0, 0, 0), (8, 1, 0, 0), (-8, 0, 0, 0), (-8, 1, 0, 0), (0, 0, 0, 0), (0x1000, 0, 0, _E["EFAULT"]),
           (8, 2, 0, _E["ENOTSUPP"]), (-40, 1, 0, _E["ENOTSUPP"]), (8, 0, 1 << 20, _E["EINVAL"]))),
        _tc("to 6", "skb_change_proto", 0xDD86, 0, after=_LEN, expect=len(PACKET) + 20),
        _tc("same", "skb_change_proto", 8, 0, expect=_E["ENOTSUPP"]),
        _tc("flags", "skb_change_proto", 0xDD86, 1, expect=_E["EINVAL"]),
        _tc("multicast", "skb_change_type", 2, after="r0 = *(u32 *)(r6 +4)\n", expect=2),
        _tc("unknown", "skb_change_type", 9, expect=_E["EINVAL"]),
        _tc("all", "skb_pull_data", len(PACKET)), _tc("beyond", "skb_pull_data", len(PACKET) + 1, expect=_E["ENOMEM"]),
        _tc("8021q", "skb_vlan_push", 0x81, 5, after="r0 = *(u32 *)(r6 +24)\n", expect=5),
        _tc("twice", "skb_vlan_push", 0xA888, 6, before=call("skb_vlan_push", "ctx", 0x81, 5), after=_LEN,
            expect=len(PACKET) + 4),
        _tc("outer proto", "skb_vlan_push", 0xA888, 6, after="r0 = *(u32 *)(r6 +28)\n", expect=0xA888),
        _tc("nothing", "skb_vlan_pop", after=_LEN, expect=len(PACKET)),
        _tc("inner", "skb_vlan_pop", before=call("skb_vlan_push", "ctx", 0x81, 5) + call("skb_vlan_push", "ctx", 0x81, 6),
            after="r0 = *(u32 *)(r6 +24)\n", expect=5),
        _tc("inner packet", "skb_vlan_pop", before=call("skb_vlan_push", "ctx", 0x81, 5)
            + call("skb_vlan_push", "ctx", 0x81, 6), after=_LEN, expect=len(PACKET)),
        _tc("then recalc", "set_hash", 77, after=call("get_hash_recalc", "ctx"), expect=77),
        _tc("then read", "set_hash_invalid", before=call("set_hash", "ctx", 77), after="r0 = *(u32 *)(r6 +68)\n"),
        _tc("none", "skb_ecn_set_ce"),
        _tc("tos", "skb_ecn_set_ce", before=store(-8, b"\2") + call("skb_store_bytes", "ctx", 15, "fp-8", 1, 0), expect=1),
        _tc("tos 1", "skb_ecn_set_ce", before=store(-8, b"\1") + call("skb_store_bytes", "ctx", 15, "fp-8", 1, 0), expect=1),
        _tc("kind", "skb_set_tstamp", 1234, 1, after="r0 = *(u64 *)(r6 +152)\n", expect=1234),
        _tc("no stamp", "skb_set_tstamp", 0, 1, expect=_E["EINVAL"]),
        _tc("no kind", "skb_set_tstamp", 1234, 0),
        _tc("nothing set", "skb_get_tunnel_key", "fp-32", 28, 0, expect=_E["EINVAL"]),
        _tc("nothing set", "skb_get_tunnel_opt", "fp-32", 28, expect=None),
        _tc("small", "fib_lookup", "fp-72", 32, 0, before=store(-72, bytes(64)), expect=_E["EINVAL"]),
        _tc("flags", "fib_lookup", "fp-72", 64, 1 << 20, before=store(-72, bytes(64)), expect=_E["EINVAL"]),
        _tc("family", "fib_lookup", "fp-72", 64, 0, before=store(-72, b"\x09" + bytes(63)), expect=-97 & 0xFFFFFFFF),
        *(_tc(f"{ifindex} {length} {delta} {flags}", "check_mtu", ifindex, "fp-8", delta, flags,
              before=store(-8, length.to_bytes(8, "little")), expect=e)
          for ifindex, length, delta, flags, e in
          ((1, 100, 0, 0, 0), (1, 70000, 0, 0, 1), (1, 65536, 1, 0, 1), (1, 0, 0, 2, _E["EINVAL"]))),
        _tc("flags", "clone_redirect", 1, 2, expect=_E["EINVAL"]),
        _tc("nowhere", "clone_redirect", 999999, 0, expect=None),
        *(_tc(f"{name} size", f"sk_lookup_{name}", "fp-16", 8, -1, 0, before=store(-16, bytes(16)),
              after="if r0 == 0 goto +3\nr1 = r0\ncall bpf_sk_release\nr0 = 1\n", expect=0) for name in ("tcp", "udp")),
    ]  # fmt: skip


CASES = _cases()
