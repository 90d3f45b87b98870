"""Python values to text, exactly as the language prints them.

``texter(vtype, context)`` gives a function from a decoded value (see `session.values`) to text. What
needs the system an answer is about goes through the context: symbols, users, times, stacks.
"""

from __future__ import annotations

from cygnet.session.values import TRAILER
from cygnet.spec.values import MORE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cygnet.spec.protocols import MapStore, World
    from cygnet.spec.values import VType

    Texter = Callable[[Any], str]


class Context:
    """What rendering needs to know: the world, the maps that hold stacks, and the settings.

    `stacks` gives the store of a stack map by name and its key's size in bytes.
    """

    __slots__ = ("_frames", "_stands", "settings", "stacks", "trailer", "unwound", "world")

    def __init__(
        self,
        world: World,
        stacks: Callable[[str], tuple[MapStore, int]] | None = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.world = world
        self.stacks = stacks
        self.settings = settings or {}
        self.trailer = str(self.settings.get("str_trunc_trailer", TRAILER))
        self._frames: dict[tuple[str, int], bytes] = {}
        self._stands: dict[tuple[Any, ...], int] = {}
        #: stacks that were unwound, by number: (addresses, why there are no more)
        self.unwound: dict[int, tuple[list[int], str]] = {}

    def stand_in(self, number: int, limit: int) -> int:
        """The number that stands for all unwound stacks whose first `limit` addresses are the same."""
        found = self.unwound.get(number)
        if found is None:
            return number
        addresses, why = found
        key = (limit, *addresses[:limit]) if len(addresses) >= limit else (limit, why, *addresses)
        return self._stands.setdefault(key, number)

    def stack_bytes(self, name: str, stack_id: int) -> bytes:
        """The frames of a stored stack, as the kernel wrote them; empty for a stack that could not be taken.

        Ids name a stack for the whole run, so what was read once is kept.
        """
        if stack_id < 0 or self.stacks is None:
            return b""
        found = self._frames.get((name, stack_id))
        if found is None:
            second, number = stack_id >> 32, stack_id & 0xFFFFFFFF
            store, size = self.stacks(name + MORE if second else name)
            found = store.lookup(number.to_bytes(size, "little"))
            if found is None:
                return b""
            self._frames[name, stack_id] = found
        return found


def texter(vtype: VType, context: Context) -> Texter:
    """A function from a decoded value of `vtype` to its text."""
    make = _MAKERS.get(vtype.kind)
    return make(vtype, context) if make is not None else str


def key_texter(vtype: VType, context: Context) -> Texter:
    """As `texter`, for a map key: a tuple loses its outer parentheses."""
    inner = texter(vtype, context)
    if vtype.kind == "tuple":
        return lambda value: inner(value)[1:-1]
    return inner


def _bool(value: Any) -> str:
    return "true" if value else "false"


def _none(value: Any) -> str:
    return "null"


def escape(data: bytes) -> str:
    """A buffer's bytes: 32 to 126 as they are, others as ``\\x`` and two hex digits."""
    if data.isascii() and data.decode("ascii").isprintable():
        return data.decode("ascii")
    return "".join([chr(b) if 32 <= b <= 126 else f"\\x{b:02x}" for b in data])


def _enum(vtype: VType, context: Context) -> Texter:
    names = dict(vtype.names)
    bits = (1 << 8 * vtype.size) - 1

    def text(value: Any) -> str:
        name = names.get(value) or names.get(value & bits)
        return name if name is not None else str(value)

    return text


def _ksym(vtype: VType, context: Context) -> Texter:
    def text(address: Any) -> str:
        found = context.world.ksym(address)
        return found[0] if found is not None else hex(address)

    return text


def _usym(vtype: VType, context: Context) -> Texter:
    def text(value: Any) -> str:
        address, pid = value
        found = context.world.usym(pid, address)
        return found[0] if found is not None else hex(address)

    return text


def _username(vtype: VType, context: Context) -> Texter:
    return lambda uid: context.world.username(uid)


def _timestamp(vtype: VType, context: Context) -> Texter:
    from cygnet.session.clock import strftime

    form, clock = vtype.text or "%Y-%m-%dT%H:%M:%S", str(vtype.data or "boot")
    return lambda after: strftime(form, context.world.wall_ns(clock, after - 1)) if after else "(?)"


def _cgroup(vtype: VType, context: Context) -> Texter:
    return lambda cgroup: context.world.cgroup_path(cgroup, vtype.text)


def _gfp(vtype: VType, context: Context) -> Texter:
    from cygnet.facts.gfp import gfp_text

    return gfp_text


def _tuple(vtype: VType, context: Context) -> Texter:
    parts = [texter(field.type, context) for field in vtype.fields]
    if len(parts) == 1:
        only = parts[0]
        return lambda value: f"({only(value[0])},)"
    return lambda value: "(" + ", ".join([part(item) for part, item in zip(parts, value)]) + ")"


def _record(vtype: VType, context: Context) -> Texter:
    parts = [(f".{field.name} = ", field.name, texter(field.type, context)) for field in vtype.fields]
    if not parts:
        return lambda value: "{}"
    return lambda value: "{ " + ", ".join([head + part(value[name]) for head, name, part in parts]) + " }"


def _array(vtype: VType, context: Context) -> Texter:
    if vtype.elem is None:
        raise ValueError("an array type without elements")
    part = texter(vtype.elem, context)
    return lambda value: "[" + ",".join(map(part, value)) + "]"


def _stack(vtype: VType, context: Context) -> Texter:
    from cygnet.session.stacks import stack_texter

    return stack_texter(vtype, context)


_MAKERS: dict[str, Callable[[VType, Context], Texter]] = {
    "int": lambda vtype, context: str,
    "bool": lambda vtype, context: _bool,
    "none": lambda vtype, context: _none,
    "ptr": lambda vtype, context: hex,
    "str": lambda vtype, context: str,
    "buf": lambda vtype, context: escape,
    "enum": _enum, "ksym": _ksym, "usym": _usym, "username": _username, "timestamp": _timestamp,
    "cgroup": _cgroup, "gfp": _gfp, "tuple": _tuple, "record": _record, "struct": _record,
    "array": _array, "kstack": _stack, "ustack": _stack,
}  # fmt: skip
