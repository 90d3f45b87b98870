"""What user space does with an event: one maker of a handler for each kind of action.

A maker takes the session's state and the action, prepares what it can, and gives a function of the
record's bytes. The kinds and their data are those of `spec.actions`. printf (and, as text, print of a
value) go through `batch` instead, many at once.
"""

from __future__ import annotations

from cygnet.session.printf import Format, compile_format, value_line
from cygnet.session.values import decoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.session.state import State
    from cygnet.session.text import Context
    from cygnet.spec.actions import Action

    Handler = Callable[[memoryview], None]

_MAX_CAT_BYTES = 10240


def format_of(action: Action, context: Context, json: bool) -> Format | None:
    """The format of an action that only prints; None for the others."""
    if action.kind == "printf":
        return compile_format(action.text, action.fields, context)
    if action.kind == "print_value" and not json:
        return value_line(*action.fields[0], context)
    return None


def _print_value(state: State, action: Action) -> Handler:
    """JSON only."""
    from cygnet.session.json import shower
    from cygnet.session.output import JsonOutput

    offset, vtype = action.fields[0]
    read, show, out = decoder(vtype, state.context.trailer), shower(vtype, state.context), state.out
    assert isinstance(out, JsonOutput)
    return lambda record: out.value(show(read(record, offset)))


def _print_map(state: State, action: Action) -> Handler:
    top, div = action.data or (0, 0)
    return lambda record: state.out.print_map(state.reader(action.text), top, div)


def _clear(state: State, action: Action) -> Handler:
    return lambda record: state.reader(action.text).clear()


def _zero(state: State, action: Action) -> Handler:
    return lambda record: state.reader(action.text).zero()


def _exit(state: State, action: Action) -> Handler:
    if not action.fields:
        return lambda record: state.stop(0)
    offset, vtype = action.fields[0]
    read = decoder(vtype)
    return lambda record: state.stop(read(record, offset))


def _time(state: State, action: Action) -> Handler:
    form = action.text or "%H:%M:%S\n"

    def handle(record: memoryview) -> None:
        from time import localtime, strftime

        state.out.plain("time", strftime(form, localtime()).encode())

    return handle


def _join(state: State, action: Action) -> Handler:
    slots, size = action.data
    offset = action.fields[0][0]
    separator = action.text.encode()
    end = b"" if state.out.json else b"\n"

    def handle(record: memoryview) -> None:
        parts = []
        for at in range(offset, offset + slots * size, size):
            part = bytes(record[at : at + size]).split(b"\0", 1)[0]
            if not part:
                break
            parts.append(part)
        state.out.plain("join", separator.join(parts) + end)

    return handle


def _cat(state: State, action: Action) -> Handler:
    path_of = compile_format(action.text, action.fields, state.context)
    size = int(state.settings.get("max_cat_bytes", _MAX_CAT_BYTES))
    limit = state.limit(action, "cat() failed to open a file")

    def handle(record: memoryview) -> None:
        path = path_of.one(record)
        try:
            with open(path, "rb", buffering=0) as file:
                state.out.plain("cat", _read(file.read, size))
        except OSError as error:
            if limit.allows():
                name = path.decode("utf-8", "surrogateescape")
                state.out.say(f"ERROR: failed to open file '{name}': {error.strerror}\n")

    return handle


def _read(read: Callable[[int], bytes | None], limit: int) -> bytes:
    """Files of /proc give a page at a time."""
    out = b""
    while len(out) < limit:
        part = read(limit - len(out))
        if not part:
            break
        out += part
    return out


def _system(state: State, action: Action) -> Handler:
    command_of = compile_format(action.text, action.fields, state.context)
    end = b"" if state.out.json else b"\n"
    limit = state.limit(action, "a command of system() failed")

    def handle(record: memoryview) -> None:
        if state.ending is not None and state.ending():  # a queue of commands may hold for minutes
            state.not_run += 1
            return
        import subprocess

        command = command_of.one(record)
        state.out.out.flush()
        done = subprocess.run(
            [b"sh", b"-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode:
            if not limit.allows():
                return
            state.out.say(f"ERROR: system(): {_ended(done.returncode)}: {command.decode(errors='replace')}\n")
        else:
            state.out.plain("syscall", done.stdout + end)

    return handle


def _ended(code: int) -> str:
    return f"the command was killed by signal {-code}" if code < 0 else f"the command ended with status {code}"


def _note(kind: str, severity: str) -> Callable[[State, Action], Handler]:
    def make(state: State, action: Action) -> Handler:
        if severity == "WARNING" and not state.options.warnings:
            return lambda record: None
        format = compile_format(action.text, action.fields, state.context)

        def handle(record: memoryview) -> None:
            message = format.one(record).decode("utf-8", "surrogateescape")
            state.out.diagnostic(kind, severity, message, action, {})

        return handle

    return make


def _runtime_error(state: State, action: Action) -> Handler:
    if not state.options.warnings:
        return lambda record: None
    limit = state.limit(action, action.text.partition(". ")[0])

    def handle(record: memoryview) -> None:
        if limit.allows():
            state.out.diagnostic("runtime_error", "WARNING", action.text, action, {})

    return handle


def _helper_error(state: State, action: Action) -> Handler:
    from cygnet.session.notes import helper_message

    if not state.options.warnings:
        return lambda record: None
    offset, vtype = action.fields[0]
    read = decoder(vtype)
    limit = state.limit(action, f"helper {action.text} failed")

    def handle(record: memoryview) -> None:
        if not limit.allows():
            return
        code = read(record, offset)
        extra = {"helper": action.text, "retcode": code}
        state.out.diagnostic("helper_error", "WARNING", helper_message(action.text, code), action, extra)

    return handle


def _unwatch(state: State, action: Action) -> Handler:
    offset, vtype = action.fields[0]
    read = decoder(vtype)

    def handle(record: memoryview) -> None:
        if state.unwatch is not None:
            address = read(record, offset)
            state.unwatch(address)
            state.watched = {one for one in state.watched if one[1] != address}

    return handle


def _watch(state: State, action: Action) -> Handler:
    from cygnet.session.watch import handler

    return handler(state, action)


def _unwind(state: State, action: Action) -> Handler:
    from cygnet.session.unwound import handler

    return handler(state)


def _skboutput(state: State, action: Action) -> Handler:
    from cygnet.session.pcap import handler

    return handler(state, action)


HANDLERS: dict[str, Callable[[State, Action], Handler]] = {
    "print_value": _print_value, "print_map": _print_map, "clear": _clear, "zero": _zero, "exit": _exit,
    "time": _time, "join": _join, "cat": _cat, "system": _system, "errorf": _note("errorf", "ERROR"),
    "warnf": _note("warnf", "WARNING"), "runtime_error": _runtime_error, "helper_error": _helper_error,
    "skboutput": _skboutput, "unwatch": _unwatch, "unwind": _unwind, "watch": _watch,
}  # fmt: skip
