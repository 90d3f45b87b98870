"""Programs: load with a log when the kernel refuses, run on test input, count their run time."""

from __future__ import annotations

import errno as _errno
import os

from cygnet.kernel import sys
from cygnet.kernel.maps import object_name
from cygnet.uapi import bpf, layouts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from cygnet.errors import CygnetError
    from cygnet.kernel.objects import ProgInfo

INSN_BYTES = 8
FUNC_INFO_BYTES = 8
LINE_INFO_BYTES = 16
_LOG_START = 1 << 16
_LOG_END = 1 << 26
# What the verifier answers when it refuses a program; anything else did not come so far.
_REFUSALS = (_errno.EACCES, _errno.EINVAL, _errno.E2BIG, _errno.EPERM, _errno.EFAULT, _errno.ENOENT, _errno.ENOSPC,
             _errno.ERANGE, _errno.EOPNOTSUPP, sys.ENOTSUPP)  # fmt: skip


class TestResult:
    """What a test run gave: r0 as an unsigned 32-bit number, output data, and mean nanoseconds of one run."""

    __slots__ = ("ctx", "data", "duration_ns", "retval")

    def __init__(self, retval: int, data: bytes, ctx: bytes, duration_ns: int) -> None:
        self.retval = retval
        self.data = data
        self.ctx = ctx
        self.duration_ns = duration_ns


class Program:
    """A program in the kernel, owned by a file descriptor."""

    __slots__ = ("fd", "name", "type")

    def __init__(self, fd: int, type: int, name: str = "") -> None:
        self.fd = fd
        self.type = type
        self.name = name

    @classmethod
    def from_fd(cls, fd: int) -> Self:
        """Take over a descriptor: closing the program closes it."""
        from cygnet.kernel.objects import prog_info

        info = prog_info(fd)
        return cls(fd, info.type, info.name)

    @classmethod
    def from_id(cls, prog_id: int) -> Self:
        from cygnet.kernel.objects import open_id

        return cls.from_fd(open_id("prog", prog_id))

    @classmethod
    def from_pin(cls, path: str) -> Self:
        from cygnet.kernel.objects import open_pin

        return cls.from_fd(open_pin(path))

    def info(self) -> ProgInfo:
        from cygnet.kernel.objects import prog_info

        return prog_info(self.fd)

    @property
    def id(self) -> int:
        return self.info().id

    def missed(self) -> int:
        """How often a probe fired while this CPU was in a program already, so that this one could not run."""
        info = sys.pack(layouts.PROG_INFO)
        attr = sys.pack(layouts.ATTR_INFO, bpf_fd=self.fd, info_len=len(info), info=sys.address(info))
        sys.bpf(bpf.BPF_OBJ_GET_INFO_BY_FD, attr, "read a program's info")
        count: int = sys.unpack(layouts.PROG_INFO, info)["recursion_misses"]
        return count

    def test_run(
        self,
        data_in: bytes = b"",
        ctx_in: bytes = b"",
        *,
        data_out_bytes: int = 0,
        ctx_out_bytes: int = 0,
        repeat: int = 0,
        flags: int = 0,
        cpu: int = 0,
    ) -> TestResult:
        """BPF_PROG_TEST_RUN. Raw tracepoint programs take a context (u64 arguments), socket filters, tc and XDP take a
        packet of at least 14 bytes; a syscall program's context comes back as it left it. NotSupported for types that
        have no test run (kprobe, tracepoint, perf_event).
        """
        data, ctx = bytearray(data_in), bytearray(ctx_in)
        data_out, ctx_out = bytearray(data_out_bytes), bytearray(ctx_out_bytes)
        attr = sys.pack(
            layouts.ATTR_TEST_RUN,
            prog_fd=self.fd,
            data_size_in=len(data),
            data_in=sys.address(data),
            data_size_out=len(data_out),
            data_out=sys.address(data_out),
            ctx_size_in=len(ctx),
            ctx_in=sys.address(ctx),
            ctx_size_out=len(ctx_out),
            ctx_out=sys.address(ctx_out),
            repeat=repeat,
            flags=flags,
            cpu=cpu,
        )
        result = sys.bpf_try(bpf.BPF_PROG_TEST_RUN, attr)
        if result < 0 and not (result == -_errno.ENOSPC and data_out_bytes):
            raise sys.failure(-result, f"run program {self.name!r} on test input", "bpf", "another program type")
        out = sys.unpack(layouts.ATTR_TEST_RUN, attr)
        if self.type == bpf.BPF_PROG_TYPE_SYSCALL:
            ctx_after = bytes(ctx)  # it is written back to where it came from
        else:
            ctx_after = bytes(ctx_out[: out["ctx_size_out"]])
        return TestResult(out["retval"], bytes(data_out[: out["data_size_out"]]), ctx_after, out["duration"])

    def pin(self, path: str) -> None:
        from cygnet.kernel.objects import pin

        pin(self.fd, path)

    def close(self) -> None:
        """Give the descriptor back; the program goes with its last user. May be called twice."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Program {self.name!r} fd={self.fd} type={self.type}>"


def load(
    insns: bytes,
    type: int,
    license: str = "GPL",
    name: str = "",
    *,
    expected_attach_type: int = 0,
    attach_btf_id: int = 0,
    attach_fd: int = 0,
    btf_fd: int = 0,
    func_info: bytes = b"",
    line_info: bytes = b"",
    flags: int = 0,
    fd_array: bytes = b"",
    log_level: int = 0,
) -> Program:
    """BPF_PROG_LOAD of encoded instructions.

    Tried without a log first, which is faster; a refused program is loaded again with one.
    KernelVerifierError carries the log, its last meaningful line and the instruction it speaks of.
    `func_info` and `line_info` are arrays of struct bpf_func_info and bpf_line_info, `fd_array` of int.
    `attach_fd` is a program or a BTF object. With `log_level` the log of a success is lost: see `load_log`.
    """
    request = _Request(
        insns, license, func_info, line_info, fd_array,
        prog_type=type, prog_name=object_name(name), expected_attach_type=expected_attach_type,
        attach_btf_id=attach_btf_id, attach_prog_fd=attach_fd, prog_btf_fd=btf_fd, prog_flags=flags,
    )  # fmt: skip
    fd = request.load(log_level) if log_level else request.load_quietly()
    if fd == -_errno.EPERM:
        from cygnet.kernel.rlimit import raise_memlock

        if raise_memlock():
            fd = request.load_quietly()
    if fd >= 0:
        return Program(fd, type, name)
    if -fd not in _REFUSALS:
        raise sys.failure(-fd, f"load program {name!r}", "bpf", caps=_caps(type))
    again = request.load(1)
    if again >= 0:  # it was a passing trouble
        return Program(again, type, name)
    raise _refused(-again, request.log, type, name)


def load_log(insns: bytes, type: int, license: str = "GPL", level: int = 2, **options: int) -> str:
    """The verifier's log of a program, whether it is accepted or not. The program is not kept."""
    request = _Request(insns, license, b"", b"", b"", prog_type=type, **options)
    fd = request.load(level)
    if fd >= 0:
        os.close(fd)
    return request.log


