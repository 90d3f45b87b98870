"""A runtime, a ring and a world made of Python values, for tests of the session."""

from __future__ import annotations

import os
import struct
from typing import Any

from cygnet.spec.actions import Action
from cygnet.spec.mapviews import MapView, Store
from cygnet.spec.objects import Control, LinkSpec, MapSpec, ObjectSpec
from cygnet.spec.values import Field, VType

U8, U32, U64 = VType("int", 1), VType("int", 4), VType("int", 8)
I32, I64 = VType("int", 4, True), VType("int", 8, True)
CONTROL = Control("control", "ring", 8, (), pending=5, pending_count=3)


def string(size: int) -> VType:
    return VType("str", size)


def tuple_of(*types: VType) -> VType:
    """A tuple laid out as C would: each part at a multiple of its size, at most 8."""
    at, fields = 0, []
    for one in types:
        align = min(8, one.size if one.kind == "int" else 1)
        at = -(-at // align) * align
        fields.append(Field(at, str(len(fields)), one))
        at += one.size
    return VType("tuple", -(-at // 8) * 8, fields=tuple(fields))


class Store_:
    """A MapStore in a dict."""

    def __init__(self, items: dict[bytes, bytes] | None = None) -> None:
        self.data = dict(items or {})

    def lookup(self, key: bytes) -> bytes | None:
        return self.data.get(key)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        self.data[key] = value

    def delete(self, key: bytes) -> bool:
        return self.data.pop(key, None) is not None

    def items(self) -> list[tuple[bytes, bytes]]:
        return list(self.data.items())

    def close(self) -> None: ...


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}Q", *[v & (1 << 64) - 1 for v in values])


class World:
    def ksym(self, address: int) -> tuple[str, int] | None:
        return ("vfs_read", address - 0x1000) if 0x1000 <= address < 0x2000 else None

    def usym(self, pid: int, address: int) -> tuple[str, int, str] | None:
        return ("main", address - 0x400, "/bin/x") if 0x400 <= address < 0x500 and pid == 7 else None

    def usource(self, pid: int, address: int) -> tuple[tuple[str, str], ...]:
        if not 0x400 <= address < 0x440 or pid != 7:
            return ()
        inner = (("leaf", f"x.h:{address & 0xF}"), ("twig", "")) if address & 1 else ()
        return (*inner, ("main", f"x.c:{address & 0x3F}" if address != 0x402 else ""))

    def unwind(self, pid: int, registers: bytes, base: int, stack: bytes) -> tuple[list[int], str]:
        """The words of the copied stack, and what its first register says of the end."""
        return list(struct.unpack(f"<{len(stack) // 8}Q", stack)), "cut" if registers[0] else ""

    def username(self, uid: int) -> str:
        return {0: "root"}.get(uid, "")

    def cgroup_path(self, cgroup_id: int, pattern: str) -> str:
        return f"unified:/{cgroup_id}{pattern}"

    def wall_ns(self, clock: str, ns: int) -> int:
        return ns


class Batch:
    """As kernel.ringbuf.Batch."""

    def __init__(self, records: list[bytes], end: int) -> None:
        self.end = end
        sizes = {len(record) for record in records}
        self.count = len(records)
        self.length = len(records[0]) if len(sizes) == 1 else 0
        self.stride = self.length + 8 if self.length else 0
        self.view = memoryview(b"".join([struct.pack("<II", len(r), 0) + r for r in records]))
        self.offsets: list[tuple[int, int]] = []
        at = 0
        for record in records:
            self.offsets.append((at + 8, len(record)))
            at += 8 + len(record)

    def records(self) -> list[tuple[int, int]]:
        return self.offsets


class Ring:
    """A ring that a pipe makes readable, as epoll wants it."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        self.batches: list[list[bytes]] = []
        self.at = 0

    def fileno(self) -> int:
        return self.read

    def put(self, *records: bytes) -> None:
        self.batches.append(list(records))
        if len(self.batches) == 1:
            os.write(self.write, b"x")

    def available(self) -> int:
        return sum(len(record) for batch in self.batches for record in batch)

    def read_batch(self) -> Batch | None:
        if not self.batches:
            return None
        return Batch(self.batches[0], self.at + 1)

    def consume(self, end: int) -> None:
        assert end == self.at + 1
        self.at = end
        self.batches.pop(0)
        if not self.batches:
            os.read(self.read, 100)

    def close(self) -> None:
        os.close(self.read)
        os.close(self.write)


class Runtime:
    """Programs are Python functions; `attached` are those of links that are places."""

    def __init__(self, spec: ObjectSpec, programs: dict[str, Any], stores: dict[str, Store_] | None = None) -> None:
        self.spec = spec
        self.programs = programs
        self.stores = {one.name: Store_() for one in spec.maps}
        self.stores["control"] = Store_({bytes(4): bytes(256)})
        self.stores.update(stores or {})
        self.ring = Ring()
        self.log: list[str] = []
        self.numbers: dict[str, int] = {}

    def open(self, numbers: dict[str, int]) -> Runtime:
        self.numbers = numbers
        return self

    def map(self, name: str) -> Store_:
        return self.stores[name]

    def run(self, program: str) -> int:
        self.log.append(f"run {program}")
        self.programs[program](self)
        return 0

    def attach_all(self, links: Any = None, *, progress: Any = None, failed: Any = None) -> int:
        links = list(links)
        for at, link in enumerate(links):
            self.log.append(f"attach {link.probe}")
            self.programs[link.program](self)
            if progress is not None:
                progress(at + 1, len(links))
        return len(links)

    def detach_all(self) -> None:
        self.log.append("detach")

    def events(self, ring: str) -> Ring:
        return self.ring

    def close(self) -> None:
        self.log.append("close")
        self.ring.close()


def record(action: int, *parts: bytes | int, size: int = 0) -> bytes:
    body = b"".join([words(part) if isinstance(part, int) else part for part in parts])
    return (words(action) + body).ljust(size, b"\0")


__all__ = ["CONTROL", "I32", "I64", "U8", "U32", "U64", "Action", "Batch", "LinkSpec", "MapSpec", "MapView",
           "ObjectSpec", "Ring", "Runtime", "Store", "Store_", "VType", "World", "record", "string", "tuple_of",
           "words"]  # fmt: skip
