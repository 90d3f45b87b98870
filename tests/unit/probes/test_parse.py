"""What each provider makes of an attach point, and what it says of a wrong one."""

from __future__ import annotations

import pytest

from cygnet.errors import TraceSyntaxError
from cygnet.lang.trace.parser import parse as parse_program
from cygnet.probes import point, registry
from cygnet.source import Source

PARSED = [
    # text, shown as, fields that differ from their defaults
    ("BEGIN", "begin", {}),
    ("End", "end", {}),
    ("self:signal:SIGUSR1", "self:signal:SIGUSR1", {"target": "SIGUSR1", "value": 10}),
    ("self:signal:usr2", "self:signal:usr2", {"target": "usr2", "value": 12}),
    ("t:sched:sched_switch", "tracepoint:sched:sched_switch", {"target": "sched", "name": "sched_switch"}),
    ("tracepoint:sched*", "tracepoint:*:sched*", {"target": "*", "name": "sched*"}),
    ("rt:sys_enter", "rawtracepoint:sys_enter", {"name": "sys_enter"}),
    ("rawtracepoint:xfs:xfs_a", "rawtracepoint:xfs:xfs_a", {"target": "xfs", "name": "xfs_a"}),
    ("u:/bin/sh:main", "uprobe:/bin/sh:main", {"target": "/bin/sh", "name": "main"}),
    ("uprobe:libc:malloc+4", "uprobe:libc:malloc+4", {"target": "libc", "name": "malloc", "offset": 4}),
    ("uprobe:/bin/sh:0x10", "uprobe:/bin/sh:0x10", {"target": "/bin/sh", "address": 16}),
    ("uprobe:main", "uprobe:main", {"name": "main"}),
    ("ur:/bin/sh:main", "uretprobe:/bin/sh:main", {"target": "/bin/sh", "name": "main"}),
    ("uprobe:/bin/x@a.c:12:3", "uprobe:/bin/x@a.c:12:3",
     {"target": "/bin/x", "name": "a.c", "value": 12, "offset": 3, "mode": "line"}),
    ("uprobe:/bin/x:cpp:f*", "uprobe:/bin/x:cpp:f*", {"target": "/bin/x", "name": "f*", "mode": "cpp"}),
    ("ur:/bin/x:rust:f*", "uretprobe:/bin/x:rust:f*", {"target": "/bin/x", "name": "f*", "mode": "rust"}),
    ("U:/bin/x:ns:probe", "usdt:/bin/x:ns:probe", {"target": "/bin/x", "name": "probe", "mode": "ns"}),
    ("usdt:*:probe", "usdt:*:probe", {"target": "*", "name": "probe"}),
    ("usdt::ns:probe", "usdt::ns:probe", {"target": "", "name": "probe", "mode": "ns"}),
    ("usdt:/bin/x::probe", "usdt:/bin/x::probe", {"target": "/bin/x", "name": "probe", "mode": ""}),
    ("usdt:probe", "usdt:probe", {"target": "", "name": "probe", "mode": ""}),
    ("profile:hz:99", "profile:hz:99", {"target": "hz", "value": 99, "mode": "hz"}),
    ("p:ms:5", "profile:ms:5", {"target": "ms", "value": 5_000_000, "mode": "ns"}),
    ("profile:5ms", "profile:5ms", {"value": 5_000_000, "mode": "ns"}),
    ("i:s:1", "interval:s:1", {"target": "s", "value": 10**9, "mode": "ns"}),
    ("interval:us:1", "interval:us:1", {"target": "us", "value": 1000, "mode": "ns"}),
    ("interval:1e6", "interval:1e6", {"value": 10**6, "mode": "ns"}),
    ("interval:1_000", "interval:1_000", {"value": 1000, "mode": "ns"}),
    ("s:cs", "software:cs", {"target": "cs"}),
    ("software:page-faults:10", "software:page-faults:10", {"target": "page-faults", "value": 10}),
    ("h:cycles:1e6", "hardware:cycles:1e6", {"target": "cycles", "value": 10**6}),
    ("k:vfs_read", "kprobe:vfs_read", {"name": "vfs_read"}),
    ("kprobe:xfs:xfs_read+8", "kprobe:xfs:xfs_read+8", {"target": "xfs", "name": "xfs_read", "offset": 8}),
    ("kprobe:0xffffffff81000000", "kprobe:0xffffffff81000000", {"address": 0xFFFFFFFF81000000}),
    ("kr:vfs_*", "kretprobe:vfs_*", {"name": "vfs_*"}),
    ("kfunc:vfs_read", "fentry:vfs_read", {"name": "vfs_read"}),
    ("kretfunc:xfs:f", "fexit:xfs:f", {"target": "xfs", "name": "f"}),
    ("f:bpf:12:prog", "fentry:bpf:12:prog", {"target": "bpf", "name": "prog", "value": 12}),
    ("w:0x1000:8:rw", "watchpoint:0x1000:8:rw", {"address": 0x1000, "value": 8, "mode": "rw"}),
    ("asyncwatchpoint:fn+arg1:4:w", "asyncwatchpoint:fn+arg1:4:w",
     {"target": "fn", "name": "arg1", "value": 4, "mode": "w"}),
    ("it:task", "iter:task", {"target": "task"}),
    ("iter:task:pin", "iter:task:pin", {"target": "task", "name": "pin"}),
    ("test:it", "test:it", {"name": "it"}),
    ("bench:it", "bench:it", {"name": "it"}),
]  # fmt: skip
DEFAULTS = {"target": "", "name": "", "offset": 0, "address": -1, "value": 0, "mode": ""}


