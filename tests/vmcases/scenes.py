"""Scenes: cases for helpers that need more than a test run with a packet, told once for both engines.

A program writes what it saw into map 0, `out`, sixteen u64 words; what it is told lies in map 1, `in`. A scene without a
`drive` goes through BPF_PROG_TEST_RUN; one with it is attached, and something real happens. `why` tells of a helper
that no program of ours can call in the live kernel: then only user space is asked, and `expect` has the answer.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

from cygnet.btf import FUNC
from cygnet.btf.builder import Builder
from cygnet.btf.reader import Btf
from cygnet.facts.helpers import helper_id
from cygnet.isa.asm import assemble_source
from cygnet.isa.encode import encode
from cygnet.source import Source
from cygnet.spec.objects import FuncInfo, MapSpec, ObjectSpec, ProgramSpec
from cygnet.spec.relocs import KVAR, Reloc
from cygnet.uapi import bpf
from cygnet.vm.contexts import Context
from cygnet.vm.machine import Machine

WORDS = 16
OUT = MapSpec("out", bpf.BPF_MAP_TYPE_ARRAY, 4, 8 * WORDS, 1)
IN = MapSpec("in", bpf.BPF_MAP_TYPE_ARRAY, 4, 8 * 32, 1)
_SLEEPABLE = 0x10
VARIABLE = 0x4B564152  # loaded as a 64-bit number: the address of the scene's per-CPU variable
MASK32, MASK64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF


class Place:
    """What a scene is played with: whatever its `setup` puts here, closed when the scene is over."""

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.words: list[int] = []  # what `in` begins with
        self.data = b""  # a packet, for test runs
        self.ctx = b""
        self.ctx_out = 0  # bytes
        self.have: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self.have[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.have[name] = value

    def given(self) -> bytes:
        return struct.pack(f"<{len(self.words)}Q", *(w & MASK64 for w in self.words)).ljust(IN.value_size, b"\0")

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()


Step = Callable[..., Any]


class Scene(NamedTuple):
    """`name` begins with the helper's. `setup(place)` comes first, then `world(machine, place)` before the machine's
    maps and programs are made, `maps(runtime, place, is_kernel)` when they are there, on both sides; `drive(kernel,
    place)` makes something happen in the kernel and `context(place)` is the same for the machine. `after(machine)`
    gives what more is compared with `expect_after`.
    """

    name: str
    type: int
    text: str
    expect: tuple[int | None, ...] = ()
    maps: tuple[MapSpec, ...] = ()
    attach_type: int = 0
    attach_to: str = ""
    setup: Step | None = None
    world: Step | None = None
    fill: Step | None = None
    drive: Step | None = None
    context: Step | None = None
    machine_drive: Step | None = None
    cpu: int = -1
    sleepable: bool = False
    why: str = ""
    after: Step | None = None
    expect_after: Any = None
    variable: str = ""
    needs: Step | None = None  # raises NotSupported where the kernel cannot play it
    in_machine: tuple[str, str] = ("", "")  # a piece of the text that the machine has not got, and what it runs instead
    # map types that the machine has not got → what stands in for them there
    instead: dict[int, int] = {}

    @property
    def helper(self) -> str:
        return self.name.split()[0]


# ── program texts ────────────────────────────────────────────────────────────────────────────────────────


def keep(word: int, register: str = "r0") -> str:
    """Put a register into a word of `out`; r1 is lost."""
    return f"r1 = map[fd:0][0]+{8 * word}\n*(u64 *)(r1 +0) = {register}\n"


def take(register: str, word: int) -> str:
    """A word of `in`."""
    return f"{register} = map[fd:1][0]+{8 * word}\n{register} = *(u64 *)({register} +0)\n"


def result(word: int, text: str) -> str:
    """A call, and its r0 in a word of `out`."""
    return text + keep(word)


def flag(word: int, text: str = "") -> str:
    """Whether r0 of a text is another than 0."""
    return f"{text}r8 = 0\nif r0 == 0 goto +1\nr8 = 1\n{keep(word, 'r8')}"


def insns_of(text: str) -> tuple[list[Any], dict[str, int]]:
    made = assemble_source(Source("scene", text), helper_id)
    return made.insns, made.labels


def kernel_function(name: str) -> int:
    """The BTF id of a kernel function."""
    found = Btf.kernel().find(name, FUNC)
    assert found is not None, name
    return int(found.id)


def program_of(scene: Scene) -> ProgramSpec:
    text = "r6 = r1\n" + re.sub(r"\{(\w+)\}", lambda found: str(kernel_function(found[1])), scene.text)
    insns, labels = insns_of(text)
    names = [map.name for map in (OUT, IN, *scene.maps)]
    relocs = []
    for slot, insn in enumerate(insns):
        if insn.code == 0x18 and insn.src == 1:
            relocs.append(Reloc(slot, "map", names[insn.imm], "imm64"))
        elif insn.code == 0x18 and insn.src == 2:
            relocs.append(Reloc(slot, "map_value", names[insn.imm], "imm64", insns[slot + 1].imm))
        elif insn.code == 0x18 and insn.imm == VARIABLE:
            relocs.append(Reloc(slot, KVAR, scene.variable, "imm64"))
    called = sorted({name for name in re.findall(r"(?:subprog\[|call )(\w+)\]?", text) if name in labels})
    functions = [FuncInfo(0, "scene", "main"), *(FuncInfo(labels[name], name, "callback") for name in called)]
    return ProgramSpec(
        "scene",
        scene.type,
        encode(insns),
        tuple(relocs),
        functions=tuple(sorted(functions, key=lambda f: f.insn)) if called else (),
        attach_type=scene.attach_type,
        attach_to=scene.attach_to,
        flags=_SLEEPABLE if scene.sleepable else 0,
    )


# ── maps that need types ─────────────────────────────────────────────────────────────────────────────────


def typed(name: str, type: int, size: int, entries: int, build: Callable[[Builder], int], flags: int = 0) -> MapSpec:
    """A map whose value is what `build` makes; type 1 is the key's."""
    types = Builder()
    types.integer(4, True, "int")
    value = build(types)
    return MapSpec(name, type, 4, size, entries, flags, btf=types.to_bytes(), value_type_id=value)


