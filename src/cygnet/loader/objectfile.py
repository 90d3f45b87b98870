"""A question as a BPF object file: what libbpf, bpftool and llvm-objdump read.

The layout is that of the C programs libbpf loads: a section for each kind of place, maps described by BTF in
``.maps``, maps that programs address directly as data sections, and what programs call in ``.text``. The numbers that
a machine decides (offsets, addresses, what its kernel can do) are those of the target the object is made for.
"""

from __future__ import annotations

import struct

from cygnet.btf.builder import Builder, ProgramInfo, ext_section
from cygnet.elf import numbers as n
from cygnet.elf.writer import Relocatable
from cygnet.errors import NotSupported
from cygnet.isa import consts
from cygnet.loader.debuginfo import Prototypes, add_lines, identifier
from cygnet.spec import relocs
from cygnet.spec.apply import apply
from cygnet.uapi.bpf import BPF_MAP_TYPE_ARRAY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cygnet.spec.apply import Resolver
    from cygnet.spec.objects import FuncInfo, LinkSpec, MapSpec, ObjectSpec, ProgramSpec
    from cygnet.spec.protocols import TargetInfo

R_BPF_64_64, R_BPF_64_32 = 1, 10
_SLEEPABLE = 1 << 4  # BPF_F_SLEEPABLE
_CODE = n.SHF_ALLOC | n.SHF_EXECINSTR
_DATA = n.SHF_ALLOC | n.SHF_WRITE


def object_file(spec: ObjectSpec, resolver: Resolver) -> bytes:
    """The object file. `resolver` answers all relocations but those of maps, which stay relocations.

    Raises NotSupported for what such a file cannot hold, and RelocationError as loading would.
    """
    return _Writer(spec, resolver).to_bytes()


def for_target(spec: ObjectSpec, target: TargetInfo, session: Mapping[str, int]) -> bytes:
    """The object file for the running system; `session` gives the numbers that belong to a run."""
    from cygnet.kernel.features import has
    from cygnet.loader.ksyms import address
    from cygnet.spec.resolver import SystemResolver

    return object_file(spec, SystemResolver(lambda: target, _no_map, session, has, address))


def _no_map(name: str) -> int:
    raise KeyError(name)  # maps stay relocations


class _Text:
    """A section of code in the making."""

    __slots__ = ("code", "info", "number", "relocs", "symbols")

    def __init__(self, builder: Builder) -> None:
        self.code = bytearray()
        self.info = ProgramInfo(builder)
        self.symbols: list[tuple[str, int, int]] = []
        self.relocs: list[tuple[int, str, int]] = []  # (byte offset, map or "" for .text, type)
        self.number = 0


