"""Socket options that programs set and get (net/core/filter.c, __bpf_setsockopt): kept in `world.socket_options`."""

from __future__ import annotations

from errno import EINVAL

from cygnet.maps.memory import fill, write
from cygnet.vm.helpers.common import MASK32, s32
from cygnet.vm.helpers.registry import helper
from cygnet.vm.sockets import AF_INET6, TCP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host

_INT = 4
_SOL_IP, _SOL_SOCKET, _SOL_TCP, _SOL_IPV6 = 0, 1, 6, 41
_MAX_BUFFER = 212992  # net.core.wmem_max and rmem_max, as they come
_BINDTODEVICE, _CONGESTION, _SAVED_SYN, _MAX_PACING_RATE = 25, 13, 28, 47
# (level, option) of options that are an int → (least, greatest value); a `bool` becomes 0 or 1
_ANY, _BOOL = (-(1 << 31), (1 << 31) - 1), (0, 0)
_NUMBERS: dict[tuple[int, int], tuple[int, int]] = {
    # SO_REUSEADDR, SNDBUF, RCVBUF, KEEPALIVE, PRIORITY, REUSEPORT, RCVLOWAT, MARK, MAX_PACING_RATE, BINDTOIFINDEX, TXREHASH
    **{(_SOL_SOCKET, name): _ANY for name in (7, 8, 12, 18, 36, 47, 62)},
    **{(_SOL_SOCKET, name): _BOOL for name in (2, 9, 15)},
    (_SOL_SOCKET, 74): (-1, 1),
    # TCP_NODELAY, MAXSEG, KEEPIDLE, KEEPINTVL, KEEPCNT, SYNCNT, WINDOW_CLAMP, THIN_LINEAR_TIMEOUTS, USER_TIMEOUT,
    # NOTSENT_LOWAT, SAVE_SYN, RTO_MAX_MS
    (_SOL_TCP, 1): _BOOL, (_SOL_TCP, 2): (48, 32767), (_SOL_TCP, 4): (1, 32767), (_SOL_TCP, 5): (1, 32767),
    (_SOL_TCP, 6): (1, 127), (_SOL_TCP, 7): (1, 127), (_SOL_TCP, 10): _ANY, (_SOL_TCP, 16): (0, 1),
    (_SOL_TCP, 18): (0, (1 << 31) - 1), (_SOL_TCP, 25): _ANY, (_SOL_TCP, 27): (0, 2), (_SOL_TCP, 44): (1000, 120000),
    (_SOL_IP, 1): _ANY,  # IP_TOS
    (_SOL_IPV6, 67): (-1, 255), (_SOL_IPV6, 70): (0, 3),  # IPV6_TCLASS, AUTOFLOWLABEL
}  # fmt: skip
# of programs only: TCP_BPF_IW, SNDCWND_CLAMP, DELACK_MAX, RTO_MIN, SOCK_OPS_CB_FLAGS
_SET_ONLY = frozenset((_SOL_TCP, name) for name in (1001, 1002, 1003, 1004))
_CB_FLAGS = (_SOL_TCP, 1008)
_LEAST_BUFFER = {7: 4608, 8: 2304}  # SOCK_MIN_SNDBUF, SOCK_MIN_RCVBUF
# SO_RCVLOWAT, TCP_KEEPIDLE, KEEPINTVL, KEEPCNT, SYNCNT: as they are when nobody has set them
_DEFAULTS = {(_SOL_SOCKET, 18): 1, (_SOL_TCP, 4): 7200, (_SOL_TCP, 5): 75, (_SOL_TCP, 6): 9, (_SOL_TCP, 7): 6}


def _refused(machine: Host, option: tuple[int, int]) -> bool:
    """Options of TCP need a TCP socket, those of IPv6 one of IPv6."""
    socket = machine.world.socket
    if socket is None:
        return False
    return (option[0] == _SOL_TCP and socket.protocol != TCP) or (option[0] == _SOL_IPV6 and socket.family != AF_INET6)


def _text(option: tuple[int, int]) -> bool:
    """The value is a name: of an interface, of a congestion control."""
    return option in ((_SOL_SOCKET, _BINDTODEVICE), (_SOL_TCP, _CONGESTION))


@helper("setsockopt")
def setsockopt(machine: Host, context: int, level: int, name: int, value: int, size: int) -> int:
    """-EINVAL for what programs cannot set, and for values that are out of range."""
    data = machine.readable(value, size & MASK32, "value")
    option = s32(level), s32(name)
    if _refused(machine, option):
        return -EINVAL
    kept = data if _text(option) else _number(option, data)
    if kept is None:
        return -EINVAL
    machine.world.socket_options[option] = kept
    return 0


def _number(option: tuple[int, int], data: bytes) -> bytes | None:
    """What is kept of a value; None when it is refused."""
    if option in _SET_ONLY or option == _CB_FLAGS:
        return data if len(data) == _INT else None
    bounds = _NUMBERS.get(option)
    if bounds is None or (len(data) != _INT and (option != (_SOL_SOCKET, _MAX_PACING_RATE) or len(data) != 8)):
        return None
    number = int.from_bytes(data[:_INT], "little", signed=True)
    if bounds is _BOOL:
        number = int(number != 0)
    elif not bounds[0] <= number <= bounds[1]:
        return None
    if option[0] == _SOL_SOCKET and option[1] in _LEAST_BUFFER:
        number = max(2 * min(number & MASK32, _MAX_BUFFER), _LEAST_BUFFER[option[1]])
    return number.to_bytes(_INT, "little", signed=number < 0)


@helper("getsockopt")
def getsockopt(machine: Host, context: int, level: int, name: int, out: int, size: int) -> int:
    """What was set, or the default (mostly 0). -EINVAL, and zeros, for what programs cannot get, or of another size."""
    size &= MASK32
    machine.check(out, size, write=True, what="value")
    option = s32(level), s32(name)
    data = machine.world.socket_options.get(option) or _DEFAULTS.get(option, 0).to_bytes(_INT, "little")
    fill(out, size)
    known = option in _NUMBERS or option == _CB_FLAGS or option == (_SOL_TCP, _CONGESTION)
    saved = option == (_SOL_TCP, _SAVED_SYN) and option in machine.world.socket_options
    if _refused(machine, option) or not (known or saved):
        return -EINVAL
    if _text(option):
        write(out, data[: size - 1] if any(data) else b"")
        return 0
    if saved:
        if len(data) > size:
            return -EINVAL
    elif size != len(data):
        return -EINVAL
    write(out, data)
    return 0
