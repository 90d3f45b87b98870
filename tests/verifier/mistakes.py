"""Programs with one mistake each, and what an explanation of it must say."""

from __future__ import annotations

from typing import NamedTuple

from cygnet.btf.builder import Builder
from cygnet.isa.encode import decode
from cygnet.spec.objects import MapSpec
from cygnet.verifier.files import Judged, assembled

HEAD = "# map: counts hash 4 8 16\n# map: table array 4 64 1\n# map: ring ringbuf 0 0 4096\n# map: lock array 4 16 1\n"
LOOKUP = """\
*(u32 *)(r10 -4) = 0
r2 = r10
r2 += -4
r1 = map[fd:{map}]
call bpf_map_lookup_elem
"""
TABLE = LOOKUP.format(map=1)
COUNTS = LOOKUP.format(map=0)
END = "r0 = 0\nexit\n"
LOCKED = LOOKUP.format(map=3) + "if r0 == 0 goto out\nr6 = r0\n"


class Mistake(NamedTuple):
    """`line` is the instruction that is blamed, `says` words of the explanation, `fix` words of the suggestion."""

    name: str
    kind: str
    text: str
    line: str
    says: tuple[str, ...] = ()
    fix: tuple[str, ...] = ()
    type: str = "xdp"
    head: str = HEAD


