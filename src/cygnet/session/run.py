"""One run of an object, from its specs to its exit status.

The order is the language's: load everything; run the begin programs; attach; say so; handle events
until the end; detach; run the end programs; print the maps.
"""

from __future__ import annotations

import os
from time import monotonic

from cygnet.errors import CygnetError, ProbeError, SystemCallError, UsageError
from cygnet.session.control import Words
from cygnet.session.loop import Loop
from cygnet.session.output import TYPES, Writer, encode
from cygnet.session.signals import SIGINT, SIGUSR1, Signals, default
from cygnet.session.state import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Protocol

    from cygnet.session.child import Child
    from cygnet.session.live import Screen
    from cygnet.session.options import Options
    from cygnet.session.text import Context
    from cygnet.spec.objects import LinkSpec, ObjectSpec
    from cygnet.spec.protocols import MapStore, World
    from cygnet.spec.values import VType

    class Opened(Protocol):
        """A runtime with the maps made and the programs loaded (loader.runtime.KernelRuntime is one)."""

        def map(self, name: str) -> MapStore: ...
        def run(self, program: str) -> int: ...
        def attach_all(
            self,
            links: Iterable[LinkSpec] | None = None,
            *,
            progress: Callable[[int, int], None] | None = None,
            failed: Callable[[LinkSpec, CygnetError], None] | None = None,
        ) -> int: ...
        def detach_all(self) -> None: ...
        def iterate(self) -> None: ...
        def events(self, ring: str) -> Any: ...
        def close(self) -> None: ...

    MakeRuntime = Callable[[dict[str, int]], Opened]

_NOTIFY = "__BPFTRACE_NOTIFY_PROBES_ATTACHED"
# The kernel calls the programs of these kinds in the reverse order of attaching, …
_REVERSED = frozenset(("uprobe", "uretprobe", "usdt", "software", "kprobe", "fentry", "fexit"))
# … but those of the two clocks (PERF_COUNT_SW_CPU_CLOCK, _TASK_CLOCK) as their timers end: the first begun is first.
_CLOCKS = (0, 1)
_NO_PLACE = frozenset(("begin", "end", "signal", "test", "bench"))
_MANY = 20  # probes, from which on attaching may take long enough to show how far it has come
_SCOPED = frozenset(("uprobe", "uretprobe", "usdt", "perf_sample", "software", "hardware", "watchpoint"))
_USER = frozenset(("uprobe", "uretprobe", "usdt"))
_WRONG_PROCESS = (
    "NOTE: no probe fired. The command started other processes, and -c watches the command alone, not what it starts\n"
    "HINT: give the program itself to -c, or trace without it and test comm or ppid\n"
)


def run(spec: ObjectSpec, options: Options, world: World, runtime: MakeRuntime, signals: Signals | None = None) -> int:
    """Run until the end; gives the exit status. Raises CygnetError for what stops it before it began, and
    signals.Interrupted when that is a signal.

    `runtime` opens the object with the session's numbers (spec.relocs, kind SESSION): maps made, programs
    loaded. `signals` may have been made earlier, so that one that came meanwhile is not lost.
    """
    session = _Session(spec, options, world, signals or Signals())
    try:
        return session.run(runtime)
    except BrokenPipeError:
        return 0  # whoever read our output has seen enough
    finally:
        session.close()


