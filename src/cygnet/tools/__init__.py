"""Ready-made tools: scripts of the tracing language, each with its help in its header.

`NAME.bt` is a tool. `NAME.KIND.bt` is another form of it for kernels that lack the probes of the first; the
header of `NAME.bt` says which form needs what. A tool is listed, described and run by its name alone.
"""

from __future__ import annotations

import os

FOLDER = os.path.dirname(os.path.abspath(__file__))
SUFFIX = ".bt"


def names() -> list[str]:
    """Every tool, in order of name."""
    found = [entry[: -len(SUFFIX)] for entry in os.listdir(FOLDER) if entry.endswith(SUFFIX)]
    return sorted(name for name in found if "." not in name)


def is_tool(name: str) -> bool:
    """Whether there is a tool of this name: one look at the file system."""
    return name.isalnum() and os.path.isfile(path(name))


def path(name: str) -> str:
    """The file of a tool, or of a form of it (``vfsstat.fentry``)."""
    return os.path.join(FOLDER, name + SUFFIX)


def read(name: str) -> str:
    """The text of a tool's script."""
    with open(path(name), encoding="utf-8") as file:
        return file.read()
