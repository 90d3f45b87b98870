"""The simulated world that helpers ask: task, clocks, address space, stacks, sockets, routes, and what was recorded.

::

    world = machine.world
    world.task.pid, world.task.comm = 4711, "nginx"
    world.kernel.add(0xFFFF888000001000, b"...")     what bpf_probe_read_kernel finds there
    world.user.add(0x7F0000001000, b"/etc/passwd")
    world.clock_ns = 1_000_000_000                   a clock that stands until it is moved; None is the real one
    world.printed, world.redirects, world.signals    what programs did
"""

from __future__ import annotations

import time

from cygnet.maps.memory import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cygnet.btf.reader import Btf
    from cygnet.maps.memory import Block, Regions
    from cygnet.vm.host import Host
    from cygnet.vm.packets import Packet
    from cygnet.vm.program import Program
    from cygnet.vm.sockets import Socket

# Where the kernel's direct map begins on x86-64: simulated objects get addresses there, which no memory has.
OBJECTS = 0xFFFF_8880_0000_0000
HZ = 250
FLOW_KEYS_BYTES = 56
ETHERNET = 14


class AddressSpace:
    """Memory made of snippets, as a recording or a test knows it. A later snippet hides an earlier one."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: list[tuple[int, bytearray]] = []

    def add(self, address: int, data: bytes) -> None:
        self._pieces.append((address, bytearray(data)))

    def clear(self) -> None:
        self._pieces.clear()

    def _piece(self, address: int) -> tuple[int, bytearray] | None:
        for start, data in reversed(self._pieces):
            if start <= address < start + len(data):
                return start, data
        return None

    def upto(self, address: int, size: int) -> bytes:
        """As many of `size` bytes as are known without a gap."""
        found = bytearray()
        while len(found) < size:
            piece = self._piece(address + len(found))
            if piece is None:
                break
            # of a longer piece, only what no later one hides: byte by byte where pieces meet
            start, data = piece
            at = address + len(found) - start
            rest = size - len(found)
            end = min(len(data), at + rest)
            hiding = [s for s, d in self._pieces if start + at < s < start + end and d is not data]
            end = min([end, *(s - start for s in hiding)])
            found += data[at:end]
        return bytes(found)

    def read(self, address: int, size: int) -> bytes | None:
        """`size` bytes, or None when one of them is not known."""
        found = self.upto(address, size)
        return found if len(found) == size else None

    def write(self, address: int, data: bytes) -> bool:
        """Change what is there; False, and nothing done, when not all of it is."""
        if self.read(address, len(data)) is None:
            return False
        for offset, byte in enumerate(data):
            start, piece = self._piece(address + offset) or (0, bytearray())
            piece[address + offset - start] = byte
        return True


class Task:
    """A thread: `tgid` is the process, `pid` the thread. `cgroups` are the ids from the root to its own."""

    __slots__ = ("address", "cgroups", "classid", "comm", "gid", "inode", "kernel_stack", "ns_pid", "ns_tgid", "pid",
                 "tgid", "uid", "user_stack")  # fmt: skip

    def __init__(
        self, pid: int = 1, comm: str = "test", *, tgid: int | None = None, uid: int = 0, gid: int = 0
    ) -> None:
        self.pid = pid
        self.tgid = pid if tgid is None else tgid
        self.comm = comm
        self.uid, self.gid = uid, gid
        self.cgroups: tuple[int, ...] = (1,)
        self.classid = 0
        self.ns_pid, self.ns_tgid = self.pid, self.tgid
        self.kernel_stack: tuple[int, ...] = ()  # addresses, innermost first
        self.user_stack: tuple[int, ...] = ()
        self.address = 0  # of its task_struct; 0: the world gives one
        self.inode = 0


class Route:
    """What bpf_fib_lookup finds for destinations in `network` (text with a prefix length)."""

    __slots__ = ("destination_mac", "ifindex", "mtu", "network", "next_hop", "source_mac")

    def __init__(
        self,
        network: str,
        ifindex: int,
        *,
        source_mac: bytes = bytes(6),
        destination_mac: bytes = bytes(6),
        next_hop: bytes = b"",
        mtu: int = 1500,
    ) -> None:
        from ipaddress import ip_network

        self.network = ip_network(network)
        self.ifindex, self.mtu = ifindex, mtu
        self.source_mac, self.destination_mac = source_mac, destination_mac
        self.next_hop = next_hop


class Redirect:
    """A recorded verdict: `how` is the helper, `target` an interface, a CPU, or a descriptor of a socket."""

    __slots__ = ("flags", "how", "key", "map", "packet", "target")

    def __init__(
        self, how: str, target: int | None, flags: int = 0, *, map: str = "", key: bytes | int = 0, packet: bytes = b""
    ) -> None:
        self.how, self.target, self.flags = how, target, flags
        self.map, self.key, self.packet = map, key, packet

    def __repr__(self) -> str:
        return f"<Redirect {self.how} target={self.target} flags={self.flags:#x}>"


class Timer:
    """A bpf_timer: `due` is when it fires on the world's clock, None while it does not run."""

    __slots__ = ("callback", "due", "key", "map")

    def __init__(self, map: Any) -> None:
        self.map = map
        self.callback = 0
        self.due: int | None = None
        self.key = b""


