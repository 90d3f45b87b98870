"""What every test on the live kernel shares: tracefs, a way to build programs, and proof that nothing is left.

The kernel may be busy with other people's programs. So an object counts as left behind when it appeared
during the test, still exists five seconds later (in the kernel lab, which is slow, a minute), and no other living
process holds it.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cygnet.errors import NotSupported, SystemCallError
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.kernel import objects, tracefs
from cygnet.uapi import bpf_func

KINDS = ("prog", "map", "link")
FDINFO = re.compile(r"^(prog|map|link)_id:\s*(\d+)", re.M)
PATIENCE_S = 60.0 if os.environ.get("VMLAB_KERNEL") else 5.0  # what is freed late is not left behind

Objects = dict[str, set[int]]


def existing() -> Objects:
    return {kind: set(objects.ids(kind)) for kind in KINDS}


def held_by_others() -> Objects:
    """What other processes hold by descriptors, and what those objects hold in turn."""
    held: Objects = {kind: set() for kind in KINDS}
    own = str(os.getpid())
    for folder in Path("/proc").glob("[0-9]*/fdinfo"):
        if folder.parent.name != own:
            for kind, number in fd_ids(folder):
                held[kind].add(number)
    for link in held["link"]:
        info = ask("link", link)
        held["prog"].update([info.prog_id] if info else [])
    for prog in list(held["prog"]):
        info = ask("prog", prog)
        held["map"].update(info.map_ids if info else ())
    return held


def fd_ids(folder: Path) -> Iterator[tuple[str, int]]:
    try:
        names = list(folder.iterdir())
    except OSError:
        return
    for name in names:
        try:
            yield from ((kind, int(number)) for kind, number in FDINFO.findall(name.read_text()))
        except OSError:
            continue


def ask(kind: str, number: int):  # type: ignore[no-untyped-def]
    """An object's info, or None when it is gone."""
    try:
        fd = objects.open_id(kind, number)
    except SystemCallError:
        return None
    try:
        return {"prog": objects.prog_info, "link": objects.link_info}[kind](fd)
    finally:
        os.close(fd)


def left_behind(before: Objects) -> Objects:
    """Objects that are new now, that nobody else holds, and that stay. (The kernel frees some a while after their
    last use, and other people's come and go.)
    """
    now = existing()
    suspects = {kind: now[kind] - before[kind] for kind in KINDS}
    deadline = time.monotonic() + PATIENCE_S
    while any(suspects.values()):
        now, held = existing(), held_by_others()
        suspects = {kind: (suspects[kind] & now[kind]) - held[kind] for kind in KINDS}
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return {kind: ids for kind, ids in suspects.items() if ids}


def own_descriptors() -> list[tuple[str, int]]:
    return sorted(fd_ids(Path(f"/proc/{os.getpid()}/fdinfo")))


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """After each test: no program, map or link of ours, by descriptor or otherwise."""
    if os.geteuid() != 0:
        yield
        return
    before, descriptors = existing(), own_descriptors()
    yield
    assert [d for d in own_descriptors() if d not in descriptors] == []
    assert left_behind(before) == {}


@pytest.fixture
def leftovers() -> Callable[[], Objects]:
    """For tests that end a child: call it to see what the child left behind since the test began."""
    before = existing()
    return lambda: left_behind(before)


@pytest.fixture(scope="session")
def tracefs_mounted() -> str:
    """The folder of tracefs, mounted for the whole run when it is not there (it stays, as a system's boot would)."""
    if os.geteuid() != 0:
        raise NotSupported("tracing", "root")
    try:
        return tracefs.find()
    except NotSupported:
        if subprocess.run(tracefs.MOUNT_COMMAND.split(), check=False, capture_output=True).returncode:
            raise
        return tracefs.find()


def helper_id(name: str) -> int | None:
    number: int | None = getattr(bpf_func, "BPF_FUNC_" + name.removeprefix("bpf_"), None)
    return number


@pytest.fixture(scope="session")
def asm() -> Callable[[str], bytes]:
    """Encoded instructions of an assembly text."""
    return lambda text: encode(assemble(text, helper_id))


COUNT = """
    r1 = map[fd:{fd}][0]+0x0
    r2 = 1
    lock *(u64 *)(r1 +0) += r2
    r0 = 0
    exit
"""


@pytest.fixture(scope="session")
def count_into(asm: Callable[[str], bytes]) -> Callable[[int], bytes]:
    """A program for any type: adds one to the u64 that an array map begins with."""
    return lambda fd: asm(COUNT.format(fd=fd))
