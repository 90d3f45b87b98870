"""The part of a link's info that depends on its type."""

from __future__ import annotations

import struct

from cygnet.kernel import sys
from cygnet.uapi import bpf, layouts

TAIL = struct.calcsize(layouts.LINK_INFO[0])
PERF_TAIL = TAIL + 8  # after struct { __u32 type; } and its padding, the union of perf event kinds

_BY_TYPE = {
    bpf.BPF_LINK_TYPE_TRACING: layouts.LINK_INFO_TRACING,
    bpf.BPF_LINK_TYPE_CGROUP: layouts.LINK_INFO_CGROUP,
    bpf.BPF_LINK_TYPE_NETNS: layouts.LINK_INFO_NETNS,
    bpf.BPF_LINK_TYPE_XDP: layouts.LINK_INFO_XDP,
    bpf.BPF_LINK_TYPE_TCX: layouts.LINK_INFO_TCX,
    bpf.BPF_LINK_TYPE_STRUCT_OPS: layouts.LINK_INFO_STRUCT_OPS,
    bpf.BPF_LINK_TYPE_NETFILTER: layouts.LINK_INFO_NETFILTER,
    bpf.BPF_LINK_TYPE_KPROBE_MULTI: layouts.LINK_INFO_KPROBE_MULTI,
    bpf.BPF_LINK_TYPE_RAW_TRACEPOINT: layouts.LINK_INFO_RAW_TRACEPOINT,
    bpf.BPF_LINK_TYPE_UPROBE_MULTI: layouts.LINK_INFO_UPROBE_MULTI,
}

# kind of perf event → its layout, and the field that holds a name's address, and the one of its length
_PERF = {
    bpf.BPF_PERF_EVENT_UPROBE: (layouts.LINK_INFO_PERF_UPROBE, "file_name"),
    bpf.BPF_PERF_EVENT_URETPROBE: (layouts.LINK_INFO_PERF_UPROBE, "file_name"),
    bpf.BPF_PERF_EVENT_KPROBE: (layouts.LINK_INFO_PERF_KPROBE, "func_name"),
    bpf.BPF_PERF_EVENT_KRETPROBE: (layouts.LINK_INFO_PERF_KPROBE, "func_name"),
    bpf.BPF_PERF_EVENT_TRACEPOINT: (layouts.LINK_INFO_PERF_TRACEPOINT, "tp_name"),
    bpf.BPF_PERF_EVENT_EVENT: (layouts.LINK_INFO_PERF_EVENT_EVENT, ""),
}


def link_detail(fd: int, kind: int, info: bytearray) -> dict[str, int | str]:
    """The fields of a link's tail by name; names that the kernel keeps elsewhere are fetched."""
    if kind == bpf.BPF_LINK_TYPE_PERF_EVENT:
        perf_type = sys.unpack(layouts.LINK_INFO_PERF_EVENT, info[TAIL:])["type"]
        if perf_type not in _PERF:
            return {"perf_type": perf_type}
        layout, name = _PERF[perf_type]
        fields = _fetch(fd, info, PERF_TAIL, layout, name, "name_len")
        return {"perf_type": perf_type, **fields}
    if kind not in _BY_TYPE:
        return {}
    name, length = {
        bpf.BPF_LINK_TYPE_RAW_TRACEPOINT: ("tp_name", "tp_name_len"),
        bpf.BPF_LINK_TYPE_UPROBE_MULTI: ("path", "path_size"),
    }.get(kind, ("", ""))
    return _fetch(fd, info, TAIL, _BY_TYPE[kind], name, length)


def _fetch(fd: int, info: bytearray, at: int, layout: sys.Layout, name: str, length: str) -> dict[str, int | str]:
    """The fields at `at`; when one of them is a name's address, ask again with room for the name."""
    if not name:
        return sys.unpack(layout, info[at:])
    text = bytearray(512)
    request = bytearray(len(info))
    request[at : at + struct.calcsize(layout[0])] = sys.pack(layout, **{name: sys.address(text), length: len(text)})
    if at == PERF_TAIL:
        request[:at] = info[:at]
    attr = sys.pack(layouts.ATTR_INFO, bpf_fd=fd, info_len=len(request), info=sys.address(request))
    sys.bpf(bpf.BPF_OBJ_GET_INFO_BY_FD, attr, "read a link's info")
    fields = sys.unpack(layout, request[at:])
    del fields[length]
    fields[name] = bytes(text).split(b"\0", 1)[0].decode(errors="replace")
    return fields
