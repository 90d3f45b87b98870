"""Every case and every scene for helpers."""

from __future__ import annotations

from tests.vmcases import alone, attached, others, sockets, streams, tasks, traced
from tests.vmcases.helpers import CASES
from tests.vmcases.scenes import Scene

SCENES: list[Scene] = [
    *tasks.SCENES,
    *sockets.SCENES,
    *attached.SCENES,
    *streams.SCENES,
    *traced.SCENES,
    *others.SCENES,
    *alone.SCENES,
]


def compared() -> set[str]:
    """Helpers that the live kernel is asked about."""
    return {case.helper for case in CASES} | {scene.helper for scene in SCENES if not scene.why}


def alone_because() -> dict[str, str]:
    """Helpers that only user space is asked about, and why."""
    return {scene.helper: scene.why for scene in SCENES if scene.why and scene.helper not in compared()}
