"""The help of a tool, made from its header and its options."""

from __future__ import annotations

from cygnet.tools.arguments import COMMON, LETTERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.tools.header import Option, Tool


def text(tool: Tool) -> str:
    """What `cygnet NAME --help` prints."""
    times = " [INTERVAL [COUNT]]" if tool.option("interval") else ""
    parts = [f"{tool.name} - {tool.summary}", f"Usage: cygnet {tool.name} [OPTION…]{times}", "\n".join(tool.text)]
    parts.append("Options:\n" + "\n".join(_row(option) for option in tool.options))
    parts.append("Options of every tool:\n" + "\n".join(_common(tool)))
    parts += [f"{title}:\n" + "\n".join(lines) for title, lines in tool.sections]
    if tool.variants:
        rows = "\n".join(f"  {v.script + '.bt':<22} needs {v.probe}" for v in tool.variants)
        parts.append("Forms, of which the first that can run is taken:\n" + rows)
    return "\n\n".join(parts)


def _row(option: Option) -> str:
    letter = f"-{option.letter}," if option.letter else ""
    value = {bool: "", int: " N"}.get(option.default.__class__, " TEXT")
    default = f" (else {option.default})" if option.default not in (False, 0, -1, "") else ""
    return f"  {letter:<3} {'--' + option.name + value:<20}  {option.text}{default}"


def _common(tool: Tool) -> Iterator[str]:
    letters = {name: letter for letter, name in LETTERS.items() if tool.option(letter) is None}
    taken = {option.name for option in tool.options}
    for name, (_, value, what) in COMMON.items():
        if name not in taken:
            letter = f"-{letters[name]}," if name in letters else ""
            yield f"  {letter:<3} {('--' + name + ' ' + value).rstrip():<20}  {what}"


def as_data(tool: Tool) -> dict[str, object]:
    """The same as plain data, for JSON."""
    return {
        "name": tool.name,
        "summary": tool.summary,
        "options": [option.as_dict() for option in tool.options],
        "variants": [variant.as_dict() for variant in tool.variants],
    }
