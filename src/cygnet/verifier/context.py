"""Access to the context: which bytes a program of a type may read or write, in which sizes, and what it gets.

The fields, and who reads and writes them, are rows of facts.contexts. Here is how: in which sizes, and what depends on
the attach type (net/core/filter.c, kernel/trace/bpf_trace.c, kernel/bpf/cgroup.c: the is_valid_access functions).
"""

from __future__ import annotations

from cygnet.verifier import reg as r

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cygnet.facts.contexts import Field
    from cygnet.verifier.env import Env

MAX_TRACE_BYTES = 8192
MAX_FUNC_ARGS = 12

# How a field may be read: narrow (1, 2 … bytes up to its size, aligned to themselves), whole, wide (narrow, or eight
# aligned bytes of an array of words), any (any size within), start (narrow at its first byte, else whole)
_MODES: dict[str, dict[str, str]] = {
    "__sk_buff": {
        **dict.fromkeys(
            ("data", "data_end", "data_meta", "remote_ip4", "local_ip4", "remote_ip6", "local_ip6", "hwtstamp",
             "tstamp", "sk", "flow_keys", "tstamp_type"), "whole"),
        "cb": "any",
    },
    "xdp_md": {},
    "bpf_sock": {
        **dict.fromkeys(("family", "type", "protocol", "src_port", "state", "rx_queue_mapping"), "start"),
        **dict.fromkeys(("src_ip4", "src_ip6", "dst_ip4", "dst_ip6"), "narrow"),
        "dst_port": "port",
    },
    "bpf_sock_ops": {"skb_tcp_flags": "start_only"},
    "bpf_cgroup_dev_ctx": {"access_type": "narrow"},
    "sk_msg_md": {},
    "bpf_sock_addr": {
        **dict.fromkeys(("user_ip6", "msg_src_ip6"), "wide"),
        **dict.fromkeys(("user_ip4", "msg_src_ip4", "user_port"), "narrow"),
    },
    "sk_reuseport_md": {**dict.fromkeys(("len", "ip_protocol", "bind_inany"), "narrow"), "eth_protocol": "narrow2"},
    "bpf_sysctl": dict.fromkeys(("write", "file_pos"), "narrow"),
    "bpf_sockopt": {},
    "bpf_sk_lookup": {
        **dict.fromkeys(
            ("family", "protocol", "remote_ip4", "remote_ip6", "local_ip4", "local_ip6", "local_port",
             "ingress_ifindex"), "narrow"),
        "remote_port": "port",
    },
    "bpf_nf_ctx": {},
    "bpf_perf_event_data": dict.fromkeys(("sample_period", "addr"), "narrow"),
}  # fmt: skip

_INET4 = frozenset(
    ("CGROUP_INET4_BIND", "CGROUP_INET4_CONNECT", "CGROUP_INET4_GETPEERNAME", "CGROUP_INET4_GETSOCKNAME",
     "CGROUP_UDP4_SENDMSG", "CGROUP_UDP4_RECVMSG"))  # fmt: skip
_INET6 = frozenset(name.replace("4", "6") for name in _INET4)
_CREATE = frozenset(("CGROUP_INET_SOCK_CREATE", "CGROUP_INET_SOCK_RELEASE"))
_BOUND4, _BOUND6 = frozenset(("CGROUP_INET4_POST_BIND",)), frozenset(("CGROUP_INET6_POST_BIND",))

# (program type, field) → the attach types that may; "w" after the field's name: to write
_ATTACH: dict[tuple[str, str], frozenset[str]] = {
    ("xdp", "egress_ifindex"): frozenset(("XDP_DEVMAP",)),
    ("cgroup_sock_addr", "user_ip4"): _INET4,
    ("cgroup_sock_addr", "user_ip6"): _INET6,
    ("cgroup_sock_addr", "msg_src_ip4"): frozenset(("CGROUP_UDP4_SENDMSG",)),
    ("cgroup_sock_addr", "msg_src_ip6"): frozenset(("CGROUP_UDP6_SENDMSG",)),
    ("cgroup_sock", "bound_dev_if"): _CREATE,
    ("cgroup_sock", "mark"): _CREATE,
    ("cgroup_sock", "priority"): _CREATE,
    ("cgroup_sock", "src_ip4"): _BOUND4,
    ("cgroup_sock", "src_ip6"): _BOUND6,
    ("cgroup_sock", "src_port"): _BOUND4 | _BOUND6,
    ("cgroup_sockopt", "retval"): frozenset(("CGROUP_GETSOCKOPT",)),
    ("cgroup_sockopt", "level w"): frozenset(("CGROUP_SETSOCKOPT",)),
    ("cgroup_sockopt", "optname w"): frozenset(("CGROUP_SETSOCKOPT",)),
}

