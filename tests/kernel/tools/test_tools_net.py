"""Tools about TCP, over loopback: the sockets themselves are the witness."""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from tests.kernel.tools.running import rows, wait_for

from cygnet.errors import NotSupported

FAMILIES = {4: (socket.AF_INET, "127.0.0.1"), 6: (socket.AF_INET6, "::1")}


class Listener:
    """A socket that listens on loopback."""

    def __init__(self, ip: int, backlog: int = 9) -> None:
        family, self.address = FAMILIES[ip]
        self.socket = socket.socket(family)
        try:
            self.socket.bind((self.address, 0))
        except OSError as error:
            self.socket.close()
            if error.errno == errno.EADDRNOTAVAIL:
                raise NotSupported(f"IPv{ip} on loopback") from None
            raise
        self.socket.listen(backlog)
        self.port: int = self.socket.getsockname()[1]

    def connect_from(self, child: Any) -> int:
        """Let a child connect; gives its port."""
        child.do(f"globals().__setitem__('c', socket.create_connection(({self.address!r}, {self.port})))")
        return int(child.do("c.getsockname()[1]"))


@pytest.fixture(params=FAMILIES)
def listener(request: pytest.FixtureRequest) -> Iterator[Listener]:
    one = Listener(request.param)
    yield one
    one.socket.close()


def test_tcpconnect(start: Any, child: Any, listener: Listener) -> None:
    mine, other = child("tools-mine"), child("tools-other")
    every = start("tcpconnect", "-f", "json", "-p", mine.pid)
    by_port = start("tcpconnect", "-P", listener.port, "-n", mine.name)
    listener.connect_from(mine)
    listener.connect_from(other)
    address, ip = listener.address, 6 if ":" in listener.address else 4
    seen = rows(every.end())
    wanted = {"pid": mine.pid, "comm": mine.name, "ip": ip, "saddr": address, "daddr": address, "dport": listener.port}
    assert [{name: row[name] for name in wanted} for row in seen] == [wanted]
    lines = by_port.end().splitlines()
    assert lines[0].split() == ["TIME", "PID", "COMM", "IP", "SADDR", "DADDR", "DPORT"]
    assert [line.split()[1:] for line in lines[1:]] == [
        [str(mine.pid), mine.name, str(ip), address, address, str(listener.port)]
    ]


def test_tcpconnect_shows_what_is_refused(start: Any, child: Any) -> None:
    mine, gone = child("tools-mine"), Listener(4)
    gone.socket.close()
    tool, others = start("tcpconnect", "-P", gone.port), start("tcpconnect", "-P", 1)
    assert mine.do(f"attempt(socket.socket().connect, ('127.0.0.1', {gone.port}))") == -errno.ECONNREFUSED
    assert [line.split()[1] for line in tool.end().splitlines()[1:]] == [str(mine.pid)]
    assert len(others.end().splitlines()) == 1


def test_tcpaccept(start: Any, child: Any, listener: Listener) -> None:
    """Two children inherit nothing: each listens by itself, and is connected to from here."""
    family = listener.socket.family
    mine, other = child("tools-mine"), child("tools-other")
    tool = start("tcpaccept", "-f", "json", "-n", mine.name)
    ports, connections = {}, []
    for one in (mine, other):
        server = f"socket.create_server(({listener.address!r}, 0), family={int(family)}, backlog=7)"
        one.do(f"globals().__setitem__('s', {server})")
        ports[one.pid] = one.do("s.getsockname()[1]")
        connections.append(socket.create_connection((listener.address, ports[one.pid])))
        one.do("globals().__setitem__('a', s.accept())")
    text_tool = start("tcpaccept", "-P", ports[mine.pid])
    connections.append(socket.create_connection((listener.address, ports[mine.pid])))
    mine.do("globals().__setitem__('b', s.accept())")
    ip = 6 if family == socket.AF_INET6 else 4
    wanted = [
        {
            "pid": mine.pid, "comm": mine.name, "ip": ip, "raddr": listener.address, "laddr": listener.address,
            "rport": connection.getsockname()[1], "lport": ports[mine.pid], "queue": 0, "queue_max": 7,
        }
        for connection in connections[::2]
    ]  # fmt: skip
    assert [{name: row[name] for name in wanted[0]} for row in rows(tool.end())] == wanted
    lines = text_tool.end().splitlines()
    assert lines[0].split() == ["TIME", "PID", "COMM", "IP", "RADDR", "RPORT", "LADDR", "LPORT", "QUEUE"]
    assert [line.split()[5] for line in lines[1:]] == [str(connections[2].getsockname()[1])]
    for connection in connections:
        connection.close()


