"""From a line of a source file to places in a binary, by its debug information."""

from __future__ import annotations

from cygnet.errors import ElfError, ProbeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.probes.model import Parsed
    from cygnet.probes.symbols import Symbols


def offsets(parsed: Parsed, path: str, symbols: Symbols) -> tuple[int, ...]:
    """File offsets where the line's code begins: once in each function that it is part of (it may be inlined)."""
    from cygnet.elf.dwarf.lines import line_addresses

    dwarf = symbols.dwarf()
    if dwarf is None:
        raise ProbeError(f"{path} has no debug information, which alone knows its source lines", parsed.span)
    try:
        found, lines, files = line_addresses(dwarf, parsed.name, parsed.value, parsed.offset)
    except ElfError as error:
        raise ProbeError(f"the debug information of {path} cannot be read: {error}", parsed.span) from None
    if not files:
        raise ProbeError(f"no source file of {path} is called {parsed.name}", parsed.span)
    if not found:
        raise _no_code(parsed, path, lines)
    first: dict[str, int] = {}
    for address in found:
        function = symbols.function_at(address) or ""
        first.setdefault(function, address)
    places = sorted(offset for offset in map(symbols.file_offset, first.values()) if offset is not None)
    return tuple(places)


def _no_code(parsed: Parsed, path: str, lines: set[int]) -> ProbeError:
    where = f"line {parsed.value}" + (f", column {parsed.offset}," if parsed.offset else "")
    after = min((line for line in lines if line >= parsed.value), default=max(lines, default=0))
    hints = (f"the nearest line with code is {after}",) if after and after != parsed.value else ()
    return ProbeError(f"{path} has no code of {where} of {parsed.name}", parsed.span, hints)
