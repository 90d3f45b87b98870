"""The room for tests of BPF programs: comparison, coverage reports, the plugin with the example."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cygnet.errors import AsmError
from cygnet.testing import Difference, assemble_object, assert_same, packets
from cygnet.testing.plugin import Bench
from cygnet.testing.report import Report
from cygnet.vm import contexts
from cygnet.vm.machine import Machine

ROOT = Path(__file__).parents[3]
TEXT = """r0 = *(u32 *)(r1 +0)
if r0 != 0 goto other ; a comment
r0 = 1
exit
other:
r0 = 2
exit
"""


def test_same_and_different() -> None:
    one, other = assemble_object(TEXT, "raw_tracepoint"), assemble_object("r0 = 1\nexit\n", "raw_tracepoint")
    with Machine(one) as first, Machine(other) as second:
        pair = first.program("program"), second.program("program")
        assert assert_same(*pair, ctx=bytes(8)).retval == 1
        with pytest.raises(Difference, match="retval differs: 2 here, 1 there"):
            assert_same(*pair, ctx=b"\1" + bytes(7))


def test_reports() -> None:
    report = Report()
    spec = assemble_object(TEXT, "raw_tracepoint", path="some/program.s")
    with Machine(spec, coverage=True) as machine:
        machine.run("program", bytes(8))
        machine.run("program", bytes(8))
        report.add(machine)
    assert report.texts["some/program.s"].counts == {1: 2, 2: 2, 3: 2, 4: 2, 6: 0, 7: 0}
    assert report.text().splitlines()[1].split() == ["some/program.s", "6", "2", "67%", "6-7"]
    assert "DA:1,2\n" in report.lcov() and "LH:4\nend_of_record" in report.lcov()
    page = report.html()
    assert "<tr class=no><td class=count>6<td class=count>0<td>r0 = 2" in page and "67%" in page


def test_lines_of_assembly() -> None:
    text = "\n; nothing\nstart: r1 = 5 ll\nr0 = r1 // five\nexit # end\n"
    program = assemble_object(text, "raw_tracepoint").programs[0]
    assert [(line.insn, line.line) for line in program.lines] == [(0, 3), (2, 4), (3, 5)]


def test_names_of_return_values() -> None:
    assert contexts.code_name("sched_cls", 0xFFFFFFFF) == "TC_ACT_UNSPEC"
    assert contexts.code_name("xdp", 99) == "99"
    assert contexts.code_value("XDP_TX") == 3


def test_packets_are_as_asked() -> None:
    frame = packets.vlan(packets.udp(b"data", sport=1, dport=2), 5)
    assert frame[12:16] == bytes.fromhex("81000005") and frame[38:42] == bytes.fromhex("00010002")
    assert len(packets.tcp(source="fd00::1", destination="fd00::2")) == 14 + 40 + 20


def test_mistakes_are_told() -> None:
    with pytest.raises(ValueError, match="no program type 'xpd': did you mean xdp"):
        assemble_object("r0 = 1\nexit\n", "xpd")
    with pytest.raises(ValueError, match="names map 0, and 0 maps"):
        assemble_object("r1 = map[idx:0]\nexit\n", "xdp")
    with pytest.raises(AsmError) as caught:
        assemble_object("r0 = 1\nfoo\nexit\n", "xdp", path="mine.s")
    assert caught.value.__notes__ == ["mine.s:2:1: not an instruction: foo"]
    bench = Bench("interpreter", None)
    with pytest.raises(KeyError, match="no program 'other', but program"):
        bench.load(assemble_object("r0 = 1\nexit\n", "xdp"), "other")


def test_functions_that_are_called_back() -> None:
    text = "r1 = 5\nr2 = subprog[each]\nr3 = 0\nr4 = 0\ncall bpf_loop\nexit\n"
    text += "each:\nr0 = 0\nif r1 < 2 goto end\nr0 = 1\nend:\nexit\n"
    spec = assemble_object(text, "xdp")
    assert [(one.insn, one.name) for one in spec.programs[0].functions] == [(0, "program"), (7, "each")]
    with Machine(spec) as machine:
        assert machine.run("program", packets.tcp()) == 3


@pytest.mark.parametrize("way", [["examples"], ["examples/xdp_filter"], ["-p", "cygnet.testing.plugin", "examples"]])
def test_the_example_from_every_folder(tmp_path: Path, way: list[str]) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *way]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_example(tmp_path: Path) -> None:
    options = ["-q", "-p", "cygnet.testing.plugin", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    command = [
        sys.executable,
        "-m",
        "pytest",
        *options,
        str(ROOT / "examples/xdp_filter"),
        "--bpf-coverage",
        str(tmp_path),
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "coverage.info").read_text().endswith("LF:35\nLH:35\nend_of_record\n")
    assert {path.name for path in tmp_path.iterdir()} >= {"coverage.txt", "coverage.html", "coverage.info"}
