"""The map-type table against the running kernel: sizes it takes, commands it answers."""

import ctypes
import os
import struct

from cygnet.btf.builder import Builder
from cygnet.facts.maptypes import map_type, map_types

PAGE = os.sysconf("SC_PAGESIZE")
# need a BTF or attach point of their own, or a mapping at creation
SPECIAL = {"struct_ops", "array_of_maps", "hash_of_maps"}
UNSUPPORTED = {524, 95}  # ENOTSUPP, EOPNOTSUPP
KEYS = {"any": 4, "none": 0, "u32": 4, "lpm": 8, "id": 4, "cgroup": 8}
VALUES = {"any": 8, "none": 0, "u32": 4, "u32or8": 8, "dev": 4, "cpu": 4, "stack": 8, "sock": 4}
ENTRIES = {"any": 1, "zero": 0, "pages": PAGE}
NO_PREALLOC, MMAPABLE = 1, 1 << 10


def create(bpf, row, key=None, value=None, entries=None, flags=None, btf=True):
    """The fd, or the errno negated."""
    info = (0, 0, 0)
    if "btf" in row.flags and btf:
        types = Builder()
        number, content = types.integer(4, True, "int"), types.integer(8, False, "u64")
        info = (bpf.btf(types.to_bytes()), number, content)
    if flags is None:
        flags = NO_PREALLOC if "no_prealloc" in row.flags else MMAPABLE if row.name == "arena" else 0
    sizes = (
        KEYS[row.key] if key is None else key,
        VALUES[row.value] if value is None else value,
        ENTRIES[row.entries] if entries is None else entries,
    )
    try:
        return bpf.map(row.id, *sizes, flags, info)
    except OSError as error:
        return -error.errno


def test_creation_takes_what_the_row_says_and_nothing_else(rawbpf):
    for row in map_types():
        if row.name in SPECIAL:
            continue
        assert create(rawbpf, row) > 0, row
        if row.key not in ("any", "lpm"):
            assert create(rawbpf, row, key=KEYS[row.key] + 3) < 0, row
        if row.value in ("none", "u32", "stack"):
            assert create(rawbpf, row, value=VALUES[row.value] + 3) < 0, row
        wrong = {"any": 0, "zero": 1, "pages": PAGE + 1}[row.entries]
        if row.name != "arena":
            assert create(rawbpf, row, entries=wrong) < 0, row
        if "no_prealloc" in row.flags:
            assert create(rawbpf, row, flags=0) < 0, row
        if "btf" in row.flags:
            assert create(rawbpf, row, btf=False) < 0, row


def test_values_of_two_sizes(rawbpf):
    for name, sizes in {"u32or8": (4, 8), "dev": (4, 8), "cpu": (4, 8), "sock": (4, 8)}.items():
        for row in map_types():
            if row.value == name:
                for size in sizes:
                    assert create(rawbpf, row, value=size) > 0, (row, size)
                assert create(rawbpf, row, value=6) < 0, row


def answers(bpf, fd, row, letter):
    """Whether this type of map knows a command, whatever it says of this key; None when EINVAL leaves it open."""
    key, value = ctypes.create_string_buffer(16), ctypes.create_string_buffer(64 * 1024)
    at = [ctypes.addressof(key) if KEYS[row.key] else 0, ctypes.addressof(value)]
    commands = {
        "l": (1, struct.pack("=IxxxxQQQ", fd, *at, 0)),
        "u": (2, struct.pack("=IxxxxQQQ", fd, *at, 0)),
        "d": (3, struct.pack("=IxxxxQQQ", fd, at[0], 0, 0)),
        "n": (4, struct.pack("=IxxxxQQQ", fd, 0, at[1], 0)),
        "p": (2, struct.pack("=IxxxxQQQ", fd, *at, 0)),
        "i": (21, struct.pack("=IxxxxQQQ", fd, *at, 0)),
        "b": (24, struct.pack("=QQQQIIQQ", 0, at[1] + 8, at[0], at[1] + 1024, 0, fd, 0, 0)),
    }
    try:
        bpf.call(*commands[letter])
    except OSError as error:
        return None if error.errno == 22 else error.errno not in UNSUPPORTED
    return True


def test_operations(rawbpf):
    wrong = []
    for row in map_types():
        if row.name in SPECIAL:
            continue
        fd = create(rawbpf, row)
        letters = "ndib" + ("p" if row.key == "none" else "lu")
        for letter in letters:
            known = answers(rawbpf, fd, row, letter)
            if known is not None and known is not (letter in row.operations):
                wrong.append((row, letter, known))
    assert not wrong


def test_numbers_agree_with_the_kernel():
    from cygnet.btf.reader import Btf

    theirs = dict(Btf.kernel().find("bpf_map_type").enumerators)
    for row in map_types():
        assert theirs[f"BPF_MAP_TYPE_{row.name.upper()}"] == row.id == map_type(row.name).id
    newest = max(value for name, value in theirs.items() if not name.startswith("__"))
    assert newest <= len(map_types()), "a map type that has no row"