MISTAKES = (
    Mistake(
        "null",
        "null-check",
        COUNTS + "r1 = *(u64 *)(r0 +0)\n" + END,
        "r1 = *(u64 *)(r0 +0)",
        ("counts", "bpf_map_lookup_elem", "NULL", "no check"),
        ("if r0 == 0 goto",),
    ),
    Mistake(
        "null_copy",
        "null-check",
        COUNTS + "r6 = r0\nr7 = 1\nif r7 == 0 goto out\n*(u64 *)(r6 +0) = 1\nout: " + END,
        "*(u64 *)(r6 +0) = 1",
        ("r6", "bpf_map_lookup_elem"),
        ("if r6 == 0 goto",),
    ),
    Mistake(
        "null_inverted",
        "null-check",
        COUNTS + "if r0 != 0 goto out\nr1 = *(u64 *)(r0 +0)\nout: " + END,
        "r1 = *(u64 *)(r0 +0)",
        ("NULL", "if r0 != 0 goto out"),
        ("if r0 == 0 goto",),
    ),
    Mistake(
        "null_around",
        "null-check",
        "r6 = *(u32 *)(r1 +12)\n"
        + COUNTS
        + "if r6 == 0 goto use\nif r0 == 0 goto out\nuse: r1 = *(u64 *)(r0 +0)\nout: "
        + END,
        "r1 = *(u64 *)(r0 +0)",
        ("`if r6 == 0 goto use` was taken", "the check of r0 at line 12 is not on this way"),
        ("if r0 == 0 goto",),
    ),
    Mistake(
        "null_arithmetic",
        "null-check",
        COUNTS + "r0 += 4\n" + END,
        "r0 += 4",
        ("bpf_map_lookup_elem",),
        ("if r0 == 0 goto",),
    ),
    Mistake(
        "packet",
        "packet-bounds",
        "r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\nr0 = *(u8 *)(r2 +13)\n" + END,
        "r0 = *(u8 *)(r2 +13)",
        ("14 bytes", "data_end", "no check"),
        ("+= 14", "goto"),
    ),
    Mistake(
        "packet_short",
        "packet-bounds",
        "r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\nr4 = r2\nr4 += 8\nif r4 > r3 goto out\nr0 = *(u32 *)(r2 +6)\nout: "
        + END,
        "r0 = *(u32 *)(r2 +6)",
        ("8 bytes", "10 bytes"),
        ("+= 10",),
    ),
    Mistake(
        "index",
        "unbounded-index",
        "r6 = *(u32 *)(r1 +12)\n" + TABLE + "if r0 == 0 goto out\nr0 += r6\nr1 = *(u8 *)(r0 +0)\nout: " + END,
        "r1 = *(u8 *)(r0 +0)",
        ("table", "64", "ingress_ifindex"),
        ("if r6 > 63 goto",),
    ),
    Mistake(
        "index_large",
        "unbounded-index",
        "r6 = *(u32 *)(r1 +12)\nr6 &= 255\n"
        + TABLE
        + "if r0 == 0 goto out\nr0 += r6\nr1 = *(u8 *)(r0 +0)\nout: "
        + END,
        "r1 = *(u8 *)(r0 +0)",
        ("255", "64"),
        ("63",),
    ),
    Mistake(
        "index_signed",
        "unbounded-index",
        "r6 = *(u32 *)(r1 +12)\nr6 <<= 32\nr6 s>>= 32\n"
        + TABLE
        + "if r0 == 0 goto out\nif r6 s> 63 goto out\nr0 += r6\nr1 = *(u8 *)(r0 +0)\nout: "
        + END,
        "r0 += r6",
        ("negative",),
        ("if r6 > 63 goto",),
    ),
    Mistake(
        "length",
        "unbounded-index",
        "r2 = *(u32 *)(r1 +12)\nr1 = r10\nr1 += -64\nr3 = 0\ncall bpf_probe_read_kernel\n" + END,
        "call bpf_probe_read_kernel",
        ("size",),
        ("if r2 > 64 goto",),
        type="kprobe",
    ),
    Mistake(
        "outside",
        "out-of-bounds",
        TABLE + "if r0 == 0 goto out\nr1 = *(u64 *)(r0 +60)\nout: " + END,
        "r1 = *(u64 *)(r0 +60)",
        ("table", "64", "68"),
    ),
    Mistake(
        "stack",
        "stack-depth",
        "*(u64 *)(r10 -520) = 0\n" + END,
        "*(u64 *)(r10 -520) = 0",
        ("512", "520"),
    ),
    Mistake(
        "stack_combined",
        "stack-depth",
        "*(u64 *)(r10 -304) = 0\ncall sub\n" + END + "sub:\n*(u64 *)(r10 -256) = 0\n" + END,
        "*(u64 *)(r10 -256) = 0",
        ("560", "512", "the program itself takes 304 bytes", "takes 256 bytes"),
    ),
    Mistake(
        "loop",
        "infinite-loop",
        "r6 = 0\nagain:\nr7 = 1\nif r6 == 0 goto again\n" + END,
        "r7 = 1",
        ("if r6 == 0 goto again",),
    ),
    Mistake(
        "scalar",
        "scalar-pointer",
        "r6 = 64\nr0 = *(u64 *)(r6 +0)\n" + END,
        "r0 = *(u64 *)(r6 +0)",
        ("r6 = 64",),
    ),
    Mistake(
        "kernel",
        "kernel-pointer",
        "r6 = *(u64 *)(r1 +112)\nr0 = *(u32 *)(r6 +8)\n" + END,
        "r0 = *(u32 *)(r6 +8)",
        ("di",),
        ("bpf_probe_read_kernel", "r3 += 8", "r2 = 4"),
        type="kprobe",
    ),
    Mistake(
        "leak",
        "reference-leak",
        "r1 = map[fd:2]\nr2 = 8\nr3 = 0\ncall bpf_ringbuf_reserve\nif r0 == 0 goto out\n*(u64 *)(r0 +0) = 1\nout: "
        + END,
        "exit",
        ("bpf_ringbuf_reserve", "call bpf_ringbuf_reserve"),
        ("bpf_ringbuf_submit", "bpf_ringbuf_discard"),
    ),
    Mistake(
        "twice",
        "double-release",
        "r1 = map[fd:2]\nr2 = 8\nr3 = 0\ncall bpf_ringbuf_reserve\nif r0 == 0 goto out\nr6 = r0\nr1 = r6\nr2 = 0\n"
        "call bpf_ringbuf_submit\nr1 = r6\nr2 = 0\ncall bpf_ringbuf_submit\nout: " + END,
        "call bpf_ringbuf_submit",
        ("released",),
    ),
    Mistake(
        "after",
        "double-release",
        "r1 = map[fd:2]\nr2 = 8\nr3 = 0\ncall bpf_ringbuf_reserve\nif r0 == 0 goto out\nr6 = r0\nr1 = r6\nr2 = 0\n"
        "call bpf_ringbuf_discard\nr1 = *(u64 *)(r6 +0)\nout: " + END,
        "r1 = *(u64 *)(r6 +0)",
        ("bpf_ringbuf_discard",),
    ),
    Mistake(
        "helper",
        "helper-not-allowed",
        "r1 = 0\nr2 = 0\ncall bpf_redirect\n" + END,
        "call bpf_redirect",
        ("kprobe", "xdp", "sched_cls", "4.4"),
        type="kprobe",
    ),
    Mistake(
        "context",
        "bad-context",
        "r0 = *(u32 *)(r1 +24)\n" + END,
        "r0 = *(u32 *)(r1 +24)",
        ("xdp_md", "24 bytes"),
    ),
    Mistake(
        "context_write",
        "bad-context",
        "*(u32 *)(r1 +0) = r1\n" + END,
        "*(u32 *)(r1 +0) = r1",
        ("data",),
    ),
    Mistake(
        "context_size",
        "bad-context",
        "r0 = *(u64 *)(r1 +16)\n" + END,
        "r0 = *(u64 *)(r1 +16)",
        ("rx_queue_index", "4 bytes"),
        ("*(u32 *)(r1 +16)",),
    ),
    Mistake("no_result", "unset-register", "exit\n", "exit", ("r0",), ("r0 = 0",)),
    Mistake(
        "unset",
        "unset-register",
        "call bpf_ktime_get_ns\nr0 = r1\n" + END,
        "r0 = r1",
        ("r1", "bpf_ktime_get_ns"),
        ("r6",),
    ),
    Mistake(
        "million",
        "too-many-insns",
        "r6 = 0\nagain:\nr6 += 1\nif r6 < 2000000 goto again\n" + END,
        "",
        ("1,000,000",),
    ),
    Mistake(
        "branches",
        "too-many-branches",
        "call bpf_get_prandom_u32\nr6 = r0\n"
        + "".join(f"if r6 == {number} goto out\n" for number in range(8200))
        + "out: "
        + END,
        "",
        ("8,192",),
    ),
    Mistake("unreachable", "unreachable", "r0 = 0\nexit\nr0 = 1\nexit\n", "r0 = 1", ("r0 = 1",)),
    Mistake(
        "wrong_map",
        "wrong-map",
        "r2 = r1\nr1 = map[fd:0]\nr2 = 8\nr3 = 0\ncall bpf_ringbuf_reserve\n" + END,
        "call bpf_ringbuf_reserve",
        ("counts", "hash", "ringbuf"),
    ),
    Mistake(
        "no_map",
        "wrong-map",
        "r2 = r10\nr2 += -4\nr1 = 5\n*(u32 *)(r10 -4) = 0\ncall bpf_map_lookup_elem\n" + END,
        "call bpf_map_lookup_elem",
        ("r1", "map"),
    ),
    Mistake(
        "sleep",
        "sleepable",
        "r3 = r1\nr1 = r10\nr1 += -8\nr2 = 8\nr3 = 0\ncall bpf_copy_from_user\n" + END,
        "call bpf_copy_from_user",
        ("sleep",),
        type="kprobe",
    ),
    Mistake(
        "gpl",
        "gpl-only",
        "r1 = r10\nr1 += -8\nr2 = 8\nr3 = 0\ncall bpf_probe_read_kernel\n" + END,
        "call bpf_probe_read_kernel",
        ("GPL",),
        ("license",),
        type="kprobe",
        head=HEAD + "# license: MIT\n",
    ),
    Mistake(
        "result",
        "bad-return",
        "r0 = 2\nexit\n",
        "exit",
        ("2", "0", "1"),
        type="cgroup_sock",
        head="# attach-type: CGROUP_INET_SOCK_CREATE\n",
    ),
    Mistake(
        "misaligned",
        "misaligned",
        "r0 = *(u64 *)(r10 -12)\n" + END,
        "r0 = *(u64 *)(r10 -12)",
        ("8",),
    ),
    Mistake(
        "fp",
        "pointer-arithmetic",
        "r10 += 8\n" + END,
        "r10 += 8",
        ("r10",),
    ),
    Mistake(
        "buffer",
        "out-of-bounds",
        "r1 = r10\nr1 += -8\nr2 = 16\ncall bpf_get_current_comm\n" + END,
        "call bpf_get_current_comm",
        ("16 bytes from fp-8", "r1 += -8"),
        ("r1 += -16",),
        type="kprobe",
    ),
    Mistake("two_pointers", "pointer-arithmetic", "r1 += r10\n" + END, "r1 += r10", ("r1 and r10 are both pointers",)),
    Mistake("narrow", "pointer-arithmetic", "w1 += 4\n" + END, "w1 += 4", ("the context", "64 bits"), ("r1 += 4",)),
    Mistake(
        "before",
        "out-of-bounds",
        TABLE + "if r0 == 0 goto out\nr1 = *(u8 *)(r0 -3)\nout: " + END,
        "r1 = *(u8 *)(r0 -3)",
        ("3 bytes before a value of `table`",),
    ),
    Mistake("multiply", "pointer-arithmetic", "r1 *= 8\n" + END, "r1 *= 8", ("the context",)),
    Mistake("jump", "bad-jump", "r0 = 0\nif r0 == 0 goto +7\nexit\n", "if r0 == 0 goto +7", ("end",)),
    Mistake("no_exit", "bad-jump", "r0 = 0\n", "r0 = 0", ("behind the end",), ("exit",)),
    Mistake("opcode", "bad-instruction", ".insn 0xff, 0, 0, 0, 0\nexit\n", ".insn 0xff, 0, 0, 0, 0", ("ff",)),
    Mistake(
        "read_only",
        "read-only",
        COUNTS + "if r0 == 0 goto out\n*(u64 *)(r0 +0) = 1\nout: " + END,
        "*(u64 *)(r0 +0) = 1",
        ("only read",),
        head="# map: counts hash 4 8 16 128\n",
    ),
    Mistake(
        "lock_twice",
        "spin-lock",
        LOCKED + "r1 = r6\ncall bpf_spin_lock\nr1 = r6\ncall bpf_spin_lock\nout: " + END,
        "call bpf_spin_lock",
        ("while one is held",),
    ),
    Mistake(
        "lock_held",
        "spin-lock",
        LOCKED + "r1 = r6\ncall bpf_spin_lock\nout: " + END,
        "exit",
        ("still held", "the lock is taken"),
        ("bpf_spin_unlock",),
    ),
    Mistake(
        "lock_call",
        "spin-lock",
        LOCKED + "r1 = r6\ncall bpf_spin_lock\ncall bpf_ktime_get_ns\nr1 = r6\ncall bpf_spin_unlock\nout: " + END,
        "call bpf_ktime_get_ns",
        ("bpf_ktime_get_ns", "while a lock is held"),
    ),
    Mistake(
        "unlock",
        "spin-lock",
        LOCKED + "r1 = r6\ncall bpf_spin_unlock\nout: " + END,
        "call bpf_spin_unlock",
        ("not taken",),
    ),
    Mistake(
        "frames",
        "stack-depth",
        "call f1\n" + END + "".join(f"f{at}: call f{at + 1}\n{END}" for at in range(1, 9)) + "f9: " + END,
        "",
        ("8 is the most",),
    ),
    Mistake(
        "scaled",
        "unbounded-index",
        "r6 = *(u32 *)(r1 +12)\n"
        + TABLE
        + "if r0 == 0 goto out\nr6 <<= 3\nr0 += r6\nr1 = *(u64 *)(r0 +0)\nout: "
        + END,
        "r1 = *(u64 *)(r0 +0)",
        ("each step is 8", "ingress_ifindex"),
        ("if r6 > 7 goto",),
    ),
)


def made(mistake: Mistake) -> Judged:
    """The program; maps are given by instruction, as the kernel's judge wants them, and the one called lock has a lock."""
    found = assembled("mistake.s", mistake.head + mistake.text, mistake.type, None)
    spec = found.spec
    named = list(spec.maps.values())
    spec.name = mistake.name
    spec.maps = {
        at: _with_lock(named[insn.imm])
        for at, insn in enumerate(decode(spec.insns))
        if insn.code == 0x18 and insn.src == 1
    }
    return found


def _with_lock(spec: MapSpec) -> MapSpec:
    """Its value is ``struct { struct bpf_spin_lock lock; int count; long data; }``."""
    if spec.name != "lock":
        return spec
    build = Builder()
    number = build.integer(4, True)
    lock = build.struct("bpf_spin_lock", 4, [("val", number, 0)])
    value = build.struct("value", 16, [("lock", lock, 0), ("count", number, 32), ("data", build.integer(8), 64)])
    return spec._replace(btf=build.to_bytes(), value_type_id=value)
