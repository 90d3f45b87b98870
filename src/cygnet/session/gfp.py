"""Names of GFP flags, for printf's ``%gr``.

Bit numbers are those of enum ___GFP_*_BIT (include/linux/gfp_types.h, since 6.10); compound names, which
the kernel's own event texts use too, come first, those with most bits before the others.
"""

from __future__ import annotations

_BITS = (
    "DMA", "HIGHMEM", "DMA32", "MOVABLE", "RECLAIMABLE", "HIGH", "IO", "FS", "ZERO", "", "DIRECT_RECLAIM",
    "KSWAPD_RECLAIM", "WRITE", "NOWARN", "RETRY_MAYFAIL", "NOFAIL", "NORETRY", "MEMALLOC", "COMP",
    "NOMEMALLOC", "HARDWALL", "THISNODE", "ACCOUNT", "ZEROTAGS",
)  # fmt: skip
_COMPOUNDS = (
    ("GFP_TRANSHUGE", "MOVABLE HIGHMEM HARDWALL DIRECT_RECLAIM KSWAPD_RECLAIM IO FS COMP NOMEMALLOC NOWARN"),
    ("GFP_TRANSHUGE_LIGHT", "MOVABLE HIGHMEM HARDWALL IO FS COMP NOMEMALLOC NOWARN"),
    ("GFP_HIGHUSER_MOVABLE", "MOVABLE HIGHMEM HARDWALL DIRECT_RECLAIM KSWAPD_RECLAIM IO FS"),
    ("GFP_HIGHUSER", "HIGHMEM HARDWALL DIRECT_RECLAIM KSWAPD_RECLAIM IO FS"),
    ("GFP_USER", "HARDWALL DIRECT_RECLAIM KSWAPD_RECLAIM IO FS"),
    ("GFP_KERNEL_ACCOUNT", "ACCOUNT DIRECT_RECLAIM KSWAPD_RECLAIM IO FS"),
    ("GFP_KERNEL", "DIRECT_RECLAIM KSWAPD_RECLAIM IO FS"),
    ("GFP_NOFS", "DIRECT_RECLAIM KSWAPD_RECLAIM IO"),
    ("GFP_ATOMIC", "HIGH KSWAPD_RECLAIM"),
    ("GFP_NOIO", "DIRECT_RECLAIM KSWAPD_RECLAIM"),
    ("GFP_NOWAIT", "KSWAPD_RECLAIM"),
)
_table: list[tuple[int, str]] = []


def _rows() -> list[tuple[int, str]]:
    if not _table:
        bit = {name: 1 << at for at, name in enumerate(_BITS) if name}
        for name, parts in _COMPOUNDS:
            _table.append((sum(bit[part] for part in parts.split()), name))
        _table.extend((mask, f"__GFP_{name}") for name, mask in bit.items())
    return _table


def gfp_text(flags: int) -> str:
    """Names joined by ``|``; what no name covers is hexadecimal at the end; no flags are ``none``."""
    names = []
    for mask, name in _rows():
        if flags & mask == mask:
            names.append(name)
            flags &= ~mask
    if flags:
        names.append(hex(flags))
    return "|".join(names) or "none"
