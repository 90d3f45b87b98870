"""The live system's users, cgroups and clocks, judged by the C library and the kernel."""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path

from cygnet.session.cgroups import Cgroups
from cygnet.session.world import LiveWorld


def test_users_as_the_c_library_knows_them() -> None:
    world = LiveWorld()
    for entry in pwd.getpwall():
        assert world.username(entry.pw_uid) == pwd.getpwuid(entry.pw_uid).pw_name
    assert world.username(4_294_000_000) == ""


def test_wall_clock() -> None:
    world = LiveWorld()
    for clock, number in (("boot", time.CLOCK_BOOTTIME), ("monotonic", time.CLOCK_MONOTONIC), ("tai", 11)):
        wall = world.wall_ns(clock, time.clock_gettime_ns(number))
        assert abs(wall - time.time_ns()) < 50_000_000


def test_cgroup_paths(tmp_path: Path) -> None:
    """Folders stand in for mounted hierarchies: the id is the inode number either way."""
    (tmp_path / "cg2" / "a" / "b").mkdir(parents=True)
    (tmp_path / "cpu" / "a").mkdir(parents=True)
    mounts = tmp_path / "mounts"
    mounts.write_text(f"x {tmp_path}/cpu cgroup rw 0 0\ny {tmp_path}/cg2 cgroup2 rw 0 0\nz / ext4 rw 0 0\n")
    groups = Cgroups(str(mounts))
    inner = os.stat(tmp_path / "cg2" / "a" / "b").st_ino
    assert groups.paths(inner) == "unified:/a/b,cpu:"
    assert groups.paths(inner, "uni*") == "unified:/a/b"
    assert groups.paths(inner, "cpu") == "cpu:"
    assert groups.paths(os.stat(tmp_path / "cpu").st_ino, "cpu") == "cpu:/"
    (tmp_path / "cg2" / "a" / "b").rename(tmp_path / "cg2" / "c")
    assert groups.paths(inner, "unified") == "unified:/c"
