"""Contexts without packets: sockets and addresses, cgroups, tracing."""

from __future__ import annotations

from ipaddress import ip_address
from struct import pack

from cygnet.facts.contexts import fields
from cygnet.vm.contexts.model import Context, structure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Protocol

    from cygnet.vm.contexts.model import Value
    from cygnet.vm.host import Host
    from cygnet.vm.world import World

    class RecordField(Protocol):
        """A field of a tracepoint's record, as its format file has it."""

        @property
        def name(self) -> str: ...
        @property
        def offset(self) -> int: ...
        @property
        def size(self) -> int: ...


_SKB_DATA = 192  # of struct bpf_sock_ops: skb_data, skb_data_end, skb_len
DEVICE_ACCESS = {"mknod": 1, "read": 2, "write": 4}
DEVICE_KINDS = {"block": 1, "char": 2}


def _address(values: dict[str, Value], prefix: str, address: str) -> None:
    """Fill in PREFIXip4 or PREFIXip6."""
    if address:
        data = ip_address(address).packed
        values[f"{prefix}ip4" if len(data) == 4 else f"{prefix}ip6"] = data


def _big16(number: int) -> bytes:
    return number.to_bytes(2, "big")


def _with_socket(name: str) -> Callable[[World, Host], None]:
    """Lets the context's `sk` lead to the world's socket, when there is one."""
    at = fields(name)["sk"].offset

    def setup(world: World, host: Host) -> None:
        if world.socket is not None:
            from cygnet.maps.memory import store64

            store64(host.context + at, world.socket.address(host))

    return setup


def sock(**values: Value) -> Context:
    """struct bpf_sock."""
    return Context("bpf_sock", structure("bpf_sock", values))


def sock_addr(address: str = "", port: int = 0, **values: Value) -> Context:
    """struct bpf_sock_addr: the address and port that a call of connect, bind … gives."""
    known: dict[str, Value] = {"user_port": _big16(port)}
    _address(known, "user_", address)
    family = 10 if "user_ip6" in known else 2
    known |= {"user_family": family, "family": family, "type": 1, "protocol": 6}
    made = structure("bpf_sock_addr", known | values)
    return Context("bpf_sock_addr", made, setup=_with_socket("bpf_sock_addr"))


def sock_ops(
    op: int,
    local: str = "",
    remote: str = "",
    *,
    ports: tuple[int, int] = (0, 0),
    header: bytes | None = None,
    **values: Value,
) -> Context:
    """struct bpf_sock_ops for an event BPF_SOCK_OPS_*; `ports` are the local and the remote one, `header` the TCP header
    with its options that the program sees through skb_data.

    The structure has the local port in the machine's order, and the remote one's two bytes in network order, above 16 zeros.
    """
    known: dict[str, Value] = {"op": op, "is_fullsock": 1}
    _address(known, "local_", local)
    _address(known, "remote_", remote)
    known["family"] = 10 if ":" in local else 2
    known |= {"local_port": ports[0], "remote_port": bytes(2) + _big16(ports[1])}
    made = structure("bpf_sock_ops", known | values)
    setup = _with_socket("bpf_sock_ops")
    if header is None:
        return Context("bpf_sock_ops", made, setup=setup)
    pointers = ((_SKB_DATA, 8, "data"), (_SKB_DATA + 8, 8, "end"))
    return Context("bpf_sock_ops", made, packet=header, pointers=pointers, length_at=_SKB_DATA + 16, setup=setup)


def sk_lookup(
    local: tuple[str, int] = ("", 0), remote: tuple[str, int] = ("", 0), *, protocol: int = 6, **values: Value
) -> Context:
    """struct bpf_sk_lookup for a packet from `remote` to `local`."""
    known: dict[str, Value] = {"protocol": protocol, "family": 10 if ":" in local[0] else 2}
    _address(known, "local_", local[0])
    _address(known, "remote_", remote[0])
    known |= {"local_port": local[1], "remote_port": _big16(remote[1])}
    return Context("bpf_sk_lookup", structure("bpf_sk_lookup", known | values))