class _Request:
    """The attr of a load and the buffers it points to."""

    __slots__ = ("buffers", "fields", "log")

    def __init__(
        self, insns: bytes, license: str, func_info: bytes, line_info: bytes, fd_array: bytes, **fields: int | bytes
    ) -> None:
        parts = (insns, license.encode() + b"\0", func_info, line_info, fd_array)
        self.buffers = [bytearray(part) for part in parts]
        self.log = ""
        code, text, funcs, lines, fds = (sys.address(buffer) for buffer in self.buffers)
        self.fields = fields | {
            "insns": code,
            "insn_cnt": len(insns) // INSN_BYTES,
            "license": text,
            "fd_array": fds,
        }
        if func_info:
            count = len(func_info) // FUNC_INFO_BYTES
            self.fields |= {"func_info": funcs, "func_info_cnt": count, "func_info_rec_size": FUNC_INFO_BYTES}
        if line_info:
            count = len(line_info) // LINE_INFO_BYTES
            self.fields |= {"line_info": lines, "line_info_cnt": count, "line_info_rec_size": LINE_INFO_BYTES}

    def load_quietly(self) -> int:
        result = -_errno.EAGAIN
        attr = sys.pack(layouts.ATTR_PROG_LOAD, **self.fields)
        for _ in range(5):  # EAGAIN: a signal came while the verifier worked
            result = sys.bpf_try(bpf.BPF_PROG_LOAD, attr)
            if result != -_errno.EAGAIN:
                break
        return result

    def load(self, level: int) -> int:
        """Load with a log in a buffer that grows until the log fits (ENOSPC says that it did not)."""
        size = _LOG_START
        while True:
            log = bytearray(size)
            attr = sys.pack(
                layouts.ATTR_PROG_LOAD, **self.fields, log_level=level, log_size=size, log_buf=sys.address(log)
            )
            result = sys.bpf_try(bpf.BPF_PROG_LOAD, attr)
            self.log = log[: log.find(b"\0")].decode(errors="replace")
            if result != -_errno.ENOSPC or size >= _LOG_END:
                return result
            true_size: int = sys.unpack(layouts.ATTR_PROG_LOAD, attr)["log_true_size"]
            size = min(max(size * 4, true_size), _LOG_END)


def _caps(type: int) -> tuple[str, ...]:
    tracing = (
        bpf.BPF_PROG_TYPE_KPROBE, bpf.BPF_PROG_TYPE_TRACEPOINT, bpf.BPF_PROG_TYPE_PERF_EVENT,
        bpf.BPF_PROG_TYPE_RAW_TRACEPOINT, bpf.BPF_PROG_TYPE_TRACING,
    )  # fmt: skip
    return ("bpf", "perfmon") if type in tracing else ("bpf",)


def _refused(errno: int, log: str, type: int, name: str) -> CygnetError:
    from cygnet.kernel.verifierlog import last_insn, reason

    if not log.strip():
        if errno == _errno.EINVAL:
            from cygnet.kernel.features import has_prog_type

            if not has_prog_type(type):
                from cygnet.errors import NotSupported

                return NotSupported(f"program type {type}", "another kernel", call="bpf", errno=errno)
        return sys.failure(errno, f"load program {name!r}", "bpf", caps=_caps(type))
    from cygnet.errors import KernelVerifierError

    why = reason(log)
    return KernelVerifierError(f"the kernel refuses program {name!r}: {why}", errno=errno, insn=last_insn(log), log=log)


# ── run-time statistics ──────────────────────────────────────────────────────────────────────────────────


class RunStats:
    """Lets the kernel count the run time of every program while this is open (BPF_ENABLE_STATS, Linux 5.8).

    It ends with the descriptor, so with the process too. The numbers are in ProgInfo.
    """

    __slots__ = ("fd",)

    def __init__(self) -> None:
        attr = bytearray(bpf.BPF_STATS_RUN_TIME.to_bytes(4, "little"))
        self.fd = sys.bpf_try(bpf.BPF_ENABLE_STATS, attr)
        if self.fd < 0:
            raise sys.failure(-self.fd, "count the run time of programs", "bpf", "Linux 5.8", caps=("sys_admin",))

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
