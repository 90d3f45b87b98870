"""An Explanation as a person reads it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.verifier.explaining.case import Note, Place
    from cygnet.verifier.explaining.story import Explanation

_TAB = "    "
_COLOURS = {"ERROR": "\x1b[31m", "HINT": "\x1b[36m", "dim": "\x1b[2m", "bold": "\x1b[1m"}
_END = "\x1b[0m"
_WIDEST = 200


def render(found: Explanation, name: str = "", color: bool = False) -> str:
    """Class, reason, place, path, suggestion: in this order, with a final newline."""
    paint = _painter(color)
    head = f"{name}: " if name else ""
    lines = [f"{head}{paint('ERROR', 'refused')}: {paint('bold', found.title)}", f"  {found.reason}"]
    lines += _where(found, paint)
    if found.path:
        lines += ["", "How it came to this:"]
        width = max(len(_short(note)) for note in found.path)
        lines += [f"  {_short(note):<{width}}  {note.text}" for note in found.path]
    if found.lead:
        lines += ["", f"{paint('HINT', 'What to do')}: {found.lead}" + (":" if found.fix else "")]
        lines += [f"    {line}" for line in found.fix]
    lines += [f"  {fact}" for fact in found.more]
    said = found.verifier.replace("\n", "\n  ")
    lines += ["", paint("dim", "The verifier's words:"), f"  {said}"]
    return "\n".join(lines) + "\n"


def _painter(color: bool):  # type: ignore[no-untyped-def]
    def paint(kind: str, text: str) -> str:
        return f"{_COLOURS[kind]}{text}{_END}" if color else text

    return paint


def _where(found: Explanation, paint) -> list[str]:  # type: ignore[no-untyped-def]
    lines = []
    if found.place is not None:
        lines += ["", f"  at {found.place}", *[f"    {line}" for line in excerpt(found.place)]]
    if found.insn is not None:
        text = f": {found.text}" if found.text else ""
        lines.append(f"  instruction {found.insn}{text}")
    return lines


def excerpt(place: Place) -> list[str]:
    """The source line and a caret under the part in question."""
    text = place.text.replace("\t", _TAB)
    text = "".join([char if char.isprintable() else "?" for char in text])[:_WIDEST]
    if not text.strip():
        return []
    if not place.column:
        body = text.strip()
        return [body, "^" + "~" * (len(body) - 1)]
    before = place.text[: place.column - 1].replace("\t", _TAB)
    under = place.text[place.column - 1 : place.end - 1].replace("\t", _TAB)
    body = text.rstrip()
    strip = len(body) - len(body.lstrip())
    return [body[strip:], " " * (len(before) - strip) + "^" + "~" * max(min(len(under), _WIDEST) - 1, 0)]


def _short(note: Note) -> str:
    if note.role == "missing":
        return "missing"
    if note.place is not None and note.place.line:
        return f"line {note.place.line}"
    return f"insn {note.insn}" if note.insn is not None else "at first"
