"""A tracer at work: started, attached, its programs found, ended; and the producer of events."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.sides import NOTIFY, Failed, run

BPF_ENABLE_STATS = 32  # enum bpf_cmd
BPF_STATS_RUN_TIME = 0
SYS_BPF = {"x86_64": 321, "aarch64": 280}


class Tracer:
    """A running tracer whose probes are attached. `stdout` is a file; `stderr` is collected."""

    def __init__(self, command: list[str], environment: dict[str, str], stdout: Path) -> None:
        self.stdout = stdout
        self.errors = b""
        with stdout.open("wb") as sink:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.PIPE, env=environment
            )
        self._wait_until_attached()

    def _wait_until_attached(self) -> None:
        # The word may come on either stream: bpftrace 0.17 has it on standard error.
        while NOTIFY.encode() not in self.errors + self.stdout.read_bytes()[:4096]:
            if self.process.poll() is not None:
                self._read(0.1)
                raise Failed(f"ended before it was attached: {self.errors.decode().strip()[-300:]}")
            self._read(0.01)

    def _read(self, seconds: float) -> None:
        assert self.process.stderr is not None
        fd = self.process.stderr.fileno()
        while select.select([fd], [], [], seconds)[0]:
            piece = os.read(fd, 65536)
            if not piece:
                return
            self.errors += piece

    def program_ids(self) -> set[int]:
        """The programs whose descriptors, or whose links' descriptors, the tracer holds."""
        ids = set()
        for path in Path(f"/proc/{self.process.pid}/fdinfo").iterdir():
            with contextlib.suppress(OSError):
                ids |= {int(line.split()[1]) for line in path.read_text().splitlines() if line.startswith("prog_id:")}
        return ids

    def wait_until_quiet(self) -> None:
        """Until the output file has not grown for a while."""
        size = -1
        while size != (size := self.stdout.stat().st_size):
            self._read(0)
            time.sleep(0.3)

    def wait(self, seconds: float) -> bool:
        """Until it ends by itself, and whether it did; what it says meanwhile is read, so that it need not wait for us."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(0.005)
        return self.process.poll() is not None

    def end(self) -> str:
        """Interrupt it (again, as some miss the first), and return everything it printed."""
        while self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                deadline = time.monotonic() + 2
                while self.process.poll() is None and time.monotonic() < deadline:
                    self._read(0.02)
        self._read(0)
        return self.stdout.read_text(errors="replace") + "\n" + self.errors.decode(errors="replace")

    def __enter__(self) -> Tracer:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.end()
        assert self.process.stderr is not None
        self.process.stderr.close()


@contextlib.contextmanager
def statistics_on() -> Iterator[None]:
    """The kernel keeps run times of programs while this is open; it ends with the process at the latest."""
    libc = ctypes.CDLL(None, use_errno=True)
    kind = ctypes.c_uint32(BPF_STATS_RUN_TIME)
    fd = libc.syscall(SYS_BPF[platform.machine()], BPF_ENABLE_STATS, ctypes.byref(kind), 4)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "BPF_ENABLE_STATS")
    try:
        yield
    finally:
        os.close(fd)


def run_times(ids: set[int]) -> tuple[int, int]:
    """Nanoseconds and runs of these programs so far, summed, as bpftool reports them."""
    listing = json.loads(run("bpftool", "prog", "show", "-j"))
    mine = [prog for prog in listing if prog["id"] in ids]
    return sum(prog.get("run_time_ns", 0) for prog in mine), sum(prog.get("run_cnt", 0) for prog in mine)


def produce(producer: Path, cpu: int, count: int, rate: float = 0, path: str = "") -> int:
    """Make `count` events on `cpu`; the nanoseconds that it took."""
    return int(run(producer, str(cpu), str(count), str(rate), *([path] if path else [])))
