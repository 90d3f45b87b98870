"""What the repository's files must not say: unfinished work, and places that only one machine has."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).name

MARKS = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK"]) + r")\b")
PRIVATE_PATHS = re.compile(r"(?<![\w.}])/(home/\w+|root/|work/|Users/\w+|opt/wheels)")
URL_HOST = re.compile(r"https?://([\w.-]+)")
PUBLIC_HOSTS = {
    "docs.kernel.org",
    "github.com",
    "json-schema.org",
    "man7.org",
    "semver.org",
    "www.apache.org",
    "www.kernel.org",
    "www.rfc-editor.org",
    "keepachangelog.com",
    "127.0.0.1",
    "localhost",
}


def tracked() -> list[Path]:
    """The files git knows, or all of them where there is no git (an unpacked archive)."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode == 0:
        return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    folders = ("src", "tests", "docs", "benchmarks", "scripts")
    return [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]


def lines() -> Iterator[tuple[str, str]]:
    for path in tracked():
        if path.name in (HERE, "LICENSE"):
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        name = path.relative_to(ROOT)
        yield from ((f"{name}:{number}", line) for number, line in enumerate(text.splitlines(), 1))


@pytest.mark.parametrize("pattern", [MARKS, PRIVATE_PATHS], ids=["marks", "paths"])
def test_no_such_words(pattern: re.Pattern[str]) -> None:
    assert not [f"{where} {line.strip()[:80]}" for where, line in lines() if pattern.search(line)]


def test_only_public_hosts() -> None:
    assert not [
        f"{where} {host}" for where, line in lines() for host in URL_HOST.findall(line) if host not in PUBLIC_HOSTS
    ]


def test_no_binary_files() -> None:
    assert not [str(path.relative_to(ROOT)) for path in tracked() if b"\0" in path.read_bytes()]
