"""Which program it is that a verdict speaks of: a digest of instructions, kind and maps, the same for whoever asks.

A verifier notes it in its verdict, and a machine that would run the program without checks compares: the same bytes with
another map, whose values are shorter, are another program.
"""

from __future__ import annotations

from cygnet.isa.consts import BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_IDX, BPF_PSEUDO_MAP_VALUE, INSN_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cygnet.spec.objects import MapSpec


def identity(type: int, attach_type: int, flags: int, code: bytes, maps: Mapping[int, tuple[MapSpec, int]]) -> str:
    """Of a program with relocations applied, in hex. `maps` has, for the slot of each load that names a map, the map and
    the offset into its value; how the load names it (a descriptor, an index) makes no difference."""
    from hashlib import sha256

    canonical = bytearray(code)
    shapes = []
    for slot in sorted(maps):
        spec, offset = maps[slot]
        at = slot * INSN_BYTES
        kind = canonical[at + 1] >> 4
        kind = BPF_PSEUDO_MAP_FD if kind in (0, BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_IDX) else BPF_PSEUDO_MAP_VALUE
        canonical[at + 1] = canonical[at + 1] & 0x0F | kind << 4
        canonical[at + 4 : at + 8] = canonical[at + 12 : at + 16] = bytes(4)
        shapes.append((slot, offset, shape(spec)))
    return sha256(repr((type, attach_type, flags, bytes(canonical), shapes)).encode()).hexdigest()


def shape(spec: MapSpec) -> tuple[Any, ...]:
    """All of a map that a verifier looks at."""
    sizes = (spec.type, spec.key_size, spec.value_size, spec.max_entries, spec.flags)
    inner = shape(spec.inner) if spec.inner is not None else None
    data = spec.data if spec.frozen else b""
    return (*sizes, spec.frozen, data, inner, spec.value_type_id, spec.fields)
