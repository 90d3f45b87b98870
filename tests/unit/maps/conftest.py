"""Maps in a host of two CPUs, and their assembly run by the machine."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.maps.base import UserMap
from cygnet.maps.host import MapHost
from cygnet.maps.memory import view
from cygnet.vm.helpers.assembly import text_of
from cygnet.vm.host import Host
from cygnet.vm.jit.engine import Jit
from cygnet.vm.program import Program

CALL = """
    r4 = *(u64 *)(r1 +24)
    r3 = *(u64 *)(r1 +16)
    r2 = *(u64 *)(r1 +8)
    r1 = *(u64 *)(r1 +0)
    call helper
    exit
helper:
"""


@pytest.fixture
def host() -> Iterator[MapHost]:
    with MapHost(cpus=2) as made:
        yield made


class Machine:
    """Runs the assembly of map operations: `call(parts, r1 …)` gives r0, signed."""

    def __init__(self) -> None:
        self.host = Host()
        self.maps = MapHost(self.host.memory, cpus=2)
        self.jit = Jit(self.host, unsafe=True)
        self.arguments = self.host.memory.block(64, "arguments")
        self._programs: dict[tuple[str, ...], Program] = {}

    def call(self, parts: tuple[str, ...], *arguments: int) -> int:
        program = self._programs.get(parts)
        if program is None:
            program = self._programs[parts] = Program(encode(assemble(CALL + text_of(parts))))
        packed = struct.pack("=5Q", *arguments, *[0] * (5 - len(arguments)))
        self.arguments.view[:40] = packed
        result = self.jit.run(program, self.arguments.address, 64)
        return result - (1 << 64) if result >> 63 else result

    def close(self) -> None:
        self.jit.close()
        self.maps.close()
        self.host.close()


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    yield made
    made.close()


class AsProgram:
    """A map's operations as a program calls them: in Python, or as the machine's assembly."""

    def __init__(self, machine: Machine, store: UserMap, assembly: bool) -> None:
        self.machine, self.store, self.assembly = machine, store, assembly
        self.code = store.machine_code()
        self._key = machine.host.memory.block(max(store.key_size, 1), "key")
        self._value = machine.host.memory.block(store.value_size, "value")

    def _cpu(self) -> int:
        return self.machine.maps.cpu

    def lookup(self, key: bytes) -> bytes | None:
        self._key.view[:] = key
        if self.assembly:
            at = self.machine.call(self.code["lookup"], self.store.handle, self._key.address)
        else:
            at = self.store.lookup_ptr(self._key.address, self._cpu())
        return bytes(view(at, self.store.value_size)) if at else None

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        self._key.view[:], self._value.view[:] = key, value
        if self.assembly and "update" in self.code:
            return self.machine.call(
                self.code["update"], self.store.handle, self._key.address, self._value.address, flags
            )
        return self.store.update_ptr(self._key.address, self._value.address, flags, self._cpu())

    def delete(self, key: bytes) -> int:
        self._key.view[:] = key
        if self.assembly and "delete" in self.code:
            return self.machine.call(self.code["delete"], self.store.handle, self._key.address)
        return self.store.delete_ptr(self._key.address, self._cpu())
