"""Which file a binary's name in an attach point stands for."""

from __future__ import annotations

import os

from cygnet.errors import ProbeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.source import Span


def resolve(name: str, pid: int = -1, span: Span | None = None) -> str:
    """The path of one binary: a path, a program in PATH, or a library known to the dynamic linker.

    A path is looked up first as process `pid` (if any) sees it. The result is as the user wrote it where
    that is a path. Raises ProbeError with what was tried.
    """
    if "/" in name:
        return _as_seen_by(pid, name) or _checked(name, span)
    if name.endswith(".so") or ".so." in name:
        found = _library(name) or _in_path(name)
    else:
        found = _in_path(name) or _library(name)
    if found is None:
        raise ProbeError(f"there is no program {name} in PATH, and no library of that name", span, _similar(name))
    return found


def _checked(path: str, span: Span | None) -> str:
    if not os.path.exists(path):
        raise ProbeError(f"there is no file {path}", span, _similar_file(path))
    if not os.path.isfile(path):
        raise ProbeError(f"{path} is not a file", span)
    return path


def _as_seen_by(pid: int, path: str) -> str | None:
    """The path through the process's own root, where that is another file than ours."""
    if pid <= 0 or not path.startswith("/"):
        return None
    inside = f"/proc/{pid}/root{path}"
    try:
        if not os.path.isfile(inside) or (os.path.exists(path) and os.path.samefile(inside, path)):
            return None
    except OSError:
        return None
    return inside


def _in_path(name: str) -> str | None:
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder or ".", name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def _library(name: str) -> str | None:
    from cygnet.elf.lookup import find_library

    return find_library(name)


def _similar(name: str) -> tuple[str, ...]:
    from cygnet.probes.closest import did_you_mean

    names: list[str] = []
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if folder and os.path.isdir(folder):
            names.extend(_listed(folder))
    return did_you_mean(name, names)


def _similar_file(path: str) -> tuple[str, ...]:
    from cygnet.probes.closest import did_you_mean

    folder, name = os.path.split(path)
    return did_you_mean(name, _listed(folder or "."), f"{folder}/{{}}" if folder else "{}")


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


# ── several at once ──────────────────────────────────────────────────────────────────────────────────────


def resolve_all(pattern: str, pid: int = -1, span: Span | None = None) -> list[str]:
    """The paths of a pattern, or of one name; ``*`` alone stands for what is mapped by running processes.

    Raises ProbeError when there is none.
    """
    from cygnet.probes.wildcard import file_pattern

    if not file_pattern(pattern):
        return [resolve(pattern, pid, span)]
    found = sorted(mapped(pid)) if pattern == "*" else _glob(pattern)
    if not found:
        raise ProbeError(f"no binary matches {pattern}", span)
    return found


def _glob(pattern: str) -> list[str]:
    from glob import glob

    return [path for path in sorted(glob(pattern)) if _is_elf(path)]


def _is_elf(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return os.read(fd, 4) == b"\x7fELF"
    except OSError:
        return False
    finally:
        os.close(fd)


def mapped(pid: int = -1) -> set[str]:
    """The files that running processes (or one) have mapped as code, by their paths."""
    pids = [str(pid)] if pid > 0 else [name for name in os.listdir("/proc") if name.isdigit()]
    found = {path for each in pids for path in _code_files(each)}
    return found if pid <= 0 else {_as_seen_by(pid, path) or path for path in found}


def _code_files(pid: str) -> Iterator[str]:
    try:
        with open(f"/proc/{pid}/maps") as file:
            lines = file.readlines()
    except OSError:  # it has ended, or is not ours to see
        return
    for line in lines:
        fields = line.split(None, 5)
        if len(fields) == 6 and "x" in fields[1] and fields[5].startswith("/"):
            path = fields[5].rstrip("\n")
            if not path.endswith(" (deleted)"):
                yield path


def program_of(command: str) -> str:
    """The program that the command of ``-c`` starts."""
    from shlex import split

    return split(command)[0]


def executable_of(pid: int, span: Span | None = None) -> str:
    """The path of a process's program, through its own root where that is another file than ours. Raises ProbeError
    when there is no such process."""
    try:
        path = os.readlink(f"/proc/{pid}/exe")
    except OSError as error:
        raise ProbeError(f"cannot tell what process {pid} runs: {os.strerror(error.errno or 0)}", span) from None
    return _as_seen_by(pid, path) or path
