"""Helpers that are machine code: the BPF assembly of `vm/helpers` through this same compiler, once a host."""

from __future__ import annotations

from typing import NamedTuple

from cygnet.isa.encode import encode
from cygnet.vm.helpers.assembly import helper_code
from cygnet.vm.program import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.maps.base import UserMap
    from cygnet.vm.host import Host
    from cygnet.vm.jit.engine import Unit

LOOKUP, UPDATE, DELETE, OUTPUT = 1, 2, 3, 130
# helper → operation of the map
OPERATIONS = {LOOKUP: "lookup", UPDATE: "update", DELETE: "delete", OUTPUT: "output"}


def is_plain(program: Program) -> bool:
    """Whether all helpers that it calls are of maps: they ask neither for the context nor for the world."""
    calls = {0x85, 0x8D}
    for at, code in enumerate(program.code[::8]):
        if code not in calls or (code == 0x85 and program.code[8 * at + 1] == 0x10):
            continue
        number = int.from_bytes(program.code[8 * at + 4 : 8 * at + 8], "little")
        if code == 0x8D or program.code[8 * at + 1] or number not in OPERATIONS:
            return False
    return True


class Native(NamedTuple):
    """A helper for one map: where its code is, and what its arguments point to.

    `reads` are (register, bytes), where 0 bytes means: as many as r3 says. `value_bytes` is not 0 when the
    result is the address of so many bytes, or 0.
    """

    address: int
    reads: tuple[tuple[int, int], ...]
    value_bytes: int = 0
    writable: bool = False


class Natives:
    """Finds, and makes when they are first asked for, the helpers of one host's maps."""

    def __init__(self, host: Host, load: Callable[[Program], Unit]) -> None:
        self._host = host
        self._load = load
        self._made: dict[tuple[str, ...], int] = {}
        self._held: dict[int, UserMap] = {}  # as a loaded program of the kernel holds its maps

    def is_map(self, handle: int) -> bool:
        return handle in self._host.maps

    def find(self, number: int, handle: int) -> Native | None:
        """Helper `number` as machine code for the map at `handle`; None: through Python."""
        operation, store = OPERATIONS.get(number), self._host.maps.get(handle)
        if operation is None or store is None:
            return None
        parts = store.machine_code().get(operation)
        if parts is None or not (store.program_may_write if number != LOOKUP else store.program_may_read):
            return None
        if handle not in self._held:
            self._held[handle] = store.hold()
        key, value = (2, store.key_size), (3, store.value_size)
        reads = {LOOKUP: (key,), DELETE: (key,), UPDATE: (key, value), OUTPUT: ((2, 0),)}[number]
        address = self._address(parts)
        if number == LOOKUP:
            return Native(address, reads, store.value_size, store.program_may_write)
        return Native(address, reads)

    def close(self) -> None:
        for store in self._held.values():
            store.close()
        self._held.clear()

    def _address(self, parts: tuple[str, ...]) -> int:
        address = self._made.get(parts)
        if address is None:
            unit = self._load(Program(encode(helper_code(parts)), name="+".join(parts)))
            address = self._made[parts] = unit.entry(0)
        return address
