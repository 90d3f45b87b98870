"""Maps as programs use them: the kernel's helpers, run by TEST_RUN, against the address-level methods of our maps."""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Callable, Iterator

import pytest
from tests.kernel.maptwins import Twins, new_host

from cygnet.kernel import progs
from cygnet.kernel.cpus import online
from cygnet.kernel.maps import KernelMap
from cygnet.maps.memory import read
from cygnet.uapi import bpf

Asm = Callable[[str], bytes]
# An array value that is the desk between us and a program: flags, key, value, result, what was read.
FLAGS, KEY, VALUE, RESULT, OUT, SIZE = 0, 8, 40, 72, 80, 112
BEGIN = "r6 = map[fd:{desk}][0]+0x0\nr1 = map[fd:{map}]\nr2 = r6\nr2 += 8\n"
END = f"*(u64 *)(r6 +{RESULT}) = r0\nr0 = 0\nexit\n"
UPDATE = f"r3 = r6\nr3 += {VALUE}\nr4 = *(u64 *)(r6 +{FLAGS})\ncall bpf_map_update_elem\n"


def copy_out(reg: str, size: int) -> str:
    return "".join(f"r3 = *(u8 *)({reg} +{i})\n*(u8 *)(r6 +{OUT + i}) = r3\n" for i in range(size))


def texts(size: int) -> dict[str, str]:
    lookup = f"call bpf_map_lookup_elem\nif r0 == 0 goto none\n{copy_out('r0', size)}r0 = 1\nnone:\n"
    stale = (
        f"call bpf_map_lookup_elem\nif r0 == 0 goto none\nr7 = r0\nr1 = map[fd:{{map}}]\nr2 = r6\nr2 += {KEY}\n"
        f"{UPDATE}{copy_out('r7', size)}none:\n"
    )
    queue = f"r2 = r6\nr2 += {VALUE}\n"
    return {
        "update": UPDATE,
        "lookup": lookup,
        "delete": "call bpf_map_delete_elem\n",
        "stale": stale,
        "percpu": "r3 = *(u64 *)(r6 +0)\n" + lookup.replace("lookup_elem", "lookup_percpu_elem"),
        "push": f"{queue}r3 = *(u64 *)(r6 +{FLAGS})\ncall bpf_map_push_elem\n",
        "pop": f"r2 = r6\nr2 += {OUT}\ncall bpf_map_pop_elem\n",
        "peek": f"r2 = r6\nr2 += {OUT}\ncall bpf_map_peek_elem\n",
        "has": f"{queue}call bpf_map_peek_elem\n",
    }


class Desk:
    """Both desks; `run` does one operation on each side and compares result and output."""

    def __init__(self, asm: Asm, twins: Twins, operations: tuple[str, ...]) -> None:
        self.twins = twins
        self.kernel = KernelMap.create(bpf.BPF_MAP_TYPE_ARRAY, 4, SIZE, 1, 0, "desk")
        self.ours = twins.user.host.memory.block(SIZE, "desk")
        size = twins.user.value_size
        self.programs = {
            name: progs.load(
                asm((BEGIN + texts(size)[name] + END).format(desk=self.kernel.fd, map=twins.kernel.fd)),
                bpf.BPF_PROG_TYPE_RAW_TRACEPOINT,
            )
            for name in operations
        }

    def close(self) -> None:
        for program in self.programs.values():
            program.close()
        self.kernel.close()

    def run(self, name: str, key: bytes, value: bytes, flags: int, cpu: int) -> None:
        image = struct.pack("=Q32s32sQ32s", flags, key, value, 0, bytes(32))
        self.kernel.update(bytes(4), image)
        self.programs[name].test_run(flags=bpf.BPF_F_TEST_RUN_ON_CPU, cpu=cpu)
        theirs = self.kernel.lookup(bytes(4)) or b""
        self.ours.view[:] = image
        self.twins.user.host.cpu = cpu
        result = self._ours(name, flags, cpu)
        self.ours.view[RESULT:OUT] = struct.pack("=q", result)
        assert bytes(self.ours.view) == theirs, (self.twins.row, name, key, value, flags, cpu, self.ours.view.hex())

    def _ours(self, name: str, flags: int, cpu: int) -> int:
        store, at = self.twins.user, self.ours.address
        key, value, out = at + KEY, at + VALUE, at + OUT
        if name in ("lookup", "percpu"):
            found = store.lookup_ptr(key, cpu) if name == "lookup" else store.lookup_percpu_ptr(key, flags & 0xFFFFFFFF)
            self.ours.view[OUT : OUT + store.value_size] = (
                read(found, store.value_size) if found else bytes(store.value_size)
            )
            return int(found != 0)
        if name == "stale":
            found = store.lookup_ptr(key, cpu)
            if not found:
                return 0
            result = store.update_ptr(key, value, flags, cpu)
            self.ours.view[OUT : OUT + store.value_size] = read(found, store.value_size)
            return result
        return {
            "update": lambda: store.update_ptr(key, value, flags, cpu),
            "delete": lambda: store.delete_ptr(key, cpu),
            "push": lambda: store.push_ptr(value, flags),
            "pop": lambda: store.pop_ptr(out),
            "peek": lambda: store.peek_ptr(out),
            "has": lambda: store.peek_ptr(value),
        }[name]()


