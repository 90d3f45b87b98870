"""Relocations applied: numbers of the machine at hand put into a program's instructions."""

from __future__ import annotations

import struct

from cygnet.errors import RelocationError
from cygnet.isa import consts
from cygnet.spec import relocs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from cygnet.spec.objects import ProgramSpec
    from cygnet.spec.relocs import Reloc

    class Resolver(Protocol):
        """What a machine answers. Each raises RelocationError for what it does not have."""

        def map_fd(self, name: str) -> int: ...
        def tracepoint_field(self, event: str, field: str) -> tuple[int, int, bool]:
            """(offset, size, signed) of a field in an event's record; `event` is ``subsys:event``."""

        def core(self, type: str, kind: str, path: str) -> tuple[int, int, bool]:
            """(value, size in bytes, signed) of a member; `kind` is offset, size or exists."""

        def ksym(self, name: str) -> int: ...
        def kvar(self, name: str) -> int: ...
        def kfunc(self, name: str) -> int: ...
        def session(self, name: str) -> int: ...
        def may_goto(self) -> bool: ...


def apply(program: ProgramSpec, resolver: Resolver) -> bytes:
    """The program's instructions for the machine behind `resolver`.

    Raises RelocationError when the machine lacks something or has it in another shape than the compiler
    assumed, and says what.
    """
    if not program.relocs:
        return program.insns
    code = bytearray(program.insns)
    for reloc in program.relocs:
        row = _KINDS.get(reloc.kind)
        if row is None:
            raise RelocationError(f"program {program.name}: unknown relocation {reloc.kind} of {reloc.name}")
        row(code, reloc, resolver)
    return bytes(code)


# ── placing a number ─────────────────────────────────────────────────────────────────────────────────────


def _put(code: bytearray, reloc: Reloc, number: int) -> None:
    """Write a number into the field that the relocation names. The slot's other fields stay."""
    at = reloc.insn * consts.INSN_BYTES
    try:
        _PLACES[reloc.where](code, at, number)
    except struct.error:
        raise RelocationError(f"{reloc.name}: {number} does not fit the instruction at slot {reloc.insn}") from None
    except KeyError:
        raise RelocationError(f"{reloc.name}: unknown place {reloc.where} at slot {reloc.insn}") from None


def _put_off(code: bytearray, at: int, number: int) -> None:
    struct.pack_into("<h", code, at + 2, number)


def _put_imm(code: bytearray, at: int, number: int) -> None:
    struct.pack_into("<i", code, at + 4, number)


def _put_imm64(code: bytearray, at: int, number: int) -> None:
    if code[at] != consts.LD_IMM64:
        raise RelocationError(f"the instruction at slot {at // 8} is not a 64-bit load")
    number &= (1 << 64) - 1
    struct.pack_into("<I", code, at + 4, number & 0xFFFFFFFF)
    struct.pack_into("<I", code, at + 12, number >> 32)


_PLACES = {"off": _put_off, "imm": _put_imm, "imm64": _put_imm64}


def _pseudo(code: bytearray, reloc: Reloc, kind: int) -> None:
    """Set the src register's field, which says what an immediate means."""
    at = reloc.insn * consts.INSN_BYTES + 1
    code[at] = code[at] & 0x0F | kind << 4


# ── one function a kind ──────────────────────────────────────────────────────────────────────────────────


def _map(code: bytearray, reloc: Reloc, resolver: Resolver) -> None:
    _put(code, reloc, resolver.map_fd(reloc.name))
    _pseudo(code, reloc, consts.BPF_PSEUDO_MAP_FD)


def _map_value(code: bytearray, reloc: Reloc, resolver: Resolver) -> None:
    """The file descriptor in the first slot, the offset in the second."""
    offset = reloc.data or 0
    _put(code, reloc, resolver.map_fd(reloc.name) & 0xFFFFFFFF | offset << 32)
    _pseudo(code, reloc, consts.BPF_PSEUDO_MAP_VALUE)


def _tp_field(code: bytearray, reloc: Reloc, resolver: Resolver) -> None:
    field, size, signed = reloc.data[:3]  # a front end may add the offset that it saw
    offset, real_size, real_signed = resolver.tracepoint_field(reloc.name, field)
    _same(f"field {field} of tracepoint {reloc.name}", size, signed, real_size, real_signed)
    _put(code, reloc, offset)


def _core(code: bytearray, reloc: Reloc, resolver: Resolver) -> None:
    """`assumed`, for an offset, may be (size, signed) of the member: the instruction that reads it was compiled
    for that, and another is refused. A bare number is the offset that the compiler saw, and need not hold here.
    Sizes and existence are numbers for the program to look at: nothing to assume."""
    kind, path, assumed = reloc.data
    value, size, signed = resolver.core(reloc.name, kind, path)
    if kind == "offset" and isinstance(assumed, tuple):
        _same(f"member {path} of {reloc.name}", assumed[0], assumed[1], size, signed)
    _put(code, reloc, value)


def _same(what: str, size: int, signed: bool, real_size: int, real_signed: bool) -> None:
    if size != real_size:
        raise RelocationError(f"{what} has {real_size} bytes here; the program was compiled for {size}")
    if bool(signed) != bool(real_signed):
        kinds = ("unsigned", "signed")
        raise RelocationError(
            f"{what} is {kinds[real_signed]} here; the program was compiled for {kinds[bool(signed)]}"
        )


def _ksym(code: bytearray, reloc: Reloc, resolver: Resolver) -> None:
    _put(code, reloc, resolver.ksym(reloc.name))


def _kvar(code: bytearray, reloc: Reloc, resolver: Resolver) -> None:
    _put(code, reloc, resolver.kvar(reloc.name))
    _pseudo(code, reloc, consts.BPF_PSEUDO_BTF_ID)


def _kfunc(code: bytearray, reloc: Reloc, resolver: Resolver) -> None:
    _put_imm(code, reloc.insn * consts.INSN_BYTES, resolver.kfunc(reloc.name))
    _pseudo(code, reloc, consts.BPF_PSEUDO_KFUNC_CALL)


def _session(code: bytearray, reloc: Reloc, resolver: Resolver) -> None:
    _put(code, reloc, resolver.session(reloc.name))


def _may_goto(code: bytearray, reloc: Reloc, resolver: Resolver) -> None:
    """Without may_goto the instruction becomes ``goto +0``: the loop must then end by itself."""
    if not resolver.may_goto():
        at = reloc.insn * consts.INSN_BYTES
        code[at : at + consts.INSN_BYTES] = struct.pack("<BBhi", consts.BPF_JMP | consts.BPF_JA, 0, 0, 0)


def _opaque(code: bytearray, reloc: Reloc, resolver: Resolver) -> None:
    """Without may_goto the verifier must follow a loop's counter: the load becomes ``r = 0``."""
    if not resolver.may_goto():
        at = reloc.insn * consts.INSN_BYTES
        mov = consts.BPF_ALU64 | consts.BPF_MOV | consts.BPF_K
        code[at : at + consts.INSN_BYTES] = struct.pack("<BBhi", mov, code[at + 1] & 0x0F, 0, 0)


_KINDS: dict[str, Callable[[bytearray, Reloc, Resolver], None]] = {
    relocs.MAP: _map,
    relocs.MAP_VALUE: _map_value,
    relocs.TP_FIELD: _tp_field,
    relocs.CORE: _core,
    relocs.KSYM: _ksym,
    relocs.KVAR: _kvar,
    relocs.KFUNC: _kfunc,
    relocs.SESSION: _session,
    relocs.MAY_GOTO: _may_goto,
    relocs.OPAQUE: _opaque,
}