class _Writer:
    """One object file."""

    def __init__(self, spec: ObjectSpec, resolver: Resolver) -> None:
        self.spec = spec
        self.resolver = resolver
        self.btf = Builder()
        self.prototypes = Prototypes(self.btf)
        self.elf = Relocatable(n.EM_BPF)
        self.texts: dict[str, _Text] = {}
        self.direct = {
            reloc.name for program in spec.programs for reloc in program.relocs if reloc.kind == relocs.MAP_VALUE
        }
        self.map_symbols: dict[str, int] = {}

    def to_bytes(self) -> bytes:
        for program in self.spec.programs:
            self._program(program)
        self._maps([one for one in self.spec.maps if one.name not in self.direct])
        for one in self.spec.maps:
            if one.name in self.direct:
                self._data(one)
        self._sections()
        licenses = {program.license for program in self.spec.programs} or {"GPL"}
        self.elf.section("license", licenses.pop().encode() + b"\0", _DATA, align=1)
        names = list(self.texts)
        func_info = {name: _scaled(self.texts[name].info.func_info(), 8) for name in names}
        line_info = {name: _scaled(self.texts[name].info.line_info(), 16) for name in names}
        ext = ext_section(func_info, {name: rows for name, rows in line_info.items() if rows}, self.btf)
        self.elf.section(".BTF", self.btf.to_bytes())
        self.elf.section(".BTF.ext", ext)
        return self.elf.to_bytes()

    # ── code ──

    def _program(self, program: ProgramSpec) -> None:
        """The entry into the section of its kind, what it calls into ``.text``."""
        maps = [reloc for reloc in program.relocs if reloc.kind in (relocs.MAP, relocs.MAP_VALUE)]
        rest = tuple([reloc for reloc in program.relocs if reloc.kind not in (relocs.MAP, relocs.MAP_VALUE)])
        code = bytearray(apply(program._replace(relocs=rest), self.resolver))
        for reloc in maps:
            if reloc.kind == relocs.MAP and reloc.name in self.direct:
                raise NotSupported(
                    f"an object file for {program.name}", f"map {reloc.name} to be used in one way: it is addressed "
                    "directly and through helpers, which libbpf's format does not allow",
                )  # fmt: skip
            code[reloc.insn * 8 + 1] &= 0x0F  # what it means is said by the relocation alone
            struct.pack_into("<I", code, reloc.insn * 8 + 4, reloc.data or 0)
        starts = [function.insn for function in program.functions] + [len(code) // 8]
        homes: dict[int, int] = {}  # first slot → byte offset in .text
        pieces = list(zip(program.functions, starts, starts[1:], strict=False))
        for _function, start, _end in pieces[1:]:
            homes[start] = len(self._text(".text").code) + 8 * (start - pieces[1][1])
        for function, start, end in pieces:
            text = self._text(".text" if start else _section(program, self.spec.links))
            self._function(text, program, function, code[8 * start : 8 * end], homes)
            base = len(text.code) - 8 * (end - start)
            text.relocs += [
                (base + 8 * (reloc.insn - start), reloc.name, R_BPF_64_64)
                for reloc in maps
                if start <= reloc.insn < end
            ]

    def _text(self, name: str) -> _Text:
        text = self.texts.get(name)
        if text is None:
            text = self.texts[name] = _Text(self.btf)
        return text

    def _function(
        self, text: _Text, program: ProgramSpec, function: FuncInfo, code: bytearray, homes: dict[int, int]
    ) -> None:
        base = len(text.code)
        self._references(text, function.insn, code, homes)
        text.code += code
        name = identifier(function.name)
        text.symbols.append((name, base, len(code)))
        text.info.func(base // 8, self.prototypes.function(function))
        start = function.insn
        add_lines(text.info, program, start, start + len(code) // 8, base // 8 - start)

    def _references(self, text: _Text, start: int, code: bytearray, homes: dict[int, int]) -> None:
        """Calls of functions, and their addresses, become relocations: they move to another section."""
        at = 0
        while at < len(code):
            opcode, regs, _off, imm = struct.unpack_from("<BBhi", code, at)
            target = start + at // 8 + 1 + imm
            if opcode == consts.BPF_JMP | consts.BPF_CALL and regs >> 4 == consts.BPF_PSEUDO_CALL:
                struct.pack_into("<i", code, at + 4, homes[target] // 8 - 1)
                text.relocs.append((len(text.code) + at, "", R_BPF_64_32))
            elif opcode == consts.LD_IMM64 and regs >> 4 == consts.BPF_PSEUDO_FUNC:
                code[at + 1] = regs & 0x0F
                struct.pack_into("<i", code, at + 4, homes[target])
                text.relocs.append((len(text.code) + at, "", R_BPF_64_64))
            at += 16 if opcode == consts.LD_IMM64 else 8

    def _sections(self) -> None:
        for name, text in self.texts.items():
            text.number = self.elf.section(name, bytes(text.code), _CODE)
        own = -1
        if ".text" in self.texts:
            own = self.elf.symbol("", self.texts[".text"].number, kind=n.STT_SECTION)
        for name, text in self.texts.items():
            binding = n.STB_LOCAL if name == ".text" else n.STB_GLOBAL
            for symbol, offset, size in text.symbols:
                self.elf.symbol(symbol, text.number, offset, size, n.STT_FUNC, binding)
            for offset, of, kind in text.relocs:
                self.elf.reloc(text.number, offset, self.map_symbols[of] if of else own, kind)

    # ── maps ──

    def _maps(self, maps: Iterable[MapSpec]) -> None:
        """``.maps``: a variable for each, whose type tells what to make."""
        variables = []
        places = []
        offset = 0
        for one in maps:
            if one.inner is not None:
                raise NotSupported(f"an object file with map {one.name}", "a map that holds no maps")
            numbers = {"type": one.type, "key_size": one.key_size, "value_size": one.value_size,
                       "max_entries": one.max_entries, "map_flags": one.flags}  # fmt: skip
            members = [(name, value) for name, value in numbers.items() if value]
            size = 8 * len(members)
            char = self.btf.integer(4, True)
            fields = [(name, self.btf.ptr(self.btf.array(char, value)), 64 * at)
                      for at, (name, value) in enumerate(members)]  # fmt: skip
            kind = self.btf.struct("", size, fields)
            name = identifier(one.name)
            variables.append((self.btf.var(name, kind), offset, size))
            places.append((one.name, name, offset, size))
            offset += size
        if not places:
            return
        self.btf.datasec(".maps", offset, variables)
        section = self.elf.section(".maps", bytes(offset), _DATA)
        for of, name, at, size in places:
            self.map_symbols[of] = self.elf.symbol(name, section, at, size, n.STT_OBJECT, n.STB_GLOBAL)

    def _data(self, one: MapSpec) -> None:
        """A map that programs address directly: libbpf makes one from each data section."""
        if one.type != BPF_MAP_TYPE_ARRAY:
            raise NotSupported(f"an object file with map {one.name}", "an array where programs address a map directly")
        name = identifier(one.name)
        size = one.value_size * one.max_entries
        prefix = ".rodata." if one.frozen else ".data."  # not ".bss.", which libbpf 1.1 does not know
        flags = n.SHF_ALLOC if one.frozen else _DATA
        data = one.data.ljust(size, b"\0")
        section = self.elf.section(prefix + name, data, flags)
        of = self.btf.array(self.btf.integer(1, False), size)
        self.btf.datasec(prefix + name, size, [(self.btf.var(name, of), 0, size)])
        self.map_symbols[one.name] = self.elf.symbol(name, section, 0, size, n.STT_OBJECT, n.STB_GLOBAL)


def _scaled(rows: bytes, record: int) -> bytes:
    """Instruction numbers become byte offsets, as an object file has them."""
    scaled = bytearray(rows)
    for at in range(0, len(rows), record):
        struct.pack_into("<I", scaled, at, 8 * struct.unpack_from("<I", rows, at)[0])
    return bytes(scaled)


# ── section names ──


def _section(program: ProgramSpec, links: Iterable[LinkSpec]) -> str:
    """The name that says what a program is, and, where it goes to one place that has a name there, the place."""
    own = [link for link in links if link.program == program.name]
    if not own:
        return "raw_tp"
    kind, prefix = own[0].kind, _PREFIXES.get(own[0].kind, "")
    if not prefix:
        raise NotSupported(f"an object file for {own[0].probe}", "a probe that libbpf has a section name for")
    if kind == "uprobe" and own[0].target["ret"]:
        prefix = "uretprobe"
    if kind == "raw_tracepoint" and own[0].target.get("typed"):
        prefix = "tp_btf"
    if program.flags & _SLEEPABLE:
        prefix += ".s"
    names = {_PLACES[kind](link) for link in own} if kind in _PLACES else set()
    return f"{prefix}/{names.pop()}" if len(names) == 1 else prefix


def _function(link: LinkSpec) -> str:
    offset = link.target["offset"]
    return str(link.target["function"]) + (f"+{offset}" if offset else "")


_PREFIXES = {
    "begin": "raw_tp", "end": "raw_tp", "signal": "raw_tp", "test": "raw_tp", "bench": "raw_tp",
    "raw_tracepoint": "raw_tp", "tracepoint": "tracepoint", "kprobe": "kprobe", "kretprobe": "kretprobe",
    "uprobe": "uprobe", "usdt": "uprobe", "perf_sample": "perf_event", "software": "perf_event",
    "hardware": "perf_event", "watchpoint": "perf_event", "fentry": "fentry", "fexit": "fexit", "iter": "iter",
}  # fmt: skip
_PLACES: dict[str, Callable[[LinkSpec], str]] = {
    "tracepoint": lambda link: f"{link.target['subsys']}/{link.target['event']}",
    "raw_tracepoint": lambda link: link.target["event"],
    "kprobe": _function,
    "kretprobe": _function,
    "fentry": lambda link: link.target["name"],
    "fexit": lambda link: link.target["name"],
    "iter": lambda link: link.target["name"],
}
