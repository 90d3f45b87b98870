"""A tool's command line, turned into one of `cygnet trace`."""

from __future__ import annotations

from cygnet.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.tools.header import Option, Tool

#: options that every tool has: letter → long name
LETTERS = {"h": "help", "v": "verbose", "q": "quiet", "f": "format", "o": "output", "B": "buffering", "k": "warnings"}
#: long name → (what `trace` calls it, name of the value or "", what it is for)
COMMON = {
    "cmd": ("-c", "COMMAND", "start COMMAND when the probes are attached; end with it"),
    "format": ("-f", "FORMAT", "text or json"),
    "output": ("-o", "FILE", "write to FILE"),
    "buffering": ("-B", "MODE", "line, full or none"),
    "quiet": ("-q", "", "no message about attached probes"),
    "warnings": ("-k", "", "also warn of failed reads and missing keys"),
    "no-warnings": ("--no-warnings", "", "do not warn at all"),
    "explain": ("--explain", "", "say what it would attach to, make and cost an event; attach nothing"),
    "live": ("--live", "", "redraw its maps in place while it runs"),
    "dry-run": ("--dry-run", "", "compile and load, then end"),
    "verbose": ("-v", "", "tell more: the form of the script that was chosen"),
    "help": ("--help", "", "this text"),
}
#: options that no tool means anything by when they are negative
_AMOUNTS = ("duration", "interval", "top")


class Command:
    """A command line as read: `options` for `trace`, `named` parameters of the script (name → value)."""

    __slots__ = ("help", "named", "options", "tool", "verbose")

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        self.options: list[str] = []
        self.named: dict[str, str] = {}
        self.help = self.verbose = False

    def arguments(self, script: str) -> list[str]:
        """What to give to `cygnet trace`. JSON wants records where a tool can make them."""
        at = self.options.index("-f") + 1 if "-f" in self.options else 0
        if at and self.options[at] == "json" and self.tool.option("rows"):
            self.named.setdefault("rows", "true")
        named = [f"--{name}={value}" for name, value in self.named.items()]
        return [*self.options, script, *(["--", *named] if named else [])]


def read(tool: Tool, args: list[str]) -> Command:
    """Read a tool's arguments. UsageError, with hints, for what it does not know."""
    command, queue, positional = Command(tool), list(args), []  # type: Command, list[str], list[str]
    while queue:
        word = queue.pop(0)
        if word == "--":
            continue
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            _take(command, _full(tool, name), value if equals else None, queue)
        elif word.startswith("-") and len(word) > 1 and not word[1:].isdigit():
            _cluster(command, word[1:], queue)
        else:
            positional.append(word)
    _positional(command, positional)
    return command


def _positional(command: Command, words: list[str]) -> None:
    """``INTERVAL [COUNT]`` where the tool prints at intervals, as such tools have always been called."""
    if not words:
        return
    tool = command.tool
    if tool.option("interval") is None or len(words) > 2 or not all(word.isdigit() for word in words):
        raise UsageError(f"{tool.name} takes no argument {words[0]!r}: see cygnet {tool.name} --help")
    for word in words:
        _check_number("interval", word)
        if int(word) == 0:
            raise UsageError("the interval, and how many there are, want numbers above 0")
    command.named["interval"] = words[0]
    if len(words) == 2:
        duration = int(words[0]) * int(words[1])
        _check_number("duration", str(duration))
        command.named.setdefault("duration", str(duration))


def _cluster(command: Command, letters: str, queue: list[str]) -> None:
    """``-xp 181``: letters without a value, then one that has the rest of the word or the next one."""
    for at, letter in enumerate(letters):
        option = command.tool.option(letter)
        name = option.name if option else LETTERS.get(letter)
        if name is None:
            raise _unknown(command.tool, f"-{letter}")
        if _wants_value(option, name):
            _take(command, name, letters[at + 1 :].removeprefix("=") or None, queue)
            return
        _take(command, name, None, queue)


def _wants_value(option: Option | None, name: str) -> bool:
    return option.default.__class__ is not bool if option else bool(COMMON[name][1])


def _full(tool: Tool, name: str) -> str:
    """The whole name of an option; a clear beginning of it will do."""
    known = [*(option.name for option in tool.options), *(name for name in COMMON)]
    if name in known:
        return name
    found = [full for full in known if name and full.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"--{name} could mean {' or '.join('--' + full for full in found)}")
    raise _unknown(tool, f"--{name}")


def _take(command: Command, name: str, value: str | None, queue: list[str]) -> None:
    option = command.tool.option(name)
    if _wants_value(option, name):
        if value is None:
            if not queue:
                raise UsageError(f"--{name} wants a value")
            value = queue.pop(0)
        if option and option.default.__class__ is int:
            _check_number(name, value)
    if option:
        command.named[name] = "true" if value is None else value
    elif name == "help":
        command.help = True
    else:
        if value is not None and not COMMON[name][1]:
            raise UsageError(f"--{name} takes no value")
        command.verbose = command.verbose or name == "verbose"
        command.options += [COMMON[name][0]] if value is None else [COMMON[name][0], value]


def _check_number(name: str, value: str) -> None:
    try:
        number = int(value, 0)
    except ValueError:
        raise UsageError(f"--{name} wants a whole number, not {value!r}") from None
    if not -(1 << 63) <= number < 1 << 63:
        raise UsageError(f"--{name} wants a number of 64 bits, not {value!r}")
    if number < 0 and name in _AMOUNTS:
        raise UsageError(f"--{name} wants a number from 0 on, not {value!r}")


def _unknown(tool: Tool, word: str) -> UsageError:
    from difflib import get_close_matches

    error = UsageError(f"{tool.name} has no option {word}")
    known = [option.name for option in tool.options]
    close = get_close_matches(word.lstrip("-"), [*known, *COMMON], 1)
    letters = [f"-{option.letter}, --{option.name}" if option.letter else f"--{option.name}" for option in tool.options]
    error.hints = (f"did you mean --{close[0]}?",) if close else (f"its options are {'; '.join(letters)}",)
    return error
