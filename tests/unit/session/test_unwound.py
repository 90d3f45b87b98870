"""Stacks that are unwound in user space: their text, which are the same, and what becomes of maps."""

from __future__ import annotations

import struct
from typing import Any, cast

import pytest

from cygnet.session.maps import Reader
from cygnet.session.stacks import stack_texter
from cygnet.session.text import Context
from cygnet.session.unwound import Unwound, merged, places
from cygnet.spec.mapviews import MapView, Store
from cygnet.spec.values import UNWOUND, Field, VType

from .fakes import Store_, World, words

STACK = VType("ustack", 16, text="bpftrace", length=127, data=UNWOUND)
PLAIN = VType("ustack", 16, text="bpftrace", length=127, data="stacks_127")


class State:
    """What `Unwound` uses of a session's state."""

    def __init__(self) -> None:
        self.context = Context(World(), None, {})
        self.store = Store_({})

    def stores(self, name: str) -> Store_:
        assert name == UNWOUND
        return self.store


def take(state: State, number: int, *addresses: int, cut: bool = False) -> None:
    stack = words(*addresses)
    head = struct.pack("<5Q", 0, number, 7, 0x7000, len(stack))
    Unwound(cast(Any, state)).take(memoryview(head + bytes([cut]) + bytes(167) + stack + bytes(64)))


@pytest.fixture
def state() -> State:
    return State()


def test_text_of_a_stack(state: State) -> None:
    take(state, 5, 0x400, 0x9999)
    show = stack_texter(STACK, state.context)
    assert show((5, 7)) == "\n        main+0@x.c:0\n        0x9999\n"
    assert show((0, 7)) == "\n"
    assert show((6, 7)) == "\n        [the copy of the stack was lost]\n"


def test_a_failure_comes_last_unless_the_limit_does(state: State) -> None:
    take(state, 1 << 63, 0x450, 0x9999, cut=True)
    number = -(1 << 63)
    assert stack_texter(STACK, state.context)((number, 7)) == "\n        main+80\n        0x9999\n        [cut]\n"
    raw = STACK._replace(text="raw")
    assert stack_texter(raw, state.context)((number, 7)) == "\n450\n9999\n[cut]\n"
    assert stack_texter(raw._replace(length=2), state.context)((number, 7)) == "\n450\n9999\n"
    assert stack_texter(raw._replace(length=1), state.context)((number, 7)) == "\n450\n"


def test_the_kernel_is_told_which_are_the_same(state: State) -> None:
    handler = Unwound(cast(Any, state))
    for number, address in ((1, 0x400), (2, 0x410), (3, 0x400), (4, 0x400)):
        head = struct.pack("<5Q", 0, number, 7, 0x7000, 8)
        handler.take(memoryview(head + bytes(168) + words(address)))
    assert [state.context.stand_in(number, 127) for number in (1, 2, 3, 4, 5)] == [1, 2, 1, 1, 5]
    assert state.store.data == {words(3): words(1), words(4): words(1)}


def test_where_the_numbers_stand() -> None:
    key = VType("tuple", 40, fields=(Field(0, "", VType("int", 8)), Field(8, "", STACK), Field(24, "", PLAIN)))
    assert places(key) == [(8, 127)]
    assert places(PLAIN) == places(VType("int", 8)) == places(None) == []


def test_what_belongs_together_is_put_side_by_side() -> None:
    items = [(words(1, 7), words(10)), (words(3, 7), words(20)), (words(2, 7), words(5))]
    assert dict(merged(items, [(0, 9)], lambda number, limit: 1 if number == 3 and limit == 9 else number)) == {
        words(1, 7): words(10, 20),
        words(2, 7): words(5),
    }


@pytest.mark.parametrize(
    ("agg", "values", "wanted"),
    [
        ("count", [words(3, 4), words(5, 0)], 12),
        ("sum", [words(3, 1, 4, 1), words(5, 1, 0, 0)], 12),
        ("max", [words(3, 1), words(5, 1)], 5),
        ("min", [words(3, 1), words(5, 1)], 3),
        ("avg", [words(3, 1), words(5, 1)], 4),
    ],
)
def test_aggregates_of_one_stack_are_one(agg: str, values: list[bytes], wanted: int) -> None:
    store = Store_({words(number, 7): value for number, value in zip((1, 3), values, strict=True)})
    view = MapView("@", (Store("m", STACK),), STACK, None, agg)
    reader = Reader(view, lambda name: cast(Any, store), {"m": 16}, stand_in=lambda number, limit: 1)
    assert reader.read() == [((1, 7), wanted)]
    assert len(Reader(view, lambda name: cast(Any, store), {"m": 16}).read()) == 2


def test_buckets_of_one_stack_are_one() -> None:
    store = Store_({words(1, 7, 2): words(4), words(3, 7, 2): words(5), words(3, 7, 3): words(6)})
    view = MapView("@", (Store("m", STACK),), STACK, None, "hist", (0,))
    reader = Reader(view, lambda name: cast(Any, store), {"m": 8}, stand_in=lambda number, limit: 1)
    assert reader.read() == [((1, 7), [0, 0, 9, 6])]


def test_stacks_are_the_same_as_far_as_the_limit_goes(state: State) -> None:
    take(state, 1, 0x400, 0x410)
    take(state, 2, 0x400, 0x420)
    take(state, 3, 0x400, cut=True)
    context = state.context
    assert [context.stand_in(number, 1) for number in (1, 2, 3)] == [1, 1, 1]
    assert [context.stand_in(number, 2) for number in (1, 2, 3)] == [1, 2, 3]
