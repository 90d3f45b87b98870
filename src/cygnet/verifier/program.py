"""ProgramSpec as a person hands it over, and what the verifier makes of it: instructions, maps, functions."""

from __future__ import annotations

from cygnet.verifier.env import E2BIG, EINVAL, Env, Ins, MapInfo, Special
from cygnet.verifier.state import Reject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from cygnet.spec.objects import FuncInfo, LineInfo, MapSpec

MAX_PROGRAM = 1_000_000

F_STRICT_ALIGNMENT, F_ANY_ALIGNMENT, F_TEST_STATE_FREQ, F_SLEEPABLE = 1, 2, 8, 16
F_XDP_HAS_FRAGS, F_TEST_REG_INVARIANTS = 32, 128


class ProgramSpec:
    """One program to verify.

    type                    name (``xdp``, ``BPF_PROG_TYPE_XDP``) or number
    insns                   encoded instructions (bytes, little-endian), or Insn and other 5-tuples
    expected_attach_type    name or number; 0 or "" is none
    flags                   of BPF_PROG_LOAD: 1 strict alignment, 16 may sleep …
    maps                    index of the instruction that loads a map, or the map's name → MapSpec
    attach_to               the kernel function a tracing or LSM program is for
    btf, func_info          the program's own types (bytes) and array of struct bpf_func_info
    functions, lines        instead of them: where functions begin, and the source line of instructions
    """

    __slots__ = (
        "attach_to", "btf", "expected_attach_type", "flags", "func_info", "functions", "insns", "license", "lines",
        "maps", "name", "relocs", "source", "type",
    )  # fmt: skip

    def __init__(
        self,
        type: str | int,
        insns: bytes | bytearray | memoryview | Iterable[Sequence[int]] = b"",
        name: str = "",
        expected_attach_type: str | int = 0,
        flags: int = 0,
        maps: Mapping[int | str, MapSpec] | None = None,
        btf: Any = None,
        *,
        code: bytes | None = None,
        license: str = "GPL",
        attach_to: str = "",
        func_info: bytes = b"",
        functions: Sequence[FuncInfo] = (),
        lines: Sequence[LineInfo] = (),
        source: Any = None,
        relocs: Sequence[Any] = (),
    ) -> None:
        self.type = type
        given = code if code is not None else insns
        self.insns: bytes = bytes(given) if isinstance(given, (bytes, bytearray, memoryview)) else _encoded(given)
        self.name = name
        self.expected_attach_type = expected_attach_type
        self.flags = flags
        self.maps: dict[int | str, MapSpec] = dict(maps or {})
        self.btf = btf
        self.license = license
        self.attach_to = attach_to
        self.func_info = func_info
        self.functions = tuple(functions)
        self.lines = tuple(lines)
        self.source = source
        self.relocs = tuple(relocs)

    def __repr__(self) -> str:
        return f"<ProgramSpec {self.name!r} {self.type} of {len(self.insns) // 8} instructions>"


def _encoded(insns: Iterable[Sequence[int]]) -> bytes:
    from cygnet.isa.encode import encode

    return encode([tuple(insn) for insn in insns])  # type: ignore[misc]


def from_object(program: Any, maps: Iterable[MapSpec] = (), source: Any = None) -> ProgramSpec:
    """Of a program of an ObjectSpec (cygnet.spec.objects), whose maps are named by its relocations."""
    return ProgramSpec(
        program.type,
        program.insns,
        program.name,
        program.attach_type,
        program.flags,
        {spec.name: spec for spec in maps},
        license=program.license,
        attach_to=program.attach_to,
        functions=program.functions,
        lines=program.lines,
        source=source,
        relocs=program.relocs,
    )


# -- instructions


def decode(code: bytes) -> list[Ins]:
    """Slots as they are; only the framing is checked. Raises Reject."""
    import struct

    size = len(code)
    if size == 0:
        raise Reject("a program has at least one instruction", EINVAL)
    if size % 8:
        raise Reject(f"{size} bytes are not a whole number of 8-byte instructions", EINVAL)
    if size // 8 > MAX_PROGRAM:
        raise Reject(f"{size // 8} instructions are more than the {MAX_PROGRAM} that a program may have", E2BIG)
    return [Ins(opcode, regs & 15, regs >> 4, off, imm) for opcode, regs, off, imm in struct.iter_unpack("<BBhi", code)]


_known_codes: list[bool] = []


def known_code(code: int) -> bool:
    """Is there an instruction of this opcode byte?"""
    if not _known_codes:
        from cygnet.isa.opcodes import rows

        table = [False] * 256
        for row in rows():
            if row.group != "kernel" or row.code != 0xC2:
                table[row.code] = True
        table[0x8D] = False  # calls through a register are not for programs to load
        _known_codes.extend(table)
    return _known_codes[code]


