"""Which CPUs there are: possible ones decide the layout of per-CPU values, online ones where to sample."""

from __future__ import annotations

_FOLDER = "/sys/devices/system/cpu/"
_cache: dict[str, tuple[int, ...]] = {}


def parse_list(text: str) -> tuple[int, ...]:
    """The numbers of a kernel CPU list such as ``0-3,8``."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            cpus.extend(range(int(first), int(last or first) + 1))
    return tuple(cpus)


def _read(name: str) -> tuple[int, ...]:
    with open(_FOLDER + name) as file:
        return parse_list(file.read())


def possible() -> tuple[int, ...]:
    """CPUs that this kernel may ever have; fixed since boot, so read once."""
    if "possible" not in _cache:
        _cache["possible"] = _read("possible")
    return _cache["possible"]


def online() -> tuple[int, ...]:
    """CPUs that run now."""
    return _read("online")
