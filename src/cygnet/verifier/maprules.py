"""Which map a helper takes, and which maps a program may use at all (kernel/bpf/verifier.c)."""

from __future__ import annotations

from cygnet.verifier.env import E2BIG, EINVAL, Env, MapInfo
from cygnet.verifier.state import Reject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MAX_MAPS = 64

_RINGBUF: Final = "ringbuf_output ringbuf_reserve ringbuf_query ringbuf_reserve_dynptr"
_STORAGE: Final = "{0}_storage_get {0}_storage_delete kptr_xchg"
# map type → the only helpers that take it; other types take what is not bound to one
_HELPERS: Final = {
    "prog_array": "tail_call",
    "perf_event_array": "perf_event_read perf_event_output skb_output perf_event_read_value xdp_output",
    "ringbuf": _RINGBUF + " ringbuf_submit_dynptr ringbuf_discard_dynptr",
    "user_ringbuf": "user_ringbuf_drain",
    "stack_trace": "get_stackid",
    "cgroup_array": "skb_under_cgroup current_task_under_cgroup",
    "cgroup_storage": "get_local_storage",
    "percpu_cgroup_storage": "get_local_storage",
    "devmap": "redirect_map map_lookup_elem",
    "devmap_hash": "redirect_map map_lookup_elem",
    "cpumap": "redirect_map",
    "xskmap": "redirect_map map_lookup_elem",
    "array_of_maps": "map_lookup_elem",
    "hash_of_maps": "map_lookup_elem",
    "sockmap": "sk_redirect_map sock_map_update msg_redirect_map sk_select_reuseport map_lookup_elem",
    "sockhash": "sk_redirect_hash sock_hash_update msg_redirect_hash sk_select_reuseport map_lookup_elem",
    "reuseport_sockarray": "sk_select_reuseport",
    "queue": "map_peek_elem map_pop_elem map_push_elem",
    "stack": "map_peek_elem map_pop_elem map_push_elem",
    "sk_storage": _STORAGE.format("sk"),
    "inode_storage": _STORAGE.format("inode"),
    "task_storage": _STORAGE.format("task"),
    "cgrp_storage": _STORAGE.format("cgrp"),
    "bloom_filter": "map_peek_elem map_push_elem",
}
_CGROUP: Final = "cgroup_storage percpu_cgroup_storage"
# helper → the only map types it takes
_MAPS: Final = {
    "tail_call": "prog_array",
    **dict.fromkeys(
        ("perf_event_read", "perf_event_output", "perf_event_read_value", "skb_output", "xdp_output"),
        "perf_event_array",
    ),
    **dict.fromkeys(_RINGBUF.split(), "ringbuf"),
    "user_ringbuf_drain": "user_ringbuf",
    "get_stackid": "stack_trace",
    "current_task_under_cgroup": "cgroup_array",
    "skb_under_cgroup": "cgroup_array",
    "redirect_map": "devmap devmap_hash cpumap xskmap",
    **dict.fromkeys(("sk_redirect_map", "msg_redirect_map", "sock_map_update"), "sockmap"),
    **dict.fromkeys(("sk_redirect_hash", "msg_redirect_hash", "sock_hash_update"), "sockhash"),
    "get_local_storage": _CGROUP,
    "sk_select_reuseport": "reuseport_sockarray sockmap sockhash",
    "map_pop_elem": "queue stack",
    "map_peek_elem": "queue stack bloom_filter",
    "map_push_elem": "queue stack bloom_filter",
    "map_lookup_percpu_elem": "percpu_array percpu_hash lru_percpu_hash",
    **{f"{what}_storage_{verb}": f"{what}_storage" for what in ("sk", "inode", "task", "cgrp")
       for verb in ("get", "delete")},
}  # fmt: skip
_WALKED: Final = frozenset("hash percpu_hash lru_hash lru_percpu_hash array percpu_array".split())
_SOCKMAP_WRITERS: Final = frozenset(
    "socket_filter sched_cls sched_act xdp sk_reuseport flow_dissector sk_lookup".split()
)
_SLEEPABLE_MAPS: Final = frozenset(
    "hash lru_hash array percpu_hash percpu_array lru_percpu_hash array_of_maps hash_of_maps ringbuf user_ringbuf"
    " inode_storage sk_storage task_storage cgrp_storage queue stack arena".split()
)
TRACERS: Final = frozenset("kprobe tracepoint perf_event raw_tracepoint raw_tracepoint_writable".split())
_MUTATORS: Final = frozenset(("map_delete_elem", "map_update_elem", "map_push_elem", "map_pop_elem"))