def storage(name: str, type: int) -> MapSpec:
    return typed(name, type, 8, 0, lambda types: types.integer(8, False), bpf.BPF_F_NO_PREALLOC)


def locked(types: Builder) -> int:
    word = types.integer(4, False, "u32")
    lock = types.struct("bpf_spin_lock", 4, [("val", word, 0)])
    return types.struct("value", 16, [("n", types.integer(8, False), 0), ("lock", lock, 64)])


def timed(types: Builder) -> int:
    words = types.array(types.integer(8, False, "u64"), 2)
    timer = types.struct("bpf_timer", 16, [("__opaque", words, 0)])
    return types.struct("value", 24, [("n", types.integer(8, False), 0), ("timer", timer, 64)])


def pointing(types: Builder) -> int:
    to = types.ptr(types.type_tag("kptr", types.struct("task_struct", 8, [("flags", types.integer(8, False), 0)])))
    return types.struct("value", 8, [("task", to, 0)])


def constant(name: str, text: bytes) -> MapSpec:
    """A constant string."""
    size = (len(text) + 8) // 8 * 8
    return MapSpec(name, bpf.BPF_MAP_TYPE_ARRAY, 4, size, 1, bpf.BPF_F_RDONLY_PROG, text.ljust(size, b"\0"), True)


# ── user space ───────────────────────────────────────────────────────────────────────────────────────────


def machine_for(scene: Scene, place: Place, engine: str) -> Machine:
    """A machine with the scene's world, maps and program."""
    machine = Machine(engine=engine)
    try:
        if scene.world is not None:
            scene.world(machine, place)
        for spec in (OUT, IN, *scene.maps):
            spec = spec._replace(type=scene.instead.get(spec.type, spec.type))
            machine.open_map(spec)
        machine.map("in").update(bytes(4), place.given())
        if scene.fill is not None:
            scene.fill(machine, place, False)
        piece, other = scene.in_machine
        machine.load(program_of(scene._replace(text=scene.text.replace(piece, other)) if piece else scene))
    except BaseException:
        machine.close()
        raise
    return machine


def words_of(runtime: Any) -> tuple[int, ...]:
    return struct.unpack(f"<{WORDS}Q", runtime.map("out").lookup(bytes(4)))


class Seen(NamedTuple):
    """What both engines give: the words of `out`, and of test runs r0 and the packet."""

    words: tuple[int, ...]
    retval: int = 0
    data: bytes = b""
    ctx: bytes = b""


def in_user_space(scene: Scene, place: Place, engine: str) -> tuple[Seen, Any]:
    """(what was seen, what `after` gives)."""
    with machine_for(scene, place, engine) as machine:
        retval, data, ctx = 0, b"", b""
        if scene.machine_drive is not None:
            scene.machine_drive(machine, place)
        elif scene.context is not None:
            given = scene.context(place)
            retval = machine.run("scene", given if isinstance(given, Context) else bytes(given)) & MASK32
        else:
            room = 4096 if place.data else 0
            made = machine.program("scene").test_run(
                place.data, place.ctx, data_out_bytes=room, cpu=max(scene.cpu, 0), ctx_out_bytes=place.ctx_out
            )
            retval, data, ctx = made.retval, made.data, made.ctx
        return Seen(words_of(machine), retval, data, ctx), scene.after(machine) if scene.after else None


def agrees(scene: Scene, seen: Seen) -> list[str]:
    """Where the words are not what the scene says; only the low half of a negative number counts."""
    wrong = []
    for at, (expected, got) in enumerate(zip(scene.expect, seen.words, strict=False)):
        if expected is not None and got != expected & MASK64:
            wrong.append(f"word {at}: {signed(got)}, not {signed(expected & MASK64)}")
    return wrong


def signed(word: int) -> str:
    return str(word - (1 << 64)) if word >> 63 else f"{word:#x}"


def spec_of(scene: Scene) -> ObjectSpec:
    return ObjectSpec(programs=(program_of(scene),), maps=(OUT, IN, *scene.maps))
