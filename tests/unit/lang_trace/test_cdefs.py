"""C definitions in a script: layouts as a C compiler makes them, conditions, includes, what is refused."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cygnet.errors import SourceErrors
from cygnet.lang.trace import types as T
from cygnet.lang.trace.ast import CDefine, CType
from cygnet.lang.trace.constants import constant
from cygnet.lang.trace.ctext.declare import define_types
from cygnet.lang.trace.ctext.preprocess import preprocess
from cygnet.lang.trace.parser import parse
from cygnet.lang.trace.records import CTypes
from cygnet.source import Source


class NoTypes:
    """A system that has no BTF."""

    machine = "x86_64"
    release = "6.18.3-test"
    version = (6, 18)

    def btf(self) -> None:
        return None


def define(text: str, name: str = "stdin", **options: Any) -> CTypes:
    program = parse(Source(name, text + "\nbegin { }"))
    preprocess(program, NoTypes(), options.get("include_dirs", ()), options.get("includes", ()))
    types = CTypes(NoTypes())
    macros = {item.name: item for item in program.c_defs if isinstance(item, CDefine)}
    define_types(types, [item for item in program.c_defs if isinstance(item, CType)], macros)
    return types


def refused(text: str, name: str = "stdin", **options: Any) -> list[str]:
    with pytest.raises(SourceErrors) as caught:
        define(text, name, **options)
    return [error.message for error in caught.value.errors]


# -- layouts, judged by the C compiler ----------------------------------------------------------------

SCALARS = ("char", "unsigned char", "short", "unsigned short", "int", "unsigned int", "long", "unsigned long long")
SHAPES = ("{t} {n};", "{t} *{n};", "{t} {n}[3];", "{t} {n}[2][3];", "{t} (*{n})(int, char *);", "{t} *{n}[2];",
          "{t} (*{n})[4];", "const {t} {n};")  # fmt: skip


class Maker:
    """Random definitions, and C code that prints where everything lies."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.text: list[str] = []
        self.paths: list[tuple[str, str, bool]] = []  # (record, path, is a bit-field)
        self.count = 0

    def record(self, depth: int = 0) -> tuple[str, list[tuple[str, bool]]]:
        """The text of a body, and the paths of its members."""
        lines: list[str] = []
        paths: list[tuple[str, bool]] = []
        for _ in range(self.random.randint(1, 6)):
            self.count += 1
            name = f"m{self.count}"
            choice = self.random.random()
            if choice < 0.3:
                lines.append(self.plain(name))
                paths.append((name, False))
            elif choice < 0.65:
                type = self.random.choice(SCALARS)
                width = self.random.randint(1, {"c": 8, "s": 16, "i": 32, "l": 64}[type.split()[-1][0]])
                if self.random.random() < 0.1:
                    lines.append(f"{type} :0;")
                lines.append(f"{type} {name} : {width};")
                paths.append((name, True))
            elif choice < 0.85 and depth < 2:
                body, inner = self.record(depth + 1)
                keyword = self.random.choice(("struct", "union"))
                if self.random.random() < 0.5:
                    lines.append(f"{keyword} {{ {body} }}{self.attribute()};")
                    paths += inner
                else:
                    lines.append(f"{keyword} {{ {body} }}{self.attribute()} {name};")
                    paths += [(name, False), *[(f"{name}.{path}", bits) for path, bits in inner]]
            else:
                lines.append(
                    f"{self.random.choice(SCALARS)} {name} __attribute__((aligned({2 ** self.random.randint(0, 4)})));"
                )
                paths.append((name, False))
        return " ".join(lines), paths

    def plain(self, name: str) -> str:
        type = self.random.choice(SCALARS)
        return self.random.choice(SHAPES).format(t=type, n=name)

    def attribute(self) -> str:
        return self.random.choice(("", "", "", " __attribute__((packed))", " __attribute__((aligned(8)))"))

    def definition(self, number: int) -> None:
        body, paths = self.record()
        keyword = self.random.choice(("struct", "struct", "union"))
        self.text.append(f"{keyword} r{number} {{ {body} }}{self.attribute()};")
        self.paths += [(f"{keyword} r{number}", path, bits) for path, bits in paths]

    def c_program(self) -> str:
        lines = ["#include <stdio.h>", "#include <stddef.h>", "#include <string.h>", *self.text, "int main() {"]
        lines += [f'printf("%zu\\n", sizeof({name}));' for name in sorted({record for record, _, _ in self.paths})]
        for record, path, bits in self.paths:
            if bits:
                lines.append(
                    f"{{ {record} v; memset(&v, 0, sizeof v); v.{path} = -1; unsigned char *p = (void *)&v;"
                    " int first = -1, n = 0; for (int i = 0; i < 8 * (int)sizeof v; i++)"
                    " if (p[i / 8] >> i % 8 & 1) { if (first < 0) first = i; n++; }"
                    ' printf("%d %d\\n", first, n); }'
                )
            else:
                lines.append(f'printf("%zu\\n", offsetof({record}, {path}));')
        return "\n".join([*lines, "}"])


