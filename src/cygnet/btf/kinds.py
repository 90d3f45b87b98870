"""BTF kinds and flag values, as plain numbers (include/uapi/linux/btf.h)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MAGIC: Final = 0xEB9F
HEADER_BYTES: Final = 24

VOID: Final = 0
INT: Final = 1
PTR: Final = 2
ARRAY: Final = 3
STRUCT: Final = 4
UNION: Final = 5
ENUM: Final = 6
FWD: Final = 7
TYPEDEF: Final = 8
VOLATILE: Final = 9
CONST: Final = 10
RESTRICT: Final = 11
FUNC: Final = 12
FUNC_PROTO: Final = 13
VAR: Final = 14
DATASEC: Final = 15
FLOAT: Final = 16
DECL_TAG: Final = 17
TYPE_TAG: Final = 18
ENUM64: Final = 19

INT_SIGNED: Final = 1
INT_CHAR: Final = 2
INT_BOOL: Final = 4

# Linkage of a function and of a variable.
STATIC: Final = 0
GLOBAL: Final = 1
EXTERN: Final = 2

KIND_NAMES: Final = (
    "VOID",
    "INT",
    "PTR",
    "ARRAY",
    "STRUCT",
    "UNION",
    "ENUM",
    "FWD",
    "TYPEDEF",
    "VOLATILE",
    "CONST",
    "RESTRICT",
    "FUNC",
    "FUNC_PROTO",
    "VAR",
    "DATASEC",
    "FLOAT",
    "DECL_TAG",
    "TYPE_TAG",
    "ENUM64",
)

MODIFIERS: Final = frozenset((VOLATILE, CONST, RESTRICT, TYPE_TAG))
ALIASES: Final = MODIFIERS | {TYPEDEF}
COMPOSITES: Final = frozenset((STRUCT, UNION))
ENUMS: Final = frozenset((ENUM, ENUM64))
SIZED: Final = frozenset((INT, STRUCT, UNION, ENUM, DATASEC, FLOAT, ENUM64))

RESERVED_INFO_BITS: Final = 0x60FF0000  # bits 16-23 and 29-30 of `info` are zero in every kind

# Words that follow the three of the header: fixed, and for each of `vlen` elements.
FIXED_WORDS: Final = {INT: 1, ARRAY: 3, VAR: 1, DECL_TAG: 1}
ELEMENT_WORDS: Final = {STRUCT: 3, UNION: 3, ENUM: 2, FUNC_PROTO: 2, DATASEC: 3, ENUM64: 3}


def kind_name(kind: int) -> str:
    return KIND_NAMES[kind] if 0 <= kind < len(KIND_NAMES) else f"UNKNOWN({kind})"
