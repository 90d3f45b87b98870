"""A kernel map and a map of the user-space machine, made and used alike; every difference is an error."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from typing import Any

from cygnet.btf.builder import Builder
from cygnet.btf.reader import Btf
from cygnet.errors import KeyExists, KeyMissing, MapFull, SystemCallError
from cygnet.facts.maptypes import MapType, map_type
from cygnet.kernel import sys
from cygnet.kernel.cpus import possible
from cygnet.kernel.maps import KernelMap
from cygnet.maps.base import UserMap
from cygnet.maps.fields import special_fields
from cygnet.maps.host import MapHost
from cygnet.maps.making import create
from cygnet.uapi import bpf, layouts

NO_PREALLOC = bpf.BPF_F_NO_PREALLOC
Outcome = tuple[Any, ...]


def outcome(action: Callable[[], Any]) -> Outcome:
    """What it gives, or the class and number of its error."""
    try:
        return "gives", action()
    except (KeyMissing, KeyExists, MapFull) as error:
        return type(error).__name__, None
    except SystemCallError as error:
        return type(error).__name__, error.errno
    except ValueError:
        return "ValueError", None


def new_host() -> MapHost:
    return MapHost(cpus=len(possible()))


def kernel_map(
    row: MapType, key: int, value: int, entries: int, flags: int, inner: KernelMap | None = None, map_extra: int = 0,
    types: tuple[bytes, int, int] | None = None,
) -> KernelMap:  # fmt: skip
    """BPF_MAP_CREATE, with the BTF that storage maps insist on."""
    options: dict[str, int] = {"inner_map_fd": inner.fd if inner else 0, "map_extra": map_extra}
    btf_fd = -1
    if types is None and "btf" in row.flags:
        plain = Builder()
        number = plain.integer(4, True, "int")
        content = plain.array(plain.integer(1, False, "unsigned char"), value)
        types = plain.to_bytes(), number, content
    if types:
        btf_fd = _load_btf(types[0])
        options |= {"btf_fd": btf_fd, "btf_key_type_id": types[1], "btf_value_type_id": types[2]}
    try:
        return KernelMap.create(row.id, key, value, entries, flags, "twin", **options)
    finally:
        if btf_fd >= 0:
            os.close(btf_fd)


def _load_btf(data: bytes) -> int:
    buffer = bytearray(data)
    attr = sys.pack(layouts.ATTR_BTF_LOAD, btf=sys.address(buffer), btf_size=len(buffer))
    return sys.bpf(bpf.BPF_BTF_LOAD, attr, "load BTF")


class Twins:
    """Both maps. `same` does one thing to each and compares."""

    def __init__(
        self, host: MapHost, name: str, key: int, value: int, entries: int, flags: int | None = None,
        map_extra: int = 0, inner: Twins | None = None, types: tuple[bytes, int, int] | None = None,
    ) -> None:  # fmt: skip
        """`types` is BTF and the ids of the key's and the value's type, whose special fields both find."""
        row = map_type(name)
        if flags is None:
            flags = NO_PREALLOC if "no_prealloc" in row.flags else 0
        self.row = row
        fields = special_fields(Btf(types[0]).type(types[2])) if types else ()
        self.kernel = kernel_map(row, key, value, entries, flags, inner.kernel if inner else None, map_extra, types)
        self.user: UserMap = create(
            host, row.id, key, value, entries, flags, "twin",
            map_extra=map_extra, inner=inner.user if inner else None, fields=fields,
        )  # fmt: skip
        self.log: list[str] = []

    def same(self, method: str, *arguments: Any) -> Outcome:
        theirs = outcome(lambda: getattr(self.kernel, method)(*arguments))
        ours = outcome(lambda: getattr(self.user, method)(*arguments))
        self.log.append(f"{method}{arguments}")
        assert ours == theirs, f"{self.row.name}: {self.log[-8:]}: {ours}, and the kernel {theirs}"
        return ours

    def both(self, theirs: Callable[[KernelMap], Any], ours: Callable[[UserMap], Any]) -> Outcome:
        """Where the two want different arguments: descriptors."""
        a, b = outcome(lambda: theirs(self.kernel)), outcome(lambda: ours(self.user))
        assert b == a, f"{self.row.name}: {self.log[-8:]}: {b}, and the kernel {a}"
        return b

    def same_contents(self) -> None:
        theirs, ours = sorted(self.kernel.items()), sorted(self.user.items())
        assert ours == theirs, f"{self.row.name}: {self.log[-8:]}"

    def close(self) -> None:
        self.kernel.close()
        self.user.close()

    def __enter__(self) -> Twins:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def kernel_peek(store: KernelMap, value: bytes) -> bool:
    """BPF_MAP_LOOKUP_ELEM of a bloom filter: the value goes in where the answer would come out."""
    buffer = ctypes.create_string_buffer(value, len(value))
    attr = sys.pack(layouts.ATTR_MAP_ELEM, map_fd=store.fd, value=ctypes.addressof(buffer))
    return sys.bpf_try(bpf.BPF_MAP_LOOKUP_ELEM, attr) == 0


def u32(number: int) -> bytes:
    return struct.pack("=I", number & 0xFFFFFFFF)
