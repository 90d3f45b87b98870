"""Object files of questions: libbpf, through bpftool, loads them, and as the same programs that we load ourselves."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cygnet.cli import main
from cygnet.kernel import objects
from cygnet.kernel.target import LiveTarget
from cygnet.lang.trace.compile import compile_program
from cygnet.loader.objectfile import for_target
from cygnet.loader.runtime import kernel_runtime
from cygnet.source import Source

PROGRAMS = {
    "maps and records": 'begin { @[comm, 1] = count(); @h = hist(nsecs); printf("%s %d", comm, pid); }',
    "a map of one value": "tracepoint:sched:sched_switch { @n += 1; if (@n > 3) { exit(); } }",
    "a callback": "begin { @a[1] = 2; for ($kv : @a) { print($kv); } } end { for ($i : 0..pid) { @b[$i] = 1; } }",
    "callbacks in many programs": "interval:s:1, tracepoint:sched:* { for ($i : 0..pid) { @a[$i] = 1; } }\n"
    "profile:hz:9 { for ($kv : @a) { @b = $kv.0; for ($kv2 : @a) { @c = $kv2.1; } } }",
    "a function of one's own": "fn twice($a: int64): int64 { return 2 * $a; } begin { print(twice(pid)); }",
    "constants in memory": 'rawtracepoint:sched_switch /comm == "a very long name"/ { print(strcontains(comm, "x")); }',
    "a sample of the kernel": "iter:task { print(ctx.task.pid); }",
    "uprobes": "uprobe:/bin/bash:main, uretprobe:/bin/bash:main { @[ustack] = count(); }",
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the BPF file system; bpftool pins what it loads there, and it is taken away again."""
    path = Path("/sys/fs/bpf") / f"cygnet-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    yield path
    for pin in path.glob("*"):
        pin.unlink()
    if path.exists():
        path.rmdir()


def bpftool_load(file: Path, folder: Path) -> dict[str, str]:
    """name → tag of the programs that bpftool loaded."""
    run = subprocess.run(["bpftool", "prog", "loadall", file, folder], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    tags = {}
    for pin in folder.iterdir():
        shown = subprocess.run(["bpftool", "-j", "prog", "show", "pinned", pin], capture_output=True, check=True)
        tags[pin.name] = json.loads(shown.stdout)["tag"]
    return tags


@pytest.mark.parametrize("text", PROGRAMS.values(), ids=PROGRAMS)
def test_libbpf_loads_the_same_programs(text: str, tmp_path: Path, folder: Path) -> None:
    target = LiveTarget()
    spec = compile_program(Source("a.bt", text), target).spec
    numbers = {"start_ns": 0, "cpid": 0, "target_pid": 0}
    file = tmp_path / "a.o"
    file.write_bytes(for_target(spec, target, numbers))
    runtime = kernel_runtime(spec, target=target, session=numbers)
    try:
        ours = {objects.prog_info(runtime.program(one.name).fd).tag for one in spec.programs}
    finally:
        runtime.close()
    loaded = bpftool_load(file, folder)
    assert len(loaded) == len(spec.programs)
    assert set(loaded.values()) == ours


def test_lines_and_maps_are_told(tmp_path: Path, folder: Path) -> None:
    text = "begin { @one[1] = 2; }"
    file = tmp_path / "a.o"
    assert main(["trace", "--emit-elf", str(file), "-e", text]) == 0
    (name,) = bpftool_load(file, folder)
    run = subprocess.run(
        ["bpftool", "prog", "dump", "xlated", "pinned", folder / name], capture_output=True, check=True
    )
    assert f"; {text}".encode() in run.stdout and b"map[id:" in run.stdout


def test_a_file_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "--emit-elf", "/no/such/folder/a.o", "-e", "begin { }"]) == 1
    assert "/no/such/folder/a.o" in capsys.readouterr().err


def test_nothing_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "--emit-elf", str(tmp_path / "a.o"), "-e", 'begin { printf("ran"); }']) == 0
    assert "ran" not in capsys.readouterr().out
