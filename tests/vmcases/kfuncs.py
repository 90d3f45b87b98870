"""Cases for kernel functions: programs in assembly whose result depends on the arguments, for user space and the kernel."""

from __future__ import annotations

from collections.abc import Sequence

from tests.vmcases.helpers import FILTER, HASH, SYSCALL, TC, XDP, Case, arrays, call, program, store

from cygnet.facts.helpers import helper_id
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.isa.insn import Insn
from cygnet.spec.objects import MapSpec, ObjectSpec, ProgramSpec
from cygnet.spec.relocs import KFUNC, Reloc

_SLEEPABLE = 0x10
_names: list[str] = []
_COUNTS = (MapSpec("counts", HASH, 4, 8, 4),)


def kcall(name: str, *arguments: int | str) -> str:
    """A call of a kernel function; arguments as those of `call`."""
    if name not in _names:
        _names.append(name)
    return call(name, *arguments).replace(f"call bpf_{name}", f"call kfunc bpf_{name}#{1 + _names.index(name)}")


def kfunc_relocs(insns: Sequence[Insn]) -> list[Reloc]:
    """What gives the calls that `kcall` wrote the numbers of their functions."""
    calls = [(slot, insn.imm) for slot, insn in enumerate(insns) if insn.code == 0x85 and insn.src == 2]
    return [Reloc(slot, KFUNC, f"bpf_{_names[number - 1]}", "imm") for slot, number in calls]


def spec_of(case: Case) -> ObjectSpec:
    insns = assemble(program(case.text), helper_id=helper_id)
    relocs = kfunc_relocs(insns)
    for slot, insn in enumerate(insns):
        if insn.code == 0x18 and insn.src == 1:
            relocs.append(Reloc(slot, "map", case.maps[insn.imm].name, "imm64"))
        elif insn.code == 0x18 and insn.src == 2:
            relocs.append(Reloc(slot, "map_value", case.maps[insn.imm].name, "imm64", insns[slot + 1].imm))
    flags = _SLEEPABLE if case.type == SYSCALL else 0
    made = ProgramSpec("case", case.type, encode(insns), tuple(relocs), flags=flags)
    return ObjectSpec(programs=(made,), maps=case.maps)


# ── iterators ────────────────────────────────────────────────────────────────────────────────────────────


def _loop(kind: str, new: str, at: str) -> str:
    """What new gave, and a sum over what the iterator gives that depends on the order."""
    return (
        new + "r7 = r0\nr8 = 0\nagain:\n" + kcall(f"iter_{kind}_next", at) + "if r0 == 0 goto end\nr1 = *(u32 *)(r0 +0)\n"
        "r8 *= 31\nr8 += r1\nr8 <<= 32\nr8 >>= 32\ngoto again\nend:\n" + kcall(f"iter_{kind}_destroy", at)
        + "r0 = r7\nr0 <<= 8\nr0 += r8\n"
    )  # fmt: skip


def _num(start: int, end: int) -> Case:
    new = kcall("iter_num_new", "fp-8", start, end)
    return Case(f"iter_num_new {start} to {end}", TC, _loop("num", new, "fp-8"), None)


def _bits(data: bytes, words: int) -> Case:
    new = store(-64, data) + kcall("iter_bits_new", "fp-16", "fp-64", words)
    return Case(f"iter_bits_new {data.hex()} {words}", TC, _loop("bits", new, "fp-16"), None)


# ── strings ──────────────────────────────────────────────────────────────────────────────────────────────

_TWO = ("strcmp", "strcasecmp", "strspn", "strcspn", "strstr")
_PAIRS = ((b"cygnet", b"cygnet"), (b"Cygnet", b"cYGNET"), (b"abc", b"abd"), (b"abd", b"abc"), (b"ab", b"abc"), (b"", b""),
          (b"", b"a"), (b"hello world", b"o w"), (b"hello", b"leh"), (b"\xc4x", b"\xe4X"), (b"a\xff", b"a\x01"),
          (b"aabbcc", b"abc"), (b"xxabc", b"abc"))  # fmt: skip
_CHARS = (("e", b"cygnet"), ("t", b"cygnet"), ("z", b"cygnet"), ("\0", b"cygnet"), ("n", b"nine"), ("a", b""))


