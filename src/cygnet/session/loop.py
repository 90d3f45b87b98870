"""The event loop: read the ring until it is empty, then sleep until something happens."""

from __future__ import annotations

from select import EPOLLIN, epoll
from time import monotonic, sleep

from cygnet.session import control as words
from cygnet.session.signals import ENDS, SIGUSR1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cygnet.session.control import Words
    from cygnet.session.signals import Signals
    from cygnet.session.state import State

_BUSY_WAIT = 0.001  # seconds to wait for a record that is just being written
_POLL = 0.1  # seconds between looks at the control words, while something was lost
_FIRST_NAP, _LAST_NAP = 0.001, 0.004  # seconds in which events may gather while they keep coming
_NAP_RING = 1 << 20  # bytes: a smaller ring might fill during a nap
_FIRST_REST, _LAST_REST = 0.001, 1.0  # seconds between chores
_REPORT = 1.0  # seconds between reports of lost events


class NoRing:
    """For a program that sends no events."""

    size = 0

    def available(self) -> int:
        return 0

    def read_batch(self) -> None:
        return None


class Loop:
    """Drives a State from a ring, if there is one.

    `ended` are descriptors that end the run when they become readable (a child's or a target's pidfd);
    `on_signal` runs the program of a self:signal probe, by signal number. `chore` is called now and then:
    after some milliseconds, then ever more seldom, at last every second. `beat` is called every `beat_s` seconds.
    """

    __slots__ = ("_beat_at", "_epoll", "_exit_seen", "_full", "_last_lost", "_last_report", "_lost", "_moved", "_nap",
                 "_rest", "_rest_until", "beat", "beat_s", "chore", "ended", "interrupted", "on_signal", "read_to", "reports",
                 "ring", "signals", "state", "stopped", "words")  # fmt: skip

    def __init__(self, state: State, ring: Any, control: Words | None, signals: Signals) -> None:
        self.state = state
        self.ring: Any = ring if ring is not None else NoRing()
        self.words = control
        self.signals = signals
        self.ended: set[int] = set()
        self.on_signal: dict[int, Callable[[], None]] = {}
        self.stopped = self.interrupted = False
        state.ending = lambda: self.interrupted or signals.interrupted
        self._exit_seen = False
        self._full: set[str] = set()  # maps that were said to be full
        self._lost = self._last_lost = 0
        self._last_report = 0.0
        self.reports = 0  # how often lost events were reported
        self.chore: Callable[[], None] | None = None
        self._rest, self._rest_until = _FIRST_REST, 0.0
        self.beat: Callable[[], None] | None = None
        self.beat_s = 1.0
        self._beat_at = 0.0
        self._nap = _FIRST_NAP
        self.read_to = 0  # where the last batch ended
        self._moved = 0  # bytes read since the last nap
        self._epoll = epoll()
        if ring is not None:
            self._epoll.register(ring.fileno(), EPOLLIN)
        self._epoll.register(signals.fd, EPOLLIN)

    def watch_end(self, pidfd: int) -> None:
        """End the run when this process ends."""
        self.ended.add(pidfd)
        self._epoll.register(pidfd, EPOLLIN)

    def run(self) -> None:
        """Until exit(), a signal, or the end of a watched process."""
        while not (self.stopped or self.state.stopped):
            worked = self._read()
            self._check_control(worked)
            self._check_signals()
            if self.stopped or self.state.stopped:
                break
            if self.chore is not None:
                self._do_chore(self.chore)
            if self.beat is not None:
                self._do_beat(self.beat)
            if worked:
                self._happened(self._epoll.poll(0))
            elif self._moved and self.ring.size >= _NAP_RING:
                self._take_nap()
            else:
                self._moved, self._nap = 0, _FIRST_NAP
                self._sleep()

    def _do_chore(self, chore: Callable[[], None]) -> None:
        now = monotonic()
        if now >= self._rest_until:
            chore()
            self._rest_until = now + self._rest
            self._rest = min(2 * self._rest, _LAST_REST)

    def _do_beat(self, beat: Callable[[], None]) -> None:
        now = monotonic()
        if now >= self._beat_at:
            beat()
            self._beat_at = now + self.beat_s

    def drain(self) -> None:
        """Handle what is in the ring, and pending actions; nothing writes to it any more."""
        while not self.state.stopped and self._read():
            pass
        self._pending()
        asked = self.words.get(words.EXIT) if self.words is not None else 0
        if asked and not self.state.stopped:
            self.state.stop(asked - 1 >> 8)
        self.report_lost(final=True)

    def discard(self) -> None:
        """Throw away what is in the ring."""
        batch = self.ring.read_batch()
        while batch is not None:
            self.ring.consume(batch.end)
            batch = self.ring.read_batch()

    def _read(self) -> bool:
        """One batch; False when there was none."""
        batch = self.ring.read_batch()
        if batch is None:
            return False
        self.read_to = end = batch.end
        self._moved += len(batch.view)
        self.state.feed(batch)
        del batch
        self.ring.consume(end)
        self.state.out.out.batch_end()
        return True

    # ── control words ──

    def _check_control(self, worked: bool) -> None:
        if self.words is None:
            return
        self._pending()
        asked = self.words.get(words.EXIT)
        if asked and (self._exit_seen or not worked):
            # Its event, if it had room, is behind what was read: one round more would have shown it.
            if not self.state.stopped:
                self.state.stop(asked - 1 >> 8)
        self._exit_seen = asked != 0
        if len(self._full) < len(self.words.control.drop_maps):
            self._tell_full()
        self._lost = self.words.get(words.LOST)
        if self._lost != self._last_lost:
            self.report_lost()

    def _tell_full(self) -> None:
        """Say once of each map that it is full; how much was dropped is told at the end."""
        assert self.words is not None
        for name, _ in self.words.drops():
            if name not in self._full:
                self._full.add(name)
                if self.state.options.warnings:
                    from cygnet.session.notes import map_full

                    self.state.out.say(f"WARNING: {map_full(f'new keys of {name} are dropped')}\n")

    def _pending(self) -> None:
        bits = self.words.take_pending() if self.words is not None else 0
        if bits:
            self.state.pending(bits)
            self.state.out.out.batch_end()

    def report_lost(self, final: bool = False) -> None:
        """Say how many events were lost since the last report, at most once a second."""
        if self.words is not None:
            self._lost = self.words.get(words.LOST)
        count = self._lost - self._last_lost
        now = monotonic()
        if count and (final or now - self._last_report >= _REPORT):
            self._last_report, self._last_lost = now, self._lost
            self.reports += 1
            self.state.out.lost(count)

    @property
    def lost(self) -> int:
        return self._lost

    # ── sleeping ──

    def _take_nap(self) -> None:
        """Let events gather: while they keep coming, none of them pays for waking us (a dozen microseconds, in
        the program that made the event), and many are formatted at once. Longer naps while they come slowly.
        """
        sleep(self._nap)
        self._nap = min(2 * self._nap, _LAST_NAP) if self._moved < self.ring.size >> 6 else _FIRST_NAP
        self._moved = 0

    def _sleep(self) -> None:
        """Sleep until something happens. The writers wake us only while the word SLEEPS is 1."""
        timeout = _POLL if self._lost != self._last_lost else -1.0
        if timeout < 0 and self.words is not None and len(self._full) < len(self.words.control.drop_maps):
            timeout = _REPORT  # a map that fills up wakes nobody
        if self.chore is not None:
            rest = max(0.001, self._rest_until - monotonic())
            timeout = min(timeout, rest) if timeout > 0 else rest
        if self.beat is not None:
            rest = max(0.001, self._beat_at - monotonic())
            timeout = min(timeout, rest) if timeout > 0 else rest
        if self.words is not None:
            self.words.set(words.SLEEPS, 1)
        self._happened(self._epoll.poll(0))  # a system call: the word is out before the ring is looked at
        if self.ring.available():
            timeout = _BUSY_WAIT if self._blocked() else 0.0
        if timeout and not (self.signals.any or self.stopped):
            self._happened(self._epoll_ready(timeout))
        if self.words is not None:
            self.words.set(words.SLEEPS, 0)

    def _blocked(self) -> bool:
        """Whether the first record is still being written, so that the ring is readable and has nothing to read."""
        return self.ring.read_batch() is None

    def _epoll_ready(self, timeout: float) -> list[tuple[int, int]]:
        if timeout == _BUSY_WAIT:
            sleep(timeout)
            return self._epoll.poll(0)
        return self._epoll.poll(timeout)

    def _happened(self, events: list[tuple[int, int]]) -> None:
        for fd, _ in events:
            if fd in self.ended:
                self.stopped = True

    def _check_signals(self) -> None:
        for number in self.signals.take() if self.signals.any else ():
            run = self.on_signal.get(number)
            if run is not None:
                run()
            elif number in ENDS:
                self.stopped = self.interrupted = True
            elif number == SIGUSR1:
                self.state.print_maps()
                self.state.out.out.flush()

    def close(self) -> None:
        self._epoll.close()
