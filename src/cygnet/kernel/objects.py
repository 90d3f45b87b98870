"""The kernel's objects: ids of programs, maps, links and BTF, and their info as plain tuples."""

from __future__ import annotations

import errno as _errno
from collections.abc import Iterator

from cygnet.kernel import sys
from cygnet.uapi import bpf, layouts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from cygnet.named import NamedTuple


class MapInfo(NamedTuple):
    """struct bpf_map_info. Sizes in bytes."""

    id: int
    type: int
    name: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    btf_id: int
    btf_key_type_id: int
    btf_value_type_id: int
    ifindex: int


class ProgInfo(NamedTuple):
    """struct bpf_prog_info. `loaded_at_ns` counts from boot; the last four need BPF_ENABLE_STATS to grow."""

    id: int
    type: int
    name: str
    tag: str
    xlated_bytes: int
    jited_bytes: int
    loaded_at_ns: int
    uid: int
    gpl: bool
    map_ids: tuple[int, ...]
    btf_id: int
    verified_insns: int
    run_time_ns: int
    run_cnt: int
    recursion_misses: int


class BtfInfo(NamedTuple):
    """struct bpf_btf_info."""

    id: int
    name: str
    size: int
    kernel: bool


class LinkInfo(NamedTuple):
    """struct bpf_link_info. `detail` depends on the type, and is empty for the types that have none."""

    id: int
    type: int
    prog_id: int
    detail: dict[str, int | str]


# ── ids ──────────────────────────────────────────────────────────────────────────────────────────────────

_NEXT = {
    "prog": (bpf.BPF_PROG_GET_NEXT_ID, bpf.BPF_PROG_GET_FD_BY_ID),
    "map": (bpf.BPF_MAP_GET_NEXT_ID, bpf.BPF_MAP_GET_FD_BY_ID),
    "link": (bpf.BPF_LINK_GET_NEXT_ID, bpf.BPF_LINK_GET_FD_BY_ID),
    "btf": (bpf.BPF_BTF_GET_NEXT_ID, bpf.BPF_BTF_GET_FD_BY_ID),
}


def ids(kind: str) -> Iterator[int]:
    """The ids of every ``prog``, ``map``, ``link`` or ``btf`` in the kernel, ascending. Needs CAP_SYS_ADMIN."""
    command, current = _NEXT[kind][0], 0
    while True:
        attr = sys.pack(layouts.ATTR_GET_ID, start_id=current)
        result = sys.bpf_try(command, attr)
        if result == -_errno.ENOENT:
            return
        if result < 0:
            raise sys.failure(-result, f"list {kind} ids", "bpf", caps=("sys_admin",))
        current = sys.unpack(layouts.ATTR_GET_ID, attr)["next_id"]
        yield current


def open_id(kind: str, object_id: int) -> int:
    """A file descriptor of an object by its id. Needs CAP_SYS_ADMIN."""
    attr = sys.pack(layouts.ATTR_GET_ID, start_id=object_id)
    result = sys.bpf_try(_NEXT[kind][1], attr)
    if result < 0:
        raise sys.failure(-result, f"open {kind} {object_id}", "bpf", caps=("sys_admin",))
    return result


def open_pin(path: str, flags: int = 0) -> int:
    """A file descriptor of a pinned object."""
    name = bytearray(path.encode() + b"\0")
    attr = sys.pack(layouts.ATTR_OBJ, pathname=sys.address(name), file_flags=flags)
    return sys.bpf(bpf.BPF_OBJ_GET, attr, f"open the pin {path}")


def pin(fd: int, path: str) -> None:
    """Give an object a name in a bpf file system; it lives on until the file is removed."""
    name = bytearray(path.encode() + b"\0")
    attr = sys.pack(layouts.ATTR_OBJ, pathname=sys.address(name), bpf_fd=fd)
    sys.bpf(bpf.BPF_OBJ_PIN, attr, f"pin at {path}")


# ── info ─────────────────────────────────────────────────────────────────────────────────────────────────


def raw_info(fd: int, layout: sys.Layout, buffer: bytearray) -> dict[str, int | bytes]:
    """BPF_OBJ_GET_INFO_BY_FD into `buffer`, whose first bytes may already hold requests for arrays."""
    attr = sys.pack(layouts.ATTR_INFO, bpf_fd=fd, info_len=len(buffer), info=sys.address(buffer))
    sys.bpf(bpf.BPF_OBJ_GET_INFO_BY_FD, attr, "read an object's info")
    return sys.unpack(layout, buffer)


def _text(raw: object) -> str:
    return raw.rstrip(b"\0").decode(errors="replace") if isinstance(raw, bytes) else ""


