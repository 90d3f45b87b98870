"""Settings of a script: the config block, the environment and their defaults."""

from __future__ import annotations

from cygnet.errors import SourceErrors, TraceTypeError, UsageError
from cygnet.lang.trace import ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cygnet.source import Span

#: name -> (default, kind); kind is int, bool, str, or the words allowed
SETTINGS: dict[str, tuple[Any, Any]] = {
    "cache_user_symbols": ("PER_PID", ("PER_PID", "PER_PROGRAM", "NONE")),
    "cpp_demangle": (True, bool),
    "lazy_symbolication": (False, bool),
    "license": ("GPL", ("GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL")),
    "log_size": (1000000, int),
    "max_bpf_progs": (1024, int),
    "max_cat_bytes": (10240, int),
    "max_map_keys": (4096, int),
    "max_probes": (1024, int),
    "max_strlen": (1024, int),
    "missing_probes": ("error", ("error", "warn", "ignore")),
    "on_stack_limit": (32, int),
    "perf_rb_pages": (0, int),
    "show_debug_info": (True, bool),
    "stack_mode": ("bpftrace", ("bpftrace", "perf", "raw", "build_id")),
    "str_trunc_trailer": ("..", str),
    "print_maps_on_exit": (True, bool),
    "unstable_tseries": ("warn", ("warn", "enable", "error")),
    "unstable_dw_ustack": ("warn", ("warn", "enable", "error")),
    "unstable_typeinfo": ("error", ("warn", "enable", "error")),
    "unstable_import_statement": ("error", ("warn", "enable", "error")),
}
#: older spellings of the block
_OLD = {
    "strlen": "max_strlen",
    "map_keys_max": "max_map_keys",
    "cat_bytes_max": "max_cat_bytes",
    "no_cpp_demangle": "cpp_demangle",
    "stack_symbols": "stack_mode",
    "max_programs": "max_bpf_progs",
}
_RETIRED = frozenset(
    (
        "unstable_macro",
        "unstable_map_decl",
        "unstable_import",
        "unstable_addr",
        "symbol_source",
        "max_type_res_iterations",
    )
)
_ENVIRONMENT_ONLY = frozenset(("btf", "vmlinux", "color", "kernel_source", "kernel_build"))
#: what the kernel takes, where that is less than a number of 32 bits; a string also has to fit the ring
_RANGES = {
    "max_map_keys": (1, 1 << 30),
    "max_strlen": (1, 1 << 20),
    "max_probes": (1, 1 << 31),
    "max_bpf_progs": (1, 1 << 31),
    "perf_rb_pages": (0, 1 << 18),
    "log_size": (0, 1 << 30),
}
_ANY = (0, 1 << 31)
_NUMBERS = {"NONE": "0", "PER_PROGRAM": "1"}  # what cache_user_symbols was before it had words
_TRUE = {"1": True, "true": True, "on": True, "yes": True, "0": False, "false": False, "off": False, "no": False}


class Config:
    """The settings in force. `where` tells which were set in the block, and at what span; `given`, which were set.

    `clock_map` names a map without keys whose value tseries() takes for the time, in nanoseconds: with BPFTRACE_DUMMY_TS_MAP
    a test says when its events happen.
    """

    __slots__ = ("clock_map", "given", "values", "warnings", "where")

    def __init__(self) -> None:
        self.values: dict[str, Any] = {name: default for name, (default, _) in SETTINGS.items()}
        self.where: dict[str, Span] = {}
        self.clock_map = ""
        self.given: set[str] = set()
        self.warnings: list[TraceTypeError] = []

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def read_block(self, block: ast.Config | None) -> None:
        """Raises SourceErrors for unknown keys and values that make no sense."""
        errors: list[TraceTypeError] = []
        for entry in block.entries if block else ():
            try:
                self._read_entry(entry)
            except TraceTypeError as error:
                errors.append(error)
        if errors:
            raise SourceErrors(errors)

    def _read_entry(self, entry: ast.ConfigEntry) -> None:
        name = entry.key.lower().removeprefix("bpftrace_").removeprefix("cygnet_")
        if name in _RETIRED:
            self.warnings.append(TraceTypeError(f"{entry.key} has no effect any more", entry.span))
            return
        value = entry.value
        raw = value.name if isinstance(value, ast.Ident) else str(value.value)  # type: ignore[attr-defined]
        if name in _OLD:
            self.warnings.append(TraceTypeError(f"{entry.key} is an old name: use {_OLD[name]}", entry.span))
            if name == "no_cpp_demangle":
                raw = str(not _TRUE.get(raw.lower(), False))
            name = _OLD[name]
        if name in _ENVIRONMENT_ONLY:
            raise TraceTypeError(f"{entry.key} can only be set as an environment variable", entry.span)
        if name not in SETTINGS:
            from cygnet.lang.trace.suggest import did_you_mean

            guess = did_you_mean(name, SETTINGS)
            key = entry.span._replace(end=entry.span.start + len(entry.key))
            hints = [f"did you mean {guess}?"] if guess else []
            raise TraceTypeError(f"Unrecognized config variable: {entry.key}", key, hints)
        try:
            self.values[name] = parse_value(name, raw)
        except ValueError as error:
            raise TraceTypeError(str(error), entry.value.span) from None
        self.where[name] = entry.span
        self.given.add(name)

    def read_environment(self, environment: Mapping[str, str]) -> None:
        """BPFTRACE_NAME and CYGNET_NAME; unknown names are ignored. Raises UsageError (exit status 2)."""
        for prefix in ("BPFTRACE_", "CYGNET_"):
            self.clock_map = environment.get(prefix + "DUMMY_TS_MAP", self.clock_map)
        for name in SETTINGS:
            for prefix in ("BPFTRACE_", "CYGNET_"):
                raw = environment.get(prefix + name.upper())
                if raw is None and name == "max_strlen":
                    raw = environment.get(prefix + "STRLEN")
                if raw is None and name == "max_map_keys":
                    raw = environment.get(prefix + "MAP_KEYS_MAX")
                if raw is not None:
                    self.given.add(name)
                    try:
                        self.values[name] = parse_value(name, raw)
                    except ValueError as error:
                        problem = UsageError(f"{prefix}{name.upper()}: {error}")
                        problem.exit_status = 2
                        raise problem from None


def parse_value(name: str, raw: str) -> Any:
    """The value of a setting from its text. Raises ValueError with what was expected."""
    kind = SETTINGS[name][1]
    if kind is bool:
        if raw.lower() not in _TRUE:
            raise ValueError(f"{name} takes true or false, not {raw!r}")
        return _TRUE[raw.lower()]
    if kind is int:
        try:
            number = int(raw, 0)
        except ValueError:
            raise ValueError(f"{name} takes a number, not {raw!r}") from None
        low, high = _RANGES.get(name, _ANY)
        if not low <= number <= high:
            raise ValueError(f"{name} is out of range: {raw} is not in {low} to {high}")
        return number
    if kind is str:
        return raw
    for word in kind:
        if raw.lower() in (word.lower(), _NUMBERS.get(word)):
            return word
    raise ValueError(f"{name} is one of {', '.join(kind)}, not {raw!r}")