def resolve(env: Env, spec: ProgramSpec) -> None:
    """The 64-bit loads, and opcodes that there are none of. Kernel: resolve_pseudo_ldimm64."""
    infos: dict[int, MapInfo] = {}
    names = {reloc.insn: reloc.name for reloc in spec.relocs if reloc.kind in ("map", "map_value")}
    at, insns = 0, env.insns
    while at < len(insns):
        ins = insns[at]
        if ins.cls == 1 and (ins.code & 0xE0 not in (0x60, 0x80) or ins.imm):
            raise Reject("BPF_LDX uses reserved fields", EINVAL, at)
        if ins.code == 0x18:
            _resolve_wide(env, spec, at, infos, names)
            at += 2
            continue
        if not known_code(ins.code):
            raise Reject(f"unknown opcode {ins.code:02x}", EINVAL, at)
        at += 1


def _resolve_wide(env: Env, spec: ProgramSpec, at: int, infos: dict[int, MapInfo], names: dict[int, str]) -> None:
    insns = env.insns
    ins = insns[at]
    last = at == len(insns) - 1
    if last or insns[at + 1].code or insns[at + 1].dst or insns[at + 1].src or insns[at + 1].off:
        raise Reject("invalid bpf_ld_imm64 insn", EINVAL, at)
    high = insns[at + 1].imm
    ins.imm64 = high << 32 | ins.imm & 0xFFFFFFFF
    name = names.get(at)
    if name is not None and ins.src == 0:
        ins.src = 2 if any(reloc.insn == at and reloc.kind == "map_value" for reloc in spec.relocs) else 1
    if ins.src in (0, 4):
        return
    if ins.src == 3:
        from cygnet.verifier import kerneltypes

        kerneltypes.resolve_variable(env, ins, high, at)
        return
    if ins.src not in (1, 2, 5, 6) or (ins.src in (1, 5) and high):
        raise Reject("unrecognized bpf_ld_imm64 insn", EINVAL, at)
    info = _map_of(env, spec, at, ins, infos, name)
    ins.map = info
    if ins.src in (1, 5):
        return
    offset = high & 0xFFFFFFFF
    for reloc in spec.relocs:
        if reloc.insn == at and reloc.kind == "map_value":
            offset = int(reloc.data or 0)
    if info.kind not in ("array", "arena"):
        raise Reject("no direct value access support for this map type", EINVAL, at)
    if info.kind == "array" and (info.entries != 1 or offset >= info.value_size):
        why = f"invalid access to map value pointer, value_size={info.value_size} off={offset}"
        raise Reject(why, 524 if info.entries != 1 else EINVAL, at)
    ins.map_off = offset


def _map_of(env: Env, spec: ProgramSpec, at: int, ins: Ins, infos: dict[int, MapInfo], name: str | None) -> MapInfo:
    found = spec.maps.get(at)
    if found is None and name is not None:
        found = spec.maps.get(name)
    if found is None and len(spec.maps) > 0 and all(isinstance(key, str) for key in spec.maps):
        ordered = list(spec.maps.values())
        if 0 <= ins.imm < len(ordered):
            found = ordered[ins.imm]
        elif len(ordered) == 1:
            found = ordered[0]
    if found is None and ins.src in (5, 6):
        raise Reject("fd_idx without fd_array is invalid", 71, at)
    if found is None:
        raise Reject(f"fd {ins.imm} is not pointing to valid bpf_map", 9, at)
    info = infos.get(id(found))
    if info is None:
        info = next((each for key, each in infos.items() if each.spec == found and found.name), None)
    if info is None:
        info = infos[id(found)] = map_info(found)
        env.target.check_map(info.kind)
        env.maps.append(info)
    return info


def map_words(spec: ProgramSpec) -> Iterator[tuple[str, int]]:
    """The numbers of all maps, with what they are called."""
    for each in spec.maps.values():
        inner: MapSpec | None = each
        while inner is not None:
            for name in ("key_size", "value_size", "max_entries", "flags"):
                yield f"{name} of map {inner.name!r}", getattr(inner, name)
            inner = inner.inner


def map_info(spec: MapSpec) -> MapInfo:
    from cygnet.facts.maptypes import map_type

    try:
        kind = map_type(spec.type)
    except KeyError:
        from cygnet.errors import UsageError

        raise UsageError(f"{spec.type!r} is no map type") from None
    info = MapInfo(spec.name, kind.name, kind.id, spec.key_size, spec.value_size, spec.max_entries)
    info.spec = spec
    info.flags = spec.flags
    info.frozen = spec.frozen
    info.data = spec.data or None
    if spec.inner is not None:
        info.inner = map_info(spec.inner)
    elif kind.name in ("array_of_maps", "hash_of_maps"):
        info.inner = MapInfo("", "array", 2, 4, 4, 1)
    if spec.btf is not None and spec.value_type_id:
        from cygnet.verifier.records import fields_of, open_btf

        info.btf = open_btf(spec.btf)
        info.value_id = spec.value_type_id
        info.specials = fields_of(info.btf, info.value_id)
    for name, offset in spec.fields:
        info.specials.append(Special(name, offset, SPECIAL_BYTES[name]))
    return info


SPECIAL_BYTES = {
    "spin_lock": 4, "res_spin_lock": 4, "timer": 16, "wq": 16, "task_work": 16, "kptr_untrusted": 8, "kptr": 8,
    "kptr_percpu": 8, "uptr": 8, "list_head": 16, "list_node": 24, "rb_root": 16, "rb_node": 32, "refcount": 4,
}  # fmt: skip
