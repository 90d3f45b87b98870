"""What the tests of tools share: tools that run and children that work, ended with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.kernel.tools.running import Child, Running


@pytest.fixture
def running() -> Iterator[list[Running]]:
    """The tools of a test."""
    started: list[Running] = []
    yield started
    for one in started:
        one.close()


@pytest.fixture
def start(tracefs_mounted: str, running: list[Running]) -> Callable[..., Running]:
    """Start a tool, or any words for the cygnet command. Several attach at the same time: the next thing that a
    child is told to do waits for all of them.
    """

    def begin(*words: object) -> Running:
        running.append(Running([str(word) for word in words]))
        return running[-1]

    return begin


@pytest.fixture
def child(running: list[Running]) -> Iterator[Callable[[str], Child]]:
    """A child of this name that does what it is told."""
    children: list[Child] = []

    def make(name: str) -> Child:
        children.append(Child(name, running))
        return children[-1]

    yield make
    for one in children:
        one.close()
