"""GFP flags, the kernel's memory allocation flags: bits to names, as its trace events print them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

# Bit numbers of Linux 6.18 (include/linux/gfp_types.h). They move between versions: read the
# system's own table with `parse_table` where there is one.
_BITS: Final = (
    "DMA HIGHMEM DMA32 MOVABLE RECLAIMABLE HIGH IO FS ZERO - DIRECT_RECLAIM KSWAPD_RECLAIM WRITE NOWARN"
    " RETRY_MAYFAIL NOFAIL NORETRY MEMALLOC COMP NOMEMALLOC HARDWALL THISNODE ACCOUNT ZEROTAGS NO_OBJ_EXT"
)
# Combinations that have a name, in the order they are looked for: what fits wholly is printed once.
_COMBINED: Final = (
    ("GFP_TRANSHUGE", "HIGHUSER_MOVABLE COMP NOMEMALLOC NOWARN -KSWAPD_RECLAIM"),
    ("GFP_TRANSHUGE_LIGHT", "HIGHUSER_MOVABLE COMP NOMEMALLOC NOWARN -RECLAIM"),
    ("GFP_HIGHUSER_MOVABLE", "HIGHUSER_MOVABLE"),
    ("GFP_HIGHUSER", "USER HIGHMEM"),
    ("GFP_USER", "USER"),
    ("GFP_KERNEL_ACCOUNT", "KERNEL ACCOUNT"),
    ("GFP_KERNEL", "KERNEL"),
    ("GFP_NOFS", "RECLAIM IO"),
    ("GFP_ATOMIC", "HIGH KSWAPD_RECLAIM"),
    ("GFP_NOIO", "RECLAIM"),
    ("GFP_NOWAIT", "KSWAPD_RECLAIM NOWARN"),
    ("GFP_DMA", "DMA"),
    ("GFP_DMA32", "DMA32"),
    ("__GFP_RECLAIM", "RECLAIM"),
)
_SHORTHANDS: Final = {
    "RECLAIM": "DIRECT_RECLAIM KSWAPD_RECLAIM",
    "KERNEL": "RECLAIM IO FS",
    "USER": "RECLAIM IO FS HARDWALL",
    "HIGHUSER_MOVABLE": "USER HIGHMEM MOVABLE",
}
_table: list[tuple[int, str]] = []


def _mask(words: str) -> int:
    names, mask = _BITS.split(), 0
    for word in words.split():
        bare = word.removeprefix("-")
        value = _mask(_SHORTHANDS[bare]) if bare in _SHORTHANDS else 1 << names.index(bare)
        mask = mask & ~value if word.startswith("-") else mask | value
    return mask


def table() -> Sequence[tuple[int, str]]:
    """(mask, name) of Linux 6.18, in the order they are looked for."""
    if not _table:
        _table.extend((_mask(words), name) for name, words in _COMBINED)
        _table.extend((1 << bit, f"__GFP_{name}") for bit, name in enumerate(_BITS.split()) if name != "-")
    return _table


def gfp_text(value: int, known: Sequence[tuple[int, str]] | None = None) -> str:
    """The names of the flags in `value`, joined by ``|``; unknown bits as one hexadecimal number.

    No flag at all is ``none``, as the kernel prints it.
    """
    if not value:
        return "none"
    found = []
    for mask, name in known or table():
        if value & mask == mask:
            found.append(name)
            value &= ~mask
    if value:
        found.append(f"{value:#x}")
    return "|".join(found)


def parse_table(print_fmt: str) -> list[tuple[int, str]]:
    """The table that a trace event's ``print fmt`` holds for its gfp_flags (kmem/kmalloc has one).

    Empty when there is none, or when it is not made of numbers and bit operations only.
    """
    import re

    start = print_fmt.find('gfp_flags, "|", ')
    if start < 0:
        return []
    pairs = re.findall(r'\{\s*([^{}"]+?),\s*"(\w+)"\s*\}', print_fmt[start:])
    found = []
    for expression, name in pairs:
        bare = re.sub(r"\(\s*(?:gfp_t|unsigned long)\s*\)|\b(?=\d)|(?<=\d)U?L*\b", "", expression)
        if not re.fullmatch(r"[\d\s()|&~<]+", bare) or not name.lstrip("_").startswith("GFP"):
            break
        found.append((eval(bare, {"__builtins__": {}}) & 0xFFFFFFFF, name))
    return found