# ── cgroups ──────────────────────────────────────────────────────────────────────────────────────────────


def device(access: str | Iterable[str], kind: str, major: int, minor: int) -> Context:
    """struct bpf_cgroup_dev_ctx. `access`: mknod, read, write, or several; `kind`: block or char."""
    wanted = (access,) if isinstance(access, str) else tuple(access)
    bits = sum(DEVICE_ACCESS[word] for word in wanted)
    values: dict[str, Value] = {"access_type": bits << 16 | DEVICE_KINDS[kind], "major": major, "minor": minor}
    return Context("bpf_cgroup_dev_ctx", structure("bpf_cgroup_dev_ctx", values))


def sysctl(name: str, value: str = "", new: str | None = None, *, file_pos: int = 0) -> Context:
    """struct bpf_sysctl for /proc/sys/NAME: read, or with `new` written."""

    def setup(world: World, host: Host) -> None:
        world.sysctl_name, world.sysctl_value = name, value.encode()
        world.sysctl_new = None if new is None else new.encode()

    values: dict[str, Value] = {"write": int(new is not None), "file_pos": file_pos}
    return Context("bpf_sysctl", structure("bpf_sysctl", values), setup=setup)


def sockopt(level: int, optname: int, optval: bytes = b"", *, retval: int = 0, optlen: int | None = None) -> Context:
    """struct bpf_sockopt; `optval` is what setsockopt was given, or what the kernel answers to getsockopt."""
    length = len(optval) if optlen is None else optlen
    values: dict[str, Value] = {"level": level, "optname": optname, "optlen": length, "retval": retval}
    pointers = ((8, 8, "data"), (16, 8, "end"))
    made, setup = structure("bpf_sockopt", values), _with_socket("bpf_sockopt")
    return Context("bpf_sockopt", made, packet=optval, pointers=pointers, setup=setup)


# ── tracing ──────────────────────────────────────────────────────────────────────────────────────────────


def raw_tracepoint(*arguments: int) -> Context:
    """The arguments of a raw tracepoint; as many as are given."""
    return Context("bpf_raw_tracepoint_args", pack(f"<{len(arguments)}Q", *(a & (1 << 64) - 1 for a in arguments)))


def tracepoint(record: Iterable[RecordField], **values: int | bytes) -> Context:
    """A tracepoint's record from its format (`TargetInfo.tracepoint_format(…).fields`). KeyError for an unknown field."""
    known = {field.name: field for field in record}
    data = bytearray(max((field.offset + field.size for field in known.values()), default=0))
    for name, value in values.items():
        field = known[name]
        text = value if isinstance(value, bytes) else (value & (1 << 8 * field.size) - 1).to_bytes(field.size, "little")
        data[field.offset : field.offset + field.size] = text[: field.size].ljust(field.size, b"\0")
    return Context("tracepoint", data)


def function(arguments: Sequence[int], result: int | None = None) -> Context:
    """What fentry (no result) and fexit programs get: arguments as u64s, then the result."""
    numbers = [*arguments, *([] if result is None else [result])]

    def setup(world: World, host: Host) -> None:
        world.arguments, world.function_result = tuple(arguments), result

    return Context("function", pack(f"<{len(numbers)}Q", *(n & (1 << 64) - 1 for n in numbers)), setup=setup)


def registers(machine: str = "x86_64", **values: int) -> Context:
    """struct pt_regs of a kprobe or uprobe."""
    return Context("pt_regs", structure("pt_regs", values, machine=machine))


def perf_event(sample_period: int = 0, address: int = 0, machine: str = "x86_64", **values: int) -> Context:
    """struct bpf_perf_event_data: registers, period and address of a sample."""
    known: dict[str, Value] = {**values, "sample_period": sample_period, "addr": address}
    return Context("bpf_perf_event_data", structure("bpf_perf_event_data", known, machine=machine))


def memory(data: bytes) -> Context:
    """Bytes as they are: of syscall programs, and of any other."""
    return Context("memory", data)
