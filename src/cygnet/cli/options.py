"""bpftrace's options, read as its own command line reads them.

Rules of getopt_long: short options may be combined (``-lv``, ``-qeTEXT``), a value may follow at once or
as the next argument, long ones may be shortened as long as they are clear and take ``=value``, options
and other arguments may be mixed, and ``--`` ends the options.
"""

from __future__ import annotations

import os

from cygnet.errors import UsageError
from cygnet.session.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: long name → (short letter or "", takes a value)
_LONG = {
    "list": ("l", False), "verbose": ("v", False), "help": ("h", False), "version": ("V", False),
    "info": ("", False), "pid": ("p", True), "cmd": ("c", True), "usdt-file-activation": ("", False),
    "output": ("o", True), "quiet": ("q", False), "warnings": ("k", False), "no-warnings": ("", False),
    "include": ("", True), "debuginfo": ("", True), "traceable-functions": ("", True), "unsafe": ("", False),
    "no-feature": ("", True), "mode": ("", True), "test": ("", False), "bench": ("", False),
    "probe-filter": ("", True), "fmt": ("", False), "dry-run": ("", False), "debug": ("d", True),
    "emit-elf": ("", True), "emit-llvm": ("", True), "aot": ("", True), "btf": ("b", False),
    "dwarf-pid": ("", True), "verify-llvm-ir": ("", False),
    "explain": ("", False), "json": ("", False), "live": ("", False),
}  # fmt: skip
_SHORT_VALUES = frozenset("efopcdBI")
_SHORT = frozenset("lvhVqkb") | _SHORT_VALUES
STAGES = ("all", "parse", "ast", "types", "ir", "codegen", "codegen-opt", "dis", "libbpf", "verifier")
_LAST_PID = 1 << 22
MODES = ("codegen", "compiler-bench", "bench", "test", "format")


class Request:
    """What a command line asks for: `action` is run or one of cli.trace_other's. `remarks` are worth a warning."""

    __slots__ = ("action", "file", "options", "program", "remarks", "rest", "search")

    def __init__(self) -> None:
        self.action = "run"
        self.options = Options()
        self.program: str | None = None
        self.file = ""
        self.search = ""
        self.remarks: list[str] = []
        self.rest: list[str] = []


def parse(args: Sequence[str]) -> Request:
    """Read a command line. UsageError for what makes no sense."""
    request = Request()
    queue = list(args)
    while queue:
        word = queue.pop(0)
        if word == "--":
            _after_dashes(request, queue)
            break
        if word.startswith("--"):
            _long(request, word[2:], queue)
        elif word.startswith("-") and word != "-":
            _cluster(request, word[1:], queue)
        else:
            request.rest.append(word)
    _settle(request)
    return request


def _after_dashes(request: Request, queue: list[str]) -> None:
    for word in queue:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            request.options.named[name] = value if equals else True
        else:
            request.rest.append(word)


def _long(request: Request, word: str, queue: list[str]) -> None:
    name, equals, value = word.partition("=")
    full = name if name in _LONG else _unshortened(name)
    short, wants = _LONG[full]
    if full == "live":
        _live(request, value if equals else "1")
        return
    if not wants:
        if equals:
            raise UsageError(f"--{full} takes no value")
        _FLAGS[short or full](request)
        return
    if not equals:
        value = _next(f"--{full}", queue, debug=full == "debug")
    _VALUES[short or full](request, value)


def _unshortened(name: str) -> str:
    found = [full for full in _LONG if name and full.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"--{name} could mean {' or '.join('--' + full for full in found)}")
    from difflib import get_close_matches

    error = UsageError(f"unknown option --{name}")
    close = get_close_matches(name, _LONG, 1)
    error.hints = (f"did you mean --{close[0]}?",) if close else ("cygnet trace --help lists the options",)
    raise error


def _cluster(request: Request, letters: str, queue: list[str]) -> None:
    """``-lv`` is ``-l -v``; a letter that takes a value has the rest of the word, or the next one."""
    for at, letter in enumerate(letters):
        if letter not in _SHORT:
            error = UsageError(f"unknown option -{letter}")
            error.hints = ("cygnet trace --help lists the options",)
            raise error
        if letter in _SHORT_VALUES:
            value = letters[at + 1 :] or _next(f"-{letter}", queue, debug=letter == "d")
            _VALUES[letter](request, value)
            return
        _FLAGS[letter](request)


def _next(option: str, queue: list[str], debug: bool = False) -> str:
    """The value of an option. The older ``-d`` had none: it is told by what follows."""
    if debug and (not queue or not all(stage in STAGES for stage in queue[0].split(","))):
        if len(queue) > 1 and not queue[0].startswith("-") and queue[1].startswith("-e"):
            return queue.pop(0)  # no file, as the program follows: a stage, and there is none of that name
        return "ast"
    if not queue:
        raise UsageError(f"{option} wants a value")
    return queue.pop(0)


# ── what each option does ──


def _set(name: str, value: object = True) -> Callable[[Request], None]:
    return lambda request: setattr(request.options, name, value)


def _act(action: str) -> Callable[[Request], None]:
    def act(request: Request) -> None:
        if request.action in ("run", "list"):
            request.action = action

    return act


def _warn_more(request: Request) -> None:
    if request.options.warnings == 0:
        raise UsageError("-k and --no-warnings contradict each other")
    request.options.warnings = 2


def _warn_less(request: Request) -> None:
    if request.options.warnings == 2:
        raise UsageError("-k and --no-warnings contradict each other")
    request.options.warnings = 0


