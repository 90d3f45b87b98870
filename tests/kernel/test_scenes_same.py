"""Scenes for helpers: every engine in user space and the live kernel see the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.kernel.conftest import existing, left_behind, own_descriptors
from tests.kernel.stage import in_kernel
from tests.vmcases.all import SCENES
from tests.vmcases.scenes import Place, Scene, agrees, in_user_space


@pytest.fixture(scope="module", autouse=True)
def nothing_left() -> Iterator[None]:
    """As after each test elsewhere, but once for all scenes: the kernel takes its time to free what they used."""
    before, descriptors = existing(), own_descriptors()
    yield
    assert [d for d in own_descriptors() if d not in descriptors] == []
    assert left_behind(before) == {}


ENGINES = ("jit", "python", "interpreter")


@pytest.mark.parametrize("scene", [scene for scene in SCENES if not scene.why], ids=lambda scene: scene.name)
def test_same(scene: Scene) -> None:
    with Place() as place:
        if scene.setup is not None:
            scene.setup(place)
        theirs = in_kernel(scene, place) if scene.drive is not None else None
        ours = [in_user_space(scene, place, engine) for engine in ENGINES]
        for seen, more in ours:
            assert agrees(scene, seen) == []
            assert seen == ours[0][0]
            assert more == scene.expect_after
        if scene.needs is not None:
            scene.needs()
        theirs = theirs or in_kernel(scene, place)
        assert agrees(scene, theirs) == []
        if scene.drive is not None:
            assert ours[0][0].words == theirs.words
        else:
            assert ours[0][0] == theirs
