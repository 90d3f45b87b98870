"""Stacks as text: modes bpftrace, perf, raw and build_id.

A stored stack is u64 return addresses up to the first zero; in build_id mode it is the kernel's
struct bpf_stack_build_id: s32 status, 20 bytes of build id, u64 offset (or address).
"""

from __future__ import annotations

from struct import unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from cygnet.session.text import Context, Texter
    from cygnet.spec.values import VType

    Find = Callable[[int], tuple[str, int, str] | None]

_BUILD_ID_SIZE = 32
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
    line = _LINES[mode]
    sources = user and mode == "bpftrace" and bool(context.settings.get("show_debug_info", True))

    def text(value: Any) -> str:
        stack_id, pid = value if user else (value, 0)
        raw = context.stack_bytes(name, stack_id)
        if mode == "build_id":
            return "\n" + "".join(_build_id_lines(raw))
        if sources:
            return "\n" + "".join(_with_sources(frames(raw, vtype.length), pid, context))
        find: Find = (lambda address: context.world.usym(pid, address)) if user else _kernel(context)
        return "\n" + "".join([line(address, find(address), user) for address in frames(raw, vtype.length)])

    return text


def _with_sources(addresses: list[int], pid: int, context: Context) -> Iterator[str]:
    """The lines of a user stack, with what debug information says of them.

    All but the first address are where a call returns to. The call is before it, which may be another line, or even
    another function when the call never returns.
    """
    world = context.world
    back = 0
    for address in addresses:
        found = world.usym(pid, address)
        if found is None:
            yield _default_line(address, None, True)
        else:
            *inlined, (_, place) = world.usource(pid, address - back) or (("", ""),)
            if back and not found[1] and place and (caller := world.usym(pid, address - 1)) is not None:
                found = (caller[0], caller[1] + 1, caller[2])
            for name, at in inlined:
                yield f"        [inlined] {name}@{at}\n" if at else f"        [inlined] {name}\n"
            yield f"        {found[0]}+{found[1]}@{place}\n" if place else f"        {found[0]}+{found[1]}\n"
        back = 1


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
