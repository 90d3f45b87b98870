"""Paths of cgroups by id: the id is the inode number of the cgroup's directory."""

from __future__ import annotations

import os


class Cgroups:
    """Finds paths in every mounted hierarchy, and remembers them.

    A version 1 hierarchy is called by the last part of its mount point, version 2 ``unified``.
    """

    __slots__ = ("_known", "_roots")

    def __init__(self, mounts: str = "/proc/self/mounts") -> None:
        self._roots = _roots(mounts)
        self._known: dict[tuple[str, int], str] = {}

    def paths(self, cgroup_id: int, pattern: str = "") -> str:
        """``name:/path`` of each hierarchy whose name matches the glob; version 2 comes first."""
        from fnmatch import fnmatchcase

        named = [(name, root) for name, root in self._roots if not pattern or fnmatchcase(name, pattern)]
        return ",".join([f"{name}:{self._path(root, cgroup_id)}" for name, root in named])

    def _path(self, root: str, cgroup_id: int) -> str:
        known = self._known.get((root, cgroup_id))
        if known is not None and _inode(root + known) == cgroup_id:
            return known
        found = _search(root, cgroup_id)
        if found:
            self._known[root, cgroup_id] = found
        return found


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def _search(root: str, cgroup_id: int) -> str:
    """The path below `root` (with a slash in front) of the directory with that inode, or an empty string."""
    if _inode(root) == cgroup_id:
        return "/"
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                inner = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        for entry in inner:
            if entry.inode() == cgroup_id:
                return entry.path[len(root) :]
            folders.append(entry.path)
    return ""


def _roots(mounts: str) -> list[tuple[str, str]]:
    first, second = [], []
    with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            parts = line.split()
            if parts[2] == "cgroup2":
                first.append(("unified", parts[1]))
            elif parts[2] == "cgroup":
                second.append((os.path.basename(parts[1]), parts[1]))
    return first + sorted(second)
