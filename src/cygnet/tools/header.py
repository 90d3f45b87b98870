"""A tool's header and its getopt() calls, as data.

The header is the run of ``//`` lines at the top of the script (below a ``#!`` line)::

    // NAME - one line that says what the tool shows
    //
    // Paragraphs of text.
    //
    // Columns:                       any title with a colon begins a section of indented lines
    //   TIME   when it happened
    //
    // Short options: -p pid, -x failed
    //
    // Variants:
    //   FILE.bt   PROBE [FIELD…]     the first whose probe (with these fields) exists is run

Options are the script's own ``getopt("name", default, "text")`` calls; ``Short options`` gives them letters.
"""

from __future__ import annotations

from cygnet.tools import read

_SHORT = "Short options:"
_VARIANTS = "Variants"


class _Row:
    """Plain data with a name for each column: comparable, and printable as a dict."""

    __slots__: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Row) and self.as_dict() == other.as_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.as_dict()})"


class Option(_Row):
    """A named parameter. `default` is a bool, a number or a text, and says what values it takes."""

    __slots__ = ("default", "letter", "name", "text")

    def __init__(self, name: str, letter: str, default: bool | int | str, text: str) -> None:
        self.name = name
        self.letter = letter
        self.default = default
        self.text = text


class Variant(_Row):
    """A form of a tool: the script's name without ``.bt``, the probe it needs, the fields that this must have."""

    __slots__ = ("fields", "probe", "script")

    def __init__(self, script: str, probe: str, fields: tuple[str, ...]) -> None:
        self.script = script
        self.probe = probe
        self.fields = fields


class Tool:
    """What a script says of itself. `sections` are (title, lines), without options and variants."""

    __slots__ = ("name", "options", "sections", "summary", "text", "variants")

    def __init__(self, name: str, script: str) -> None:
        self.name = name
        title, self.text, sections, letters = _header(script)
        self.summary = title.partition(" - ")[2]
        self.variants = [_variant(line) for line in sections.pop(_VARIANTS, [])]
        self.sections = list(sections.items())
        self.options = [Option(name, letters.get(name, ""), *rest) for name, rest in _getopts(script).items()]

    def option(self, word: str) -> Option | None:
        """The option of a name or a letter."""
        return next((option for option in self.options if word in (option.name, option.letter)), None)


def load(name: str) -> Tool:
    """The tool of a name."""
    return Tool(name, read(name))


def _header(script: str) -> tuple[str, list[str], dict[str, list[str]], dict[str, str]]:
    """(title, paragraphs, sections, option → letter)."""
    lines = script.splitlines()
    if lines and lines[0].startswith("#!"):
        del lines[0]
    title, text, sections, letters = "", [], {}, {}  # type: str, list[str], dict[str, list[str]], dict[str, str]
    current = text
    for line in lines:
        if not line.startswith("//"):
            break
        words = line[2:].removeprefix(" ").rstrip()
        if not title:
            title = words
        elif words.startswith(_SHORT):
            letters = _letters(words[len(_SHORT) :])
        elif words.endswith(":") and not words.startswith(" "):
            current = sections.setdefault(words[:-1], [])
        else:
            current.append(words)
    return title, _trim(text), {name: _trim(part) for name, part in sections.items()}, letters


def _letters(text: str) -> dict[str, str]:
    """``-p pid, -n comm``"""
    pairs = [part.split() for part in text.split(",") if part.strip()]
    return {name: letter.removeprefix("-") for letter, name in pairs}


def _trim(lines: list[str]) -> list[str]:
    """Without empty lines at both ends."""
    while lines and not lines[-1]:
        lines.pop()
    while lines and not lines[0]:
        lines.pop(0)
    return lines


def _variant(line: str) -> Variant:
    script, probe, *fields = line.split()
    return Variant(script.removesuffix(".bt"), probe, tuple(fields))


# ── getopt() calls ──


def _getopts(script: str) -> dict[str, tuple[bool | int | str, str]]:
    """Name → (default, text), in the order of the script; the first call that has a text gives it."""
    found: dict[str, tuple[bool | int | str, str]] = {}
    at = script.find("getopt(")
    while at >= 0:
        arguments, end = _arguments(script, at + len("getopt("))
        name = str(arguments[0])
        text = str(arguments[2]) if len(arguments) > 2 else ""
        if name not in found or not found[name][1]:
            found[name] = (arguments[1] if len(arguments) > 1 else False, text)
        at = script.find("getopt(", end)
    return found


def _arguments(script: str, at: int) -> tuple[list[bool | int | str], int]:
    """The literals up to the closing parenthesis, and where that is."""
    values: list[bool | int | str] = []
    while script[at] != ")":
        if script[at] in ", \n":
            at += 1
        elif script[at] == '"':
            end = script.index('"', at + 1)
            values.append(script[at + 1 : end])
            at = end + 1
        else:
            end = at
            while script[end] not in ",)":
                end += 1
            word = script[at:end].strip()
            values.append(word == "true" if word in ("true", "false") else int(word, 0))
            at = end
    return values, at
