"""BPF iterators: a program that writes text about each object of a kind; `read()` runs it once.

target {"name": for messages, "map_fd": for iterators over a map}
"""

from __future__ import annotations

import os
import struct

from cygnet.kernel import sys
from cygnet.kernel.links import Attachment, link_create
from cygnet.uapi import bpf, layouts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def attach(prog_fd: int, target: dict[str, Any]) -> Attachment:
    info = bytearray()
    if "map_fd" in target:
        info = bytearray(struct.pack("=I12x", target["map_fd"]))  # union bpf_iter_link_info: map.map_fd
    tail = sys.pack(layouts.LINK_CREATE_ITER, iter_info=sys.address(info), iter_info_len=len(info))
    fd = link_create(prog_fd, bpf.BPF_TRACE_ITER, tail)
    if fd < 0:
        raise sys.failure(-fd, f"attach iterator {target.get('name', '')}", "bpf", caps=("bpf", "perfmon"))
    return Attachment([fd])


def read(link: Attachment) -> bytes:
    """Run the iterator from its start to its end: what the program wrote."""
    attr = bytearray(struct.pack("=II", link.fds[0], 0))
    fd = sys.bpf(bpf.BPF_ITER_CREATE, attr, "run an iterator")
    try:
        chunks = []
        while chunk := os.read(fd, 1 << 16):
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        os.close(fd)
