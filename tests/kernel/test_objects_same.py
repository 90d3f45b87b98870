"""One ObjectSpec for both: maps of maps, values with locks, frozen data, storage shared by two programs."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.vmcases.helpers import call, store
from tests.vmcases.scenes import locked, storage, typed
from tests.vmcases.tasks import own_task

from cygnet.errors import PermissionDenied
from cygnet.loader.runtime import kernel_runtime
from cygnet.spec.objects import MapSpec, ObjectSpec
from cygnet.testing import assemble_object
from cygnet.uapi import bpf
from cygnet.vm.machine import Machine

ARRAY, HASH = bpf.BPF_MAP_TYPE_ARRAY, bpf.BPF_MAP_TYPE_HASH


@pytest.fixture
def both() -> Iterator[Callable[[ObjectSpec], list[Any]]]:
    made: list[Any] = []

    def load(spec: ObjectSpec) -> list[Any]:
        made.extend((Machine(spec), kernel_runtime(spec)))
        own_task(made[0], None)  # type: ignore[arg-type]
        return made

    yield load
    for one in made:
        one.close()


def ran(runtimes: list[Any], name: str = "program", data: bytes = b"") -> int:
    """r0 of a test run, which must be the same on both."""
    results = [runtime.program(name).test_run(data).retval for runtime in runtimes]
    assert results[0] == results[1]
    return int(results[0])


INNER = MapSpec("inner", ARRAY, 4, 8, 2)
_LOOKUP = "r1 = map[idx:0]\nr2 = r10\nr2 += -8\ncall bpf_map_lookup_elem\n"
LOOK = (
    "*(u64 *)(r10 -8) = 0\n" + _LOOKUP
    + "if r0 == 0 goto none\nr1 = r0\nr2 = r10\nr2 += -8\ncall bpf_map_lookup_elem\nif r0 == 0 goto none\nr0 = *(u32 *)(r0 +0)\n"
    "exit\nnone:\nr0 = 99\nexit\n"
)  # fmt: skip


@pytest.mark.parametrize("type", [bpf.BPF_MAP_TYPE_ARRAY_OF_MAPS, bpf.BPF_MAP_TYPE_HASH_OF_MAPS])
def test_maps_of_maps(type: int, both: Callable[[ObjectSpec], list[Any]]) -> None:
    spec = assemble_object(LOOK, "raw_tracepoint", (MapSpec("outer", type, 4, 4, 2, inner=INNER), INNER))
    runtimes = both(spec)
    assert ran(runtimes) == 99
    for runtime in runtimes:
        inner = runtime.map("inner")
        inner.update(bytes(4), struct.pack("=Q", 42))
        number = inner.fd if hasattr(inner, "fd") else inner.id
        runtime.map("outer").update(bytes(4), struct.pack("=I", number))
    assert ran(runtimes) == 42


LOCKED = (
    store(-8, bytes(8)) + _LOOKUP + "if r0 == 0 goto none\nr7 = r0\nr1 = r7\nr1 += 8\n"
    "call bpf_spin_lock\nr8 = *(u64 *)(r7 +0)\nr8 += 5\n*(u64 *)(r7 +0) = r8\n"
    "r1 = r7\nr1 += 8\ncall bpf_spin_unlock\nr0 = r8\nexit\n"
    "none:\nr0 = 99\nexit\n"
)  # fmt: skip


def test_values_with_locks(both: Callable[[ObjectSpec], list[Any]]) -> None:
    maps = (typed("locks", ARRAY, 16, 2, locked),)
    runtimes = both(assemble_object(LOCKED, "sched_cls", maps))
    assert [ran(runtimes, data=bytes(20)) for _ in range(3)] == [5, 10, 15]
    values = [runtime.map("locks").lookup(bytes(4)) for runtime in runtimes]
    assert values[0] == values[1] == struct.pack("=QQ", 15, 0)


def test_fields_may_be_listed() -> None:
    """The machine needs no types for that."""
    maps = (MapSpec("locks", ARRAY, 4, 16, 2, fields=(("spin_lock", 8),)),)
    with Machine(assemble_object(LOCKED, "sched_cls", maps)) as machine:
        assert machine.map("locks").lock_at == 8
        assert machine.program("program").test_run(bytes(20)).retval == 5


def test_frozen_data(both: Callable[[ObjectSpec], list[Any]]) -> None:
    text = "r1 = map[idx:0]+4\nr0 = *(u32 *)(r1 +0)\nexit\n"
    data = struct.pack("=II", 3, 4)
    runtimes = both(assemble_object(text, "raw_tracepoint", (MapSpec("data", ARRAY, 4, 8, 1, 0x80, data, True),)))
    assert ran(runtimes) == 4
    for runtime in runtimes:
        with pytest.raises(PermissionDenied):
            runtime.map("data").update(bytes(4), bytes(8))


GET = (
    call("get_current_task_btf") + "r2 = r0\nr1 = map[idx:0]\nr3 = 0\nr4 = {flags}\ncall bpf_task_storage_get\n"
    "if r0 == 0 goto none\nr1 = *(u64 *)(r0 +0)\nr1 += {add}\n*(u64 *)(r0 +0) = r1\nr0 = r1\nexit\nnone:\nr0 = 99\nexit\n"
)  # fmt: skip


def test_storage_that_programs_share(both: Callable[[ObjectSpec], list[Any]]) -> None:
    """One makes the value, the other one finds it, and user space reads, sets and deletes it by the task's descriptor."""
    maps = (storage("store", bpf.BPF_MAP_TYPE_TASK_STORAGE),)
    texts = {"maker": GET.format(flags=1, add=7), "reader": GET.format(flags=0, add=0)}
    objects = [assemble_object(text, "raw_tracepoint", maps, name=name) for name, text in texts.items()]
    runtimes = both(ObjectSpec(programs=tuple(one.programs[0] for one in objects), maps=maps))
    assert ran(runtimes, "reader") == 99
    assert ran(runtimes, "maker") == 7 and ran(runtimes, "maker") == 14
    assert ran(runtimes, "reader") == 14
    pidfd = os.pidfd_open(os.getpid())
    try:
        machine = runtimes[0]
        (own,) = (n for (kind, _), n in machine.world.descriptors.items() if kind == "task")
        numbers = struct.pack("=I", own), struct.pack("=I", pidfd)
        stores = [runtime.map("store") for runtime in runtimes]
        assert [one.lookup(number) for one, number in zip(stores, numbers, strict=True)] == [struct.pack("=Q", 14)] * 2
        for one, number in zip(stores, numbers, strict=True):
            one.update(number, struct.pack("=Q", 30))
        assert ran(runtimes, "reader") == 30
        assert [one.delete(number) for one, number in zip(stores, numbers, strict=True)] == [True, True]
        assert ran(runtimes, "reader") == 99
        assert [one.delete(number) for one, number in zip(stores, numbers, strict=True)] == [False, False]
    finally:
        os.close(pidfd)