def ours(types: CTypes, maker: Maker) -> list[str]:
    out = []
    for name in sorted({record for record, _, _ in maker.paths}):
        out.append(str(types.find(*name.split()).size))  # type: ignore[union-attr]
    for record, path, bits in maker.paths:
        type, offset = types.find(*record.split()), 0
        member = None
        for name in path.split("."):
            assert type is not None
            member = type.extra.find(name)
            assert member is not None
            offset += member.offset
            type = member.type
        assert member is not None
        out.append(f"{8 * offset + member.shift} {member.bits}" if bits else str(offset))
    return out


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_layouts_are_those_of_the_compiler(seed: int, tmp_path: Path) -> None:
    maker = Maker(seed)
    for number in range(60):
        maker.definition(number)
    source, program = tmp_path / "layout.c", tmp_path / "layout"
    source.write_text(maker.c_program())
    subprocess.run(["clang", "-w", "-O0", "-o", program, source], check=True)
    expected = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    got = ours(define("\n".join(maker.text)), maker)
    sizes = len(got) - len(maker.paths)
    wrong = [(place, e, g) for place, e, g in zip([("", "")] * sizes + maker.paths, expected, got) if e != g]
    assert not wrong and len(expected) == len(got)


# -- declarations -------------------------------------------------------------------------------------


def member(types: CTypes, record: str, name: str) -> T.Type:
    found = types.find("struct", record)
    assert found is not None
    return found.extra.find(name).type  # type: ignore[no-any-return]


def test_declarators() -> None:
    types = define("""
        typedef unsigned int word, *word_ptr, words[3];
        typedef int (*callback)(struct nobody *, char);
        struct s {
            word w; word_ptr p; words ws; callback cb; const char *text; char **vec; int (*fns[2])(void);
            struct s *self; struct later *l; struct nobody *n; void *v; char name[8]; long long unsigned int q;
        };
        struct later { struct s *back; };
    """)
    assert member(types, "s", "w") == T.UINT32
    assert member(types, "s", "p") == T.pointer(T.UINT32, T.KERNEL)
    assert member(types, "s", "ws").length == 3
    assert member(types, "s", "cb") == T.pointer(None, T.KERNEL)
    assert member(types, "s", "vec").elem.elem == T.INT8
    assert member(types, "s", "fns").length == 2
    assert member(types, "s", "self").elem.extra is types.find("struct", "s").extra  # type: ignore[union-attr]
    assert member(types, "s", "l").elem.extra.find("back").type.elem.extra.name == "s"
    assert member(types, "s", "n").elem is None
    assert member(types, "s", "v").elem is None
    assert member(types, "s", "q") == T.UINT64


