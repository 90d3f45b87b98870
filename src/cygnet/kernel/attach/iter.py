"""BPF iterators: a program that writes text about each object of a kind; `read()` runs it once.

target {"name": the iterator's type, "pin": a path in bpffs (""), "map_fd": for iterators over a map}. A pinned link
stays when it is closed here; reading the file runs the program.
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


_DESCENDANTS_PRE = 2  # enum bpf_cgroup_iter_order


def attach(prog_fd: int, target: dict[str, Any]) -> Attachment:
    info = _link_info(target)
    tail = sys.pack(layouts.LINK_CREATE_ITER, iter_info=sys.address(info), iter_info_len=len(info))
    fd = link_create(prog_fd, bpf.BPF_TRACE_ITER, tail)
    if fd < 0:
        raise sys.failure(-fd, f"attach iterator {target.get('name', '')}", "bpf", caps=("bpf", "perfmon"))
    link = Attachment([fd])
    if target.get("pin"):
        from cygnet.kernel.objects import pin

        try:
            pin(fd, target["pin"])
        except BaseException:
            link.close()
            raise
    return link


def _link_info(target: dict[str, Any]) -> bytearray:
    """union bpf_iter_link_info, where an iterator wants to be told what to walk over."""
    if "map_fd" in target:
        return bytearray(struct.pack("=I12x", target["map_fd"]))
    if target.get("name") == "cgroup":  # all of them, from the root
        return bytearray(struct.pack("=IIQ", _DESCENDANTS_PRE, 0, 0))
    return bytearray()


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