def map_info(fd: int) -> MapInfo:
    raw = raw_info(fd, layouts.MAP_INFO, sys.pack(layouts.MAP_INFO))
    names = ("key_size", "value_size", "max_entries", "map_flags", "btf_id", "btf_key_type_id", "btf_value_type_id")
    numbers = [int(raw[name]) for name in (*names, "ifindex")]
    return MapInfo(int(raw["id"]), int(raw["type"]), _text(raw["name"]), *numbers)


def prog_info(fd: int) -> ProgInfo:
    raw = raw_info(fd, layouts.PROG_INFO, sys.pack(layouts.PROG_INFO))
    tag = raw["tag"]
    assert isinstance(tag, bytes)
    return ProgInfo(
        id=int(raw["id"]),
        type=int(raw["type"]),
        name=_text(raw["name"]),
        tag=tag.hex(),
        xlated_bytes=int(raw["xlated_prog_len"]),
        jited_bytes=int(raw["jited_prog_len"]),
        loaded_at_ns=int(raw["load_time"]),
        uid=int(raw["created_by_uid"]),
        gpl=bool(int(raw["bits"]) >> layouts.PROG_INFO_BIT_GPL_COMPATIBLE & 1),
        map_ids=_map_ids(fd, int(raw["nr_map_ids"])),
        btf_id=int(raw["btf_id"]),
        verified_insns=int(raw["verified_insns"]),
        run_time_ns=int(raw["run_time_ns"]),
        run_cnt=int(raw["run_cnt"]),
        recursion_misses=int(raw["recursion_misses"]),
    )


def _map_ids(fd: int, count: int) -> tuple[int, ...]:
    if not count:
        return ()
    array = bytearray(4 * count)
    request = sys.pack(layouts.PROG_INFO, nr_map_ids=count, map_ids=sys.address(array))
    raw_info(fd, layouts.PROG_INFO, request)
    return tuple(memoryview(array).cast("I"))


def xlated(fd: int) -> bytes:
    """A program's instructions as the kernel runs them (after its rewrites), 8 bytes each."""
    raw = raw_info(fd, layouts.PROG_INFO, sys.pack(layouts.PROG_INFO))
    code = bytearray(int(raw["xlated_prog_len"]))
    if code:
        request = sys.pack(layouts.PROG_INFO, xlated_prog_len=len(code), xlated_prog_insns=sys.address(code))
        raw_info(fd, layouts.PROG_INFO, request)
    return bytes(code)


def program_btf(fd: int) -> Any:
    """The types that a program came with; None when it came without."""
    import os

    from cygnet.btf import Btf

    number = prog_info(fd).btf_id
    if not number:
        return None
    btf_fd = open_id("btf", number)
    try:
        return Btf(btf_data(btf_fd))
    finally:
        os.close(btf_fd)


def program_functions(fd: int) -> list[str]:
    """The names of a program's functions, its entry first; empty when it came without BTF."""
    raw = raw_info(fd, layouts.PROG_INFO, sys.pack(layouts.PROG_INFO))
    count, size = int(raw["nr_func_info"]), int(raw["func_info_rec_size"])
    btf = program_btf(fd) if count else None
    if btf is None:
        return []
    array = bytearray(count * size)
    request = sys.pack(layouts.PROG_INFO, nr_func_info=count, func_info_rec_size=size, func_info=sys.address(array))
    raw_info(fd, layouts.PROG_INFO, request)
    ids = [int.from_bytes(array[at + 4 : at + 8], "little") for at in range(0, len(array), size)]
    return [btf.type(number).name for number in ids]


def btf_info(fd: int) -> BtfInfo:
    name = bytearray(64)
    request = sys.pack(layouts.BTF_INFO, name=sys.address(name), name_len=len(name))
    raw = raw_info(fd, layouts.BTF_INFO, request)
    return BtfInfo(int(raw["id"]), _text(bytes(name)), int(raw["btf_size"]), bool(raw["kernel_btf"]))


def btf_data(fd: int) -> bytes:
    """The bytes of a BTF object."""
    data = bytearray(btf_info(fd).size)
    raw_info(fd, layouts.BTF_INFO, sys.pack(layouts.BTF_INFO, btf=sys.address(data), btf_size=len(data)))
    return bytes(data)


def link_info(fd: int) -> LinkInfo:
    """A link's info. Its detail is for perf event, raw tracepoint, tracing and uprobe_multi links."""
    from cygnet.kernel.linkinfo import link_detail

    size = 128
    buffer = bytearray(size)
    raw = raw_info(fd, layouts.LINK_INFO, buffer)
    kind = int(raw["type"])
    return LinkInfo(int(raw["id"]), kind, int(raw["prog_id"]), link_detail(fd, kind, buffer))
