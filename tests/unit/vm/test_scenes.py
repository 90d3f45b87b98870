"""Scenes of helpers that the live kernel is not asked about: every engine gives what they say; and who has no case at all."""

from __future__ import annotations

import pytest
from tests.vmcases.all import SCENES, alone_because, compared
from tests.vmcases.scenes import Place, Scene, agrees, in_user_space

from cygnet.vm.helpers.registry import table

ENGINES = ("jit", "python", "interpreter")


@pytest.mark.parametrize("scene", [scene for scene in SCENES if scene.why], ids=lambda scene: scene.name)
def test_alone(scene: Scene) -> None:
    with Place() as place:
        if scene.setup is not None:
            scene.setup(place)
        for engine in ENGINES:
            seen, more = in_user_space(scene, place, engine)
            assert agrees(scene, seen) == []
            assert more == scene.expect_after


def test_every_helper_has_a_case() -> None:
    """Add one to tests/vmcases: a case or a scene that the live kernel is asked about too, or a scene with a reason."""
    made = {known.name.removeprefix("bpf_") for number, known in table().items() if number <= 211}
    assert made - compared() - set(alone_because()) == set()


def test_cases_that_must_say_something() -> None:
    """A scene that expects nothing compares two engines; one that only the machine plays has nobody to compare with."""
    assert [scene.name for scene in SCENES if scene.why and not any(word is not None for word in scene.expect)] == []
    names = [scene.name for scene in SCENES]
    assert sorted(name for name in names if names.count(name) > 1) == []
