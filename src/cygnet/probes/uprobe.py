"""uprobe and uretprobe: entry to and return from a function of a program or library."""

from __future__ import annotations

from cygnet.errors import ProbeError
from cygnet.probes.binary import executable_of, program_of, resolve, resolve_all
from cygnet.probes.model import Arg, Match, Parsed
from cygnet.probes.numbers import number
from cygnet.probes.syntax import count, function_offset, wrong
from cygnet.uapi.bpf import BPF_PROG_TYPE_KPROBE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from cygnet.btf.types import BtfType
    from cygnet.probes.model import Options, Part, Target
    from cygnet.probes.registry import Provider
    from cygnet.probes.symbols import Symbols
    from cygnet.source import Span

_UNSAFE = "--unsafe skips the check; a probe at a wrong place may crash the traced program"
_LANGUAGES = ("cpp", "rust")  # whose compilers write a function's names and types into one symbol


def parse(row: Provider, parts: list[Part], span: Span | None) -> Parsed:
    """``uprobe:BINARY:FUNCTION[+OFFSET]``, ``uprobe:BINARY:0xADDRESS``, ``uprobe:BINARY:cpp:"NAME"`` (or ``rust``),
    ``uprobe:BINARY@FILE:LINE[:COLUMN]``; without a binary (with -p or -c) that of the process."""
    count(row, parts, span, 1, 3)
    first = parts[0]
    if "@" in first.text and not first.quoted:
        return _line(row, parts, span)
    if len(parts) == 3 and parts[1].text not in _LANGUAGES:
        raise wrong(
            parts[1],
            span,
            f"{row.name} knows no language {parts[1].text}",
            "write cpp or rust, or quote a name that holds a colon",
        )
    language = parts[-2].text if len(parts) > 1 and parts[-2].text in _LANGUAGES else ""
    binary = "" if len(parts) == 1 or (language and len(parts) == 2) else first.text
    return _function(row, parts, span, binary, language)


def _function(row: Provider, parts: list[Part], span: Span | None, binary: str, mode: str) -> Parsed:
    last = parts[-1]
    address = number(last.text) if not last.quoted else None
    if address is not None:
        return Parsed(row, parts, span, target=binary, address=address)
    name, offset = (last.text, 0) if mode else function_offset(last, span)
    if offset and row.name == "uretprobe":
        raise wrong(last, span, f"uretprobe takes no offset: a function returns as a whole, not at {last.text}")
    if offset and "*" in name:
        raise wrong(last, span, f"an offset needs one function, not {name}")
    return Parsed(row, parts, span, target=binary, name=name, offset=offset, mode=mode)


def _line(row: Provider, parts: list[Part], span: Span | None) -> Parsed:
    binary, _, file = parts[0].text.partition("@")
    if row.name == "uretprobe":
        raise wrong(parts[0], span, "uretprobe takes no source line: a function returns as a whole, not at one line")
    if "*" in parts[0].text:
        raise wrong(parts[0], span, "a source line needs one binary and one file, without wildcards")
    if not file or len(parts) < 2 or any(number(part.text) is None for part in parts[1:]):
        raise wrong(parts[-1], span, f"write {row.name}:{binary}@{file or 'FILE'}:LINE[:COLUMN]")
    column = number(parts[2].text) if len(parts) == 3 else 0
    return Parsed(row, parts, span, target=binary, name=file, value=number(parts[1].text) or 0, offset=column or 0,
                  mode="line")  # fmt: skip


# ── expansion ────────────────────────────────────────────────────────────────────────────────────────────


def expand(parsed: Parsed, target: Target, options: Options) -> list[Match]:
    """One match a function and binary. A name with several addresses is attached to all of them."""
    paths = _paths(parsed, options)
    found: list[Match] = []
    trouble: ProbeError | None = None
    for path in paths:
        try:
            found.extend(_in_binary(parsed, path, options))
        except ProbeError as error:
            if len(paths) == 1:
                raise
            trouble = error
    if not found:
        raise trouble or ProbeError(f"no function matches {parsed.text}", parsed.span)
    return found