def _mode(request: Request, value: str) -> None:
    if value not in MODES:
        raise UsageError(f"--mode must be one of {', '.join(MODES)}, not {value!r}")
    if value == "compiler-bench":
        raise UsageError("--mode compiler-bench is not there yet")
    if request.options.mode and request.options.mode != value:
        raise UsageError(f"--mode {value} contradicts --mode {request.options.mode}")
    request.options.mode = value
    request.options.test, request.options.bench = value == "test", value == "bench"
    if value in ("format", "codegen"):
        request.action = value


def _program(request: Request, value: str) -> None:
    if request.program is not None:
        request.remarks.append("-e was given twice: only the last program is run")
    request.program = value


def _pid(request: Request, value: str) -> None:
    if not (value.isascii() and value.isdecimal()):
        digits = len(value) - len(value.lstrip("0123456789"))
        raise UsageError(f"Failed to parse pid: invalid {'trailing bytes' if digits else 'integer'}: {value}")
    if not 0 < int(value[:9]) <= _LAST_PID or len(value) > 9:
        raise UsageError(f"Pid out of range: {value}")
    request.options.pid = int(value)


def _debug(request: Request, value: str) -> None:
    if set(value) == {"d"}:  # the older -dd
        value = "all"
    for stage in value.split(","):
        if stage not in STAGES:
            raise UsageError(f"-d knows no stage {stage!r}: {', '.join(STAGES)}")
        request.options.debug.append(stage)


def _live(request: Request, value: str) -> None:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0.05 <= seconds <= 3600:
        raise UsageError(f"--live=SECONDS wants a number from 0.05 to 3600, not {value!r}")
    request.options.live = seconds


def _choice(option: str, name: str, allowed: tuple[str, ...]) -> Callable[[Request, str], None]:
    def choose(request: Request, value: str) -> None:
        if value not in allowed:
            problem = f'Invalid output format "{value}"' if name == "format" else f'{option} "{value}"'
            raise UsageError(f"{problem}: it must be {' or '.join(allowed)}")
        setattr(request.options, name, value)

    return choose


def _keep(name: str) -> Callable[[Request, str], None]:
    return lambda request, value: setattr(request.options, name, value)


def _keep_text(option: str, name: str, what: str) -> Callable[[Request, str], None]:
    """An empty value would mean that the option was not given, and `-c "$unset"` would watch the whole system."""

    def keep(request: Request, value: str) -> None:
        if not value:
            raise UsageError(f"{option}: {what} is empty")
        setattr(request.options, name, value)

    return keep


def _add(name: str, separator: str = "") -> Callable[[Request, str], None]:
    def add(request: Request, value: str) -> None:
        getattr(request.options, name).extend(value.split(separator) if separator else [value])

    return add


def _not_yet(what: str) -> Callable[[Request, str], None]:
    def refuse(request: Request, value: str) -> None:
        raise UsageError(f"{what} is not there yet")

    return refuse


_FLAGS: dict[str, Callable[[Request], None]] = {
    "l": _act("list"),
    "h": _act("help"),
    "V": _act("version"),
    "info": _act("info"),
    "fmt": lambda request: _mode(request, "format"),
    "test": lambda request: _mode(request, "test"),
    "bench": lambda request: _mode(request, "bench"),
    "v": _set("verbose"),
    "q": _set("quiet"),
    "k": _warn_more,
    "no-warnings": _warn_less,
    "unsafe": _set("unsafe"),
    "dry-run": _set("dry_run"),
    "usdt-file-activation": _set("usdt_file_activation"),
    "explain": _act("explain"),
    "json": _set("format", "json"),
    "b": lambda request: None,  # an older option: BTF is always used
    "verify-llvm-ir": lambda request: None,  # there is no LLVM here
}
_VALUES: dict[str, Callable[[Request, str], None]] = {
    "e": _program,
    "p": _pid,
    "c": _keep_text("-c", "cmd", "the command"),
    "o": _keep_text("-o", "output", "the name of the file"),
    "f": _choice("-f", "format", ("text", "json")),
    "B": _choice("-B", "buffering", ("line", "full", "none")),
    "d": _debug,
    "I": _add("include_dirs"),
    "include": _add("includes"),
    "debuginfo": _add("debuginfo", ":"),
    "traceable-functions": _keep("traceable_functions"),
    "no-feature": _add("no_features", ","),
    "mode": _mode,
    "probe-filter": _keep("probe_filter"),
    "emit-elf": _keep("emit_elf"),
    "emit-llvm": _not_yet("--emit-llvm: there is no LLVM here, and what would take its place"),
    "aot": _not_yet("--aot"),
    "dwarf-pid": lambda request, value: None,
}


def _settle(request: Request) -> None:
    """What the arguments that are no options mean, once all options are known."""
    options, rest = request.options, request.rest
    if request.action in ("help", "version", "info"):
        return
    if options.cmd and options.pid:
        raise UsageError("-c and -p cannot be used together")
    if request.action == "list" and request.program is None:
        if len(rest) > 1:
            raise UsageError("-l takes one pattern or file")
        if rest and os.path.isfile(rest[0]):
            request.file = rest[0]
        elif rest:
            request.search = rest[0]
        return
    if request.program is None:
        if not rest:
            raise UsageError("a FILE or -e 'PROGRAM' is wanted")
        request.file = rest.pop(0)
    options.params = rest
    if options.live and (options.format == "json" or options.output):
        raise UsageError("--live draws on the terminal; it goes with neither -f json nor -o")
    if request.action == "run" and options.named.get("help") is True:
        request.action = "parameters"
    elif request.action == "run" and options.emit_elf:
        request.action = "emit"