class World:
    """What is around a program. Every attribute may be set by a test; lists are what programs did."""

    def __init__(self) -> None:
        # who and when
        self.task = Task()
        self.clock_ns: int | None = None
        self.boot_offset_ns = 0
        self.tai_offset_ns = 0
        self.numa_node = 0
        self.pid_namespace = (0, 0)  # (device, inode) of the namespace that Task.ns_pid counts in
        # memory and symbols
        self.kernel = AddressSpace()
        self.user = AddressSpace()
        self.btf: Btf | None = None  # the types of the kernel
        self.mappings: list[tuple[int, int, int]] = []  # of the task: start, end, address of its vm_area_struct or 0
        self.symbols: dict[str, int] = {}
        self.paths: dict[int, str] = {}  # struct path's address → what bpf_d_path gives
        self.files: dict[int, object] = {}  # struct file's address → the socket that it is
        # the running program
        self.program_type = ""
        self.packet: Packet | None = None
        self.retval = 0  # of a cgroup program
        self.cookie = 0  # bpf_get_attach_cookie
        self.function_ip = 0
        self.counter = (0, 0, 0)  # of the perf event a program is attached to: value, ns enabled, ns running
        self.arguments: tuple[int, ...] = ()  # of the traced function
        self.function_result: int | None = None
        self.attach_type = 0
        # the network
        self.sockets: list[Socket] = []
        self._socket: Socket | None = None
        self.on_socket: Callable[[], None] | None = None  # told when another socket is set
        self.test_socket: Socket | None = None  # what test runs give a packet that has none
        self.last_cookie = 0  # of sockets that had none when they were asked
        self.routes: list[Route] = []
        self.interfaces: dict[int, int] = {1: 65536}  # number → MTU
        self.netns_cookie = 1
        self.socket_options: dict[tuple[int, int], bytes] = {}
        self.at_ingress = True  # of tc: the packet has come in; test runs are on neither side
        self.is_test_run = False
        self.tunnel_key = b""  # struct bpf_tunnel_key, as a program gets it
        self.tunnel_flags = 0  # TUNNEL_* of <linux/if_tunnel.h>
        self.tunnel_ipv6 = False
        self.tunnel_options = b""
        self.tunnel_is_own = False  # the key was set by a program
        self.route_realm = 0
        self.tcp_syn = b""  # the TCP header of the SYN that a sock_ops program's connection began with
        self.tcp_room = 40  # bytes that are left for options in the header that goes out
        # of a sysctl program
        self.sysctl_name = ""
        self.sysctl_value: bytes | None = None
        self.sysctl_new: bytes | None = None
        self._start_record()

    def _start_record(self) -> None:
        """What programs did, and what is kept of it."""
        self.printed: list[str] = []
        self.redirects: list[Redirect] = []
        self.signals: list[tuple[int, bool]] = []  # (signal, to the thread only)
        self.overridden: list[int] = []
        self.did: list[tuple[str, tuple[Any, ...]]] = []  # (helper, arguments) of what has no place of its own
        self.seq = bytearray()  # what an iterator wrote
        self.timers: dict[int, Timer] = {}
        self.firing = 0  # the timer whose callback runs
        self.entries: dict[tuple[int, int], Program] = {}  # programs that enter callbacks
        self.variables: dict[str, list[bytes]] = {}  # per-CPU variables of the kernel, a value for each CPU
        self.variable_places: dict[str, tuple[int, int]] = {}  # (address, bytes from CPU to CPU)
        self.locks: set[int] = set()
        self.references: dict[int, int] = {}  # socket's address → how often it was looked up and not released
        self.descriptors: dict[tuple[str, int], int] = {}  # (kind, address) → descriptor, of what storage hangs on
        self._objects: dict[tuple[str, int], int] = {}
        self._next_object = OBJECTS
        self._flow_keys: Block | None = None

    @property
    def socket(self) -> Socket | None:
        """The context's."""
        return self._socket

    @socket.setter
    def socket(self, socket: Socket | None) -> None:
        self._socket = socket
        if self.on_socket is not None:
            self.on_socket()

    # ── clocks ──

    def now_ns(self) -> int:
        """CLOCK_MONOTONIC."""
        return time.monotonic_ns() if self.clock_ns is None else self.clock_ns

    def boot_ns(self) -> int:
        if self.clock_ns is None and hasattr(time, "CLOCK_BOOTTIME"):
            return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return self.now_ns() + self.boot_offset_ns

    def tai_ns(self) -> int:
        if self.clock_ns is None and hasattr(time, "CLOCK_TAI"):
            return time.clock_gettime_ns(time.CLOCK_TAI)
        return self.now_ns() + self.tai_offset_ns

    def jiffies(self) -> int:
        """At 250 a second, counted as Linux does: five minutes before they pass 32 bits."""
        return (self.now_ns() * HZ // 1_000_000_000 + (1 << 32) - 300 * HZ) & 0xFFFFFFFFFFFFFFFF

    # ── memory ──

    def peek(self, regions: Regions, address: int, size: int, where: str) -> bytes | None:
        """What a probe read of `size` bytes finds; `where` is kernel, user or any."""
        if where != "user":
            if regions.find(address, size):
                return read(address, size)
            found = self.kernel.read(address, size)
            if found is not None:
                return found
        return self.user.read(address, size) if where != "kernel" else None

    def peek_string(self, regions: Regions, address: int, limit: int, where: str) -> bytes | None:
        """The bytes of a string, without its NUL and at most `limit`; None when it cannot be read."""
        if where != "user":
            around = regions.around(address)
            if around is not None:
                data = read(address, min(limit, around.bounds(address)[1] - address))
                return _until_nul(data, limit)
            data = self.kernel.upto(address, limit)
            if data:
                return _until_nul(data, limit)
        return _until_nul(self.user.upto(address, limit), limit) if where != "kernel" else None

    def poke_user(self, address: int, data: bytes) -> bool:
        return self.user.write(address, data)

    # ── objects ──

    def object_address(self, kind: str, number: int) -> int:
        """An address for a simulated kernel object, always the same."""
        key = kind, number
        if key not in self._objects:
            self._objects[key] = self._next_object
            self._next_object += 0x4000
        return self._objects[key]

    @property
    def task_address(self) -> int:
        return self.task.address or self.object_address("task", self.task.pid)

    def variable(self, host: Host, name: str) -> int:
        """The address of a per-CPU variable, whose values `variables` has; zeros of 8 bytes when it has not."""
        if name not in self.variable_places:
            values = self.variables.get(name) or [bytes(8)]
            stride = max(len(value) for value in values) + 7 & ~7
            block = host.memory.block(stride * host.map_host.cpus, f"variable {name}", item=stride, stride=stride)
            for cpu in range(host.map_host.cpus):
                value = values[min(cpu, len(values) - 1)]
                block.view[cpu * stride : cpu * stride + len(value)] = value
            self.variable_places[name] = block.address, stride
        return self.variable_places[name][0]

    def cookie_of(self, socket: Socket) -> int:
        """A socket's cookie; one that has none gets the next."""
        if not socket.cookie:
            self.last_cookie += 1
            socket.cookie = self.last_cookie
        return socket.cookie

    def flow_keys_at(self, host: Host, offset: int, protocol: bytes) -> int:
        """The address of a flow dissector's struct bpf_flow_keys, as it is before a run (bpf_flow_dissect)."""
        if self._flow_keys is None:
            self._flow_keys = host.memory.block(FLOW_KEYS_BYTES, "flow keys")
        start = offset.to_bytes(2, "little") * 2
        self._flow_keys.view[:] = (start + bytes(6) + protocol).ljust(FLOW_KEYS_BYTES, b"\0")
        return self._flow_keys.address

    def flow_keys(self, length: int) -> bytes:
        """struct bpf_flow_keys after a run over a packet of `length` bytes: the offsets stay inside of it."""
        assert self._flow_keys is not None
        data = bytes(self._flow_keys.view)
        network = min(max(int.from_bytes(data[:2], "little"), ETHERNET), length)
        transport = min(max(int.from_bytes(data[2:4], "little"), network), length)
        return network.to_bytes(2, "little") + transport.to_bytes(2, "little") + data[4:]

    def interface(self, number: int) -> int | None:
        """The MTU of an interface; None when there is none."""
        return self.interfaces.get(number)

    def due(self, until: int) -> list[int]:
        """The timers that fire up to `until`, in order."""
        waiting = [(timer.due, address) for address, timer in self.timers.items() if timer.due is not None]
        return [address for due, address in sorted(waiting) if due <= until]


def _until_nul(data: bytes, limit: int) -> bytes | None:
    """A string that ends inside of `data`, or goes on past the limit; None when memory ends before it does."""
    end = data.find(b"\0")
    if end >= 0:
        return data[:end]
    return data if len(data) >= limit else None
