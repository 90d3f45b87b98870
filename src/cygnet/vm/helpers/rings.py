"""Ring buffers and dynptrs.

A dynptr on a program's stack is what struct bpf_dynptr_kern is: {u64 data, u32 size, u32 offset}, the upper bits
of size telling its kind and whether it is read-only.
"""

from __future__ import annotations

from errno import E2BIG, EBUSY, EINVAL
from struct import Struct

from cygnet.errors import HelperFault
from cygnet.maps.memory import SPACE, copy
from cygnet.vm.helpers.common import MASK32, map_of
from cygnet.vm.helpers.registry import helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.vm.host import Host

DYNPTR = Struct("=QII")
MAX_SIZE = (1 << 24) - 1  # DYNPTR_MAX_SIZE
LOCAL, RINGBUF = 1, 2  # BPFDYNPTR_TYPE_*
_KIND_SHIFT, _RDONLY = 28, 1 << 31
_MAX_SAMPLES = 128 * 1024  # BPF_MAX_USER_RINGBUF_SAMPLES


@helper("ringbuf_output")
def ringbuf_output(machine: Host, map: int, data: int, size: int, flags: int) -> int:
    machine.check(data, size, what="data")
    return int(map_of(machine, map, "output_ptr").output_ptr(data, size, flags))


@helper("ringbuf_reserve")
def ringbuf_reserve(machine: Host, map: int, size: int, flags: int) -> int:
    return int(map_of(machine, map, "reserve_ptr").reserve_ptr(size, flags))


def _ring_with(machine: Host, record: int) -> Any:
    """The ring buffer in which a record is open."""
    for of in machine.maps.values():
        if hasattr(of, "is_reserved") and of.is_reserved(record):
            return of
    raise HelperFault(f"{record:#x} is no reserved record")


@helper("ringbuf_submit")
def ringbuf_submit(machine: Host, record: int, flags: int) -> int:
    _ring_with(machine, record).commit_ptr(record, flags)
    return 0


@helper("ringbuf_discard")
def ringbuf_discard(machine: Host, record: int, flags: int) -> int:
    _ring_with(machine, record).commit_ptr(record, flags, discard=True)
    return 0


@helper("ringbuf_query")
def ringbuf_query(machine: Host, map: int, what: int) -> int:
    return int(map_of(machine, map, "query").query(what))


# ── dynptrs ──────────────────────────────────────────────────────────────────────────────────────────────


def make_dynptr(machine: Host, at: int, data: int, size: int, kind: int, readonly: bool = False) -> None:
    machine.check(at, DYNPTR.size, write=True, what="dynptr")
    DYNPTR.pack_into(SPACE, at, data, size | kind << _KIND_SHIFT | (_RDONLY if readonly else 0), 0)


def null_dynptr(machine: Host, at: int) -> None:
    machine.check(at, DYNPTR.size, write=True, what="dynptr")
    DYNPTR.pack_into(SPACE, at, 0, 0, 0)


def dynptr(machine: Host, at: int) -> tuple[int, int, int, bool]:
    """(address of its data or 0, size, kind, read-only)."""
    machine.check(at, DYNPTR.size, what="dynptr")
    data, size, offset = DYNPTR.unpack_from(SPACE, at)
    return data + offset if data else 0, size & MAX_SIZE, size >> _KIND_SHIFT & 7, bool(size & _RDONLY)


@helper("dynptr_from_mem")
def dynptr_from_mem(machine: Host, data: int, size: int, flags: int, out: int) -> int:
    size &= MASK32
    null_dynptr(machine, out)
    if size > MAX_SIZE:
        return -E2BIG
    if flags:
        return -EINVAL
    machine.check(data, size, write=True, what="data")
    make_dynptr(machine, out, data, size, LOCAL)
    return 0


@helper("ringbuf_reserve_dynptr")
def ringbuf_reserve_dynptr(machine: Host, map: int, size: int, flags: int, out: int) -> int:
    size &= MASK32
    null_dynptr(machine, out)
    of = map_of(machine, map, "reserve_ptr")
    if flags:
        return -EINVAL
    if size > MAX_SIZE:
        return -E2BIG
    record = of.reserve_ptr(size, 0)
    if not record:
        return -EINVAL
    make_dynptr(machine, out, record, size, RINGBUF)
    return 0


def _give_back(machine: Host, at: int, flags: int, discard: bool) -> int:
    data = dynptr(machine, at)[0]
    if data:
        _ring_with(machine, data).commit_ptr(data, flags, discard=discard)
        null_dynptr(machine, at)
    return 0


@helper("ringbuf_submit_dynptr")
def ringbuf_submit_dynptr(machine: Host, at: int, flags: int) -> int:
    return _give_back(machine, at, flags, False)


@helper("ringbuf_discard_dynptr")
def ringbuf_discard_dynptr(machine: Host, at: int, flags: int) -> int:
    return _give_back(machine, at, flags, True)


def _outside(size: int, offset: int, length: int) -> bool:
    return length > size or offset > size - length


@helper("dynptr_read")
def dynptr_read(machine: Host, to: int, length: int, at: int, offset: int, flags: int) -> int:
    data, size, _, _ = dynptr(machine, at)
    length, offset = length & 0xFFFFFFFFFFFFFFFF, offset & 0xFFFFFFFFFFFFFFFF
    if not data or flags:
        return -EINVAL
    if _outside(size, offset, length):
        return -E2BIG
    machine.check(to, length, write=True, what="destination")
    machine.check(data + offset, length, what="dynptr's data")
    copy(to, data + offset, length)
    return 0


@helper("dynptr_write")
def dynptr_write(machine: Host, at: int, offset: int, source: int, length: int, flags: int) -> int:
    data, size, _, readonly = dynptr(machine, at)
    if not data or readonly:
        return -EINVAL
    if _outside(size, offset, length):
        return -E2BIG
    if flags:
        return -EINVAL
    machine.check(source, length, what="source")
    machine.check(data + offset, length, write=True, what="dynptr's data")
    copy(data + offset, source, length)
    return 0


@helper("dynptr_data")
def dynptr_data(machine: Host, at: int, offset: int, length: int) -> int:
    data, size, _, readonly = dynptr(machine, at)
    if not data or readonly or _outside(size, offset & MASK32, length & MASK32):
        return 0
    return data + (offset & MASK32)


# ── from user space ──────────────────────────────────────────────────────────────────────────────────────


@helper("user_ringbuf_drain")
def user_ringbuf_drain(machine: Host, map: int, function: int, context: int, flags: int) -> int:
    """Call `function(dynptr, context)` for each sample until it gives 1; how many were read, or a negative errno."""
    of = map_of(machine, map, "sample_ptr")
    if flags & ~3:
        return -EINVAL
    if getattr(machine, "_draining", None) is of:
        return -EBUSY
    block = machine.memory.block(DYNPTR.size, "dynptr of a sample")
    machine._draining = of  # type: ignore[attr-defined]
    count = 0
    try:
        while count < _MAX_SAMPLES:
            error, address, length = of.sample_ptr()
            if error == -11:  # EAGAIN: a dropped sample was skipped
                continue
            if error:
                return count if error == -61 else int(error)  # ENODATA: the end
            make_dynptr(machine, block.address, address, length, LOCAL, readonly=True)
            stop = machine.call(function, block.address, context)
            of.release_sample(length)
            count += 1
            if stop:
                break
    finally:
        machine._draining = None  # type: ignore[attr-defined]
        machine.memory.free(block)
    return count
