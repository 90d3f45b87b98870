"""The running system as compilers and loaders see it: tracepoints, CPUs, features, clocks, namespaces.

Each fact is found when it is first asked for.
"""

from __future__ import annotations

import os
import time

from cygnet.kernel import cpus, tracefs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.kernel.tracefs import TracepointFormat

INIT_PID_NAMESPACE = 0xEFFFFFFC  # include/linux/proc_ns.h: PROC_PID_INIT_INO

_BTF_FILE = ("CYGNET_BTF", "BPFTRACE_BTF")


class LiveTarget:
    """TargetInfo of the machine we run on."""

    __slots__ = ("_btf", "_events", "_formats", "_functions", "_ksyms", "_modules")

    def __init__(self) -> None:
        self._events: list[str] | None = None
        self._formats: dict[tuple[str, str], TracepointFormat] = {}
        self._btf: Any = None
        self._functions: list[str] | None = None
        self._modules: dict[str, Any] = {}
        self._ksyms: bytes | None = None

    # ── types and names ──

    def tracepoint_events(self) -> list[str]:
        """Every tracepoint as ``subsys:event``. Raises when tracefs is not mounted, with the command that mounts it."""
        if self._events is None:
            self._events = tracefs.events()
        return self._events

    def has_tracepoint(self, subsys: str, event: str) -> bool:
        """Whether there is such a tracepoint: much cheaper than the list of all."""
        return tracefs.has_event(subsys, event)

    def tracepoint_format(self, subsys: str, event: str) -> TracepointFormat:
        """A tracepoint's id and fields. ProbeError when there is none of that name."""
        key = (subsys, event)
        if key not in self._formats:
            self._formats[key] = tracefs.event_format(subsys, event)
        return self._formats[key]

    def traceable_functions(self) -> list[str]:
        """Functions that the kernel's tracer can patch, ``name`` or ``module:name``; empty where it can patch none."""
        if self._functions is None:
            self._functions = tracefs.traceable_functions()
        return self._functions

    def trace_only(self, functions: list[str]) -> None:
        """Take these for all that the kernel's tracer can patch."""
        self._functions = functions

    def bpf_functions(self) -> list[tuple[int, str]]:
        """(id, name) of each function of each loaded BPF program that came with BTF."""
        from cygnet.kernel import objects

        found = []
        for number in objects.ids("prog"):
            try:
                fd = objects.open_id("prog", number)
            except OSError:  # it went meanwhile
                continue
            try:
                found += [(number, name) for name in objects.program_functions(fd)]
            finally:
                os.close(fd)
        return found

    def modules(self) -> list[str]:
        """The modules that are loaded, and came with BTF."""
        try:
            return sorted(name for name in os.listdir("/sys/kernel/btf") if name != "vmlinux")
        except FileNotFoundError:
            return []

    def has_module(self, name: str) -> bool:
        """Whether a module of that name is loaded. What is built into the kernel is none."""
        return "/" not in name and os.path.exists(f"/sys/module/{name}/initstate")

    def module_btf(self, name: str) -> Any:
        """The types of a module. FileNotFoundError or NotSupported when it is not loaded, or has none."""
        if name not in self._modules:
            from cygnet.btf import Btf

            self._modules[name] = Btf.module(name, self.btf())
        return self._modules[name]

    def btf(self) -> Any:
        """The kernel's own types, or those of the file that BPFTRACE_BTF names. NotSupported when the kernel has no BTF,
        UsageError when the file has none.
        """
        if self._btf is None:
            from cygnet.btf import Btf

            named = next((name for name in _BTF_FILE if os.environ.get(name)), "")
            self._btf = _btf_of(named, os.environ[named]) if named else Btf.kernel()
        return self._btf

    def has_ksym(self, name: str) -> bool:
        """Whether the kernel lists a symbol (its address may be hidden)."""
        if self._ksyms is None:
            try:
                with open("/proc/kallsyms", "rb") as file:
                    self._ksyms = file.read()
            except OSError:
                self._ksyms = b""
        wanted = name.encode("utf-8", "surrogateescape")
        return not self._ksyms or any(b" " + wanted + end in self._ksyms for end in (b"\n", b"\t"))

    def ksym_functions(self) -> list[str]:
        """The names of the functions that the kernel lists, its modules' too."""
        if not self.has_ksym("vfs_read"):  # reads the list
            return []
        found = [line.split(None, 3) for line in (self._ksyms or b"").split(b"\n")]
        return [words[2].decode("utf-8", "replace") for words in found if len(words) > 2 and words[1] in b"tTwW"]

    def kfunc_allowed(self, name: str, prog_type: int, attach_type: int = 0, attach_to: str = "") -> bool:
        """Whether programs of a type may call a kernel function; False when there is none of that name."""
        from cygnet.btf import kinds
        from cygnet.kernel import kfuncs

        found = self.btf().find(name, kinds.FUNC)
        return found is not None and kfuncs.allowed(found.id, prog_type, attach_type, self._attach_id(attach_to))

    def helper_allowed(self, name: str, prog_type: int, attach_type: int = 0, attach_to: str = "") -> bool:
        """Whether programs of a type may call a helper, such as ``probe_write_user``, on this system."""
        from cygnet.kernel import kfuncs
        from cygnet.uapi import bpf_func

        number: int = getattr(bpf_func, "BPF_FUNC_" + name)
        return kfuncs.helper_allowed(number, prog_type, attach_type, self._attach_id(attach_to))

    def _attach_id(self, name: str) -> int:
        """The BTF id that a program is to be attached to."""
        from cygnet.btf import kinds

        found = (self.btf().find(name, kinds.FUNC) or self.btf().find(name, kinds.TYPEDEF)) if name else None
        return found.id if found is not None else 0

    # ── the machine ──

    @property
    def release(self) -> str:
        """The kernel's release, such as ``6.18.1``."""
        return os.uname().release

    @property
    def version(self) -> tuple[int, int]:
        from cygnet.kernel.rlimit import kernel_version

        return kernel_version()

    @property
    def machine(self) -> str:
        """The architecture, as uname(2) says it: ``x86_64``, ``aarch64`` …"""
        return os.uname().machine

    def possible_cpus(self) -> tuple[int, ...]:
        return cpus.possible()

    def online_cpus(self) -> tuple[int, ...]:
        return cpus.online()

    def has(self, feature: str) -> bool:
        """Whether the kernel has a feature: a name of kernel.features.names()."""
        from cygnet.kernel import features

        return features.has(feature)

    # ── this process's place in it ──

    def pid_namespace(self) -> tuple[int, int, bool]:
        """(device, inode, is it the initial one): what bpf_get_ns_current_pid_tgid() takes. When it is the initial
        one, a pid in the kernel is a pid here.
        """
        stat = os.stat("/proc/self/ns/pid")
        return kernel_dev(stat.st_dev), stat.st_ino, stat.st_ino == INIT_PID_NAMESPACE

    def boot_offset_ns(self) -> int:
        """What to add to a CLOCK_BOOTTIME stamp (bpf_ktime_get_boot_ns) for the time of day."""
        return _offset(time.CLOCK_BOOTTIME)

    def monotonic_offset_ns(self) -> int:
        """What to add to a CLOCK_MONOTONIC stamp (bpf_ktime_get_ns) for the time of day."""
        return _offset(time.CLOCK_MONOTONIC)

    def tai_offset_ns(self) -> int:
        """What to add to CLOCK_MONOTONIC for international atomic time."""
        return time.clock_gettime_ns(time.CLOCK_TAI) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def keeps_trace(self) -> bool:
        """Whether what programs write to the kernel's trace is kept; True when that cannot be asked."""
        from cygnet.kernel import tracefs

        return tracefs.tracing_on()

    def lockdown(self) -> str:
        """``none``, ``integrity``, ``confidentiality``, or "" when the kernel does not tell."""
        from cygnet.kernel.denied import lockdown

        return lockdown()

    def has_capability(self, name: str) -> bool:
        """Whether ``bpf``, ``perfmon``, ``sys_admin`` … is effective for this thread."""
        from cygnet.kernel.denied import has_capability

        return has_capability(name)


def _btf_of(variable: str, path: str) -> Any:
    from cygnet.btf import Btf
    from cygnet.errors import BtfError, UsageError

    try:
        return Btf.load(path)
    except (OSError, BtfError) as error:
        raise UsageError(
            f"{variable}: cannot read types from {path}: {getattr(error, 'strerror', None) or error}"
        ) from None


def kernel_dev(dev: int) -> int:
    """stat's device number as the kernel keeps it (include/linux/kdev_t.h: MKDEV), to compare with."""
    return os.major(dev) << 20 | os.minor(dev)


def _offset(clock: int) -> int:
    """Time of day less a clock, from the tightest of a few readings (ns)."""
    best, offset = 1 << 62, 0
    for _ in range(5):
        before = time.clock_gettime_ns(clock)
        wall = time.time_ns()
        after = time.clock_gettime_ns(clock)
        if after - before < best:
            best, offset = after - before, wall - (before + after) // 2
    return offset
