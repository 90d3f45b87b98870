"""What a program's 64-bit loads stand for in user space: handles of maps, addresses of values, symbols, variables."""

from __future__ import annotations

from cygnet.errors import RelocationError
from cygnet.isa.encode import decode
from cygnet.spec import relocs
from cygnet.spec.resolver import SystemResolver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cygnet.spec.objects import MapSpec, ProgramSpec
    from cygnet.spec.protocols import TargetInfo
    from cygnet.vm.machine import Machine

_MAP_FD, _MAP_VALUE, _MAP_IDX, _MAP_IDX_VALUE = 1, 2, 5, 6


class MachineResolver(SystemResolver):
    """A spec.apply.Resolver for a machine: types come from its target, maps and symbols are its own."""

    __slots__ = ("_machine",)

    def __init__(self, machine: Machine, target: TargetInfo | None, session: Mapping[str, int]) -> None:
        self._machine = machine

        def given() -> TargetInfo:
            if target is None:
                raise RelocationError("the program asks for types of a system, and the machine was given no target")
            return target

        super().__init__(given, lambda name: machine.map(name).id, session, lambda _: True, self._symbol)

    def _symbol(self, name: str) -> int:
        symbols = self._machine.world.symbols
        if name not in symbols:
            symbols[name] = self._machine.world.object_address(f"symbol {name}", 0)
        return symbols[name]

    def kvar(self, name: str) -> int:
        return 0  # `constants_of` puts the address in its place

    def kfunc(self, name: str) -> int:
        return self._machine.host.kfuncs.number(name)

    def _system_number(self, name: str) -> int | None:
        if name in ("ncpus", "possible_cpus"):
            return self._machine.host.map_host.cpus
        if name in ("pidns_dev", "pidns_ino"):
            return self._machine.world.pid_namespace[name == "pidns_ino"]
        return self._machine.world.tai_offset_ns if name == "tai_offset_ns" else None


def resolver_of(machine: Machine, target: TargetInfo | None, session: Mapping[str, int]) -> MachineResolver:
    return MachineResolver(machine, target, session)


def value_address(store: Any, offset: int) -> int:
    """The address `offset` bytes into the value of an array map."""
    if not hasattr(store, "address"):
        raise RelocationError(f"map {store.name!r} is no array: its value has no fixed address")
    return int(store.address(0)) + offset


def constants_of(machine: Machine, program: ProgramSpec) -> dict[int, int]:
    """Slot → number, of every load that refers to something.

    A load without a relocation names a map by its descriptor (`UserMap.id`), or by its place in the object.
    """
    found: dict[int, int] = {}
    for reloc in program.relocs:
        if reloc.kind == relocs.MAP:
            found[reloc.insn] = _map(machine, reloc.name).handle
        elif reloc.kind == relocs.MAP_VALUE:
            found[reloc.insn] = value_address(_map(machine, reloc.name), reloc.data or 0)
        elif reloc.kind == relocs.KVAR:
            found[reloc.insn] = machine.world.variable(machine.host, reloc.name)
    if b"\x18" in program.insns[::8]:
        _unnamed(machine, program, found)
    return found


def is_of(verdict: Any, machine: Machine, program: ProgramSpec, code: bytes) -> bool:
    """Was it this program that a verifier accepted (`code` is relocated), with these maps, and does it touch nothing that
    only a kernel vouches for?"""
    from cygnet.spec.identity import identity

    if not verdict.accepted or not verdict.self_contained:
        return False
    loads = _loads(machine, program, code)
    return bool(verdict.identity == identity(program.type, program.attach_type, program.flags, code, loads))


def _loads(machine: Machine, program: ProgramSpec, code: bytes) -> dict[int, tuple[MapSpec, int]]:
    """Slot → map and offset, of every load that names a map."""
    named = {reloc.insn: reloc.name for reloc in program.relocs if reloc.kind in (relocs.MAP, relocs.MAP_VALUE)}
    names = list(machine.maps)
    by_id, insns = machine.host.map_host.maps_by_id, decode(code)
    found: dict[int, tuple[MapSpec, int]] = {}
    for slot, insn in enumerate(insns):
        if insn.code != 0x18 or insn.src not in (_MAP_FD, _MAP_VALUE, _MAP_IDX, _MAP_IDX_VALUE):
            continue
        name = named.get(slot)
        if name is None:
            name = names[insn.imm] if insn.src in (_MAP_IDX, _MAP_IDX_VALUE) else by_id[insn.imm].name
        found[slot] = machine.map_spec(name), insns[slot + 1].imm if insn.src in (_MAP_VALUE, _MAP_IDX_VALUE) else 0
    return found


def _map(machine: Machine, name: str) -> Any:
    try:
        return machine.map(name)
    except KeyError:
        raise RelocationError(f"the program uses map {name}, which does not exist") from None


def _unnamed(machine: Machine, program: ProgramSpec, found: dict[int, int]) -> None:
    insns = decode(program.insns)
    names = list(machine.maps)
    for slot, insn in enumerate(insns):
        if insn.code != 0x18 or slot in found or insn.src not in (_MAP_FD, _MAP_VALUE, _MAP_IDX, _MAP_IDX_VALUE):
            continue
        store: Any = machine.host.map_host.maps_by_id.get(insn.imm)
        if insn.src in (_MAP_IDX, _MAP_IDX_VALUE):
            store = machine.map(names[insn.imm]) if 0 <= insn.imm < len(names) else None
        if store is None:
            raise RelocationError(f"program {program.name}: slot {slot} names map {insn.imm}, which does not exist")
        if insn.src in (_MAP_VALUE, _MAP_IDX_VALUE):
            found[slot] = value_address(store, insns[slot + 1].imm)
        else:
            found[slot] = store.handle