def test_enumerations() -> None:
    types = define("""
        #define BASE 10
        enum color { RED, GREEN = BASE * 2, BLUE, };
        enum { LONE = -1 };
        enum wide { BIG = 1ULL << 40 };
        enum small : unsigned char { TINY = 'a' };
        struct pair { int a, b; };
        typedef enum { ONE = sizeof(struct pair), TWO } numbers;
    """)
    values = {name: types.enumerator(name)[0] for name in ("RED", "GREEN", "BLUE", "LONE", "BIG", "TINY", "ONE", "TWO")}  # type: ignore[index]
    assert values == {"RED": 0, "GREEN": 20, "BLUE": 21, "LONE": -1, "BIG": 1 << 40, "TINY": 97, "ONE": 8, "TWO": 9}
    sizes = [types.find("enum", name).size for name in ("color", "wide", "small")]  # type: ignore[union-attr]
    assert sizes == [4, 8, 1]


def test_dimensions_are_constant_expressions() -> None:
    types = define(
        """
        #define A 4
        #define B (A * 2 + 1)
        enum { C = 3 };
        struct s { char x[B]; int y[C << 1][A]; char z[sizeof(struct t *) - 1]; char u[A > 3 ? 5 : 6];
            char n[IFNAMSIZ]; };
    """
    )
    lengths = [member(types, "s", name).length for name in "xyzun"]
    assert lengths == [9, 6, 7, 5, 16]
    assert member(types, "s", "y").elem.length == 4


