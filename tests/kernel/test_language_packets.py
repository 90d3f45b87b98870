"""skboutput: packets of our own, on loopback, end in a file that tells the same as the sender."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

TOOL = [str(Path(sys.executable).with_name("cygnet")), "trace"]
SENDER = """
import socket
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
back.bind(("127.0.0.1", 0))
for number in range(3):
    out.sendto(b"packet %d " % number + bytes(10 * number), back.getsockname())
"""
PROGRAM = """tracepoint:net:net_dev_queue /pid == cpid/ {
    $skb = (struct sk_buff *)args.skbaddr;
    @[skboutput("FILE", $skb, $skb->len, 14)] = count();
}"""


def packets(path: Path) -> list[tuple[float, int, bytes]]:
    data = path.read_bytes()
    assert struct.unpack_from("<IHHiIII", data) == (0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    out, at = [], 24
    while at < len(data):
        seconds, micros, size, length = struct.unpack_from("<IIII", data, at)
        out.append((seconds + micros / 1e6, length, data[at + 16 : at + 16 + size]))
        at += 16 + size
    return out


def run(tmp_path: Path, program: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "send.py").write_text(SENDER)
    command = [*TOOL, "-c", f"{sys.executable} {tmp_path / 'send.py'}", "-e", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_packets_are_written(tmp_path: Path) -> None:
    before = time.time()
    done = run(tmp_path, PROGRAM.replace("FILE", str(tmp_path / "out.pcap")))
    assert done.returncode == 0 and "@[0]: 3" in done.stdout, done.stderr
    found = packets(tmp_path / "out.pcap")
    assert len(found) == 3
    for number, (when, length, data) in enumerate(found):
        assert before - 1 < when < time.time() + 1
        assert data[0] >> 4 == 4 and data[12:16] == socket.inet_aton("127.0.0.1")
        assert data[28:] == b"packet %d " % number + bytes(10 * number)
        assert length == len(data) + 14


def test_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    done = run(tmp_path, PROGRAM.replace("FILE", str(tmp_path / "no" / "out.pcap")))
    assert done.returncode == 0
    assert done.stderr.count("skboutput(): cannot write") == 1


def test_what_it_takes(tmp_path: Path) -> None:
    done = run(tmp_path, 'begin { skboutput("x", curtask, 1, 2); }')
    assert done.returncode == 1 and "expects a pointer to a struct sk_buff" in done.stderr
