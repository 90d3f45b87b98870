"""Where output goes: a buffered writer, and the two faces (text, JSON) that events speak to."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.session.json import MapJson
    from cygnet.session.maps import Reader
    from cygnet.session.maptext import MapText
    from cygnet.session.text import Context
    from cygnet.spec.actions import Action

_FULL = 1 << 16  # bytes kept back in mode "full"


class Writer:
    """Bytes to a file descriptor. `mode`: ``line`` and ``none`` write at the end of each batch of events at
    the latest, so that a line is never held back; ``full`` writes when 64 KiB have gathered.
    """

    __slots__ = ("_parts", "_size", "_sync", "fd", "mode")

    def __init__(self, fd: int, mode: str = "line") -> None:
        self.fd = fd
        self.mode = mode
        self._sync = mode == "none"
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._sync or self._size >= _FULL:
            self.flush()

    def batch_end(self) -> None:
        if self._parts and self.mode != "full":
            self.flush()

    def flush(self) -> None:
        """BrokenPipeError when the reader has gone; OSError, which says so, when nothing can be written."""
        try:
            self._write()
        except OSError as error:
            raise OSError(error.errno, f"cannot write the output: {error.strerror}") from None

    def _write(self) -> None:
        data = memoryview(b"".join(self._parts))
        self._parts.clear()
        self._size = 0
        while data:
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:
                _wait_writable(self.fd)


class Messages(Writer):
    """Messages to the person. Nobody can be told that they cannot be written, and that stops nothing."""

    __slots__ = ()

    def flush(self) -> None:
        try:
            self._write()
        except OSError:
            pass


def _wait_writable(fd: int) -> None:
    from select import POLLOUT, poll

    poller = poll()
    poller.register(fd, POLLOUT)
    poller.poll()


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


class TextOutput:
    """Text: what a script prints goes to the writer, what Cygnet has to say to stderr."""

    json = False

    def __init__(self, out: Writer, context: Context, *, errors: Writer | None = None, quiet: bool = False) -> None:
        self.out = out
        self.errors = errors if errors is not None else Messages(2, "none")
        self.context = context
        self.quiet = quiet
        self._maps: dict[str, MapText] = {}
        self._first_map = True

    def attached(self, count: int) -> None:
        if not self.quiet:
            self.say(f"Attached {count} probe{'' if count == 1 else 's'}\n")

    def say(self, text: str) -> None:
        """A message to the person, after what was printed before it."""
        self.out.flush()
        self.errors.write(encode(text))

    def lost(self, count: int) -> None:
        self.say(f"Lost {count} events\n")

    def loss(self, kind: str, name: str, count: int, sentence: str) -> None:
        """What is known to be missing at the end; `name` is the map's, where it is one's."""
        self.say(f"WARNING: {sentence}\n")

    def plain(self, kind: str, text: bytes) -> None:
        """Output of printf, time, cat, join, syscall (system) or print of a value, as the script means it."""
        self.out.write(text)

    def print_map(self, reader: Reader, top: int, div: int) -> None:
        self.out.write(encode(self._map(reader).text(top, div)))

    def final_map(self, reader: Reader) -> None:
        """A map at exit: two newlines come before the first that has something to show."""
        text = self._map(reader).text(at_exit=True)
        if text and self._first_map:
            text = "\n\n" + text
            self._first_map = False
        self.out.write(encode(text))

    def diagnostic(self, kind: str, severity: str, message: str, action: Action, extra: dict[str, str | int]) -> None:
        """errorf, warnf, helper_error, runtime_error."""
        from cygnet.session.notes import text_note

        self.say(text_note(kind, severity, message, action, extra))

    def suppressed(self, action: Action, what: str, count: int) -> None:
        """How many warnings of one place were not shown."""
        from cygnet.session.notes import text_note

        self.say(text_note("warnf", "WARNING", f"{what}: {count} more such warnings were not shown", action, {}))

    def end(self) -> None:
        self.out.flush()

    def _map(self, reader: Reader) -> MapText:
        name = reader.view.name
        if name not in self._maps:
            from cygnet.session.maptext import MapText

            self._maps[name] = MapText(reader, self.context)
        return self._maps[name]


class JsonOutput:
    """One JSON object a line, all on the output stream."""

    json = True

    def __init__(self, out: Writer, context: Context, *, errors: Writer | None = None, quiet: bool = False) -> None:
        from cygnet.session import json

        self.out = out
        self.errors = errors if errors is not None else Messages(2, "none")
        self.context = context
        self.quiet = quiet
        self._json = json
        self._maps: dict[str, MapJson] = {}

    def attached(self, count: int) -> None:
        if not self.quiet:
            self._counted("attached_probes", count, "probes")

    def say(self, text: str) -> None:
        self.out.flush()
        self.errors.write(encode(text))

    def lost(self, count: int) -> None:
        self._counted("lost_events", count, "events")

    def loss(self, kind: str, name: str, count: int, sentence: str) -> None:
        if kind == "lost_in_all":
            return  # the sum of lost_events
        what = f'"map": {self._json.string(name)}, "updates": {count}' if name else f'"events": {count}'
        self._write(f'{{"type": "{kind}", "count": {count}, "data": {{{what}}}}}\n')

    def _counted(self, kind: str, count: int, name: str) -> None:
        self._write(f'{{"type": "{kind}", "count": {count}, "data": {{"{name}": {count}}}}}\n')
        self.out.batch_end()

    def plain(self, kind: str, text: bytes) -> None:
        self._write(self._json.message(kind, self._json.string(text.decode("utf-8", "surrogateescape"))))

    def value(self, text: str) -> None:
        """print of a value that is already JSON."""
        self._write(self._json.message("value", text))

    def print_map(self, reader: Reader, top: int, div: int) -> None:
        self._write(self._map(reader).text(top, div))

    def final_map(self, reader: Reader) -> None:
        self._write(self._map(reader).text(at_exit=True))

    def diagnostic(self, kind: str, severity: str, message: str, action: Action, extra: dict[str, str | int]) -> None:
        from cygnet.session.notes import json_note

        self._write(json_note(kind, message, action, extra))

    def suppressed(self, action: Action, what: str, count: int) -> None:
        from cygnet.session.notes import json_suppressed

        self._write(json_suppressed(what, action, count))

    def end(self) -> None:
        self.out.flush()

    def _write(self, text: str) -> None:
        self.out.write(encode(text))

    def _map(self, reader: Reader) -> MapJson:
        name = reader.view.name
        if name not in self._maps:
            self._maps[name] = self._json.MapJson(reader, self.context)
        return self._maps[name]


TYPES = {"text": TextOutput, "json": JsonOutput}
