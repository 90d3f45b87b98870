"""Sockets of test runs: the one a packet gets that does nothing, and the one that an sk_lookup program selects."""

from __future__ import annotations

from contextlib import contextmanager
from ipaddress import ip_address

from cygnet.vm.contexts.model import get
from cygnet.vm.sockets import AF_INET, AF_INET6, Socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.vm.contexts import Context
    from cygnet.vm.world import World

_SK_LOOKUP = 72  # bytes of struct bpf_sk_lookup
_CLOSE = 7  # TCP_CLOSE
# (offset, bytes) of the local and the remote address in struct __sk_buff
_ADDRESSES = {AF_INET: ((96, 4), (92, 4)), AF_INET6: ((116, 16), (100, 16))}


@contextmanager
def as_tested(world: World, context: Context) -> Iterator[None]:
    """A packet of a test run has a socket that does nothing, unless the world gives it one, and comes from nowhere."""
    given = world.socket, world.at_ingress
    if context.structure == "__sk_buff":
        world.at_ingress, world.is_test_run = False, True
        if world.socket is None:
            world.socket = _idle(world, context)
    try:
        yield
    finally:
        world.socket, world.at_ingress = given
        world.is_test_run = False


def _idle(world: World, context: Context) -> Socket:
    """bpf_prog_test_run_skb: sk_alloc, sock_init_data and the packet's addresses."""
    made = world.test_socket
    if made is None:
        made = world.test_socket = Socket(("", 0), protocol=0, state=_CLOSE)
        made.type = 0
    made.family = get("__sk_buff", memoryview(context.data), "family")
    places = _ADDRESSES.get(made.family, ((0, 0), (0, 0)))
    local, remote = (bytes(context.data[at : at + size]) for at, size in places)
    made.local, made.remote = ((str(ip_address(data)) if data else "", 0) for data in (local, remote))
    made.show()
    return made


def selection(world: World, verdict: int, ctx: bytes, given: bytes) -> tuple[int, bytes]:
    """(SK_PASS or SK_DROP, the context with the cookie of the socket that an sk_lookup program has selected)."""
    at = int.from_bytes(ctx[:8], "little")
    passed = verdict == 1
    chosen = next((one for one in world.sockets if one.lies_at(at)), None) if passed and at else None
    cookie = world.cookie_of(chosen) if chosen is not None else 0
    return int(passed), cookie.to_bytes(8, "little") + given[8:].ljust(_SK_LOOKUP - 8, b"\0")
