"""`cygnet trace --live` on a pseudo-terminal: what is drawn, what scrolls, and what is left when it ends."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Callable

ENTRY = "import sys; from cygnet.cli import main; sys.argv[0] = 'cygnet'; main()"
COMMAND = [sys.executable, "-c", ENTRY, "trace"]
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def shown(text: str) -> str:
    """What was written, without colours and cursor movements; a return to the line's start begins a line."""
    return CONTROLS.sub("", text).replace("\r", "\n")


TEXT = """
interval:ms:20 { @ticks = count(); @by[nsecs % 2 ? "odd" : "even", 1] = count(); @h = hist(@i); @i++; }
interval:ms:50 { printf("line %d\\n", @i); }
"""


class Terminal:
    """A program on a terminal of its own; `until` reads until something is there to see."""

    def __init__(self, *command: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ |= {"COLUMNS": "90", "LINES": "40", "TERM": "xterm"}
            os.execv(command[0], command)
        self.seen = ""

    def until(self, enough: Callable[[str], bool]) -> None:
        while not enough(self.seen) and self._more():
            pass

    def _more(self) -> bool:
        select.select([self.fd], [], [])
        try:
            self.seen += os.read(self.fd, 65536).decode("utf-8", "replace").replace("\r\n", "\n")
        except OSError:  # EIO: the last one who held the other end has gone
            return False
        return True

    def interrupt(self) -> int:
        """Ctrl-C, and then `end`."""
        os.write(self.fd, b"\x03")
        return self.end()

    def end(self) -> int:
        """Everything there is to read, and the exit status."""
        while self._more():
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_maps_are_redrawn_and_printed_at_the_end() -> None:
    terminal = Terminal(*COMMAND, "--live=0.1", "-e", TEXT)
    terminal.until(lambda seen: seen.count("Ctrl-C ends") >= 5 and "line" in seen)
    status = terminal.interrupt()
    assert status == 0
    drawn, _, final = terminal.seen.rpartition("\x1b[2K")
    assert "\x1b[1A\x1b[2K" in drawn  # it goes up and over what it drew
    plain = shown(drawn)
    assert re.search(r"^@ticks +\d+ *$", plain, re.M)
    assert re.search(r"^@by\[(odd|even), 1\] +\d+ +█+", plain, re.M)
    assert re.search(r"^  \[4, 8\) +\d+ +[█▏▎▍▌▋▊▉]+", plain, re.M)
    assert re.search(r"^line \d+$", plain, re.M)
    last = shown(final)
    assert re.search(r"^@ticks: \d+$", last, re.M)
    assert re.search(r"^\[4, 8\) +\d+ \|@+ *\|$", last, re.M)
    assert "Ctrl-C ends" not in last


def test_maps_that_are_empty_take_no_room() -> None:
    never = " ".join([f"@never{n}[1] = 1;" for n in range(6)])
    text = " ".join([f"@full[{n}] = {n + 1};" for n in range(12)])
    terminal = Terminal(
        *COMMAND, "--live=0.05", "-e", f"begin {{ {text} if (nsecs == 0) {{ {never} }} }}  self:signal:SIGUSR2 {{ }}"
    )
    terminal.until(lambda seen: "@full[0]" in seen or " more" in seen)
    assert terminal.interrupt() == 0
    drawn = shown(terminal.seen.rpartition("\x1b[2K")[0])
    assert re.search(r"^@full\[11\] +12 ", drawn, re.M) and re.search(r"^@full\[0\] +1 ", drawn, re.M)
    assert " more" not in drawn


def test_lines_are_whole_and_in_order() -> None:
    text = 'interval:ms:10 { @n++; printf("a%d ", @n); printf("b%d\\n", @n); if (@n == 40) { exit(); } }'
    terminal = Terminal(*COMMAND, "-q", "--live=0.05", "-e", text)
    assert terminal.end() == 0
    lines = re.findall(r"^a(\d+) b(\d+)$", shown(terminal.seen), re.M)
    assert lines == [(str(n), str(n)) for n in range(1, 41)]


def run(entry: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", entry, "trace", *args], capture_output=True, text=True, check=False)


def test_without_a_terminal_it_says_so() -> None:
    done = run(ENTRY, "--live", "-e", "begin { @ = 1; exit(); }")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--live draws on a terminal" in done.stderr


def test_without_rich_it_says_what_to_install() -> None:
    terminal = Terminal(
        sys.executable,
        "-c",
        "import sys; sys.modules['rich'] = None; " + ENTRY,
        "trace",
        "--live",
        "-e",
        "begin { exit(); }",
    )
    assert terminal.end() == 1
    assert f"{sys.executable} -m pip install rich" in terminal.seen.replace("\r\n", "")


def test_a_terminal_that_cannot_draw_is_told() -> None:
    terminal = Terminal("/usr/bin/env", "TERM=dumb", *COMMAND, "--live", "-e", "begin { @ = 1; exit(); }")
    assert terminal.end() == 1
    assert "--live moves the cursor" in terminal.seen


def test_it_goes_with_neither_json_nor_a_file() -> None:
    for words in (["-f", "json"], ["-o", "/dev/null"]):
        done = run(ENTRY, "--live", *words, "-e", "begin { exit(); }")
        assert done.returncode == 1
        assert "goes with neither -f json nor -o" in done.stderr
    for value in ("0", "x", "1e9", "nan", ""):
        assert "--live=SECONDS wants" in run(ENTRY, f"--live={value}", "-e", "begin { exit(); }").stderr