_KINDS = {
    "int": r.SCALAR,
    "packet": r.PKT,
    "packet_end": r.PKT_END,
    "packet_meta": r.PKT_META,
    "sock?": r.SOCK_COMMON | r.MAYBE_NULL,
    "sock": r.SOCK_COMMON,
    "socket": r.SOCKET,
    "socket?": r.SOCKET | r.MAYBE_NULL,
    "flow_keys": r.FLOW_KEYS,
}


class Access:
    """What an allowed access gives: a kind of register; for a BTF pointer of which type; bounds of a return value."""

    __slots__ = ("btf", "btf_id", "field", "is_retval", "ref", "type")

    def __init__(self, type: int = r.SCALAR) -> None:
        self.type = type
        self.btf: Any = None
        self.btf_id = 0
        self.ref = 0
        self.is_retval = False
        self.field = ""


_SCALAR = Access()


class Context:
    """The context of one program: `check` gives None for an access that is not allowed."""

    def __init__(self, env: Env) -> None:
        self.env = env
        self.prog_type = env.prog_type
        self.attach = env.attach
        self.check: Callable[[int, int, bool, bool], Access | None] = _CHECKS.get(env.prog_type, _by_fields)(self)

    @property
    def structure(self) -> str:
        from cygnet.facts.progtypes import program_type

        return program_type(self.prog_type).context


def _narrow(off: int, size: int, whole: int) -> bool:
    return size <= whole and size & (size - 1) == 0 and off % size == 0


def _readable(mode: str, field: Field, off: int, size: int) -> bool:
    if off % size:
        return False
    if mode == "whole":
        return size == field.size
    if mode == "narrow":
        return _narrow(off, size, field.size)
    if mode == "any":
        return off + size <= field.offset + field.size * field.count
    if mode == "start":
        return size == field.size or (off == field.offset and _narrow(off, size, field.size))
    if mode == "start_only":
        return off == field.offset and _narrow(off, size, field.size)
    if mode == "narrow2":
        return size >= 2 and _narrow(off, size, field.size)
    if mode == "port":  # two bytes, and four for programs that took it for a word
        return size == 4 or _narrow(off, size, 2)
    end = field.offset + field.size * field.count
    return _narrow(off, size, field.size) or (size == 8 and off + 8 <= end)


def _by_fields(context: Context) -> Callable[[int, int, bool, bool], Access | None]:
    """The rule of contexts that are a structure of fields."""
    from cygnet.facts.contexts import fields

    structure, prog_type, attach = context.structure, context.prog_type, context.attach
    modes = _MODES.get(structure, {})
    default = "narrow" if structure == "__sk_buff" else "whole"
    by_offset: dict[int, list[Field]] = {}
    for field in fields(structure).values():
        # the two bytes after this port are zero, and may be read
        padding = 2 if structure == "bpf_sk_lookup" and field.name == "remote_port" else 0
        for at in range(field.offset, field.offset + field.size * field.count + padding):
            by_offset.setdefault(at, []).append(field)

    def allowed(field: Field, off: int, size: int, write: bool, sign: bool) -> Access | None:
        if prog_type not in (field.writers if write else field.readers):
            return None
        mode = modes.get(field.name, default)
        for key in ((prog_type, field.name), (prog_type, f"{field.name} w") if write else None):
            if key is not None and attach not in _ATTACH.get(key, (attach,)):
                return None
        if write:
            if mode == "any" or mode == "wide":
                wide = size == 8 and off + 8 <= field.offset + field.size * field.count
                good = off % size == 0 and (size == field.size or wide) if mode == "wide" else None
                if good is None:
                    good = _readable(mode, field, off, size)
            else:
                good = size == field.size and off % size == 0
            return _SCALAR if good else None
        if not _readable(mode, field, off, size) or (sign and field.kind.startswith("packet")):
            return None
        if field.kind.startswith("btf:"):
            return _btf_field(context.env, field.kind[4:])
        kind = _KINDS[field.kind]
        return _SCALAR if kind == r.SCALAR else Access(kind)

    def check(off: int, size: int, write: bool, sign: bool) -> Access | None:
        for field in by_offset.get(off, ()):
            found = allowed(field, off, size, write, sign)
            if found is not None:
                return found
        return None

    return check


