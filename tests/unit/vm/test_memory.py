"""The memory contract: blocks, arenas, and what regions allow."""

import struct

import pytest

from cygnet.errors import MapError, MapFull
from cygnet.maps.memory import ENTRY, Memory, fill, load16, load32, load64, read, store32, store64, view, write


@pytest.fixture
def memory():
    with Memory() as made:
        yield made


def test_blocks_are_native_memory(memory):
    block = memory.block(100, "packet")
    block.view[:4] = b"abcd"
    assert read(block.address, 5) == b"abcd\0"
    store64(block.address + 8, -2)
    assert (load64(block.address + 8), load32(block.address + 12), load16(block.address)) == (
        2**64 - 2,
        2**32 - 1,
        0x6261,
    )
    store32(block.address, 0x1_0000_0007)
    write(block.address + 4, b"xy")
    view(block.address + 6, 1)[0] = 0x7A
    assert bytes(block.view[:8]) == b"\7\0\0\0xyz\0"
    fill(block.address, 100, 3)
    assert bytes(block.view) == b"\3" * 100


def test_regions_allow_what_lies_inside(memory):
    block = memory.block(10, "b")
    only = memory.block(10, "ro", writable=False)
    find = memory.regions.find
    assert find(block.address, 10, True) is block.region and find(block.address + 9, 1)
    assert not find(block.address + 9, 2) and not find(block.address - 1, 1) and not find(0, 1)
    assert find(only.address, 10) is only.region and not find(only.address, 1, True)
    assert memory.regions.around(only.address + 3).name == "ro"
    block.close()
    assert memory.regions.around(only.address) and len(memory.regions) == 1
    block.close()


def test_items_of_an_arena_are_apart(memory):
    arena = memory.arena("values", item=12)
    items = [arena.alloc() for _ in range(500)]
    assert len(set(items)) == 500 and all(item % 8 == 0 for item in items)
    find = memory.regions.find
    assert all(find(item + 4, 8, True) and not find(item + 5, 8) and not find(item + 12, 4) for item in items)
    assert memory.regions.around(items[7]).bounds(items[7] + 3) == (items[7], items[7] + 12)
    store64(items[3], 5)
    arena.free(items[3])
    assert load64(items[3]) == 5 and arena.alloc() == items[3] and load64(items[3]) == 0


def test_arenas_may_be_limited(memory):
    arena = memory.arena("few", item=8, max_items=3)
    items = [arena.alloc() for _ in range(3)]
    with pytest.raises(MapFull, match="few is full"):
        arena.alloc()
    arena.free(items[1])
    assert arena.alloc() == items[1]


def test_machine_code_sees_the_same_table(memory):
    blocks = [memory.block(8 * n, f"b{n}", writable=n % 2 == 0) for n in range(1, 200)]
    blocks.pop(50).close()
    entries, count = struct.unpack("=QQ", read(memory.regions.table, 16))
    table = [ENTRY.unpack(read(entries + index * ENTRY.size, ENTRY.size)) for index in range(count)]
    assert table == sorted((b.address, b.address + b.size, b.region.writable, 0, 0) for b in blocks)


def test_regions_do_not_overlap(memory):
    block = memory.block(8)
    with pytest.raises(MapError, match="overlaps"):
        memory.regions.add(block.address + 4, 2)


def test_a_block_may_show_another_size(memory):
    block = memory.block(64, "packet")
    block.resize(80)
    assert memory.regions.find(block.address, 80)
    block.resize(14)
    assert not memory.regions.find(block.address, 15)
    with pytest.raises(MapError, match="do not fit"):
        block.resize(1 << 20)


def test_low_memory_fits_32_bits(memory):
    block = memory.block(1500, "packet", low=True)
    assert block.address + 1500 < 1 << 32
