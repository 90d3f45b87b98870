"""Any sequence of operations gives the same on a map of the user-space machine as on the kernel's."""

from __future__ import annotations

import struct

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.kernel.maptwins import Twins, kernel_map, map_type, new_host

from cygnet.uapi import bpf

# type, key, value, entries, flags
SHAPES = {
    "hash": [(1, 1, 1, 0), (4, 4, 3, 0), (8, 12, 5, 1), (13, 3, 4, 0x40), (20, 100, 8, 0)],
    "percpu_hash": [(4, 8, 3, 0), (7, 24, 5, 1)],
    "array": [(4, 1, 1, 0), (4, 8, 4, 0), (4, 13, 3, 0x400)],
    "percpu_array": [(4, 8, 4, 0), (4, 24, 2, 0)],
    "lpm_trie": [(5, 1, 4, 1), (8, 8, 6, 1), (20, 5, 3, 1)],
    "queue": [(0, 1, 1, 0), (0, 8, 3, 0)],
    "stack": [(0, 5, 1, 0), (0, 8, 3, 0)],
    "lru_hash": [(4, 8, 4096, 0), (8, 5, 4096, 2)],
    "lru_percpu_hash": [(4, 8, 4096, 0)],
    "devmap": [(4, 4, 3, 0), (4, 8, 3, 0)],
    "devmap_hash": [(4, 8, 3, 0)],
    "cpumap": [(4, 4, 3, 0)],
}
FLAGS = st.sampled_from((0, 0, 0, 0, bpf.BPF_NOEXIST, bpf.BPF_EXIST, 3, bpf.BPF_F_LOCK, 5, 8, 1 << 63))
WALKED_ALIKE = ("array", "percpu_array", "lpm_trie", "devmap", "devmap_hash", "cpumap")


def keys_of(kind: str, size: int) -> st.SearchStrategy[bytes]:
    """Few of them, so that they meet again; for tries prefixes of one another."""
    if not size:
        return st.just(b"")
    if kind == "lpm_trie":
        bits = 8 * (size - 4)
        data = st.sampled_from((b"\0", b"\x80", b"\xc0", b"\xff", b"\x0f")).map(lambda b: b.ljust(size - 4, b[-1:]))
        return st.builds(lambda n, d: struct.pack("=I", n) + d, st.sampled_from((0, 1, 2, 5, 8, bits, bits + 1)), data)
    return st.integers(0, 7).map(lambda n: n.to_bytes(max(4, size), "little")[:size])


def values_of(kind: str, size: int, whole: int) -> st.SearchStrategy[bytes]:
    """`size` bytes, or `whole` bytes of all CPUs with zeros between them."""
    if kind in ("devmap", "devmap_hash", "cpumap"):
        return st.integers(0, 1).map(lambda n: struct.pack("=I", n).ljust(size, b"\0"))
    if size == whole:
        return st.binary(min_size=size, max_size=size)
    stride = size + 7 & ~7
    one = st.binary(min_size=size, max_size=size).map(lambda v: v.ljust(stride, b"\0"))
    return st.lists(one, min_size=whole // stride, max_size=whole // stride).map(b"".join)


class Same(RuleBasedStateMachine):
    kind = ""

    @initialize(data=st.data())
    def make(self, data: st.DataObject) -> None:
        key, value, entries, flags = data.draw(st.sampled_from(SHAPES[self.kind]))
        self.host = new_host()
        self.twins = Twins(self.host, self.kind, key, value, entries, flags)
        self.keys = keys_of(self.kind, key)
        self.values = values_of(self.kind, value, self.twins.user.value_bytes)

    @rule(data=st.data(), flags=FLAGS)
    def update(self, data: st.DataObject, flags: int) -> None:
        self.twins.same("update", data.draw(self.keys), data.draw(self.values), flags)

    @rule(data=st.data())
    def lookup(self, data: st.DataObject) -> None:
        self.twins.same("lookup", data.draw(self.keys))

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.twins.same("delete", data.draw(self.keys))

    @rule(data=st.data())
    def lookup_and_delete(self, data: st.DataObject) -> None:
        self.twins.same("lookup_and_delete", data.draw(self.keys))

    @precondition(lambda self: self.kind in WALKED_ALIKE)
    @rule(data=st.data())
    def next_key(self, data: st.DataObject) -> None:
        self.twins.same("next_key", data.draw(st.none() | self.keys))

    @precondition(lambda self: self.twins.row.key != "none")
    @rule(data=st.data(), flags=FLAGS)
    def update_batch(self, data: st.DataObject, flags: int) -> None:
        pairs = data.draw(st.lists(st.tuples(self.keys, self.values), max_size=4))
        self.twins.same("update_batch", b"".join(k for k, _ in pairs), b"".join(v for _, v in pairs), flags)

    @precondition(lambda self: self.twins.row.key != "none")
    @rule(data=st.data())
    def delete_batch(self, data: st.DataObject) -> None:
        self.twins.same("delete_batch", b"".join(data.draw(st.lists(self.keys, max_size=3))))

    @precondition(lambda self: self.kind in ("hash", "array", "lpm_trie"))
    @rule()
    def clear(self) -> None:
        self.twins.same("clear")

    @invariant()
    def contents(self) -> None:
        if hasattr(self, "twins") and self.twins.row.key != "none":
            self.twins.same_contents()

    def teardown(self) -> None:
        if hasattr(self, "twins"):
            self.twins.close()
            self.host.close()


@pytest.mark.parametrize("kind", SHAPES)
def test_same_as_the_kernel(kind: str) -> None:
    kernel_map(map_type("array"), 4, 4, 1, 0).close()  # NotSupported or PermissionDenied here, once
    machine = type(kind, (Same,), {"kind": kind})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