@pytest.mark.parametrize(
    "text, message",
    [
        ("struct s { struct unknown x; };", "Unknown type: 'struct unknown'"),
        ("struct s { foo x; };", "Unknown type: 'foo'"),
        ("struct s { int x[NOPE]; };", "Unknown constant: 'NOPE'"),
        ("struct s { int x[-1]; };", "an array can not have -1 elements"),
        ("struct s { int x : 40; };", "a bit-field of int32 can not have 40 bits"),
        ("struct s { char *x : 4; };", "a bit-field's type is an integer"),
        ("struct s { int f(int); };", "a function is no member: a pointer to one is"),
        ("struct s { void x; };", "a member can not be void"),
        ("struct s { int x; struct s y; };", "Unknown type: 'struct s'"),
        ("struct s { int x; }; struct s { long x; };", "redefinition of 'struct s'"),
        ("struct s { int 5; };", "unexpected `5`, expected the name of a member"),
        ("struct s { int x int y; };", "unexpected `int`, expected `;`"),
        ("struct s { int x; long y, x; };", "duplicate member 'x'"),
        ("enum e { A B };", "unexpected `B`, expected `,` or `}`"),
        ("struct s { int x[1 / 0]; };", "division by zero"),
        ("struct s { int x __attribute__((aligned(3))); };", "an alignment is a power of two"),
        ("struct s { " + "struct { " * 100 + "int x; " + "} m; " * 100 + "};", "nested too deep"),
        ("#error stop here", "#error stop here"),
        ("#if 1\nstruct s { int x; };", "this condition has no #endif"),
        ("#endif", "#endif without #if"),
        ("#if\n#endif", "#if without a condition"),
        ("#if 1 +\n#endif", "unexpected end of the definition, expected a constant"),
        ('#include "nowhere.h"', "'nowhere.h' file not found"),
        ("#include <nowhere/at_all.h>", "'nowhere/at_all.h' file not found"),
        ("#include <nowhere.h>", "'nowhere.h' file not found"),
        ("#frobnicate", "unknown directive #frobnicate"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    assert message in refused(text)


def test_several_errors_at_once() -> None:
    assert len(refused("struct a { foo x; };\nstruct b { bar y; };")) == 2


# -- the preprocessor ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "condition, kept",
    [
        ("ifdef A", True), ("ifdef B", False), ("ifndef B", True), ("if A", True), ("if A == 3 && !defined(B)", True),
        ("if defined A || B", True), ("if A > 3", False), ("if UNKNOWN", False), ("if 0", False),
        ("if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)", True),
        ("if LINUX_VERSION_CODE < KERNEL_VERSION(6, 18, 4) && LINUX_VERSION_CODE > KERNEL_VERSION(6,18,2)", True),
        ("if IS_ENABLED(CONFIG_NET) ", False), ("ifdef __x86_64__", True), ("ifdef BPFTRACE_HAVE_BTF", False),
        ("if (A << 2) == 12 // words", True), ("if A ? 0 : 1", False),
    ],
)  # fmt: skip
def test_conditions(condition: str, kept: bool) -> None:
    types = define(f"#define A 3\n#{condition}\nstruct yes {{ int x; }};\n#else\nstruct no {{ int x; }};\n#endif")
    assert (types.find("struct", "yes") is not None) == kept
    assert (types.find("struct", "no") is not None) == (not kept)


def test_elif_takes_the_first_that_holds() -> None:
    types = define(
        "#if 0\nstruct a{int x;};\n#elif 1\nstruct b{int x;};\n"
        "#elif 1\nstruct c{int x;};\n#else\nstruct d{int x;};\n#endif"
    )
    assert [types.find("struct", name) is not None for name in "abcd"] == [False, True, False, False]


def test_conditions_within_a_definition() -> None:
    types = define("#define NEW 1\nstruct s {\n int a;\n#ifdef NEW\n int b;\n#else\n long c;\n#endif\n int d;\n};")
    assert [types.find("struct", "s").extra.find(name) is not None for name in "abcd"] == [True, True, False, True]  # type: ignore[union-attr]


def test_headers(tmp_path: Path) -> None:
    (tmp_path / "inc").mkdir()
    (tmp_path / "a.h").write_text(
        '#pragma once\n#include "b.h"\n#include <linux/types.h>\nstatic inline int f(void) { return 1; }\n'
        "extern int v;\nstruct a { struct b x; };\n"
    )
    (tmp_path / "b.h").write_text("#ifndef B_H\n#define B_H\n#define LEN 12\nstruct b { char t[LEN]; };\n#endif\n")
    (tmp_path / "inc" / "c.h").write_text("struct c { long x; };\n")
    script = str(tmp_path / "script.bt")
    text = '#include "a.h"\n#include "a.h"\n#include "b.h"\n#include <c.h>\nstruct d { struct a x; char y[LEN]; };'
    types = define(text, script, include_dirs=[str(tmp_path / "inc")])
    assert types.find("struct", "d").size == 24  # type: ignore[union-attr]
    assert types.find("struct", "c").size == 8  # type: ignore[union-attr]
    types = define("struct e { struct a x; };", script, includes=[str(tmp_path / "a.h")])
    assert types.find("struct", "e").size == 12  # type: ignore[union-attr]


def test_a_header_that_includes_itself(tmp_path: Path) -> None:
    (tmp_path / "x.h").write_text('#include "x.h"\n')
    assert "included too deep" in refused('#include "x.h"', name=str(tmp_path / "s.bt"))[0]


def test_kernel_headers_are_not_needed() -> None:
    define(
        "#include <linux/sched.h>\n#include <net/sock.h>\n#include <asm/ptrace.h>\n#include <linux/nothing/of/this.h>"
    )


def test_constants_are_those_of_the_c_library() -> None:
    import errno
    import socket
    import stat

    families = [
        (socket, ("AF_", "SOCK_", "IPPROTO_", "SOL_SOCKET", "TCP_", "MSG_")),
        (errno, ("E",)),
        (stat, ("S_IR",)),
    ]
    for module, prefixes in families:
        for name in dir(module):
            number = getattr(module, name)
            if name.startswith(prefixes) and isinstance(number, int) and constant(name) is not None:
                assert constant(name) == number, name
    wanted = "IFNAMSIZ ETH_P_IPV6 TASK_UNINTERRUPTIBLE PF_KTHREAD NSEC_PER_SEC O_CLOEXEC S_IFMT SIGKILL ENOENT PATH_MAX"
    assert [constant(name) for name in wanted.split()] == [
        16, 0x86DD, 2, 0x200000, 10**9, 0o2000000, 0o170000, 9, 2, 4096
    ]  # fmt: skip
    assert constant("IFNAMSI") is None and constant("NAMSIZ") is None
