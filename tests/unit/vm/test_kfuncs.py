"""Kernel functions: engines agree, objects in lists and trees, and calls that no verifier would let through."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from tests.vmcases.helpers import FILTER, TC, XDP, Case, store
from tests.vmcases.kfuncs import CASES, kcall, kfunc_relocs, spec_of

from cygnet.btf.builder import Builder
from cygnet.errors import HelperFault, RuntimeFault
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.spec.objects import MapSpec, ObjectSpec, ProgramSpec
from cygnet.spec.relocs import KFUNC, Reloc
from cygnet.vm.host import Host
from cygnet.vm.kfuncs.registry import table
from cygnet.vm.machine import Machine

ENGINES = ("jit", "python", "interpreter")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_engines_agree(case: Case) -> None:
    given = (case.packet, b"") if case.type in (XDP, TC, FILTER) else (b"", bytes(64))
    found = set()
    for engine in ENGINES:
        with Machine(spec_of(case), engine) as machine:
            result = machine.program("case").test_run(*given, data_out_bytes=4096)
            found.add((result.retval, result.data))
    assert len(found) == 1


def test_strings_of_user_memory() -> None:
    text = store(-16, bytes(16)) + kcall("copy_from_user_str", "fp-16", 16, 0x7F0000000000, 0) + "r7 = r0\n"
    text += "r0 = *(u64 *)(r10 -16)\nr0 ^= r7\n"
    with Machine(spec_of(Case("copy_from_user_str", 31, text, None))) as machine:
        machine.world.user.add(0x7F0000000000, b"path\0rest")
        assert machine.run("case", bytes(64)) == 5 ^ int.from_bytes(b"path", "little")


@pytest.mark.parametrize("engine", ENGINES)
def test_an_unknown_function_is_named_when_it_is_called(engine: str) -> None:
    insns = encode(assemble("if r1 != 0 goto +1\nexit\ncall kfunc x#1\nexit\n"))
    spec = ProgramSpec("p", 17, insns, (Reloc(2, KFUNC, "bpf_crypto_encrypt", "imm"),))
    with Machine(spec, engine) as machine:
        machine.run("p")  # not called: no fault
        with pytest.raises(HelperFault, match=r"bpf_crypto_encrypt is not simulated \(slot 2") as fault:
            machine.run("p", bytes(8))
    assert fault.value.pc == 2


# ── objects: a list's node at 8, a tree's at 32, the key at 64 ────────────────────────────────────────────────

_HEAD = "r9 = map[fd:0][0]+{at}\n"


def _objects(text: str, engine: str) -> Machine:
    """A machine whose map's BTF has the type of objects as number 2."""
    types = Builder()
    word = types.integer(8, False, "u64")
    node = types.struct("node", 72, [("key", word, 64 * 8)])
    assert node == 2
    value = MapSpec("heads", 2, 4, 32, 1, btf=types.to_bytes(), value_type_id=0)
    less = "less:\nr1 = *(u64 *)(r1 +32)\nr2 = *(u64 *)(r2 +32)\nr0 = 0\nif r1 >= r2 goto +1\nr0 = 1\nexit\n"
    insns = assemble(f"r6 = r1\n{text}exit\n{less}")
    relocs = [
        Reloc(slot, "map_value", "heads", "imm64", insns[slot + 1].imm)
        for slot, insn in enumerate(insns)
        if insn.code == 0x18 and insn.src == 2
    ]
    relocs += kfunc_relocs(insns)
    return Machine(ObjectSpec(programs=(ProgramSpec("case", 17, encode(insns), tuple(relocs)),), maps=(value,)), engine)


def _new(key: int) -> str:
    return kcall("obj_new_impl", 2, 0) + f"r8 = r0\n*(u64 *)(r8 +64) = {key}\n"


def _push(where: str) -> str:
    return "r1 = r9\nr2 = r8\nr2 += 8\nr3 = 0\nr4 = 0\n" + kcall(f"list_push_{where}_impl").strip() + "\n"


def _pop(where: str) -> str:
    """r7 = r7 * 10 + the key."""
    return (
        "r1 = r9\n" + kcall(f"list_pop_{where}") + "if r0 == 0 goto +8\nr0 += -8\nr1 = *(u64 *)(r0 +64)\nr7 *= 10\nr7 += r1\n"
        "r1 = r0\nr2 = 0\n" + kcall("obj_drop_impl").strip() + "\nr7 += 0\n"
    )  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
