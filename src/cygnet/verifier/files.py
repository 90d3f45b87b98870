"""Programs to verify, from texts and bytes: assembly, hex digits, raw instructions."""

from __future__ import annotations

import os

from cygnet.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.source import Source, Span
    from cygnet.spec.objects import LineInfo, MapSpec
    from cygnet.verifier.program import ProgramSpec

_DIRECTIVES = ("type", "map", "attach-type", "license", "flags")


class Judged:
    """A program, what to call it, and the text it was made of."""

    __slots__ = ("name", "source", "spec")

    def __init__(self, name: str, spec: ProgramSpec, source: Source | None) -> None:
        self.name = name
        self.spec = spec
        self.source = source


def of_bytes(path: str, data: bytes, text: str | None, kind: str | None, attach: str | None) -> Judged:
    """The program in a file, by its name's end and what it holds; `text` is the data as text, None when it is none.

    `kind` is the program type, where the file does not tell. Raises UsageError for what holds no program,
    SourceError for a text that is not one.
    """
    if path.endswith(".bin"):
        return plain(path, data, kind, attach)
    if path.endswith((".s", ".asm")):
        if text is None:
            raise UsageError(f"cannot read {path}: not a text; raw instructions are a FILE.bin")
        return assembled(path, text, kind, attach)
    digits = _digits(text) if text is not None else data
    return plain(path, digits, kind, attach) if digits is not None else assembled(path, text or "", kind, attach)


def _digits(text: str) -> bytes | None:
    words = "".join([word.removeprefix("0x") for word in text.split()])
    try:
        return bytes.fromhex(words)
    except ValueError:
        return None


def plain(name: str, code: bytes, kind: str | None, attach: str | None) -> Judged:
    """Encoded instructions alone."""
    from cygnet.verifier.program import ProgramSpec

    return Judged(name, ProgramSpec(_type(kind, name), code, _short(name), attach or 0), None)


def _type(kind: str | None, name: str) -> str | int:
    if kind is None:
        from cygnet.facts.progtypes import names

        few = ", ".join([each for each in names() if each in ("xdp", "sched_cls", "kprobe", "tracepoint")])
        raise UsageError(f"{name} does not say of which type the program is: --type {few} …")
    return int(kind) if kind.isdigit() else kind


def _short(name: str) -> str:
    return os.path.splitext(os.path.basename(name))[0]


# -- assembly


def assembled(path: str, text: str, kind: str | None, attach: str | None) -> Judged:
    """Assembly; its comments may say what the text cannot: ``# type: xdp``, ``# map: NAME TYPE KEY VALUE ENTRIES``."""
    from cygnet.facts.helpers import helper_id
    from cygnet.isa.asm import assemble_source
    from cygnet.isa.encode import encode
    from cygnet.source import Source
    from cygnet.verifier.program import ProgramSpec

    source = Source(path, text)
    said, maps = _directives(source)
    done = assemble_source(source, helper_id)
    spec = ProgramSpec(
        _type(kind or said.get("type"), path),
        encode(done.insns),
        _short(path),
        attach or said.get("attach-type") or 0,
        _flags(said.get("flags", "0"), path),
        maps,
        license=said.get("license", "GPL"),
        lines=_lines(done.spans, source),
        source=source,
    )
    return Judged(path, spec, source)


def _flags(text: str, path: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise UsageError(f"{path}: flags are a number, not {text!r}") from None


def _lines(spans: list[Span], source: Source) -> list[LineInfo]:
    from cygnet.spec.objects import LineInfo

    lines: list[LineInfo] = []
    last = None
    for slot, span in enumerate(spans):
        if span is last:
            continue
        last = span
        start, end = span.start, span.end
        row, column = source.line_col(start)
        lines.append(LineInfo(slot, row, column, source.text[start:end], start, end))
    return lines


def _directives(source: Source) -> tuple[dict[str, str], dict[int | str, MapSpec]]:
    said: dict[str, str] = {}
    maps: dict[int | str, MapSpec] = {}
    for number, line in enumerate(source.text.splitlines(), 1):
        comment = line.strip()
        if not comment.startswith(("#", ";", "//")):
            continue
        word, colon, rest = comment.lstrip("#;/ \t").partition(":")
        if not colon or word not in _DIRECTIVES:
            continue
        if word == "map":
            made = _map(rest.split(), f"{source.name}:{number}")
            maps[made.name] = made
        else:
            said[word] = rest.strip()
    return said, maps


def _map(words: list[str], where: str) -> MapSpec:
    from cygnet.facts.maptypes import map_type
    from cygnet.spec.objects import MapSpec

    try:
        name, kind, *rest = words
        row = map_type(kind.lower())
        key, value, entries, *more = [int(word, 0) for word in rest]
        flags = more[0] if more else 0
    except (ValueError, KeyError):
        raise UsageError(
            f"{where}: a map is `# map: NAME TYPE KEY_BYTES VALUE_BYTES ENTRIES`, as in `# map: counts hash 4 8 1024`"
        ) from None
    return MapSpec(name, row.id, key, value, entries, flags)
