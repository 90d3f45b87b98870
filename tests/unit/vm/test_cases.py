"""Every case file, by every engine."""

from itertools import pairwise

import pytest
from tests.opcases import files

from cygnet.isa.encode import encode
from cygnet.isa.opcodes import find, rows


@pytest.mark.parametrize("name", files())
def test_cases(name, bench):
    wrong = []
    for case in files()[name]:
        r0 = bench.run(encode(case.insns), case.memory)
        if r0 != case.result:
            wrong.append(f"{case.title}: {r0:#x}, not {case.result:#x}")
    assert not wrong


def test_every_row_has_a_case():
    used = set()
    for cases in files().values():
        for case in cases:
            insns = [*case.insns, None]
            used |= {row.name for insn, second in pairwise(insns) if (row := find(insn, second))}
    missing = {row.name for row in rows() if row.group != "kernel"} - used
    # what refers to maps, to the kernel's functions, and arenas, which no engine has
    elsewhere = {row.name for row in rows() if row.name.startswith(("lddw_map", "lddw_btf", "arena"))} | {"call_kfunc"}
    assert missing == elsewhere