def walkable(info: MapInfo) -> bool:
    """May bpf_for_each_map_elem go over it?"""
    return info.kind in _WALKED


def _may_update_sockmap(env: Env, name: str) -> bool:
    if name not in ("map_update_elem", "map_delete_elem"):
        return False
    if env.prog_type == "tracing":
        return env.attach == "TRACE_ITER"
    if env.prog_type == "sock_ops":
        return name == "map_delete_elem"
    return env.prog_type in _SOCKMAP_WRITERS


def check_call(env: Env, info: MapInfo | None, helper: str, number: int) -> None:
    """Do the map and the helper fit? `helper` without ``bpf_``. Kernel: check_map_func_compatibility."""
    if info is None:
        return
    bad = Reject(f"cannot pass map_type {info.number} into func bpf_{helper}#{number}", EINVAL)
    allowed = _HELPERS.get(info.kind)
    if allowed is not None and helper not in allowed.split():
        if info.kind not in ("sockmap", "sockhash"):
            raise bad
        if not _may_update_sockmap(env, helper):
            why = "cannot update sockmap in this context\n" if helper in _MUTATORS else ""
            raise Reject(why + bad.message, EINVAL)
    wanted = _MAPS.get(helper)
    if wanted is not None and info.kind not in wanted.split():
        raise bad


def check_write(info: MapInfo | None, helper: str) -> None:
    """Maps that programs may only read."""
    if info is None or helper not in _MUTATORS:
        return
    if info.flags & (1 << 7) or info.kind in ("devmap", "devmap_hash"):
        raise Reject("write into map forbidden", 13)


def check_program(env: Env) -> None:
    """May this program use its maps? Kernel: check_map_prog_compatibility."""
    if len(env.maps) > MAX_MAPS:
        raise Reject(f"The total number of maps per program has reached the limit of {MAX_MAPS}", E2BIG)
    seen: set[str] = set()
    for info in env.maps:
        kinds = {field.kind for field in info.specials}
        tracer = env.prog_type in TRACERS
        if tracer and kinds & {"list_head", "rb_root"}:
            raise Reject("tracing progs cannot use bpf_{list_head,rb_root} yet", EINVAL)
        if kinds & {"spin_lock", "res_spin_lock"}:
            if env.prog_type == "socket_filter":
                raise Reject("socket filter progs cannot use bpf_spin_lock yet", EINVAL)
            if tracer:
                raise Reject("tracing progs cannot use bpf_spin_lock yet", EINVAL)
        if tracer and "timer" in kinds:
            raise Reject("tracing progs cannot use bpf_timer yet", EINVAL)
        if tracer and "wq" in kinds:
            raise Reject("tracing progs cannot use bpf_wq yet", EINVAL)
        if info.kind == "struct_ops":
            raise Reject("bpf_struct_ops map cannot be used in prog", EINVAL)
        if env.sleepable and info.kind not in _SLEEPABLE_MAPS:
            raise Reject("Sleepable programs can only use array, hash, ringbuf and local storage maps", EINVAL)
        if info.kind in _CGROUP.split():
            if info.kind in seen:
                raise Reject("only one cgroup storage of each type is allowed", 16)
            seen.add(info.kind)
        if info.kind == "arena":
            if env.arena is not None and env.arena is not info:
                raise Reject("Only one arena per program", 16)
            env.arena = info
