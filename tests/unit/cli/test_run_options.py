"""The options of `cygnet run` that make no sense."""

from __future__ import annotations

import pytest

from cygnet.cli.run import run


@pytest.mark.parametrize("budget", ["0", "-1", str(1 << 62), "1" * 30])
def test_a_budget_out_of_range(budget: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(["--hex", "9500000000000000", "--budget", budget])
    assert end.value.code == 1
    assert "--budget wants a number of instructions" in capsys.readouterr().err


@pytest.mark.parametrize("engine", ["jit", "python", "interpreter"])
def test_the_largest_budget(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--hex", "b7000000010000009500000000000000", "--engine", engine, "--budget", str((1 << 62) - 1)]) == 0
    assert capsys.readouterr().out == "0x1\n"