def _paths(parsed: Parsed, options: Options) -> list[str]:
    if parsed.target:
        return resolve_all(parsed.target, options.pid, parsed.parts[0].span or parsed.span)
    if options.command:
        return [resolve(program_of(options.command), -1, parsed.span)]
    if options.pid <= 0:
        syntax = parsed.provider.syntax
        raise ProbeError(f"{parsed.text} names no binary, and no process was given with -p or -c", parsed.span,
                         (f"write {syntax}",))  # fmt: skip
    return [executable_of(options.pid, parsed.span)]


def _in_binary(parsed: Parsed, path: str, options: Options) -> list[Match]:
    symbols = _open(path, parsed.span)
    if parsed.mode == "line":
        from cygnet.probes.sourceline import offsets as line_offsets

        where = line_offsets(parsed, path, symbols)
        match = _match(parsed, path, "", where, options)
        match.probe = f"{parsed.provider.name}:{path}@{parsed.name}:{parsed.value}" + f":{parsed.offset}" * (
            parsed.offset > 0
        )
        return [match]
    if parsed.address >= 0:
        offset = _file_offset(symbols, parsed.address, f"0x{parsed.address:x}", path, parsed.span)
        if not options.unsafe and not symbols.is_code(parsed.address):
            raise ProbeError(f"there is no code at 0x{parsed.address:x} in {path}", parsed.span, (_UNSAFE,))
        if not options.unsafe and (inside := symbols.function_around(parsed.address)) is not None:
            from cygnet.probes.boundary import check

            check(parsed, symbols, parsed.address - inside[1], inside[1], inside[0], sure=True)
        return [_match(parsed, path, f"0x{parsed.address:x}", (offset,), options)]
    if parsed.mode or "*" in parsed.name:
        return _wild(parsed, path, symbols, options)
    places = symbols.find(parsed.name)
    if not places:
        raise _no_function(parsed, path, symbols)
    if not options.unsafe:
        _check_size(parsed, places)
    if parsed.offset and not options.unsafe:
        from cygnet.probes.boundary import check

        for address, _ in places:
            check(parsed, symbols, address, parsed.offset, parsed.name, sure=False)
    text = f"{parsed.name}+{parsed.offset}" if parsed.offset else parsed.name
    offsets = [_file_offset(symbols, address + parsed.offset, text, path, parsed.span) for address, _ in places]
    return [_match(parsed, path, text, tuple(sorted(set(offsets))), options)]


def _wild(parsed: Parsed, path: str, symbols: Symbols, options: Options) -> list[Match]:
    matches = []
    for name, addresses in _named(parsed, symbols).items():
        offsets = [offset for offset in map(symbols.file_offset, addresses) if offset is not None]
        if offsets:
            shown = f'{parsed.mode}:"{name}"' if parsed.mode else name
            matches.append(_match(parsed, path, shown, tuple(sorted(set(offsets))), options, name))
    if not matches:
        kind = {"cpp": "C++ function", "rust": "Rust function"}.get(parsed.mode, "function")
        raise ProbeError(f"no {kind} of {path} matches {parsed.name}", parsed.span)
    return matches


def _named(parsed: Parsed, symbols: Symbols) -> dict[str, list[int]]:
    if parsed.mode:
        from cygnet.probes.cppnames import demangled

        return demangled(symbols, parsed.name, parsed.mode)
    return symbols.places(parsed.name)


def _match(
    parsed: Parsed, path: str, function: str, offsets: tuple[int, ...], options: Options, func: str = ""
) -> Match:
    row = parsed.provider
    ret = row.name == "uretprobe"
    pid = options.pid if options.pid > 0 else -1
    targets: tuple[dict[str, Any], ...] = tuple(
        [{"path": path, "offset": offset, "ret": ret, "pid": pid, "ref_ctr_offset": 0} for offset in offsets]
    )
    return Match(parsed, f"{row.name}:{path}:{function}", BPF_PROG_TYPE_KPROBE, "uprobe", targets, context="regs",
                 space="user", func=func or function, preemptible=True, per_cpu_exact=False)  # fmt: skip


def _open(path: str, span: Span | None) -> Symbols:
    from cygnet.probes.symbols import Symbols

    return Symbols(path, span)


