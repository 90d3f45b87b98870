"""Messages that name a place in the program: errorf, warnf, and run-time trouble of helpers."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.spec.actions import Action

_E2BIG, _ENOENT, _EEXIST = 7, 2, 17
_MAP_FULL = (
    "Map full; can't update element. Try increasing max_map_keys config or manually setting the max entries in a map "
    "declaration e.g. `let @a = hash(5000)`"
)


def helper_message(helper: str, code: int) -> str:
    """What a helper's return code means, as a sentence."""
    if helper == "map_update_elem" and code == -_E2BIG:
        return _MAP_FULL
    if helper == "map_delete_elem" and code == -_ENOENT:
        return "Can't delete map element because it does not exist."
    if helper == "map_lookup_elem":
        return "Can't lookup map element because it does not exist."
    if helper == "get_stackid" and code == -_EEXIST:
        return "A stack was lost: others have its places in the kernel's maps of stacks."
    return errno_text(code)


def map_full(what: str) -> str:
    """That a map is full, what follows, and what makes room in it."""
    return f"{_MAP_FULL}: {what}"


def errno_text(code: int) -> str:
    from os import strerror

    return strerror(abs(code))


def text_note(kind: str, severity: str, message: str, action: Action, extra: dict[str, str | int]) -> str:
    """``FILE:LINE:COL-END: SEVERITY: message``; run-time trouble also shows the line, and the helper; then the macro
    calls that led there."""
    text = _head(action.where, severity, message)
    if kind in ("helper_error", "runtime_error"):
        text += _marked(action.where, action.source_line)
    if kind == "helper_error":
        text += f"Additional Info - helper: {extra['helper']}, retcode: {extra['retcode']}\n"
    for where, line in action.expansions:
        text += _head(where, severity, "expanded from") + _marked(where, line)
    return text


def _head(where: tuple[str, int, int, int], severity: str, message: str) -> str:
    name, line, start, end = where
    return f"{name}:{line}:{start}-{end}: {severity}: {message}\n" if name else f"{severity}: {message}\n"


def _marked(where: tuple[str, int, int, int], line: str) -> str:
    """The line in the source, and under it what of it is meant."""
    start, end = where[2:]
    return f"{line}\n{' ' * (start - 1)}{'~' * max(1, end - start)}\n" if line else ""


def json_note(kind: str, message: str, action: Action, extra: dict[str, str | int]) -> str:
    from cygnet.session import json

    name, line, start, _ = action.where
    if kind == "helper_error":
        message = errno_text(int(extra["retcode"]))
    pairs = [("msg", json.string(message))]
    pairs += [(key, json.string(v) if isinstance(v, str) else json.number(v)) for key, v in extra.items()]
    pairs += [("filename", json.string(name)), ("line", json.number(line)), ("col", json.number(start))]
    return json.flat(kind, pairs)


def json_suppressed(what: str, action: Action, count: int) -> str:
    from cygnet.session import json

    name, line, start, _ = action.where
    place = f'"filename": {json.string(name)}, "line": {json.number(line)}, "col": {json.number(start)}'
    data = f'"msg": {json.string(what)}, "warnings": {count}, {place}'
    return f'{{"type": "suppressed_warnings", "count": {count}, "data": {{{data}}}}}\n'