def test_lists(engine: str) -> None:
    text = "r7 = 0\n" + _HEAD.format(at=0)
    text += "".join(_new(key) + _push("back" if key != 3 else "front") for key in (1, 2, 3, 4))
    text += _pop("front") + _pop("back") + _pop("front") + _pop("front") + _pop("front") + "r0 = r7\n"
    with _objects(text, engine) as machine:
        for _ in range(3):
            assert machine.run("case") == 3412
        assert not machine.host.kfuncs.objects


@pytest.mark.parametrize("engine", ENGINES)
def test_a_node_is_in_one_list_only(engine: str) -> None:
    text = (
        _HEAD.format(at=0)
        + _new(5)
        + "r1 = r8\nr2 = 0\n"
        + kcall("refcount_acquire_impl")
        + _push("back")
        + _push("back")
    )
    with _objects(text, engine) as machine:
        assert machine.run("case") == -22 & 0xFFFFFFFF
        assert [refs for refs, _ in machine.host.kfuncs.objects.values()] == [1]


def _tree_calls(keys: list[int], gone: list[int]) -> str:
    """Insert the keys, remove the nodes of some, then take the first again and again."""
    text = "r7 = 0\n" + _HEAD.format(at=16)
    for place, key in enumerate(keys):
        text += (
            _new(key) + "r1 = r9\nr2 = r8\nr2 += 32\nr3 = subprog[less]\nr4 = 0\nr5 = 0\n" + kcall("rbtree_add_impl")
        )
        if place in gone:  # its address, for later, on the stack
            text += f"*(u64 *)(r10 {-8 - 8 * gone.index(place)}) = r8\n"
    for number in range(len(gone)):
        text += f"r1 = r9\nr2 = *(u64 *)(r10 {-8 - 8 * number})\nr2 += 32\n" + kcall("rbtree_remove")
    text += "next:\nr1 = r9\n" + kcall("rbtree_first") + "if r0 == 0 goto done\nr8 = r0\nr1 = r9\nr2 = r8\n"
    text += (
        kcall("rbtree_remove")
        + "if r0 == 0 goto done\nr1 = *(u64 *)(r8 +32)\nr7 *= 31\nr7 += r1\ngoto next\ndone:\nr0 = r7\n"
    )
    return text


@pytest.mark.parametrize("engine", ENGINES)
def test_trees_are_in_order(engine: str) -> None:
    for seed in range(12):
        chance = random.Random(seed)
        keys = [chance.randrange(20) for _ in range(chance.randint(1, 14))]
        gone = chance.sample(range(len(keys)), min(3, len(keys)))
        wanted = 0
        for key in sorted(key for place, key in enumerate(keys) if place not in gone):
            wanted = (wanted * 31 + key) & (1 << 64) - 1
        with _objects(_tree_calls(keys, gone), engine) as machine:
            assert machine.run("case") == wanted


# ── what no verifier would let through ───────────────────────────────────────────────────────────────────


def test_no_argument_harms_python() -> None:
    chance = random.Random(4)
    with Host() as host:
        block = host.memory.block(256, "memory")
        values = (
            0,
            1,
            8,
            1 << 63,
            0x400000000000,
            block.address,
            block.address + 64,
            block.address + 250,
            host.stack.address,
        )
        for name in sorted(table()):
            number = host.kfuncs.number(name)
            for _ in range(150):
                block.view[:] = chance.randbytes(256) if chance.randrange(2) else bytes(256)
                if chance.randrange(3) == 0:  # words that may pass for nodes
                    for at in range(0, 256, 8):
                        block.view[at : at + 8] = chance.choice(values).to_bytes(8, "little")
                arguments = [chance.choice(values) for _ in range(5)]
                try:
                    assert 0 <= host.call_kfunc(number, *arguments) < 1 << 64
                except RuntimeFault:
                    pass


def test_the_documentation_lists_them_all() -> None:
    text = (Path(__file__).parents[3] / "docs/vm.md").read_text()
    part = text[text.index("## Kernel functions") : text.index("## What differs")]
    assert {f"bpf_{name}" for name in re.findall(r"`(\w+)`", part)} == set(table())
