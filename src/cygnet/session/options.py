"""What a person asks of a run: filled by the command line, read by the compiler and the session."""

from __future__ import annotations


class Options:
    """Plain data, with the defaults of a command line that says nothing.

    `params` are the positional parameters, `named` those after ``--`` (name → value, True for a bare
    name). `warnings`: 0 none, 1 the usual, 2 also failed reads and missing keys (-k). `pid` is a process to
    watch, or 0; `cmd` a command to run. `format`, `output`, `buffering` say how and where results go.
    """

    __slots__ = (
        "bench", "buffering", "cmd", "debug", "debuginfo", "dry_run", "emit_elf", "env", "format", "include_dirs", "includes",
        "live", "mode", "named", "no_features", "output", "params", "pid", "probe_filter", "quiet", "test",
        "traceable_functions", "unsafe", "usdt_file_activation", "verbose", "warnings",
    )  # fmt: skip

    def __init__(self) -> None:
        self.params: list[str] = []
        self.named: dict[str, str | bool] = {}
        self.pid = 0
        self.cmd = ""
        self.format = "text"
        self.output = ""
        self.buffering = "line"
        self.live = 0.0  # seconds between drawings of the maps; 0: none
        self.quiet = False
        self.verbose = False
        self.warnings = 1
        self.unsafe = False
        self.dry_run = False
        self.emit_elf = ""
        self.test = False
        self.bench = False
        self.mode = ""
        self.probe_filter = ""
        self.debug: list[str] = []
        self.include_dirs: list[str] = []
        self.includes: list[str] = []
        self.debuginfo: list[str] = []
        self.no_features: list[str] = []
        self.traceable_functions = ""
        self.usdt_file_activation = False
        self.env: dict[str, str] = {}