def _file_offset(symbols: Symbols, address: int, what: str, path: str, span: Span | None) -> int:
    offset = symbols.file_offset(address)
    if offset is None:
        raise ProbeError(f"{what} is not in a loaded part of {path}", span)
    return offset


def _check_size(parsed: Parsed, places: list[tuple[int, int]]) -> None:
    """A symbol without a size may be no function at all; and an offset must lie in its function."""
    size = min(size for _, size in places)
    if not size:
        raise ProbeError(f"{parsed.name} has size 0 in the symbol table: where it ends cannot be told", parsed.span,
                         (_UNSAFE,))  # fmt: skip
    if parsed.offset >= size:
        raise ProbeError(f"offset {parsed.offset} is outside of {parsed.name}, which has {size} bytes", parsed.span)


def _no_function(parsed: Parsed, path: str, symbols: Symbols) -> ProbeError:
    from cygnet.probes.closest import did_you_mean

    functions = symbols.names()
    hints: tuple[str, ...] = did_you_mean(parsed.name, functions, f"{parsed.provider.name}:{path}:{{}}")
    if not functions:
        hints = (f"{path} has no function symbols: probe an address instead, {parsed.provider.name}:{path}:0xADDRESS",)
    return ProbeError(f"there is no function {parsed.name} in {path}", parsed.span, hints)


# ── arguments ────────────────────────────────────────────────────────────────────────────────────────────


def arguments(match: Match, target: Target) -> tuple[Arg, ...]:
    """The function's parameters as far as they come in registers, where the binary has debug information."""
    parsed = match.parsed
    if parsed.provider.name != "uprobe" or parsed.offset or parsed.mode == "line":
        return ()
    from cygnet.probes.dwarfargs import parameters

    place = match.targets[0]
    symbols = _open(place["path"], parsed.span)
    dwarf, address = symbols.dwarf(), symbols.address_at(place["offset"])
    machine = str(getattr(target, "machine", "x86_64"))
    return () if dwarf is None or address is None else parameters(dwarf, address, machine)


def named_type(match: Match, keyword: str, name: str) -> BtfType | None:
    """A type by its name in the debug information of the binary, as the function's source file knows it."""
    from cygnet.probes.dwarfargs import named_type as find

    place = match.targets[0]
    symbols = _open(place["path"], match.parsed.span)
    dwarf, address = symbols.dwarf(), symbols.address_at(place["offset"])
    return None if dwarf is None or address is None else find(dwarf, address, keyword, name)


# ── listing ──────────────────────────────────────────────────────────────────────────────────────────────


def select(row: Provider, pattern: str, target: Target, pid: int = -1) -> Iterator[str]:
    """``BINARY:FUNCTION`` for a pattern of both; a binary alone means all of its functions. Without a binary, that of
    the process. In ``BINARY:cpp:NAME`` the name is the readable one, and may hold colons."""
    if pid > 0 and ":" not in pattern and "/" not in pattern:
        pattern = f"{executable_of(pid)}:{pattern}"
    for language in _LANGUAGES:
        binary, colon, name = pattern.partition(f":{language}:")
        if colon:
            yield from _readable(resolve_all(binary, pid), language, name.strip('"'))
            return
    binary, colon, function = pattern.rpartition(":")
    if not colon:
        binary, function = pattern, "*"
    for path in resolve_all(binary, pid):
        for name in _open(path, None).names(function or "*"):
            yield f"{path}:{name}"


def _readable(paths: list[str], language: str, pattern: str) -> Iterator[str]:
    from cygnet.probes.cppnames import demangled

    for path in paths:
        for name in demangled(_open(path, None), pattern or "*", language):
            yield f'{path}:{language}:"{name}"'


def describe(row: Provider, name: str, target: Target) -> Iterator[str]:
    """The parameters that ``args`` has. Debug information reads as its tools write it: ``char* name``."""
    if row.name == "uprobe":
        path, _, function = name.rpartition(":")
        symbols = _open(path, None)
        dwarf, places = symbols.dwarf(), symbols.find(function)
        if dwarf is not None and places:
            from cygnet.probes.dwarfargs import parameters

            for arg in parameters(dwarf, places[0][0], str(getattr(target, "machine", "x86_64"))):
                yield f"{arg.type.replace(' *', '*')} {arg.name}"