class _Session:
    """What is open during a run, so that it can be closed in any case."""

    __slots__ = ("_hint", "child", "loop", "options", "out_fd", "pidfd", "runtime", "screen", "signals", "spec",
                 "state", "words", "world")  # fmt: skip

    def __init__(self, spec: ObjectSpec, options: Options, world: World, signals: Signals) -> None:
        self.spec = spec
        self.options = options
        self.world = world
        self.signals = signals
        self.runtime: Opened | None = None
        self.child: Child | None = None
        self.words: Words | None = None
        self.loop: Loop | None = None
        self.screen: Screen | None = None
        self.pidfd = -1
        self.out_fd = 1
        self._hint = False

    def run(self, make_runtime: MakeRuntime) -> int:
        self._open_target()
        writer = self._writer()
        self.signals.end_at_once()
        self.runtime = make_runtime(self._numbers())
        self.signals.at_once = False
        if self.options.dry_run:
            return 0
        state = self.state = State(self.spec, self.options, self.world, self.runtime.map, self._output(writer))
        state.unwatch = getattr(self.runtime, "unwatch", None)
        state.watch = getattr(self.runtime, "attach", None)
        loop = self.loop = self._loop(state)
        self._run_all("begin")
        before = loop.ring.available()
        count = self._attach()
        state.out.attached(count)
        self._notify(state)
        self._remember(loop)
        if self.child is not None:
            self.child.go(loop.chore)
        self._watch_live(state, loop)
        if self.options.test or self.options.bench:
            self._self_test(state, loop)
        elif any(link.kind == "iter" for link in self.spec.links):
            self._iterate(state, loop)
        elif self._only_begin_and_end():
            loop.drain()
        else:
            loop.run()
            self._hint = self._seems_to_watch_the_wrong_process(loop, before)
        self._finish(state, loop)
        return state.status

    # ── before ──

    def _open_target(self) -> None:
        if self.options.cmd:
            from cygnet.session.child import Child

            self.child = Child(self.options.cmd)
        elif self.options.pid:
            try:
                self.pidfd = os.pidfd_open(self.options.pid)
            except ProcessLookupError:
                raise UsageError(f"-p: there is no process {self.options.pid}") from None
            except OSError as error:
                raise UsageError(f"-p {self.options.pid}: {error.strerror}") from None

    def _numbers(self) -> dict[str, int]:
        from time import CLOCK_BOOTTIME, clock_gettime_ns

        return {
            "start_ns": clock_gettime_ns(CLOCK_BOOTTIME),
            "cpid": self.child.pid if self.child is not None else 0,
            "target_pid": self.options.pid,
        }

    def _writer(self) -> Writer:
        if self.options.output:
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
                self.out_fd = os.open(self.options.output, flags, 0o644)
            except OSError as error:
                raise UsageError(f"cannot write to {self.options.output!r}: {error.strerror}") from None
        if self.options.live:
            from cygnet.session import live

            live.check(self.out_fd)
            return live.LiveWriter(self.out_fd, self.options.buffering)
        return Writer(self.out_fd, self.options.buffering)

    def _output(self, writer: Writer) -> Callable[[Context], Any]:
        make = TYPES[self.options.format]
        return lambda context: make(writer, context, quiet=self.options.quiet)

    def _loop(self, state: State) -> Loop:
        assert self.runtime is not None
        control = self.spec.control
        ring = None
        if control is not None and control.map:
            self.words = Words(control, self.runtime.map(control.map))
        if control is not None and control.ring:
            ring = self.runtime.events(control.ring)
        loop = Loop(state, ring, self.words, self.signals)
        if self.child is not None:
            loop.watch_end(self.child.pidfd)
        if self.pidfd >= 0:
            loop.watch_end(self.pidfd)
        self.signals.watch(SIGUSR1)
        for link in self.spec.links:
            if link.kind == "signal":
                number = int(link.target["signal"])
                self.signals.watch(number)
                loop.on_signal[number] = self._runner(link.program, loop.on_signal.get(number))
        return loop

    def _runner(self, program: str, before: Callable[[], None] | None) -> Callable[[], None]:
        def run() -> None:
            if before is not None:
                before()
            assert self.runtime is not None
            self.runtime.run(program)

        return run

    def _run_all(self, kind: str) -> None:
        """Run the begin or the end programs, in order."""
        assert self.runtime is not None
        for link in self.spec.links:
            if link.kind == kind:
                self.runtime.run(link.program)

    # ── attaching ──

    def _attach(self) -> int:
        """Attach everything; gives how many probes there are, those of the language itself included."""
        assert self.runtime is not None
        self._check_interrupt(0, 0)
        links = [self._scoped(link) for link in self.spec.links if link.kind not in _NO_PLACE]
        forward = [link for link in links if not _is_reversed(link)]
        backward = [link for link in reversed(links) if _is_reversed(link)]
        held = self._attach_shown(forward + backward)
        if links and not held:
            raise _AllFailed("no probe could be attached")
        return len(self.spec.links) - len(links) + max(held - _repeated(links), min(held, 1))

    def _attach_shown(self, links: list[LinkSpec]) -> int:
        """Attach them, and meanwhile look for an interrupt and tell a person who waits; gives how many hold."""
        assert self.runtime is not None
        began, shown = monotonic(), None
        step = self._check_interrupt
        if len(links) >= _MANY and not self.options.quiet and os.isatty(2):
            from cygnet.session.progress import Progress

            shown = Progress("Attaching", self._check_interrupt)
            step = shown.step
        try:
            held = self.runtime.attach_all(links, progress=step, failed=self._not_attached)
        finally:
            if shown is not None:
                shown.end()
        if self.options.verbose and links:
            self.state.out.say(f"NOTE: {held} probes were attached in {(monotonic() - began) * 1e3:.0f} ms\n")
        return held

    def _not_attached(self, link: LinkSpec, error: CygnetError) -> None:
        missing = self.spec.settings.get("missing_probes", "error")
        if missing == "error" or not isinstance(error, (ProbeError, SystemCallError)):
            raise error
        if missing == "warn":
            self._say(f"WARNING: {link.probe} is skipped: {error}\n")

    def _check_interrupt(self, done: int, total: int) -> None:
        self.signals.check()

    def _scoped(self, link: LinkSpec) -> LinkSpec:
        """Probes of user space and of perf events look only at the process of -p or -c."""
        pid = self.child.pid if self.child is not None else self.options.pid
        if not pid or link.kind not in _SCOPED or link.target.get("cpus") == "one":
            return link
        return link._replace(target={**link.target, "pid": pid})

    def _say(self, text: str) -> None:
        if self.options.warnings:
            self.state.out.say(text)

    def _notify(self, state: State) -> None:
        """For suites and benchmarks that wait for this word; and systemd's readiness message."""
        if os.environ.get(_NOTIFY) == "1":
            state.out.out.write(encode(_NOTIFY + "\n"))
            state.out.out.flush()
        if "NOTIFY_SOCKET" in os.environ:
            from cygnet.session.systemd import ready

            ready(os.environ["NOTIFY_SOCKET"])

    def _remember(self, loop: Loop) -> None:
        """Where stacks of one process will be named after its end, take down what it has mapped while it lives."""
        pid = self.child.pid if self.child is not None else self.options.pid
        remember = getattr(self.world, "remember", None)
        if pid and remember is not None and _names_user_addresses(self.spec):
            loop.chore = lambda: remember(pid)

    def _watch_live(self, state: State, loop: Loop) -> None:
        if self.options.live:
            from cygnet.session.live import Screen

            self.screen = Screen(state, self.options.live)
            self.screen.begin()
            loop.beat, loop.beat_s = self.screen.draw, self.options.live

    def _iterate(self, state: State, loop: Loop) -> None:
        """Walk over what the iterators list, or say where they were pinned for others to read."""
        from cygnet.session.iterators import pins, walk

        pinned = pins(self.spec)
        for path in pinned:
            state.out.out.write(encode(f"Program pinned to {path}\n"))
        if not pinned and self.runtime is not None:
            walk(loop, self.runtime.iterate)

    def _self_test(self, state: State, loop: Loop) -> None:
        """Run the test or bench probes, and nothing else."""
        from cygnet.session.selftest import Runner

        assert self.runtime is not None
        loop.drain()
        kind = "bench" if self.options.bench else "test"
        Runner(state, loop, self.runtime).run(kind, [link for link in self.spec.links if link.kind == kind])

    def _only_begin_and_end(self) -> bool:
        return all(link.kind in ("begin", "end") for link in self.spec.links) and self.child is None

    # ── after ──

    def _finish(self, state: State, loop: Loop) -> None:
        assert self.runtime is not None
        if self.screen is not None:
            self.screen.end()
        self.runtime.detach_all()
        self._let_go()
        if state.stopped:
            loop.discard()
        else:
            loop.drain()
        if self.words is not None:
            self.words.set(0, 0)
        state.stopped, state.ending = False, None
        status = state.status
        self._run_all("end")
        loop.drain()
        state.status = state.status or status
        default(SIGINT)  # a second interrupt while maps are printed ends at once
        loop.report_lost(final=True)
        self._losses(state, loop)
        if self.spec.settings.get("print_maps_on_exit", True):
            state.print_maps()
        if self._hint and not state.has_values():
            self._say(_WRONG_PROCESS)
        state.out.end()

    def _seems_to_watch_the_wrong_process(self, loop: Loop, before: int) -> bool:
        """Nothing came of user-space probes, and the command of -c left the work to others."""
        kinds = {link.kind for link in self.spec.links} - _NO_PLACE
        if self.child is None or not kinds or not kinds <= _USER or loop.ring.available():
            return False
        return loop.read_to <= before and self.child.waited_for_others()

    def _let_go(self) -> None:
        """A process that waits to be watched does so no longer."""
        pid = self.child.pid if self.child is not None else self.options.pid
        if pid and any(action.kind == "watch" and action.data[3] for action in self.spec.actions):
            from cygnet.session.watch import go_on

            go_on(pid)

    def _losses(self, state: State, loop: Loop) -> None:
        """How much is missing from what was and will be printed, in numbers."""
        if not self.options.warnings:
            return
        state.tell_suppressed()
        for name, count in self.words.drops() if self.words is not None else ():
            from cygnet.session.notes import map_full

            state.out.loss("dropped_updates", name, count, map_full(f"{count} updates of {name} were dropped"))
        if state.not_run:
            told = f"{state.not_run} commands of system() were not run: the end was asked for before"
            self._say(f"WARNING: {told}\n")
        if loop.reports > 1:
            state.out.loss("lost_in_all", "", loop.lost, f"{loop.lost} events were lost in all")
        missed = getattr(self.runtime, "missed", None)
        count = missed() if missed is not None and not self._only_begin_and_end() else 0
        if count:
            told = f"{count} events were not seen: a probe fired while another program ran on that CPU"
            state.out.loss("missed_events", "", count, told)

    def close(self) -> None:
        self.signals.at_once = False
        if self.screen is not None:
            self.screen.end()
        if self.loop is not None:
            self.loop.close()
        if self.words is not None:
            self.words.close()
        if self.runtime is not None:
            try:
                self.runtime.close()
            except BufferError:  # an error on its way out still holds a view of the ring
                pass
        if self.child is not None:
            self.child.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
        if self.out_fd > 2:
            os.close(self.out_fd)
        self.signals.close()


def _is_reversed(link: LinkSpec) -> bool:
    """Whether the kernel calls such programs in the reverse order of attaching."""
    return link.kind in _REVERSED and link.target.get("event") not in _CLOCKS


def _repeated(links: list[LinkSpec]) -> int:
    """How many links are further places of a static probe: however many places it has, it counts as one."""
    static = [(link.probe, link.span) for link in links if link.kind == "usdt"]
    return len(static) - len(set(static))


def _names_user_addresses(spec: ObjectSpec) -> bool:
    """Whether a value of the object, in a map or an event, is an address of a process."""
    todo: list[VType | None] = [vtype for action in spec.actions for _, vtype in action.fields]
    for view in spec.views:
        todo += [view.key, view.value]
    while todo:
        vtype = todo.pop()
        if vtype is not None:
            if vtype.kind in ("ustack", "usym"):
                return True
            todo += [field.type for field in vtype.fields] + [vtype.elem]
    return False


class _AllFailed(ProbeError):
    exit_status = 255
