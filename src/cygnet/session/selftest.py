"""Test and bench probes: each is run here, and its result shown (``--test``, ``--bench``)."""

from __future__ import annotations

from time import monotonic, perf_counter_ns

from cygnet.session.output import Writer, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.session.loop import Loop
    from cygnet.session.run import Opened
    from cygnet.session.state import State
    from cygnet.spec.objects import LinkSpec

_BATCH, _SECONDS = 1000, 0.3  # a benchmark runs so many times between two looks at the clock, for so long
_WIDTHS = (41, 15)


class _Capture(Writer):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__(-1, "full")
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data

    def flush(self) -> None:
        return None


class _Outcome:
    """One run of a program: what it returned, how long it took, what came of it."""

    __slots__ = ("duration_ns", "failed", "output", "value")

    def __init__(self, value: int, duration_ns: int, failed: bool, output: bytes) -> None:
        self.value = value
        self.duration_ns = duration_ns
        self.failed = failed
        self.output = output


class Runner:
    """Runs the probes of one kind, in order."""

    def __init__(self, state: State, loop: Loop, runtime: Opened) -> None:
        self.state = state
        self.loop = loop
        self.runtime: Any = runtime
        self._errors = 0

    def run(self, kind: str, links: list[LinkSpec]) -> None:
        """Set the state's status to 1 when any of them failed."""
        if kind == "bench":
            self._benchmarks(links)
            return
        results = [(link.probe, self.once(link.program)) for link in links]
        for name, outcome in results:
            self._show_test(name, outcome)
        failed = sum(self._failed(outcome) for _, outcome in results)
        if not self.state.out.json:
            self._write(f"{len(results) - failed} of {len(results)} tests passed\n")
        self.state.status = 1 if failed else 0

    @staticmethod
    def _failed(outcome: _Outcome) -> bool:
        return outcome.failed or outcome.value != 0

    def once(self, program: str) -> _Outcome:
        """Run a program and handle all that it sent, with its output kept apart."""
        out = self.state.out
        capture, writers = _Capture(), (out.out, out.errors)
        diagnostic, self._errors = out.diagnostic, 0
        out.out = out.errors = capture
        out.diagnostic = self._counting(diagnostic)  # type: ignore[method-assign]
        try:
            start = perf_counter_ns()
            value = self.runtime.run(program)
            duration = perf_counter_ns() - start
            self._settle()
        finally:
            out.out, out.errors = writers
            out.diagnostic = diagnostic  # type: ignore[method-assign]
        failed = self._errors > 0 or self.state.status != 0
        self.state.status = 0
        return _Outcome(value, duration, failed, bytes(capture.data))

    def _counting(self, show: Any) -> Any:
        def count(kind: str, severity: str, message: str, action: Any, extra: dict[str, str | int]) -> None:
            self._errors += kind != "warnf"
            show(kind, severity, message, action, extra)

        return count

    def _settle(self) -> None:
        """Handle every event; an exit() ends only the program that called it."""
        self.loop.drain()
        self.loop.discard()
        self.state.stopped = False
        if self.loop.words is not None:
            self.loop.words.set(0, 0)

    # ── what is shown ──

    def _write(self, text: str) -> None:
        self.state.out.out.write(encode(text))

    def _show_test(self, name: str, outcome: _Outcome) -> None:
        passed = not self._failed(outcome)
        if self.state.out.json:
            from cygnet.session import json

            pairs = [("duration", json.number(outcome.duration_ns)), ("passed", "true" if passed else "false"),
                     ("output", json.string(outcome.output.decode("utf-8", "surrogateescape")))]  # fmt: skip
            self._write(json.message("test_result", json.members([(name, json.members(pairs))])))
            return
        self._write(f"{name}: {'passed' if passed else 'FAILED'} ({outcome.duration_ns / 1000:.1f} us)\n")
        if not passed:
            if outcome.value:
                self._write(f"it returned {outcome.value}\n")
            self.state.out.out.write(outcome.output)

    # ── benchmarks ──

    def _benchmarks(self, links: list[LinkSpec]) -> None:
        self.runtime.count_run_time()
        first, second = _WIDTHS
        rows: list[tuple[str, int, int]] = []
        failed = False
        for link in links:
            outcome = self.once(link.program)
            if outcome.failed:
                failed = True
                self.state.out.say(f"ERROR: {link.probe} failed\n")
                self.state.out.out.write(outcome.output)
            elif not outcome.value:
                rows.append((link.probe, *self._measure(link.program)))
        if self.state.out.json:
            self._json_rows(rows)
        elif rows:
            self._write(f"{'Benchmark':<{first}}{'Time(ns)':<{second}}Iterations\n{'-' * (first + second + 10)}\n")
            for name, average, count in rows:
                self._write(f"{name:<{first}}{average:<{second}}{count}\n")
        self.state.status = 1 if failed else 0

    def _json_rows(self, rows: list[tuple[str, int, int]]) -> None:
        from cygnet.session import json

        for name, average, count in rows:
            pairs = [("average", json.number(average)), ("iters", json.number(count))]
            self._write(json.message("benchmark_result", json.members([(name, json.members(pairs))])))

    def _measure(self, program: str) -> tuple[int, int]:
        """(mean nanoseconds of a run by the kernel's own count, how many runs)."""
        before_ns, before = self._counted(program)
        end = monotonic() + _SECONDS
        out = self.state.out
        writers = (out.out, out.errors)
        out.out = out.errors = _Capture()
        try:
            while True:
                for _ in range(_BATCH):
                    self.runtime.run(program)
                self._settle()
                if monotonic() > end:
                    break
        finally:
            out.out, out.errors = writers
        self.state.status = 0
        time_ns, count = self._counted(program)
        runs = max(1, count - before)
        return (time_ns - before_ns) // runs, runs

    def _counted(self, program: str) -> tuple[int, int]:
        row = next(row for row in self.runtime.stats() if row.name == program)
        return row.run_time_ns, row.run_cnt
