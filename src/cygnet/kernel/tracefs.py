"""Tracefs: where it is mounted, which tracepoints there are, and what their records look like."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PLACES = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
MOUNT_COMMAND = "mount -t tracefs tracefs /sys/kernel/tracing"


class TracepointField:
    """A field of a tracepoint's record. Offset and size in bytes.

    `data_loc`: the field is a u32 that says where in the record the data lies (offset in its low half,
    length in its high half); `rel_loc`: the same, counted from the end of the field. `length` is the
    number of elements of an array, 0 for a scalar; an array of no fixed length has size 0.
    `common` fields begin every record.
    """

    __slots__ = ("common", "data_loc", "length", "name", "offset", "rel_loc", "signed", "size", "type")

    def __init__(
        self,
        name: str,
        type: str,
        offset: int,
        size: int,
        signed: bool,
        data_loc: bool = False,
        length: int = 0,
        rel_loc: bool = False,
        common: bool = False,
    ) -> None:
        self.name = name
        self.type = type
        self.offset = offset
        self.size = size
        self.signed = signed
        self.data_loc = data_loc
        self.length = length
        self.rel_loc = rel_loc
        self.common = common

    def __repr__(self) -> str:
        return f"<TracepointField {self.type} {self.name} at {self.offset}, {self.size} bytes>"


class TracepointFormat:
    """A tracepoint's id, for perf_event_open(2), and its fields in the order of the record."""

    __slots__ = ("fields", "id", "print_fmt")

    def __init__(self, id: int, fields: tuple[TracepointField, ...], print_fmt: str) -> None:
        self.id = id
        self.fields = fields
        self.print_fmt = print_fmt


_found: list[str] = []


def find() -> str:
    """The folder where tracefs is mounted. PermissionDenied or NotSupported says what to do when there is none."""
    if not _found:
        for place in PLACES:
            if os.path.isdir(place + "/events"):
                _found.append(place)
                break
        else:
            raise _missing()
    return _found[0]


def _missing() -> Exception:
    from cygnet.errors import NotSupported, PermissionDenied

    mounted = _mounted_places()
    if mounted:
        return PermissionDenied(
            f"cannot read {mounted[0]}: tracefs is mounted, but only for root",
            reason="privilege",
            call="open",
            hints=(
                "run it as root, or: sudo cygnet …",
                f"to let others list events: sudo mount -o remount,mode=755 {mounted[0]}",
            ),
        )
    return NotSupported(
        "tracefs", f"a mount, once after boot, as root: {MOUNT_COMMAND}", call="open", hints=(MOUNT_COMMAND,)
    )


def _mounted_places() -> list[str]:
    try:
        with open("/proc/self/mounts") as file:
            return [line.split()[1] for line in file if line.split()[2] == "tracefs"]
    except OSError:
        return []


def _read(path: str) -> str:
    """A file of tracefs, by plain os calls: a format is read for each probe, and open() costs three times as much."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks = []
        while chunk := os.read(fd, 1 << 16):
            chunks.append(chunk)
    finally:
        os.close(fd)
    return b"".join(chunks).decode(errors="replace")


def tracing_on() -> bool:
    """Whether the kernel's trace takes lines; True when that cannot be asked."""
    from cygnet.errors import CygnetError

    try:
        return _read(find() + "/tracing_on").strip() != "0"
    except (OSError, CygnetError):
        return True


def events() -> list[str]:
    """Every ``subsys:event``, in the kernel's order: one read of available_events."""
    try:
        return _read(find() + "/available_events").split()
    except OSError as error:
        raise _unreadable(error) from error


def subsystem_events(subsys: str) -> list[str]:
    """The events of one subsystem, sorted; empty when there is no such subsystem."""
    folder = f"{find()}/events/{subsys}"
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(error) from error


def has_event(subsys: str, event: str) -> bool:
    return os.path.isdir(f"{find()}/events/{subsys}/{event}")


def traceable_functions() -> list[str]:
    """Functions that ftrace can patch, as ``name`` or ``module:name``, in the kernel's order; none without ftrace."""
    try:
        text = _read(find() + "/available_filter_functions")
    except FileNotFoundError:
        return []
    except OSError as error:
        from cygnet.kernel.denied import has_capability

        if has_capability("dac_read_search"):  # so it is the kernel that has none to offer
            return []
        raise _unreadable(error) from error
    return functions_in(text)


def functions_in(text: str) -> list[str]:
    """The functions that a text like available_filter_functions lists."""
    functions = []
    for line in text.splitlines():
        name, _, module = line.partition(" ")
        if not name.startswith("__ftrace_invalid_address__"):
            functions.append(f"{module.strip('[]')}:{name}" if module else name)
    return functions


def event_id(subsys: str, event: str) -> int:
    """The number that perf_event_open(2) takes. ProbeError when there is no such tracepoint."""
    try:
        return int(_read(f"{find()}/events/{subsys}/{event}/id"))
    except OSError as error:
        raise _no_event(subsys, event, error) from error


def event_format(subsys: str, event: str) -> TracepointFormat:
    """A tracepoint's format. ProbeError when there is no such tracepoint."""
    try:
        return parse_format(_read(f"{find()}/events/{subsys}/{event}/format"))
    except OSError as error:
        raise _no_event(subsys, event, error) from error


def _no_event(subsys: str, event: str, error: OSError) -> Exception:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        from cygnet.errors import ProbeError

        return ProbeError(f"there is no tracepoint {subsys}:{event}")
    return _unreadable(error)


def _unreadable(error: OSError) -> Exception:
    from cygnet.errors import SystemCallError
    from cygnet.kernel.sys import failure

    if isinstance(error, SystemCallError):  # `find` has told already what is wrong
        return error

    return failure(error.errno or 0, "read tracefs", "open", caps=("dac_read_search",))


# ── the format file ──────────────────────────────────────────────────────────────────────────────────────


def parse_format(text: str) -> TracepointFormat:
    """Parse a tracepoint's `format` file (kernel/trace/trace_events.c: f_show)."""
    number, print_fmt = 0, ""
    for line in text.splitlines():
        if line.startswith("ID: "):
            number = int(line[4:])
        elif line.startswith("print fmt: "):
            print_fmt = line[11:]
    return TracepointFormat(number, tuple(_fields(text)), print_fmt)


def _fields(text: str) -> Iterator[TracepointField]:
    common = True
    for line in text.splitlines():
        if not line.startswith("\tfield:"):
            common = common and line != ""  # an empty line parts the common fields from the event's own
            continue
        parts = [part.strip() for part in line.split(";")]
        declaration = parts[0][len("field:") :]
        offset, size, signed = (int(part.partition(":")[2]) for part in parts[1:4])
        yield _field(declaration, offset, size, bool(signed), common)


def _field(declaration: str, offset: int, size: int, signed: bool, common: bool) -> TracepointField:
    data_loc = declaration.startswith("__data_loc ")
    rel_loc = declaration.startswith("__rel_loc ")
    if data_loc or rel_loc:
        declaration = declaration.partition(" ")[2]
    length = 0
    head, bracket, dimension = declaration.partition("[")
    if bracket and not (data_loc or rel_loc):
        # `char comm[16]`; the dimension may be a macro's name, and then the size tells.
        dimension = dimension.rstrip("]")
        length = int(dimension) if dimension.isdigit() else size
        declaration = head
    type_, _, name = declaration.rpartition(" ")
    stars = len(name) - len(name.lstrip("*"))
    type_ = type_.strip() + (" " + "*" * stars if stars else "")
    return TracepointField(name[stars:], type_, offset, size, signed, data_loc, length, rel_loc, common)
