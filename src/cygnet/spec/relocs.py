"""Relocations: numbers that belong to a system, left for the loader to fill in.

A program is the same bytes on every machine; each number that a machine decides is one of these,
with what was assumed when it was compiled. Kinds::

    MAP         name = map                 imm64: the map's file descriptor
    MAP_VALUE   name = map, data = offset  imm64: address inside the value of an array map
    TP_FIELD    name = "subsys:event", data = (field, size, signed)
                off: the field's offset in the record; the loader refuses another size or sign
    CORE        name = type name, data = (kind, path, assumed)   kind: offset · size · exists
                off, imm: as libbpf's CO-RE does
    KSYM        name = symbol              imm64: a kernel symbol's address
    KVAR        name = variable            imm64: BTF id of a per-CPU variable of the kernel, for per_cpu_ptr()
    KFUNC       name = kfunc               call: BTF id of a kernel function
    SESSION     name = start_ns | cpid | target_pid | pidns_dev | pidns_ino | ncpus …
                imm64: a number that the session gives when it loads
    MAY_GOTO    the instruction is `may_goto`; an older kernel gets `goto +0`
    OPAQUE      the instruction loads a 0 that the verifier cannot see through, so that a loop's counter is
                not followed round by round but left to `may_goto`; an older kernel gets `r = 0`, and
                follows the loop itself
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from cygnet.named import NamedTuple


MAP = "map"
MAP_VALUE = "map_value"
TP_FIELD = "tp_field"
CORE = "core"
KSYM = "ksym"
KVAR = "kvar"
KFUNC = "kfunc"
SESSION = "session"
MAY_GOTO = "may_goto"
OPAQUE = "opaque"


class RelocTemplate(NamedTuple):
    """A relocation before it has an instruction: what a front end writes into the IR.

    `where`: ``imm64`` (a 16-byte load), ``imm`` (a 32-bit immediate), ``off`` (a load's offset).
    """

    kind: str
    name: str
    where: str
    data: Any = None


class Reloc(NamedTuple):
    """A relocation of the instruction at slot `insn` (8-byte slots; a 16-byte load has two)."""

    insn: int
    kind: str
    name: str
    where: str
    data: Any = None
