"""The live view: maps redrawn in place on a terminal while a program runs; what it prints scrolls above them.

The only user of `rich`, the optional extra ``live``. Nothing here changes what the maps hold; when the view ends it
is wiped, and the maps are printed as always.
"""

from __future__ import annotations

import os
import sys
from time import monotonic

from cygnet.errors import UsageError
from cygnet.session import hist
from cygnet.session.maps import Stats
from cygnet.session.maptext import MapText
from cygnet.session.output import Writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from cygnet.session.maps import Entry
    from cygnet.session.state import State

_FULL, _PARTS = "█", " ▏▎▍▌▋▊▉"
_LEAST_ROWS = 4  # that each map gets, however many there are
_CHROME = 3  # rows around the maps: the heading, and the cursor's own
_WIDEST_BAR = 60


def check(fd: int) -> None:
    """Raise UsageError when there is no terminal to draw on, or no rich to draw with."""
    if not os.isatty(fd):
        raise UsageError("--live draws on a terminal, and standard output is not one")
    if os.environ.get("TERM") in ("dumb", "unknown"):  # rich would draw nothing
        raise UsageError(f"--live moves the cursor, and the terminal cannot: TERM is {os.environ['TERM']}")
    try:
        import rich.live  # noqa: F401
    except ImportError:
        error = UsageError("--live needs the package rich, which is not installed")
        error.hints = (f"{sys.executable} -m pip install rich",)
        raise error from None


class LiveWriter(Writer):
    """A writer whose text goes above the view while there is one. A line is held back until it is whole."""

    __slots__ = ("screen",)

    def __init__(self, fd: int, mode: str = "line") -> None:
        super().__init__(fd, mode)
        self.screen: Screen | None = None

    def flush(self) -> None:
        if self.screen is None:
            super().flush()
            return
        whole, _, rest = b"".join(self._parts).rpartition(b"\n")
        self._parts[:] = [rest] if rest else []
        self._size = len(rest)
        if whole:
            self.screen.above(whole.decode("utf-8", "replace"))


class Screen:
    """Draws a state's maps every `seconds`, from `begin` to `end`."""

    __slots__ = ("_console", "_live", "_maps", "_start", "_state", "_writers", "seconds")

    def __init__(self, state: State, seconds: float) -> None:
        self.seconds = seconds
        self._state = state
        self._maps: dict[str, MapText] = {}
        self._writers: list[LiveWriter] = []
        self._start = 0.0
        self._live: Any = None
        self._console: Any = None

    def begin(self) -> None:
        """Take over the terminal's last lines."""
        from rich.console import Console
        from rich.live import Live

        out = self._state.out
        out.out.flush()
        self._start = monotonic()
        self._console = Console(highlight=False, markup=False, emoji=False, force_terminal=True, soft_wrap=False)
        self._live = Live(
            self._view(), console=self._console, auto_refresh=False, transient=True, redirect_stdout=False,
            redirect_stderr=False, vertical_overflow="crop",
        )  # fmt: skip
        if os.isatty(2):
            out.errors = LiveWriter(2, "none")
        self._writers = [one for one in (out.out, out.errors) if isinstance(one, LiveWriter)]
        for writer in self._writers:
            writer.screen = self
        self._live.start(refresh=True)

    def draw(self) -> None:
        if self._live is not None:
            self._live.update(self._view(), refresh=True)

    def above(self, text: str) -> None:
        """Print whole lines, without their last newline, above the view."""
        self._console.out(text, highlight=False)

    def end(self) -> None:
        """Wipe the view and give the terminal back. May be called twice."""
        live, self._live = self._live, None
        if live is None:
            return
        live.stop()
        for writer in self._writers:
            writer.screen = None
            writer.flush()

    # ── what is drawn ──

    def _view(self) -> Any:
        from rich.console import Group

        names = sorted([view.name for view in self._state.spec.views])
        maps = [(shown, entries) for shown, entries in map(self._read, names) if entries]
        room = max(_LEAST_ROWS, (self._console.height - _CHROME) // max(1, len(maps)) - 1)
        return Group(self._heading(), *[part for shown, entries in maps for part in self._map(shown, entries, room)])

    def _heading(self) -> Any:
        from rich.text import Text

        seconds = int(monotonic() - self._start)
        return Text(f"── {seconds} s ── Ctrl-C ends and prints the maps ──", style="dim", no_wrap=True)

    def _read(self, name: str) -> tuple[MapText, list[Entry]]:
        if name not in self._maps:
            self._maps[name] = MapText(self._state.reader(name), self._state.context)
        return self._maps[name], self._maps[name].reader.read()

    def _map(self, shown: MapText, entries: list[Entry], room: int) -> Sequence[Any]:
        if shown.reader.histogram:
            return self._histograms(shown, entries, room)
        if shown.reader.series:
            from rich.text import Text

            return [Text(printable(shown.text().rstrip("\n")))]
        return [self._table(shown, entries, room)]

    def _table(self, shown: MapText, entries: list[Entry], room: int) -> Any:
        """The largest entries, largest first, with a bar where values are amounts."""
        last = entries[-room:][::-1]
        amounts = [_amount(value) for _, value in last]
        most = max(amounts) if not shown.reader.scalar else 0
        table = _grid()
        for (key, value), amount in zip(last, amounts):
            name, text = shown.parts((key, value))
            table.add_row(*_cells(name, text, self._bar(amount, most)))
        if len(entries) > len(last):
            table.add_row(*_cells(f"… {len(entries) - len(last)} more", "", ""))
        return table

    def _histograms(self, shown: MapText, entries: list[Entry], room: int) -> Sequence[Any]:
        """The fullest histograms that there is room for, at least one."""
        from rich.text import Text

        view = shown.reader.view
        parts: list[Any] = []
        for entry in reversed(entries):
            rows = hist.rows(entry[1], view.agg, view.args)
            if parts and len(rows) + 1 > room:
                break
            room -= len(rows) + 1
            parts += [Text(printable(shown.parts(entry)[0] + ":")), self._buckets(rows, view)]
        return parts

    def _buckets(self, rows: Sequence[hist.Row], view: Any) -> Any:
        most = max([row[2] for row in rows], default=0)
        labels = hist.labels(rows, view.agg, view.args)
        table = _grid()
        for label, (_, _, count) in zip(labels, rows):
            table.add_row(*_cells("  " + label, str(count), self._bar(count, most)))
        return table

    def _bar(self, amount: int, most: int) -> str:
        return bar(amount, most, min(_WIDEST_BAR, max(8, self._console.width // 3)))


def _grid() -> Any:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold", ratio=None)
    table.add_column(justify="right", overflow="fold")
    table.add_column(no_wrap=True)
    return table


def _cells(*texts: str) -> list[Any]:
    from rich.text import Text

    name, value, drawn = texts
    return [Text(printable(name)), Text(printable(value), style="bold"), Text(drawn, style="cyan")]


def _amount(value: Any) -> int:
    if type(value) is Stats:
        return value.average
    return value if type(value) is int else 0


def bar(amount: int, most: int, width: int) -> str:
    """`amount` of `most` as a bar of at most `width` columns, in eighths."""
    if amount <= 0 or most <= 0:
        return ""
    eighths = max(1, 8 * width * min(amount, most) // most)
    return _FULL * (eighths // 8) + (_PARTS[eighths % 8] if eighths % 8 else "")


def printable(text: str) -> str:
    """A text that cannot move the cursor: what a terminal would obey becomes a dot."""
    return "".join([char if char.isprintable() or char == "\n" else "·" for char in text])
