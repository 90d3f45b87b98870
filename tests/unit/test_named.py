"""Our NamedTuple against typing's: the same class body must behave the same."""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple

import pytest

from cygnet import named


class Theirs(NamedTuple):
    """A pair."""

    left: int
    right: str = "r"
    more: tuple[int, ...] = ()

    def both(self) -> str:
        return f"{self.left}{self.right}"


class Ours(named.NamedTuple):
    """A pair."""

    left: int
    right: str = "r"
    more: tuple[int, ...] = ()

    def both(self) -> str:
        return f"{self.left}{self.right}"


@pytest.mark.parametrize("args", [(1,), (1, "x"), (1, "x", (2,))])
def test_construction_and_access(args: tuple[Any, ...]) -> None:
    ours, theirs = Ours(*args), Theirs(*args)
    assert ours == theirs and tuple(ours) == tuple(theirs) and hash(ours) == hash(theirs)
    assert (ours.left, ours.right, ours.more, ours.both()) == (theirs.left, theirs.right, theirs.more, theirs.both())
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert ours._asdict() == theirs._asdict()
    assert ours._replace(right="z") == theirs._replace(right="z")


def test_class_attributes() -> None:
    for name in ("_fields", "_field_defaults", "__match_args__", "__doc__", "__slots__"):
        assert getattr(Ours, name) == getattr(Theirs, name)
    assert issubclass(Ours, tuple) and type(Ours) is type


def test_keywords_and_errors() -> None:
    assert Ours(left=1, right="q") == Theirs(left=1, right="q")
    assert Ours._make([1, "b", ()]) == Theirs._make([1, "b", ()])
    for call in (lambda c: c(), lambda c: c(1, nothing=2), lambda c: c._make([1])):
        for cls in (Ours, Theirs):
            with pytest.raises(TypeError):
                call(cls)
    with pytest.raises(ValueError, match="nothing"):
        Ours(1)._replace(nothing=2)
    with pytest.raises(AttributeError):
        Ours(1).left = 2


def test_pickle_and_match() -> None:
    assert pickle.loads(pickle.dumps(Ours(1, "p"))) == Ours(1, "p")
    match Ours(4, "m"):
        case Ours(left=left, right=right):
            assert (left, right) == (4, "m")
