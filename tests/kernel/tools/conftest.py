"""What the tests of tools share: tools that run and children that work, ended with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.kernel.tools.running import Child, Running


@pytest.fixture
def start(tracefs_mounted: str) -> Iterator[Callable[..., Running]]:
    """Start a tool, or any words for the cygnet command; it has attached when this returns."""
    running: list[Running] = []

    def begin(*words: object) -> Running:
        running.append(Running([str(word) for word in words]))
        return running[-1].attached()

    yield begin
    for one in running:
        one.close()


@pytest.fixture
def child() -> Iterator[Callable[[str], Child]]:
    """A child of this name that does what it is told."""
    children: list[Child] = []

    def make(name: str) -> Child:
        children.append(Child(name))
        return children[-1]

    yield make
    for one in children:
        one.close()
