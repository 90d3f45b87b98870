"""Scenes for helpers: every engine in user space and the live kernel see the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.kernel.conftest import existing, left_behind, own_descriptors
from tests.kernel.stage import play
from tests.vmcases.all import SCENES
from tests.vmcases.scenes import Scene


@pytest.fixture(scope="module", autouse=True)
def nothing_left() -> Iterator[None]:
    """As after each test elsewhere, but once for all scenes: the kernel takes its time to free what they used."""
    before, descriptors = existing(), own_descriptors()
    yield
    assert [d for d in own_descriptors() if d not in descriptors] == []
    assert left_behind(before) == {}


@pytest.mark.parametrize("scene", [scene for scene in SCENES if not scene.why], ids=lambda scene: scene.name)
def test_same(scene: Scene) -> None:
    play(scene)
