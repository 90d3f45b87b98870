"""Answers to relocations from a target, the maps of a run, and the numbers of its session."""

from __future__ import annotations

from cygnet.errors import BtfError, RelocationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from cygnet.spec.protocols import TargetInfo


class SystemResolver:
    """A spec.apply.Resolver. The target is asked for only by the relocations that need it, each thing once.

    `maps` gives the file descriptors of maps by name, `session` the numbers of the run. Addresses of
    kernel symbols come from `ksyms`, which reads them; `has_feature` tells what the kernel can do.
    """

    __slots__ = ("_core", "_fields", "_has_feature", "_ksyms", "_maps", "_session", "_target")

    def __init__(
        self,
        target: Callable[[], TargetInfo],
        maps: Callable[[str], int],
        session: Mapping[str, int],
        has_feature: Callable[[str], bool],
        ksyms: Callable[[str], int],
    ) -> None:
        self._target = target
        self._maps = maps
        self._session = session
        self._has_feature = has_feature
        self._ksyms = ksyms
        self._fields: dict[str, dict[str, tuple[int, int, bool]]] = {}
        self._core: dict[tuple[str, str, str], tuple[int, int, bool]] = {}

    def map_fd(self, name: str) -> int:
        try:
            return self._maps(name)
        except KeyError:
            raise RelocationError(f"the program uses map {name}, which does not exist") from None

    def tracepoint_field(self, event: str, field: str) -> tuple[int, int, bool]:
        fields = self._fields.get(event)
        if fields is None:
            subsys, _, name = event.partition(":")
            rows = self._target().tracepoint_format(subsys, name).fields
            fields = self._fields[event] = {row.name: (row.offset, row.size, row.signed) for row in rows}
        if field not in fields:
            raise RelocationError(f"tracepoint {event} has no field {field} here")
        return fields[field]

    def core(self, type: str, kind: str, path: str) -> tuple[int, int, bool]:
        key = (type, kind, path)
        if key not in self._core:
            self._core[key] = self._ask_core(type, kind, path)
        return self._core[key]

    def _ask_core(self, type: str, kind: str, path: str) -> tuple[int, int, bool]:
        from cygnet.btf.spelling import find_c_type

        btf = self._target().btf()
        found = find_c_type(btf, type)
        if found is None:
            if kind == "exists":
                return 0, 0, False
            raise RelocationError(f"the kernel has no type {type}")
        if not path:
            return _whole(btf, found, kind, type)
        return _member(btf, found, kind, path, type)

    def ksym(self, name: str) -> int:
        address = self._ksyms(name)
        if not address:
            raise RelocationError(f"the kernel has no symbol {name}, or hides its address (kernel.kptr_restrict)")
        return address

    def kvar(self, name: str) -> int:
        from cygnet.btf import kinds

        found = self._target().btf().find(name, kinds.VAR)
        if found is None:
            raise RelocationError(f"the kernel tells of no per-CPU variable {name}")
        number: int = found.id
        return number

    def kfunc(self, name: str) -> int:
        from cygnet.btf import kinds

        found = self._target().btf().find(name, kinds.FUNC)
        if found is None:
            raise RelocationError(f"the kernel has no function {name} that programs may call")
        number: int = found.id
        return number

    def session(self, name: str) -> int:
        known = self._session.get(name)
        if known is None:
            known = self._system_number(name)
        if known is None:
            raise RelocationError(f"the session gives no number {name}")
        return known

    def _system_number(self, name: str) -> int | None:
        """What the session leaves to the system: its CPUs, and the PID namespace (0: the initial one)."""
        target: Any = self._target()
        if name in ("pidns_dev", "pidns_ino"):
            device, inode, initial = target.pid_namespace()
            return 0 if initial else device if name == "pidns_dev" else inode
        if name == "ncpus":
            return len(target.online_cpus())
        if name == "possible_cpus":  # numbers may have gaps: one past the highest
            return int(max(target.possible_cpus())) + 1
        if name == "tai_offset_ns":
            return int(target.tai_offset_ns())
        return None

    def may_goto(self) -> bool:
        return self._has_feature("may_goto")


def _whole(btf: Any, found: Any, kind: str, type: str) -> tuple[int, int, bool]:
    """About a type itself: its size, or that it exists."""
    if kind == "size":
        return btf.size_of(found), 0, False
    if kind == "exists":
        return 1, 0, False
    raise RelocationError(f"an offset needs a member of {type}")


def _member(btf: Any, found: Any, kind: str, path: str, type: str) -> tuple[int, int, bool]:
    from cygnet.btf.layout import member_path, resolve

    try:
        place = member_path(found, path)
    except BtfError as error:
        if kind == "exists":
            return 0, 0, False
        raise RelocationError(f"{type}.{path}: {error}") from None
    size, signed = btf.size_of(place.type), resolve(place.type).is_signed
    return {"offset": _byte_offset(place, size), "size": size, "exists": 1}[kind], size, signed


def _byte_offset(place: Any, size: int) -> int:
    """Where a member is read. A bit-field: where the unit of its declared type begins, as compilers read it."""
    if not place.bitfield_size:
        return int(place.byte_offset)
    inner = int(place.steps[-1].member.bit_offset)
    return (int(place.bit_offset) - inner >> 3) + inner // (8 * size) * size
