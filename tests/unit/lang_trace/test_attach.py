from __future__ import annotations

import pytest

from cygnet.lang.trace.parser import parse
from cygnet.lang.trace.printer import to_text
from cygnet.source import Source


def points(head: str) -> list[list[str]]:
    (probe,) = parse(Source("a", head + " { }")).probes
    return [[part.text for part in point.parts] for point in probe.attach_points]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("BEGIN", "BEGIN"),
        ("kprobe:f", "kprobe f"),
        ("kprobe:f+0x10", "kprobe f+0x10"),
        ("kprobe:f + 0x10", "kprobe f+0x10"),
        ("uprobe:/bin/bash:readline", "uprobe /bin/bash readline"),
        ("uprobe:./a/b*c/lib[0-9]?.so:f*", "uprobe ./a/b*c/lib[0-9]?.so f*"),
        ("uprobe:/usr/lib/*/libc.so.6:f", "uprobe /usr/lib/*/libc.so.6 f"),
        ("uprobe://bin/x:f", "uprobe //bin/x f"),
        ("uprobe:/bin/x@src/a.c:12:3", "uprobe /bin/x@src/a.c 12 3"),
        ("uprobe:/x:github.com/a/b.F", "uprobe /x github.com/a/b.F"),
        ('uprobe:/x:cpp:"A::b(int, char)"', ["uprobe", "/x", "cpp", "A::b(int, char)"]),
        ('uprobe:"/a b/c":f', ["uprobe", "/a b/c", "f"]),
        ('uprobe:"/a.apk!/b.so":"f\\"g\\\\"', ["uprobe", "/a.apk!/b.so", 'f"g\\']),
        ("usdt::p", ["usdt", "", "p"]),
        ("usdt:/x:ns:p", "usdt /x ns p"),
        ("iter:task:/sys/fs/bpf/a", "iter task /sys/fs/bpf/a"),
        ("interval : s : 1", "interval s 1"),
        ("kprobe:$1", "kprobe $1"),
        ("uprobe:/b/$1_x:$2", "uprobe /b/$1_x $2"),
        ("uprobe:/b:f$x", "uprobe /b f$x"),
        ("name = kprobe:f", "kprobe f"),
    ],
)
def test_parts(head: str, expected: str | list[str]) -> None:
    want = expected.split(" ") if isinstance(expected, str) else expected
    assert points(head) == [want]


@pytest.mark.parametrize("head", ["kprobe:a,kprobe:b", "kprobe:a ,\n// x\nkprobe:b", "kprobe:a, kprobe:b,"])
def test_lists(head: str) -> None:
    assert points(head) == [["kprobe", "a"], ["kprobe", "b"]]


@pytest.mark.parametrize(
    ("head", "name", "predicate"),
    [
        ("BEGIN/1/", "BEGIN", "1"),
        ("kprobe:f/pid == 1/", "f", "pid == 1"),
        ("tracepoint:a:b/x/", "b", "x"),
        ("uprobe:/bin/x:f /a/", "f", "a"),
        ("uprobe:/bin/x:f/a/", "f", "a"),
        ("uprobe:/bin/x:f/a == 1/", "f", "a == 1"),
        ("uprobe:/bin/x:a/b.F /c/", "a/b.F", "c"),
        ("iter:task:/p /a/", "/p", "a"),
        ("kprobe:f /a / b / c/", "f", "a / b / c"),
        ("kprobe:f /(a / {2})/", "f", "a / ({\n  2\n})"),
    ],
)
def test_predicates(head: str, name: str, predicate: str) -> None:
    (probe,) = parse(Source("a", head + " { }")).probes
    assert probe.attach_points[-1].parts[-1].text == name
    assert probe.predicate is not None
    assert to_text(probe.predicate) == predicate


def test_parameters_are_filled_in() -> None:
    (probe,) = parse(Source("a", 'uprobe:/bin/$1_x:"$1":$3$2 { }')).probes
    path, quoted, last = probe.attach_points[0].parts[1:]
    assert path.fill(["a", "b"]) == "/bin/a_x"
    assert quoted.fill(["a", "b"]) == "$1"
    assert last.fill(["a", "b"]) == "0b"


def test_names_and_text() -> None:
    named, unnamed = parse(Source("a", "x = kprobe : f { } kprobe:g { }")).probes
    assert (named.name, unnamed.name) == ("x", None)
    assert named.attach_points[0].text == "kprobe : f"
    assert named.attach_points[0].provider == "kprobe"