def _string_case(name: str, text: str, title: str) -> Case:
    return Case(f"{name} {title}", TC, text, None)


def _strings() -> list[Case]:
    made = []
    for name in _TWO:
        for a, b in _PAIRS:
            body = store(-32, a.ljust(16, b"\0")) + store(-64, b.ljust(16, b"\0"))
            made.append(_string_case(name, body + kcall(name, "fp-32", "fp-64"), f"{a!r} {b!r}"))
    for name in ("strchr", "strchrnul", "strrchr"):
        for char, a in _CHARS:
            body = store(-32, a.ljust(16, b"\0")) + kcall(name, "fp-32", ord(char))
            made.append(_string_case(name, body, f"{a!r} {char!r}"))
    for count in (0, 1, 3, 6, 7, 100):
        body = store(-32, b"cygnet".ljust(16, b"\0"))
        made.append(_string_case("strnchr", body + kcall("strnchr", "fp-32", count, ord("n")), str(count)))
        made.append(_string_case("strnlen", body + kcall("strnlen", "fp-32", count), str(count)))
        needle = body + store(-64, b"net".ljust(8, b"\0"))
        made.append(_string_case("strnstr", needle + kcall("strnstr", "fp-32", "fp-64", count), str(count)))
    made += [
        _string_case("strlen", store(-32, b"cyg\0net".ljust(16, b"\0")) + kcall("strlen", "fp-32"), "with a NUL"),
        _string_case("strlen", kcall("strlen", 1), "of a wild pointer"),
        _string_case("strlen", kcall("strlen", 0), "of null"),
        _string_case("strcmp", store(-32, bytes(8)) + kcall("strcmp", "fp-32", -1), "with a wild pointer"),
    ]
    return made


# ── dynptrs ──────────────────────────────────────────────────────────────────────────────────────────────

_BOOL = "r0 &= 255\n"  # what compiled C leaves in the other bits is its own affair
_FROM = {XDP: "dynptr_from_xdp", TC: "dynptr_from_skb", FILTER: "dynptr_from_skb"}


def _of_packet(name: str, type: int, text: str) -> Case:
    return Case(name, type, kcall(_FROM[type], "ctx", 0, "fp-16") + "r7 = r0\n" + text, None)


def _slice(type: int, kind: str, offset: int, length: int, then: str) -> Case:
    text = (
        kcall(kind, "fp-16", offset, "fp-48", length)
        + f"if r0 == 0 goto none\n{then}\ngoto end\nnone:\nr0 = 77\nend:\n"
    )
    return _of_packet(f"{kind} at {offset} of {length} in {type}", type, store(-48, bytes(32)) + text)


def _dynptrs() -> list[Case]:
    made = []
    for type in (XDP, TC, FILTER):
        made += [
            _of_packet(f"{_FROM[type]} size in {type}", type, kcall("dynptr_size", "fp-16")),
            _of_packet(f"dynptr_is_rdonly in {type}", type, kcall("dynptr_is_rdonly", "fp-16") + _BOOL),
            _of_packet(f"dynptr_is_null in {type}", type, kcall("dynptr_is_null", "fp-16") + _BOOL),
            Case(f"{_FROM[type]} with flags in {type}", type, kcall(_FROM[type], "ctx", 1, "fp-16") + "r7 = r0\n"
                 + kcall("dynptr_is_null", "fp-16") + _BOOL + "r0 += r7\n", None),
            _of_packet(f"dynptr_clone in {type}", type, kcall("dynptr_clone", "fp-16", "fp-32") + "r8 = r0\n"
                       + kcall("dynptr_adjust", "fp-16", 4, 20) + kcall("dynptr_size", "fp-32") + "r8 += r0\n"
                       + kcall("dynptr_size", "fp-16") + "r0 *= 1000\nr0 += r8\n"),
        ]  # fmt: skip
        for start, end in ((0, 66), (4, 20), (20, 4), (60, 70), (66, 66), (70, 80)):
            text = (
                kcall("dynptr_adjust", "fp-16", start, end) + "r8 = r0\n" + kcall("dynptr_size", "fp-16") + "r0 += r8\n"
            )
            made.append(_of_packet(f"dynptr_adjust {start} {end} in {type}", type, text))
        for offset, length in ((0, 8), (12, 8), (26, 8), (40, 8), (44, 8), (58, 8), (100, 8)):
            made.append(_slice(type, "dynptr_slice", offset, length, "r0 = *(u32 *)(r0 +0)"))
    for type in (XDP, TC):
        made.append(_slice(type, "dynptr_slice_rdwr", 14, 8, "*(u8 *)(r0 +1) = 0x5a\nr0 = *(u32 *)(r0 +0)"))
        read = call("dynptr_read", "fp-48", 8, "fp-16", 0, 0) + "r0 = *(u32 *)(r10 -48)\n"
        made.append(_of_packet(f"dynptr_adjust then read in {type}", type, store(-48, bytes(8))
                               + kcall("dynptr_adjust", "fp-16", 26, 40) + read))  # fmt: skip
        for offset, length in ((14, 8), (60, 6), (60, 8), (0, 0)):
            made.append(_of_packet(f"dynptr_memset {offset} {length} in {type}", type,
                                   kcall("dynptr_memset", "fp-16", offset, length, 0x1FF)))  # fmt: skip
        for to, source, length in ((20, 26, 8), (26, 20, 8), (60, 0, 8), (0, 60, 8), (30, 34, 12)):
            made.append(_of_packet(f"dynptr_copy {to} {source} {length} in {type}", type,
                                   kcall("dynptr_copy", "fp-16", to, "fp-16", source, length)))  # fmt: skip
    return made


