"""Where a binary lies in a process that was gone before it could be looked at: known without address randomisation."""

from __future__ import annotations

import os

from cygnet.elf.numbers import ET_DYN, ET_EXEC, PF_X, PT_INTERP, PT_LOAD
from cygnet.elf.reader import Elf
from cygnet.errors import ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cygnet.spec.objects import LinkSpec

#: where x86-64's kernel loads a position-independent program whose addresses are not randomised
_BASE = 0x555555554000
_PAGE = 4096
#: links whose programs see no address of user space but those of the processes that run the probed binary
_SILENT = frozenset(("begin", "end", "signal", "test", "bench"))


def only_binary(links: Iterable[LinkSpec]) -> str:
    """The path of the one binary whose functions are all that is watched; empty when there are others."""
    paths = set()
    for link in links:
        if link.kind in _SILENT or link.probe.startswith("interval"):
            continue
        paths.add(link.target.get("path", "") if link.kind == "uprobe" else "")
    return str(paths.pop()) if len(paths) == 1 else ""


def static_maps(path: str) -> bytes:
    """As /proc/PID/maps, the executable part of a program that is loaded where its file says, or at the place that
    all have without randomisation. Empty for libraries: those lie anywhere."""
    try:
        with Elf.open(path) as elf:
            program = elf.type == ET_EXEC or any(segment.type == PT_INTERP for segment in elf.segments)
            if not program or elf.type not in (ET_EXEC, ET_DYN) or ".so" in os.path.basename(path):
                return b""
            base = 0 if elf.type == ET_EXEC else _BASE
            loaded = [s for s in elf.segments if s.type == PT_LOAD and s.flags & PF_X]
            status = os.stat(path)
    except (OSError, ElfError):
        return b""
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    lines = []
    for segment in loaded:
        start = (base + segment.address) & -_PAGE
        end = (base + segment.address + segment.size + _PAGE - 1) & -_PAGE
        offset = segment.offset & -_PAGE
        lines.append(f"{start:x}-{end:x} r-xp {offset:08x} {device} {status.st_ino} {os.path.realpath(path)}\n")
    return "".join(lines).encode()
