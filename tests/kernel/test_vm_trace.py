"""Programs of the tracing language give the same output in user space as in the kernel."""

from __future__ import annotations

import pytest

from cygnet.kernel.target import LiveTarget
from cygnet.lang.trace.compile import compile_program
from cygnet.loader.runtime import kernel_runtime
from cygnet.session.options import Options
from cygnet.session.run import run
from cygnet.session.world import LiveWorld
from cygnet.source import Source
from cygnet.vm.machine import Machine

PROGRAMS = [
    'begin { @a["x"] = count(); @h = hist(42); $x = (uint32)7; printf("hello %d %s\\n", $x * 6, str("abc")); }',
    "begin { for ($i : 0..5) { @n[$i] = $i * 2; @s = sum($i); @m = max($i); @q = avg($i); } }",
    "begin { @l = lhist(37, 0, 100, 10); @l = lhist(-5, 0, 100, 10); @t[1, 2] = stats(9); delete(@t, (1, 2)); }",
    "begin { $i = 0; while ($i < 10) { $i++; if ($i == 3) { continue; } if ($i > 6) { break; } @[$i] = $i % 4; } }",
    'begin { print((1, "two", (int8)-3)); print(-7 / 2); print((int8)200); print(1 << 40); exit(3); } end { @e = 1; }',
    "begin { @a[3] = 9; @a[1] = 5; for ($kv : @a) { @sum = sum($kv.1); @keys = sum($kv.0); } clear(@a); }",
    'begin { if (strncmp("abcd", "abxx", 2) == 0) { print("same"); } if ("a" == "b") { print("no"); } @x = strlen("hello"); }',
    "begin { @c = count(); @c = count(); print(@c); zero(@c); }",
]


@pytest.mark.parametrize("text", PROGRAMS)
def test_same_output(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    target = LiveTarget()
    spec = compile_program(Source("program", text), target).spec
    status = run(spec, Options(), LiveWorld(), lambda numbers: kernel_runtime(spec, target=target, session=numbers))
    witness = capfd.readouterr().out
    for engine in ("jit", "python", "interpreter"):
        ours = run(spec, Options(), LiveWorld(), lambda numbers: Machine(spec, engine, session=numbers, target=target))  # noqa: B023
        assert (ours, capfd.readouterr().out) == (status, witness)
