"""BTF of our own programs, read back by our own reader and unpacked by hand; grouping of uprobes."""

from __future__ import annotations

import struct

from cygnet.btf import kinds
from cygnet.btf.reader import Btf
from cygnet.errors import KernelVerifierError
from cygnet.loader.debuginfo import DebugInfo, identifier, line_of
from cygnet.loader.locate import locate
from cygnet.loader.multi import group, multi_programs, multi_target
from cygnet.source import Source
from cygnet.spec.objects import FuncInfo, LineInfo, LinkSpec, ProgramSpec

TEXT = "begin {\n  for ($i : 0..5) { print($i) }\n}"
LINES = (LineInfo(0, 1, 1, "begin {", 0, 7), LineInfo(4, 2, 3, "  for ($i : 0..5) { print($i) }", 10, 40))


def program(name: str, *functions: FuncInfo, lines: tuple[LineInfo, ...] = LINES) -> ProgramSpec:
    return ProgramSpec(name, 17, b"", functions=functions, lines=lines, source="a.bt")


def test_one_object_for_all_programs() -> None:
    first = program("first", FuncInfo(0, "begin:1", "main"), FuncInfo(9, "body", "callback"))
    second = program("second", FuncInfo(0, "2nd", "main"))
    info = DebugInfo([first, second])
    btf = Btf(info.data)

    def string(offset: int) -> str:
        return btf.string(offset)

    funcs = list(struct.iter_unpack("II", info.infos["first"][0]))
    assert [insn for insn, _ in funcs] == [0, 9]
    main, body = (btf.type(number) for _, number in funcs)
    assert (main.name, body.name) == ("begin_1", "body")
    assert main.kind == kinds.FUNC and main.vlen == kinds.GLOBAL and body.vlen == kinds.STATIC
    assert [param.name for param in main.type.params] == ["ctx"]
    rows = list(struct.iter_unpack("IIII", info.infos["first"][1]))
    assert [(insn, word >> 10, word & 1023) for insn, _, _, word in rows] == [(0, 1, 1), (4, 2, 3), (9, 0, 0)]
    assert [string(file) for _, file, _, _ in rows] == ["a.bt"] * 3
    assert string(rows[1][2]) == "  for ($i : 0..5) { print($i) }"
    ((_, number),) = struct.iter_unpack("II", info.infos["second"][0])
    assert btf.type(number).name == "_2nd"


def test_no_programs() -> None:
    assert DebugInfo([]).infos == {}
    info = DebugInfo([program("bare")])
    assert info.infos["bare"] == (b"", b"")


def test_identifiers() -> None:
    assert identifier("ok_1") == "ok_1"
    assert identifier("tracepoint:a:b*") == "tracepoint_a_b_"
    assert identifier("9x") == "_9x" and identifier("") == "_" and identifier("é") == "_"


def test_lines() -> None:
    spec = program("p")
    assert [line_of(spec, insn) for insn in (0, 3, 4, 100)] == [LINES[0], LINES[0], LINES[1], LINES[1]]
    assert line_of(program("p", lines=LINES[1:]), 0) is None


def test_locate() -> None:
    spec = program("p")
    error = KernelVerifierError("no", errno=13, insn=5)
    locate(error, spec, Source("a.bt", TEXT))
    assert str(error.span) == "a.bt:2:3-33"
    error = KernelVerifierError("no", errno=13, insn=5)
    locate(error, spec, Source("other.bt", TEXT))
    assert error.span is None and error.hints == ("a.bt:2:3: for ($i : 0..5) { print($i) }",)
    locate(KernelVerifierError("no", errno=13), spec, None)


def uprobe(name: str, path: str, offset: int, **more: object) -> LinkSpec:
    return LinkSpec(
        name, "uprobe", {"path": path, "offset": offset, "ret": False, "pid": -1, **more}, f"uprobe:{path}:{offset}"
    )


def test_which_uprobes_go_together() -> None:
    links = [
        *[uprobe("many", "/a", n) for n in range(3)],
        *[uprobe("many", "/b", n) for n in range(2)],
        uprobe("few", "/a", 9),
        *[uprobe("mixed", "/a", n) for n in range(9)],
        LinkSpec("mixed", "tracepoint", {}, "t"),
    ]
    uprobe_multi = "uprobe_multi"
    assert multi_programs(links, uprobe_multi.__eq__) == {"many": uprobe_multi, "few": uprobe_multi}
    assert multi_programs(links, lambda name: False) == {}
    groups = list(group(links, {"many": uprobe_multi}))
    assert [len(each) for each in groups] == [3, 2] + [1] * 11
    assert multi_target(uprobe_multi, groups[0]) == {"path": "/a", "offsets": [0, 1, 2], "ret": False, "pid": -1}
    target = multi_target(uprobe_multi, [uprobe("x", "/a", 1, ref_ctr_offset=5), uprobe("x", "/a", 2, cookie=3)])
    assert target["ref_ctr_offsets"] == [5, 0] and target["cookies"] == [0, 3]
