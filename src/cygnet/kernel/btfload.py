"""BTF objects in the kernel: load our own, find the kernel's."""

from __future__ import annotations

import errno as _errno
import os

from cygnet.kernel import sys
from cygnet.uapi import bpf, layouts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self


class KernelBtf:
    """A BTF object in the kernel, owned by a file descriptor."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def load(cls, data: bytes) -> Self:
        """BPF_BTF_LOAD. BtfError with the kernel's last words when it refuses the bytes."""
        buffer = bytearray(data)
        attr = sys.pack(layouts.ATTR_BTF_LOAD, btf=sys.address(buffer), btf_size=len(buffer))
        fd = sys.bpf_try(bpf.BPF_BTF_LOAD, attr)
        if fd >= 0:
            return cls(fd)
        if -fd in (_errno.EPERM, _errno.ENOMEM):
            raise sys.failure(-fd, "load BTF", "bpf")
        from cygnet.errors import BtfError

        raise BtfError(f"the kernel refuses this BTF: {_why(buffer) or os.strerror(-fd)}")

    @classmethod
    def from_id(cls, btf_id: int) -> Self:
        from cygnet.kernel.objects import open_id

        return cls(open_id("btf", btf_id))

    def data(self) -> bytes:
        """The object's bytes."""
        from cygnet.kernel.objects import btf_data

        return btf_data(self.fd)

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def type_of_size(data: bytes, size: int) -> int:
    """The first integer type of `size` bytes in BTF, which serves as a map's key; 0 when there is none."""
    from cygnet.btf import kinds
    from cygnet.btf.layout import size_of
    from cygnet.btf.reader import Btf

    return next((one.id for one in Btf(data).types() if one.kind == kinds.INT and size_of(one) == size), 0)


def _why(buffer: bytearray) -> str:
    log = bytearray(1 << 20)
    attr = sys.pack(
        layouts.ATTR_BTF_LOAD,
        btf=sys.address(buffer),
        btf_size=len(buffer),
        btf_log_buf=sys.address(log),
        btf_log_size=len(log),
        btf_log_level=1,
    )
    fd = sys.bpf_try(bpf.BPF_BTF_LOAD, attr)
    if fd >= 0:
        os.close(fd)
    lines = log[: log.find(b"\0")].decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
