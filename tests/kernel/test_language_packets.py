"""Builtins on packets and sockets: what we sent or opened ourselves tells what they must say."""

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


CONNECTOR = """
import pathlib, socket, sys
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
SO_COOKIE = 57  # include/uapi/asm-generic/socket.h
cookie = int.from_bytes(client.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), sys.byteorder)
pathlib.Path(sys.argv[1]).write_text(str(cookie))
"""
TCP_SYN_SENT = 2


def test_cookies_in_a_raw_tracepoint(tmp_path: Path) -> None:
    """The witness is the socket's owner, who asks for the cookie by getsockopt(2)."""
    (tmp_path / "connect.py").write_text(CONNECTOR)
    probe = f"rawtracepoint:inet_sock_set_state /pid == cpid && args.newstate == {TCP_SYN_SENT}/"
    command = f"{sys.executable} {tmp_path / 'connect.py'} {tmp_path / 'cookie'}"
    program = f"{probe} {{ print(socket_cookie(args.sk)); print(arg0 == (uint64)args.sk); }}"
    done = subprocess.run([*TOOL, "-c", command, "-e", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == [(tmp_path / "cookie").read_text(), "true"], done.stderr


def test_where_no_cookie_can_be_had() -> None:
    program = "tracepoint:sock:inet_sock_set_state { print(socket_cookie((struct sock *)args.skaddr)); }"
    done = subprocess.run([*TOOL, "--dry-run", "-e", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "socket_cookie() can not be used with 'tracepoint' probes" in done.stderr
    assert "the kernel allows it in fentry, fexit, rawtracepoint and iter probes" in done.stderr