# ── the rest ─────────────────────────────────────────────────────────────────────────────────────────────

_FILL = "".join(
    store(-8, bytes([key])) + store(-16, b"\x2a") + call("map_update_elem", "map0", "fp-8", "fp-16", 0)
    for key in (1, 2, 3)
)
_COUNT = kcall("map_sum_elem_count", "map0")

_RANGES = ((0, 5), (5, 5), (7, 3), (-3, 4), (0, 8 * 1024 * 1024 + 1), (-5, -1), (2147483645, 2147483647))
_WORDS = ((b"\x05", 1), (bytes(8), 1), (b"\xff" * 8, 1), (b"\x01" * 16, 2), (bytes(8) + b"\x80", 2), (b"\1", 0),
          (bytes(15) + b"\x80", 2))  # fmt: skip
_TOO_MUCH = store(-64, bytes(8)) + kcall("iter_bits_new", "fp-16", "fp-64", 512)


def _copied(source: int, flags: int) -> Case:
    text = store(-16, b"\xff" * 16) + kcall("copy_from_user_str", "fp-16", 16, source, flags)
    return Case(
        f"copy_from_user_str {source} flags {flags}", SYSCALL, text + "r1 = *(u64 *)(r10 -16)\nr0 += r1\n", None
    )


CASES: tuple[Case, ...] = (
    *(_num(*ends) for ends in _RANGES),
    *(_bits(*words) for words in _WORDS),
    Case("iter_bits_new of a wild pointer", TC, _loop("bits", kcall("iter_bits_new", "fp-16", 1, 1), "fp-16"), None),
    Case("iter_bits_new of too much", TC, _loop("bits", _TOO_MUCH, "fp-16"), None),
    *_strings(),
    *_dynptrs(),
    Case("rcu_read_lock", TC, kcall("rcu_read_lock") + kcall("rcu_read_unlock") + "r0 = 5\n", 5),
    Case("preempt_disable", TC, kcall("preempt_disable") + kcall("preempt_enable") + "r0 = 6\n", 6),
    Case("local_irq_save", TC, kcall("local_irq_save", "fp-8") + kcall("local_irq_restore", "fp-8") + "r0 = 7\n", 7),
    Case("cast_to_kern_ctx", TC, "r7 = 0\nif r6 == 0 goto +1\nr7 = 9\n" + kcall("cast_to_kern_ctx", "ctx") + "r0 = r7\n", 9),
    Case("map_sum_elem_count", TC, _FILL + _COUNT, 3, _COUNTS),
    Case("map_sum_elem_count of an array", TC, _COUNT, 0, arrays(b"x")),
    *(_copied(*pair) for pair in ((0, 0), (0, 1), (0, 2))),
)  # fmt: skip
