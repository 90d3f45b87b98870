"""The programs of `programs/*.txt` (``=== name`` before each) parse, and printing them loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from cygnet.lang.trace import ast
from cygnet.lang.trace.parser import parse
from cygnet.lang.trace.printer import to_text
from cygnet.source import Source


def programs() -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted((Path(__file__).parent / "programs").glob("*.txt")):
        for chunk in path.read_text().split("=== ")[1:]:
            name, _, text = chunk.partition("\n")
            key = f"{path.stem}: {name}"
            assert key not in found, f"two programs are called {key}"
            found[key] = text
    return found


PROGRAMS = programs()


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str) -> None:
    tree = parse(Source(name, PROGRAMS[name]))
    text = to_text(tree)
    again = parse(Source(name, text))
    assert ast.same(tree, again), text
    assert to_text(again) == text


@pytest.mark.parametrize("name", PROGRAMS)
def test_spans(name: str) -> None:
    """Every node has a span inside the text, and those below it lie within."""
    source = Source(name, PROGRAMS[name])
    for node in ast.walk(parse(source)):
        assert node.span.source is source
        assert 0 <= node.span.start <= node.span.end <= len(source.text)
        for child in ast.children(node):
            assert node.span.start <= child.span.start, (node, child)
            assert child.span.end <= node.span.end, (node, child)


def concrete(cls: type[ast.Node]) -> set[type[ast.Node]]:
    below = set().union(*(concrete(sub) for sub in cls.__subclasses__()))
    return below or {cls}


def test_every_construct_occurs() -> None:
    seen = {type(node) for name in PROGRAMS for node in ast.walk(parse(Source(name, PROGRAMS[name])))}
    ours = {
        cls for cls in concrete(ast.Node) if cls.__module__ == ast.__name__
    }  # later passes derive some of their own
    assert ours == seen - {ast.Node}


def test_there_are_many() -> None:
    assert len(PROGRAMS) >= 150