def _btf_field(env: Env, name: str) -> Access | None:
    from cygnet.verifier.kerneltypes import struct_id

    access = Access(r.BTF | r.TRUSTED)
    access.btf, access.btf_id = struct_id(env, name)
    return access


def _lirc(context: Context) -> Callable[[int, int, bool, bool], Access | None]:
    return lambda off, size, write, sign: _SCALAR if not write and off == 0 and size == 4 else None


def _kprobe(context: Context) -> Callable[[int, int, bool, bool], Access | None]:
    from cygnet.facts.registers import pt_regs_bytes

    end = pt_regs_bytes("x86_64")

    def check(off: int, size: int, write: bool, sign: bool) -> Access | None:
        return _SCALAR if not write and 0 <= off and off + size <= end and off % size == 0 else None

    return check


def _tracepoint(context: Context) -> Callable[[int, int, bool, bool], Access | None]:
    return lambda off, size, write, sign: (
        _SCALAR if not write and 8 <= off < MAX_TRACE_BYTES and off % size == 0 else None
    )


def _perf_event(context: Context) -> Callable[[int, int, bool, bool], Access | None]:
    from cygnet.facts.registers import pt_regs_bytes

    end = pt_regs_bytes("x86_64")

    def check(off: int, size: int, write: bool, sign: bool) -> Access | None:
        if write or off < 0 or off >= end + 16 or off % size:
            return None
        return _SCALAR if off >= end or size == 8 else None

    return check


def _raw_tp(context: Context) -> Callable[[int, int, bool, bool], Access | None]:
    writable = context.prog_type == "raw_tracepoint_writable"

    def check(off: int, size: int, write: bool, sign: bool) -> Access | None:
        if write or not 0 <= off < 8 * MAX_FUNC_ARGS or off % size:
            return None
        if writable and off == 0:
            return Access(r.TP_BUFFER) if size == 8 else None
        return _SCALAR

    return check


def _syscall(context: Context) -> Callable[[int, int, bool, bool], Access | None]:
    return lambda off, size, write, sign: _SCALAR if 0 <= off < 0xFFFF and off % size == 0 else None


def _typed(context: Context) -> Callable[[int, int, bool, bool], Access | None]:
    """The arguments of a kernel function, by its BTF."""
    from cygnet.verifier.attach import argument

    def check(off: int, size: int, write: bool, sign: bool) -> Access | None:
        if write or not 0 <= off < 8 * MAX_FUNC_ARGS or off % size:
            return None
        return argument(context.env, off, size)

    return check


_CHECKS: dict[str, Callable[[Context], Callable[[int, int, bool, bool], Access | None]]] = {
    "lirc_mode2": _lirc,
    "kprobe": _kprobe,
    "tracepoint": _tracepoint,
    "perf_event": _perf_event,
    "raw_tracepoint": _raw_tp,
    "raw_tracepoint_writable": _raw_tp,
    "tracing": _typed,
    "lsm": _typed,
    "struct_ops": _typed,
    "syscall": _syscall,
}


# -- sockets that programs hold pointers to: as the context of cgroup_sock programs, without attach types


_TCP_SOCK_BYTES = 112


def socket_access(kind: int, off: int, size: int) -> bool:
    """May a field of what SOCKET, SOCK_COMMON, TCP_SOCK and XDP_SOCK pointers point to be read?"""
    if off < 0 or off % size:
        return False
    if kind == r.TCP_SOCK:
        return off < _TCP_SOCK_BYTES and size == (8 if off in (80, 88) else 4)
    if kind == r.XDP_SOCK:
        return off == 0 and size == 4
    if kind == r.SOCK_COMMON and 8 <= off < 24:
        return False
    return _bpf_sock(off, size)


def _bpf_sock(off: int, size: int) -> bool:
    from cygnet.facts.contexts import field_at

    field = field_at("bpf_sock", off)
    if field is None:
        return False
    return _readable(_MODES["bpf_sock"].get(field.name, "whole"), field, off, size)