@pytest.fixture
def desk(asm: Asm) -> Iterator[Callable[..., Desk]]:
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(new_host())

        def make(operations: tuple[str, ...], *shape: object) -> Desk:
            twins = stack.enter_context(Twins(host, *shape))  # type: ignore[arg-type]
            made = Desk(asm, twins, operations)
            stack.callback(made.close)
            return made

        yield make


KEYED = ("update", "lookup", "delete", "stale")
SHAPES = [
    ("hash", 4, 8, 4), ("hash", 8, 13, 4), ("hash", 5, 4, 3), ("array", 4, 8, 3), ("array", 4, 13, 3),
    ("percpu_array", 4, 8, 3), ("percpu_hash", 8, 8, 4), ("percpu_hash", 3, 12, 4), ("lru_hash", 8, 8, 4096),
    ("lru_percpu_hash", 8, 8, 4096), ("lpm_trie", 8, 8, 4),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_keyed_maps(desk, shape) -> None:
    chance = random.Random(str(shape))
    name, key_size, value_size, _ = shape
    operations = (*KEYED, "percpu") if name.startswith("percpu") or "percpu" in name else KEYED
    if name.startswith("lru"):
        operations = tuple(o for o in operations if o != "stale")  # which entry is taken again differs
    if name == "lpm_trie":
        operations = tuple(o for o in operations if o != "stale")  # freed memory is the allocator's
    made = desk(operations, *shape)
    cpus = online()
    for _ in range(250):
        key = keys(chance, name, key_size)
        flags = chance.choice((0, 0, 0, 1, 2, 3, 4, 8, 1 << 40))
        operation = chance.choice(operations)
        if operation == "percpu":
            flags = chance.choice((*cpus, 1000, 0xFFFFFFFF))
        made.run(operation, key, chance.randbytes(value_size), flags, chance.choice(cpus))
        made.twins.same_contents()


def keys(chance: random.Random, name: str, size: int) -> bytes:
    if name == "lpm_trie":
        return struct.pack("=I", chance.choice((0, 8, 16, 32, 33))) + chance.choice(
            (b"\0\0\0\0", b"\x0a\1\2\3", b"\xff" * 4)
        )
    return chance.randrange(6).to_bytes(size, "little")


@pytest.mark.parametrize("name", ["queue", "stack"])
def test_queues(desk, name) -> None:
    chance = random.Random(name)
    operations = ("push", "pop", "peek")
    made = desk(operations, name, 0, 8, 3)
    for _ in range(200):
        flags = chance.choice((0, 0, 0, 1, 2, 3, 8))
        made.run(chance.choice(operations), b"", chance.randbytes(8), flags, 0)


def test_bloom_filters(desk) -> None:
    chance = random.Random(2)
    made = desk(("push", "has"), "bloom_filter", 0, 12, 10, bpf.BPF_F_ZERO_SEED)
    for _ in range(200):
        value = struct.pack("=III", chance.randrange(40), 0, 7)
        made.run(chance.choice(("push", "has", "has")), b"", value, chance.choice((0, 0, 0, 1)), 0)


def test_sizes_of_the_desk() -> None:
    assert struct.calcsize("=Q32s32sQ32s") == SIZE
