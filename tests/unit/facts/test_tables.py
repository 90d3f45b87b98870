"""Completeness: every enumerator has a row; and the tables agree with each other, the headers and libbpf."""

import ctypes
import re
from importlib import import_module
from pathlib import Path

import pytest

from cygnet.facts.contexts import fields, structures
from cygnet.facts.helpers import GROUPS, helper, helper_id, helper_name, helpers
from cygnet.facts.maptypes import map_type, map_types
from cygnet.facts.progtypes import attach_type, attach_type_name, names, program_type, program_types
from cygnet.facts.sections import TARGETS, find_section, sections
from cygnet.uapi import bpf, bpf_func

HEADER = Path("/usr/include/linux/bpf.h")


def uapi(prefix, module=bpf):
    return {name: value for name, value in vars(module).items() if name.startswith(prefix)}


def test_every_helper_has_a_row():
    theirs = {name[9:]: value for name, value in uapi("BPF_FUNC_", bpf_func).items() if value}
    assert len(theirs) == 211
    assert {row.name[4:]: row.id for row in helpers()} == theirs
    assert [row.id for row in helpers()] == list(range(1, 212))


def test_helpers_are_the_headers():
    mapper = re.search(r"#define ___?BPF_FUNC_MAPPER\(.*?\n\n", HEADER.read_text(), re.S)[0]
    listed = [name for name in re.findall(r"FN\((\w+)", mapper) if name != "unspec"]
    assert len(listed) >= 209  # linux-libc-dev 6.1
    assert listed == [row.name[4:] for row in helpers()][: len(listed)]


KINDS = """
    ctx map key value value_out mem mem_out mem_rw size size0 alloc_size num long_out int_rw str sock record dynptr
    dynptr_out lock timer func stack percpu kptr_slot kptr ...
"""
RESULTS = "int void value record socket tcp_sock sock mem kptr mem_or_btf"


def test_helper_rows_use_the_vocabulary():
    for row in helpers():
        assert len(row.args) <= 5 and row.programs, row
        for kind in row.args:
            assert kind.rstrip("?") in KINDS.split() or re.fullmatch(r"(btf|fixed):\w+\??", kind), row
        assert row.result.rstrip("?") in RESULTS.split() or re.fullmatch(r"btf:\w+\??", row.result), row
        assert row.programs <= set(names()), row
        for before, kind in zip(("", *row.args), row.args):
            assert not kind.startswith("size") or before.startswith("mem"), row
    assert {word for words in GROUPS.values() for word in words.split()} <= set(names())


def test_helper_lookups():
    assert helper_id("map_lookup_elem") == helper_id("bpf_map_lookup_elem") == 1
    assert helper_id("no_such_helper") is None
    assert helper_name(211) == "bpf_cgrp_storage_delete"
    assert (helper_name(0), helper_name(212), helper_name(-1)) == (None, None, None)
    assert helper(6).variadic and helper("trace_printk").gpl_only
    for wrong in (0, 212, "no_such_helper"):
        with pytest.raises(KeyError):
            helper(wrong)


def test_every_program_type_has_a_row():
    theirs = {name[14:].lower(): value for name, value in uapi("BPF_PROG_TYPE_").items()}
    assert {row.name: row.id for row in program_types()} == theirs
    assert program_type("BPF_PROG_TYPE_XDP") is program_type(6) is program_type("xdp")
    with pytest.raises(KeyError):
        program_type(33)


def test_every_attach_type_has_a_row_and_an_owner():
    enum = re.search(r"enum bpf_attach_type \{(.*?)\}", HEADER.read_text(), re.S)[1]
    listed = re.findall(r"^\t(BPF_\w+)", enum, re.M)
    for number, name in enumerate(listed):
        assert attach_type(name) == number
        assert f"BPF_{attach_type_name(number)}" == name
    owned = {name for row in program_types() for name in row.attach_types}
    everyone = {attach_type_name(number) for number in range(58)}
    assert owned == everyone
    assert attach_type_name(58) is attach_type_name(-1) is None
    for name in everyone:
        assert getattr(bpf, f"BPF_{name}", attach_type(name)) == attach_type(name)


def test_every_map_type_has_a_row():
    theirs = {name[13:].lower(): value for name, value in uapi("BPF_MAP_TYPE_").items()}
    theirs = {name: value for name, value in theirs.items() if value and not name.endswith("_deprecated")}
    assert {row.name: row.id for row in map_types()} == theirs
    assert map_type("BPF_MAP_TYPE_HASH") is map_type(1)
    assert map_type("percpu_array").percpu and not map_type("array").percpu
    for row in map_types():
        module, _, name = (row.vm or "").partition(".")
        assert row.vm in (None, "kernel_only") or hasattr(import_module(f"cygnet.maps.kinds.{module}"), name), row.name


def test_contexts_belong_to_program_types():
    used = {row.context for row in program_types()} - {"", "u32"}
    assert used == set(structures())
    for structure in structures():
        for field in fields(structure).values():
            assert field.readers <= set(names()) and field.writers <= field.readers, (structure, field)


def test_section_rows():
    for row in sections():
        kind = program_type(row.program_type)
        assert row.target in TARGETS, row
        if row.attach_type:
            assert row.attach_type in kind.attach_types, row
        assert find_section(row.prefix)[0] is row


@pytest.mark.parametrize(
    ("name", "prefix", "target"),
    [
        ("tracepoint/sched/sched_switch", "tracepoint", "sched/sched_switch"),
        ("?tp/syscalls/sys_enter_openat", "tp", "syscalls/sys_enter_openat"),
        ("cgroup/sock_create", "cgroup/sock_create", ""),
        ("cgroup/sock", "cgroup/sock", ""),
        ("uprobe//bin/sh:main+4", "uprobe", "/bin/sh:main+4"),
        ("xdp_devmap", None, None),
        ("xdp/devmap", "xdp/devmap", ""),
        ("xdp/anything", "xdp", "anything"),
        ("syscall/x", None, None),
        (".text", None, None),
        ("maps", None, None),
    ],
)
def test_section_names(name, prefix, target):
    found = find_section(name)
    assert (found and (found[0].prefix, found[1])) == (prefix and (prefix, target))


def test_sections_are_libbpfs():
    """libbpf 1.1 on this machine: same program type and attach type for every name it knows."""
    try:
        library = ctypes.CDLL("libbpf.so.1")
    except OSError:
        from cygnet.errors import NotSupported

        raise NotSupported("libbpf", "libbpf.so.1, to compare with") from None
    silent = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 0)
    library.libbpf_set_print(silent)
    kind, attach, known = ctypes.c_int(), ctypes.c_int(), 0
    for row in sections():
        name = row.prefix.encode()
        if library.libbpf_prog_type_by_name(name, ctypes.byref(kind), ctypes.byref(attach)) != 0:
            continue
        known += 1
        expected = attach_type(row.attach_type) if row.attach_type else 0
        if row.prefix.startswith(("tc/", "sk_skb", "raw_t")):  # changed since, or set by name only
            continue
        assert (kind.value, attach.value) == (program_type(row.program_type).id, expected), row
    assert known > 75
