"""The kernel's side of the scenes in tests/vmcases: maps with types, a cgroup of our own, links to it."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.vmcases.scenes import IN, OUT, Place, Scene, Seen, agrees, in_user_space, program_of, words_of

from cygnet.errors import NotSupported
from cygnet.kernel import sys
from cygnet.loader.runtime import KernelRuntime
from cygnet.spec.objects import ObjectSpec
from cygnet.uapi import bpf, layouts


@contextmanager
def staged(scene: Scene, place: Place) -> Iterator[KernelRuntime]:
    program = program_of(scene)
    runtime = KernelRuntime(ObjectSpec(programs=(program,)))
    try:
        for spec in (OUT, IN, *scene.maps):
            runtime.open_map(spec)
        runtime.map("in").update(bytes(4), place.given())
        if scene.fill is not None:
            scene.fill(runtime, place, True)
        runtime.load(program)
        yield runtime
    finally:
        runtime.close()


def in_kernel(scene: Scene, place: Place) -> Seen:
    with staged(scene, place) as runtime:
        retval, data, ctx = 0, b"", b""
        if scene.drive is not None:
            retval = scene.drive(runtime, place) or 0
        else:
            flags, cpu = (bpf.BPF_F_TEST_RUN_ON_CPU, scene.cpu) if scene.cpu >= 0 else (0, 0)
            room = 4096 if place.data else 0
            made = runtime.program("scene").test_run(
                place.data, place.ctx, data_out_bytes=room, flags=flags, cpu=cpu, ctx_out_bytes=place.ctx_out
            )
            retval, data, ctx = made.retval, made.data, made.ctx
        return Seen(words_of(runtime), retval, data, ctx)


ENGINES = ("jit", "python", "interpreter")


def play(scene: Scene) -> None:
    """A scene on every engine and in the kernel: the words that programs wrote must be the same."""
    with Place() as place:
        if scene.setup is not None:
            scene.setup(place)
        theirs = in_kernel(scene, place) if scene.drive is not None else None
        ours = [in_user_space(scene, place, engine) for engine in ENGINES]
        for seen, more in ours:
            assert agrees(scene, seen) == [], (scene.name, agrees(scene, seen))
            assert seen == ours[0][0], (scene.name, seen, ours[0][0])
            assert more == scene.expect_after, (scene.name, more)
        if scene.needs is not None:
            scene.needs()
        theirs = theirs or in_kernel(scene, place)
        assert agrees(scene, theirs) == [], (scene.name, agrees(scene, theirs))
        if scene.drive is not None:
            assert ours[0][0].words == theirs.words, (scene.name, ours[0][0].words, theirs.words)
        else:
            assert ours[0][0] == theirs, (scene.name, ours[0][0], theirs)


# ── cgroups ──────────────────────────────────────────────────────────────────────────────────────────────


def cgroup_root() -> Path:
    """Where cgroup v2 is mounted. NotSupported without it."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        part = line.split()
        if part[2] == "cgroup2":
            return Path(part[1])
    raise NotSupported("programs of cgroups", "cgroup v2")


def own_cgroup() -> Path:
    """The cgroup that this process is in."""
    line = next(x for x in Path("/proc/self/cgroup").read_text().splitlines() if x.startswith("0::"))
    return cgroup_root() / line[3:].lstrip("/")


def cgroup_ids(path: Path) -> tuple[int, ...]:
    """The ids from the root of the hierarchy to a cgroup: what bpf_get_current_cgroup_id gives."""
    root = cgroup_root()
    folders = [path, *(p for p in path.parents if p == root or root in p.parents)]
    return tuple(folder.stat().st_ino for folder in reversed(folders))


@contextmanager
def cgroup_of_our_own(name: str = "scene") -> Iterator[Path]:
    """A new cgroup with this process in it; afterwards the process is where it was."""
    before = own_cgroup()
    path = cgroup_root() / f"cygnet-{name}-{os.getpid()}"
    path.mkdir()
    try:
        (path / "cgroup.procs").write_text(str(os.getpid()))
        yield path
    finally:
        (before / "cgroup.procs").write_text(str(os.getpid()))
        path.rmdir()


@contextmanager
def attached(program: Any, target_fd: int, attach_type: int) -> Iterator[int]:
    """A BPF link of a program to a cgroup, a network namespace …"""
    attr = sys.pack(
        layouts.ATTR_LINK_CREATE, prog_fd=program.fd, target_fd=target_fd, attach_type=attach_type
    )  # fmt: skip
    fd = sys.bpf(bpf.BPF_LINK_CREATE, attr + bytearray(48), "attach a program")
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def in_cgroup(program: Any, attach_type: int) -> Iterator[Path]:
    """This process is in a cgroup of its own, to which the program is attached."""
    with cgroup_of_our_own() as path:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with attached(program, fd, attach_type):
                yield path
        finally:
            os.close(fd)


@contextmanager
def attached_to_map(program: Any, map_fd: int, attach_type: int) -> Iterator[None]:
    """BPF_PROG_ATTACH to a sockmap, which takes no links of these kinds everywhere."""
    attr = sys.pack(
        layouts.ATTR_PROG_ATTACH, target_fd=map_fd, attach_bpf_fd=program.fd, attach_type=attach_type
    )  # fmt: skip
    sys.bpf(bpf.BPF_PROG_ATTACH, attr, "attach a program to a map")
    try:
        yield
    finally:
        sys.bpf(bpf.BPF_PROG_DETACH, attr, "detach a program from a map")


def words(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}Q", *numbers)
