"""Stacks as text: modes bpftrace, perf, raw and build_id.

A stored stack is u64 return addresses up to the first zero; in build_id mode it is the kernel's
struct bpf_stack_build_id: s32 status, 20 bytes of build id, u64 offset (or address).
"""

from __future__ import annotations

from struct import unpack

from cygnet.spec.values import UNWOUND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cygnet.session.text import Context, Texter
    from cygnet.spec.protocols import World
    from cygnet.spec.values import VType

    Found = tuple[str, int, str] | None
    Sources = tuple[tuple[str, str], ...]
    Find = Callable[[int], Found]
    Line = Callable[[int, Found, bool], str]

_BUILD_ID_SIZE = 32
_MOST_KNOWN = 1 << 16  # addresses whose text is kept
_STATUS_ID, _STATUS_IP = 1, 2  # enum bpf_stack_build_id_status


def frames(raw: bytes, limit: int = 0) -> list[int]:
    """The addresses of a stored stack, at most `limit` of them (0: all)."""
    out: list[int] = []
    for address in unpack(f"<{len(raw) // 8}Q", raw[: len(raw) // 8 * 8]):
        if not address or (limit and len(out) == limit):
            break
        out.append(address)
    return out


def stack_texter(vtype: VType, context: Context) -> Texter:
    """Text of a kstack or ustack value: a newline, then a line for each frame."""
    user = vtype.kind == "ustack"
    mode = vtype.text or "bpftrace"
    name = str(vtype.data or "")
    if name == UNWOUND:
        return _unwound_texter(vtype, context)
    line = _LINES[mode]
    wanted = user and mode == "bpftrace" and context.settings.get("show_debug_info", True)
    sourced = _Sourced(context.world) if wanted else None

    def text(value: Any) -> str:
        stack_id, pid = value if user else (value, 0)
        raw = context.stack_bytes(name, stack_id)
        if mode == "build_id":
            return "\n" + "".join(_build_id_lines(raw))
        if sourced is not None:
            return "\n" + sourced.lines(frames(raw, vtype.length), pid)
        addresses = frames(raw, vtype.length)
        if user:
            return "\n" + _user_lines(line, addresses, context.world, pid)
        find = _kernel(context)
        return "\n" + "".join([line(address, find(address), user) for address in addresses])

    return text


def _unwound_texter(vtype: VType, context: Context) -> Texter:
    """Text of a dw_ustack value: as of ustack, and last, in brackets, why a stack is not complete."""
    mode, limit, unwound = vtype.text or "bpftrace", vtype.length or 1 << 30, context.unwound
    line, world = _LINES[mode], context.world
    sourced = _Sourced(world) if mode == "bpftrace" and context.settings.get("show_debug_info", True) else None

    def text(value: Any) -> str:
        number, pid = value
        addresses, why = unwound.get(number, ([], "the copy of the stack was lost")) if number else ([], "")
        why = "" if len(addresses) >= limit else why
        addresses = addresses[:limit]
        if sourced is not None:
            body = sourced.lines(addresses, pid)
        else:
            body = _user_lines(line, addresses, world, pid)
        return f"\n{body}{'        ' if mode != 'raw' else ''}[{why}]\n" if why else f"\n{body}"

    return text


def _user_lines(line: Line, addresses: list[int], world: World, pid: int) -> str:
    out, back = [], 0
    for address in addresses:
        out.append(line(address, _at_call(world, pid, address, world.usym(pid, address), back), True))
        back = 1
    return "".join(out)


def _at_call(world: World, pid: int, address: int, found: Found, back: int) -> Found:
    """What an address that a call returns to belongs to: to the function of the call, even where that never returns,
    so that another function begins behind it, or none."""
    if back and (found is None or not found[1]) and (caller := world.usym(pid, address - 1)) is not None:
        return caller[0], caller[1] + 1, caller[2]
    return found


class _Sourced:
    """The lines of user stacks, with what debug information says of them.

    All but the first address of a stack are where a call returns to. The call is before it, which may be another line,
    or even another function when the call never returns.
    """

    __slots__ = ("_known", "_world")

    def __init__(self, world: World) -> None:
        self._world = world
        # What an address was last found to be, which is the same object as long as it holds, and the text for that.
        self._known: dict[tuple[int, int, int], tuple[Found, Sources, str]] = {}

    def lines(self, addresses: list[int], pid: int) -> str:
        usym, usource, known = self._world.usym, self._world.usource, self._known
        out, back = [], 0
        for address in addresses:
            found, sources = usym(pid, address), usource(pid, address - back)
            held = known.get((pid, address, back))
            if held is None or held[0] is not found or held[1] is not sources:
                if len(known) >= _MOST_KNOWN:
                    known.clear()
                held = known[pid, address, back] = found, sources, self._text(address, pid, back, found, sources)
            out.append(held[2])
            back = 1
        return "".join(out)

    def _text(self, address: int, pid: int, back: int, found: Found, sources: Sources) -> str:
        found = _at_call(self._world, pid, address, found, back)
        if found is None or not sources:
            return _default_line(address, found, True)
        *inlined, (_, place) = sources
        lines = [f"        [inlined] {name}@{at}\n" if at else f"        [inlined] {name}\n" for name, at in inlined]
        lines.append(f"        {found[0]}+{found[1]}@{place}\n" if place else _default_line(address, found, True))
        return "".join(lines)


def _kernel(context: Context) -> Find:
    def find(address: int) -> tuple[str, int, str] | None:
        found = context.world.ksym(address)
        return (found[0], found[1], "") if found is not None else None

    return find


def _default_line(address: int, found: tuple[str, int, str] | None, user: bool) -> str:
    return f"        {found[0]}+{found[1]}\n" if found is not None else f"        {address:#x}\n"


def _perf_line(address: int, found: tuple[str, int, str] | None, user: bool) -> str:
    name = f"{found[0]}+{found[1]}" if found is not None else f"{address:#x}"
    module = (found[2] if found is not None and found[2] else "[unknown]") if user else ""
    return f"\t{address:x} {name} ({module})\n" if module else f"\t{address:x} {name}\n"


def _raw_line(address: int, found: tuple[str, int, str] | None, user: bool) -> str:
    return f"{address:x}\n"


_LINES = {"bpftrace": _default_line, "perf": _perf_line, "raw": _raw_line, "build_id": _raw_line}


def _build_id_lines(raw: bytes) -> list[str]:
    out = []
    for at in range(0, len(raw) - _BUILD_ID_SIZE + 1, _BUILD_ID_SIZE):
        status, build_id, offset = unpack("<i20sQ", raw[at : at + _BUILD_ID_SIZE])
        if status == _STATUS_ID:
            out.append(f"{build_id.hex()} {offset:#x}\n")
        elif status == _STATUS_IP:
            out.append(f"{offset:#x}\n")
        else:
            break
    return out
