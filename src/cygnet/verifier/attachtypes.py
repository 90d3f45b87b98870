"""Which attach types may be given when a program is loaded. Kernel: bpf_prog_load_check_attach."""

from __future__ import annotations

from cygnet.verifier.env import EINVAL
from cygnet.verifier.state import Reject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from cygnet.facts.progtypes import ProgramType

_DEFAULTS: Final = {
    "cgroup_sock": "CGROUP_INET_SOCK_CREATE",
    "sk_reuseport": "SK_REUSEPORT_SELECT",
    "sk_lookup": "",
    "netfilter": "",
}
_STRICT: Final = frozenset(
    ("cgroup_sock", "cgroup_sock_addr", "cgroup_skb", "cgroup_sockopt", "sk_lookup", "sk_reuseport", "netfilter")
)
# These types take no attach type at all
_NONE: Final = frozenset(("syscall", "ext"))


def settle(kind: ProgramType, wanted: str, given: str | int) -> str:
    """The attach type that counts; "" for none. Raises Reject for one that loading refuses."""
    if wanted == "CGROUP_INET_INGRESS":  # its number is 0: as good as none
        wanted = ""
    if kind.name in _NONE:
        if wanted:
            raise Reject(f"programs of type {kind.name} have no expected_attach_type", EINVAL)
        return ""
    if not wanted:
        wanted = _DEFAULTS.get(kind.name, "")
        if not wanted and kind.name == "cgroup_skb":
            return "CGROUP_INET_INGRESS"
    if kind.name in _STRICT and wanted not in kind.attach_types:
        names = ", ".join(kind.attach_types)
        what = f"{wanted} is no" if wanted else "needs an"
        raise Reject(f"{kind.name}: {what} expected_attach_type of it; there are {names}", EINVAL)
    return wanted