def test_tcplife(start: Any, child: Any, listener: Listener) -> None:
    mine, other = child("tools-mine"), child("tools-other")
    tool = start("tcplife", "-f", "json", "-p", mine.pid)
    theirs = start("tcplife", "-L", listener.port)
    other_port = listener.connect_from(other)
    listener.socket.accept()[0].close()
    other.do("c.close()")
    port = listener.connect_from(mine)
    accepted, _ = listener.socket.accept()
    mine.do("c.sendall(b'x' * 100000)")
    assert len(accepted.recv(100000, socket.MSG_WAITALL)) == 100000
    accepted.sendall(b"y" * 3000)
    assert mine.do("len(c.recv(3000, socket.MSG_WAITALL))") == 3000
    mine.do("c.close()")
    assert accepted.recv(1) == b""
    accepted.close()
    wait_for(lambda: sum(str(mine.pid) in line for line in tool.text().splitlines()), "the end of the connection")
    (row,) = rows(tool.end())
    assert (row["comm"], row["laddr"], row["lport"]) == (mine.name, listener.address, port)
    assert (row["raddr"], row["rport"]) == (listener.address, listener.port)
    assert 100_000 <= row["tx_bytes"] <= 100_002 and 3000 <= row["rx_bytes"] <= 3002  # SYN and FIN count as a byte each
    assert row["duration_us"] > 0
    lines = theirs.end().splitlines()
    assert lines[0].split() == ["TIME", "PID", "COMM", "LADDR", "LPORT", "RADDR", "RPORT", "TX_KB", "RX_KB", "MS"]
    ours = {line.split()[6]: line.split() for line in lines[1:]}
    assert set(ours) == {str(other_port), str(port)}
    assert ours[str(port)][1] == str(os.getpid()) and ours[str(port)][7:9] == ["2", "97"]


def test_tcpretrans(start: Any, child: Any, listener: Listener) -> None:
    """A queue of accepted connections that is full: a further SYN is ignored, and sent again after a second."""
    full, mine = Listener(6 if ":" in listener.address else 4, backlog=0), child("tools-mine")
    lines = start("tcpretrans", "-P", full.port)
    counts = start("tcpretrans", "-c", "-P", full.port)
    others = start("tcpretrans", "-f", "json", "-P", listener.port)
    full.connect_from(mine)
    listener.connect_from(mine)
    mine.do(f"globals().__setitem__('d', socket.socket({int(full.socket.family)}))")
    mine.do("d.setblocking(False)")
    assert mine.do(f"attempt(d.connect, ({full.address!r}, {full.port}))") == -errno.EINPROGRESS
    port = mine.do("d.getsockname()[1]")
    # A timer's interrupt that comes while another BPF program runs shows to no program: there will be a next one.
    wait_for(lambda: "SYN_SENT" in lines.text(), "a SYN that is sent again")
    # struct tcp_info: tcpi_total_retrans is the u32 at 100
    assert mine.do("int.from_bytes(d.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)[100:104], 'little')") > 0
    found = [line.split() for line in lines.end().splitlines()]
    assert found[0] == ["TIME", "IP", "LADDR", "LPORT", "RADDR", "RPORT", "STATE"]
    ip = "6" if ":" in full.address else "4"
    assert [ip, full.address, str(port), full.address, str(full.port), "SYN_SENT"] in [line[1:] for line in found]
    assert f"@retransmits[{full.address}, {port}, {full.address}, {full.port}]: " in counts.end()
    assert rows(others.end()) == []
    full.socket.close()


def test_tcpdrop(start: Any, child: Any, listener: Listener) -> None:
    """A connection that is refused: its SYN is dropped, since no socket wants it."""
    mine, gone = child("tools-mine"), Listener(6 if ":" in listener.address else 4)
    gone.socket.close()
    records = start("tcpdrop", "-f", "json", "-P", gone.port)
    stacks = start("tcpdrop", "-P", gone.port, "-s")
    others = start("tcpdrop", "-P", listener.port)
    mine.do(f"globals().__setitem__('d', socket.socket({int(gone.socket.family)}))")
    mine.do(f"d.bind(({gone.address!r}, 0))")
    port = mine.do("d.getsockname()[1]")
    assert mine.do(f"attempt(d.connect, ({gone.address!r}, {gone.port}))") == -errno.ECONNREFUSED
    seen = [(row["source"], row["sport"], row["dest"], row["dport"]) for row in rows(records.end())]
    assert seen == [(gone.address, port, gone.address, gone.port)]
    text = stacks.end()
    address = re.escape(gone.address)
    assert re.search(
        rf" {address} +{port} +-> {address} +{gone.port} +\.S\.\.\. SKB_DROP_REASON_NO_SOCKET$", text, re.M
    )
    assert re.search(r"^ +\w+\+\d+$", text, re.M), "no stack"
    assert len(others.end().splitlines()) == 1


def test_tools_agree_with_ss(start: Any, child: Any) -> None:
    """ss knows the connection that tcpconnect showed."""
    one, mine = Listener(4), child("tools-mine")
    tool = start("tcpconnect", "-f", "json", "-p", mine.pid)
    port = one.connect_from(mine)
    found = subprocess.run(["ss", "-tnH", f"sport = {port}"], capture_output=True, text=True, check=True).stdout
    (row,) = rows(tool.end())
    assert found.split()[3:5] == [f"{row['saddr']}:{port}", f"{row['daddr']}:{row['dport']}"]
    one.socket.close()
