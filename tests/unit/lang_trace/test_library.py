"""Types of headers that are not read as a whole: what a script names and the kernel lacks, and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cygnet.errors import SourceErrors
from cygnet.lang.trace.ast import CDefine, CType
from cygnet.lang.trace.ctext.declare import define_types
from cygnet.lang.trace.ctext.preprocess import preprocess
from cygnet.lang.trace.parser import parse
from cygnet.lang.trace.records import CTypes
from cygnet.source import Source

HEADER = """
#include <linux/cyg_base.h>
#define DEPTH 3
#define SLOTS DEPTH
#define TIGHT __attribute__((packed))
typedef cyg_word cyg_key;
struct cyg_inner { unsigned short low; char rest[SLOTS]; };
struct cyg_outer { char first; struct cyg_inner inner; cyg_key key; union cyg_either both; } TIGHT;
union cyg_either { int number; char letters[( DEPTH + 2 )]; };
struct cyg_stamped { struct timeval when; };
struct cyg_broken { struct cyg_nowhere inside; };
extern int cyg_function(struct cyg_outer *outer);
"""
BASE = """
#include <linux/cyg_interface.h>
typedef unsigned long long cyg_word;
"""


class Kernel:
    """A system whose BTF has `names` only."""

    machine = "x86_64"
    release = "6.18.3-test"
    version = (6, 18)

    def __init__(self, *names: str) -> None:
        self.names = names

    def btf(self) -> Kernel:
        return self

    def find(self, name: str, kind: int) -> object | None:
        return name if name in self.names else None


class NoTypes(Kernel):
    def btf(self) -> Any:
        return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "linux").mkdir()
    (tmp_path / "linux" / "cyg_interface.h").write_text(HEADER)
    (tmp_path / "linux" / "cyg_base.h").write_text(BASE)
    return tmp_path


def given(script: str, folder: Path | None = None, target: Kernel | None = None) -> tuple[list[str], CTypes]:
    """The names of what the script's text gives, and their types."""
    program = parse(Source("stdin", script))
    preprocess(program, target or Kernel(), [] if folder is None else [str(folder)], [])
    items = [item for item in program.c_defs if isinstance(item, CType)]
    types = CTypes(NoTypes())
    define_types(types, items, {item.name: item for item in program.c_defs if isinstance(item, CDefine)})
    return [item.name for item in items if item.keyword != "typedef"], types


def size(types: CTypes, keyword: str, name: str) -> int:
    found = types.find(keyword, name)
    assert found is not None
    return found.size


@pytest.mark.parametrize(
    "spelling", ["<linux/cyg_interface.h>", "<linux/cyg_base.h>\n#include <linux/cyg_interface.h>"]
)
def test_an_interface_the_kernel_was_built_without(folder: Path, spelling: str) -> None:
    names, types = given(f"#include {spelling}\nbegin {{ $outer = (struct cyg_outer *)1; }}", folder)
    assert sorted(names) == ["cyg_either", "cyg_inner", "cyg_outer"]
    assert names[-1] == "cyg_outer"
    assert size(types, "struct", "cyg_inner") == 6
    assert size(types, "union", "cyg_either") == 8
    assert size(types, "struct", "cyg_outer") == 1 + 6 + 8 + 8


def test_the_kernel_s_own_comes_first(folder: Path) -> None:
    script = "#include <linux/cyg_interface.h>\nbegin { $inner = (struct cyg_inner *)1; }"
    assert given(script, folder, Kernel("cyg_inner"))[0] == []
    assert given(script, folder, NoTypes())[0] == []


def test_only_what_is_named_is_looked_at(folder: Path) -> None:
    assert given("#include <linux/cyg_interface.h>\nbegin { print(1); }", folder)[0] == []
    with pytest.raises(SourceErrors):
        given("#include <linux/cyg_interface.h>\nbegin { $broken = (struct cyg_broken *)1; }", folder)


def test_the_c_library_s_types_come_with_its_headers(folder: Path) -> None:
    script = "begin { $info = (struct addrinfo *)1; }"
    assert given("#include <netdb.h>\n" + script, None, Kernel("sockaddr"))[0] == ["addrinfo"]
    assert given("#include <pwd.h>\n" + script)[0] == []
    assert given(script)[0] == []


def test_what_they_hold_comes_with_them(folder: Path) -> None:
    assert given("#include <sys/time.h>\nbegin { $timer = (struct itimerval *)1; }")[0] == ["timeval", "itimerval"]
    names, types = given("#include <linux/cyg_interface.h>\nbegin { $at = (struct cyg_stamped *)1; }", folder)
    assert names == ["timeval", "cyg_stamped"]
    assert size(types, "struct", "cyg_stamped") == 16