@pytest.mark.parametrize(("text", "shown", "fields"), PARSED, ids=[row[0] for row in PARSED])
def test_parse(text: str, shown: str, fields: dict[str, object]) -> None:
    parsed = point.parse_text(text)
    assert parsed.text == shown
    assert {name: getattr(parsed, name) for name in DEFAULTS} == DEFAULTS | fields


WRONG = [
    # text, what the error says, a hint
    ("tracepont:a:b", "unknown probe type: tracepont", "did you mean tracepoint?"),
    ("begin:1", "begin takes no arguments", "begin"),
    ("tracepoint:sched", "tracepoint takes 2 arguments, not 1", "tracepoint:SUBSYSTEM:EVENT"),
    ("tracepoint:a:b:c", "takes 2 arguments, not 3", ""),
    ("tracepoint::b", "empty argument", ""),
    ("self:signal:SIGUSR9", "no signal SIGUSR9", "did you mean SIGUSR"),
    ("self:signal:KILL", "KILL cannot be caught", ""),
    ("self:timer:1", "self knows no event timer", ""),
    ("profile:hz", "profile:hz wants a number", "profile:hz:1"),
    ("profile:hz:0", "above 0", ""),
    ("profile:hz:1000001", "below 1000 ns", ""),
    ("interval:ns:999", "below 1000 ns", ""),
    ("interval:99", "below 1000 ns", ""),
    ("profile:khz:1", "knows no unit khz", "hz, s, ms, us, ns"),
    ("interval:s:x", "x is not a number", ""),
    ("interval:5parsec", "5parsec is not a duration", "interval:5ms"),
    ("software:page-fault", "no software event page-fault", "page-faults"),
    ("software:*", "software takes no wildcards", ""),
    ("hardware:cycle", "no hardware event cycle", "cycles"),
    ("software:cs:0", "count above 0", ""),
    ("uretprobe:/bin/sh:main+4", "takes no offset", ""),
    ("uprobe:/bin/sh:main+x", "offset of main is not a number: x", ""),
    ("uprobe:/bin/sh:ma*+4", "needs one function", ""),
    ("uprobe:/bin/sh:ada:f", "knows no language ada", ""),
    ("uprobe:/bin/x@a.c", "LINE", ""),
    ("kretprobe:f+4", "takes no offset", ""),
    ("fentry:xfs:1:f", "three arguments only", ""),
    ("watchpoint:0x10:3:r", "length is 1, 2, 4 or 8, not 3", ""),
    ("watchpoint:0x10:8:rr", "each at most once", ""),
    ("watchpoint:here:8:r", "neither an address nor", ""),
    ("iter:ta*", "iter takes no wildcards", ""),
    ("usdt:/bin/x:ns:probe:more", "takes 1 to 3 arguments, not 4", ""),
]


@pytest.mark.parametrize(("text", "message", "hint"), WRONG, ids=[row[0] for row in WRONG])
def test_wrong(text: str, message: str, hint: str) -> None:
    with pytest.raises(TraceSyntaxError) as caught:
        point.parse_text(text)
    assert message in str(caught.value)
    assert hint in " ".join(caught.value.hints)


def test_spans_and_parameters() -> None:
    """From a real syntax tree: parameters are filled in, and an error points at the part that is wrong."""
    source = Source("a.bt", "interval:s:$1, profile:hz:$2 { }")
    first, second = parse_program(source).items[0].attach_points
    assert point.parse(first, ["5"]).value == 5 * 10**9
    with pytest.raises(TraceSyntaxError, match="above 0") as caught:
        point.parse(second, ["5"])
    span = caught.value.span
    assert span is not None and source.text[span.start : span.end] == "$2"


def test_quoted_names_keep_their_colons() -> None:
    source = Source("a.bt", 'uprobe:"/tmp/a:b":"x::y" { }')
    parsed = point.parse(parse_program(source).items[0].attach_points[0])
    assert (parsed.target, parsed.name) == ("/tmp/a:b", "x::y")


def test_every_provider_has_its_row_and_file() -> None:
    for row in registry.ROWS:
        assert callable(row.module.parse)
        assert callable(getattr(row.module, "expand", None)) or not row.supported
        for name in (row.name, *row.aliases, row.name.upper()):
            assert registry.provider(name) is row
        assert row.syntax.startswith(row.name)
    names = [name for row in registry.ROWS for name in (row.name, *row.aliases)]
    assert len(names) == len(set(names))
