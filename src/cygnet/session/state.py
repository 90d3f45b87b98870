"""A session's state: its maps, its output, and what becomes of each event."""

from __future__ import annotations

from cygnet.session.actions import HANDLERS, format_of
from cygnet.session.batch import HEADER, Formats
from cygnet.session.text import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cygnet.session.limits import Limit
    from cygnet.session.maps import Reader
    from cygnet.session.options import Options
    from cygnet.session.output import JsonOutput, TextOutput
    from cygnet.spec.actions import Action
    from cygnet.spec.objects import LinkSpec, ObjectSpec
    from cygnet.spec.protocols import MapStore, World

    Find = Callable[[str], MapStore]


class State:
    """One run of an object. `stores` finds an open map by name."""

    __slots__ = ("_handlers", "_limits", "_readers", "_sizes", "_views", "context", "ending", "exits", "files",
                 "formats", "not_run", "options", "out", "settings", "spec", "status", "stopped", "stores", "unwatch",
                 "walking", "watch", "watched")  # fmt: skip

    def __init__(
        self, spec: ObjectSpec, options: Options, world: World, stores: Find, make_output: Callable[[Context], Any]
    ) -> None:
        self.spec = spec
        self.options = options
        self.settings = spec.settings
        self.stores = stores
        key_sizes = {one.name: one.key_size for one in spec.maps}
        self.context = Context(world, lambda name: (stores(name), key_sizes[name]), spec.settings)
        self.out: TextOutput | JsonOutput = make_output(self.context)
        self.status = 0
        self.stopped = self.exits = False
        self.walking = False  # an iterator, to its end
        self.ending: Callable[[], bool] | None = None  # has someone asked for the end? No command is started then
        self.not_run = 0  # commands that were not
        self.files: dict[str, Any] = {}  # packet files by name; None for one that could not be made
        self.unwatch: Callable[[int], object] | None = None  # detaches the watchpoints on an address
        self.watch: Callable[[LinkSpec], object] | None = None  # attaches one that became known meanwhile
        self.watched: set[tuple[int, int, str]] = set()  # (pid, address, program) of those
        self._views = {view.name: view for view in spec.views}
        self._sizes = {one.name: one.value_size for one in spec.maps}
        self._readers: dict[str, Reader] = {}
        self._handlers: dict[int, Callable[[memoryview], None]] = {}
        self._limits: list[tuple[Limit, Action, str]] = []
        self.formats = Formats(self._format)

    # ── maps ──

    def reader(self, name: str) -> Reader:
        found = self._readers.get(name)
        if found is None:
            from cygnet.session.maps import Reader

            found = Reader(self._views[name], self.stores, self._sizes, self.context.trailer, self.context.stand_in)
            self._readers[name] = found
        return found

    def print_maps(self) -> None:
        """All maps, in order of name."""
        for name in sorted(self._views):
            self.out.final_map(self.reader(name))

    # ── warnings ──

    def limit(self, action: Action, what: str) -> Limit:
        """The limit of an action's warnings; `what` they are about is told with the number of those not shown."""
        from cygnet.session.limits import Limit

        limit = Limit()
        self._limits.append((limit, action, what))
        return limit

    def tell_suppressed(self) -> None:
        """How many warnings of each place were not shown."""
        for limit, action, what in self._limits:
            if limit.suppressed:
                self.out.suppressed(action, what, limit.suppressed)

    def has_values(self) -> bool:
        """Whether any map holds anything."""
        return any(self.reader(name).read() for name in self._views)

    # ── events ──

    def _format(self, action: int) -> Any:
        return format_of(self.spec.actions[action], self.context, self.out.json)

    def stop(self, status: int) -> None:
        """exit(): what is still queued is thrown away; but the kernel walks an iterator to its end, and all shows."""
        if not (self.walking and self.exits):
            self.status = status & 0xFF
        self.exits = True
        self.stopped = not self.walking

    def feed(self, batch: Any) -> None:
        """Handle a ring batch (kernel.ringbuf.Batch), in order; records behind an exit are left alone."""
        view, stride = batch.view, batch.stride
        if not stride:
            for at, length in batch.records():
                if self.stopped:
                    return
                self._one(view, at, length)
            return
        ids = view.cast("Q")[1 :: stride >> 3].tolist()
        if self.formats.printable(set(ids)):
            self._print(view, ids, stride)
            return
        self._segments(view, ids, stride)

    def _segments(self, view: memoryview, ids: list[int], stride: int) -> None:
        """Runs of records that print, and between them the others, one by one."""
        start, get = 0, self.formats.get
        for at, action in enumerate(ids):
            if get(action) is not None:
                continue
            if at > start:
                self._print(view[start * stride : at * stride], ids[start:at], stride)
            self._special(action, view[at * stride + HEADER : (at + 1) * stride])
            start = at + 1
            if self.stopped:
                return
        if start < len(ids):
            self._print(view[start * stride :], ids[start:], stride)

    def _print(self, view: memoryview, ids: list[int], stride: int) -> None:
        if not self.out.json:
            self.out.plain("printf", self.formats.text(view, ids, stride))
            return
        for text in self.formats.texts(view, ids, stride):
            self.out.plain("printf", text)

    def _one(self, view: memoryview, at: int, length: int) -> None:
        action = int.from_bytes(view[at : at + 8], "little")
        format = self.formats.get(action)
        if format is not None:
            self.out.plain("printf", format.one(view, at))
        else:
            self._special(action, view[at : at + length])

    def _special(self, action: int, record: memoryview) -> None:
        handler = self._handlers.get(action)
        if handler is None:
            spec = self.spec.actions[action]
            handler = self._handlers[action] = HANDLERS[spec.kind](self, spec)
        handler(record)

    def pending(self, bits: int) -> None:
        """Actions that found the ring full: they are done now, in the order of their bits."""
        for action in sorted(self.spec.actions, key=lambda a: a.pending):
            if action.pending >= 0 and bits >> action.pending & 1 and action.kind != "exit":
                HANDLERS[action.kind](self, action)(memoryview(bytes(max(8, action.size))))
