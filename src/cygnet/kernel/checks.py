"""What this machine, kernel and user can do, found by trying; what is missing, and what mends it.

Each check is a row. Nothing that a probe attaches outlives the probe.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from cygnet.errors import CygnetError, NotSupported, PermissionDenied
from cygnet.kernel import denied, features, links, progs, tracefs
from cygnet.kernel.maps import KernelMap
from cygnet.uapi import bpf, perf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from cygnet.named import NamedTuple

OK, MISSING, UNKNOWN = "ok", "missing", "unknown"
ROOT = "sudo cygnet doctor"


class Finding(NamedTuple):
    """What a check found. `mend` is a command, or what to get where no command brings it; "" when all is well."""

    status: str
    detail: str = ""
    mend: str = ""


class Check(NamedTuple):
    """`needed`: without it the main job (asking about tracepoints) cannot run."""

    name: str
    title: str
    probe: Callable[[], Finding]
    needed: bool = False


class Result(NamedTuple):
    check: Check
    finding: Finding


def examine() -> Iterator[Result]:
    """Run every check, in order. An error of a probe is a finding, never raised."""
    for check in CHECKS:
        yield Result(check, _find(check))


def main_job_can_run(results: list[Result]) -> bool:
    return all(finding.status == OK for check, finding in results if check.needed)


def _find(check: Check) -> Finding:
    try:
        return check.probe()
    except PermissionDenied as error:
        status = UNKNOWN if error.reason == "privilege" else MISSING
        mend = error.hints[0] if error.call == "open" and error.hints else ROOT
        return Finding(status, str(error).partition(": ")[2], mend if error.reason == "privilege" else "")
    except NotSupported as error:
        return Finding(MISSING, "", error.hints[0] if error.hints else error.needs)
    except (CygnetError, OSError) as error:
        return Finding(MISSING, str(error))


# ── how to try ───────────────────────────────────────────────────────────────────────────────────────────


def _feature(name: str, mend: str, detail: str = "") -> Callable[[], Finding]:
    return lambda: Finding(OK, detail) if features.has(name) else Finding(MISSING, detail, mend)


def _attach(kind: str, prog_type: int, **target: object) -> Finding:
    """Attach a program that does nothing, and detach it."""
    with progs.load(features.R0_IS_0 + features.EXIT, prog_type, name="doctor") as program:
        links.attach(kind, program.fd, target).close()
    return Finding(OK)


def _setting(path: str) -> int | None:
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


# ── the machine and the user ─────────────────────────────────────────────────────────────────────────────


def _kernel() -> Finding:
    from cygnet.kernel.cpus import online

    name = os.uname()
    return Finding(OK, f"{name.release}, {name.machine}, {len(online())} CPUs")


def _user() -> Finding:
    missing = [cap for cap in ("bpf", "perfmon") if not denied.has_capability(cap)]
    who = f"user {os.geteuid()}" if os.geteuid() else "root"
    if not missing:
        return Finding(OK, f"{who}, with CAP_BPF and CAP_PERFMON")
    names = " and ".join(f"CAP_{cap.upper()}" for cap in missing)
    return Finding(MISSING, f"{who}, without {names}", ROOT)


def _user_namespace() -> Finding:
    if denied.user_namespace_is_initial():
        return Finding(OK)
    return Finding(MISSING, "capabilities do not count in a user namespace", "run it outside of the container")


def _lockdown() -> Finding:
    mode = denied.lockdown()
    if mode == "confidentiality":
        return Finding(
            MISSING, "confidentiality: programs may not read memory", "boot without lockdown=confidentiality"
        )
    return Finding(OK, mode or "none that the kernel tells of")


def _unprivileged() -> Finding:
    value = _setting("/proc/sys/kernel/unprivileged_bpf_disabled")
    meaning = {0: "anyone may load some programs", 1: "only CAP_BPF may, until reboot", 2: "only CAP_BPF may"}
    if value == 0:
        return Finding(MISSING, meaning[0], "sysctl kernel.unprivileged_bpf_disabled=2")
    return Finding(
        OK, meaning.get(value, "the kernel does not tell") if value is not None else "the kernel does not tell"
    )


def _paranoid() -> Finding:
    value = _setting("/proc/sys/kernel/perf_event_paranoid")
    if value is None:
        return Finding(UNKNOWN, "the kernel does not tell")
    if denied.has_capability("perfmon") or value < 2:
        return Finding(OK, f"{value}" + (", which CAP_PERFMON overrides" if value >= 2 else ""))
    return Finding(MISSING, f"{value}: no kernel events without CAP_PERFMON", "sysctl kernel.perf_event_paranoid=1")


def _kallsyms() -> Finding:
    with open("/proc/kallsyms") as file:
        for line in file:
            if int(line.split()[0], 16):
                return Finding(OK)
            break
    mend = "sysctl kernel.kptr_restrict=0" if denied.has_capability("syslog") else ROOT
    return Finding(MISSING, "the kernel hides its addresses", mend)


def _jit() -> Finding:
    value = _setting("/proc/sys/net/core/bpf_jit_enable")
    if value == 0:
        return Finding(MISSING, "programs are interpreted, several times slower", "sysctl net.core.bpf_jit_enable=1")
    return Finding(OK) if value is not None else Finding(UNKNOWN, "the kernel does not tell")


# ── bpf(2) ───────────────────────────────────────────────────────────────────────────────────────────────


def _maps() -> Finding:
    with KernelMap.create(bpf.BPF_MAP_TYPE_HASH, 4, 8, 1, 0, "doctor") as store:
        store.update(bytes(4), bytes(8))
        return Finding(OK) if list(store.items()) == [(bytes(4), bytes(8))] else Finding(MISSING, "a wrong answer")


def _programs() -> Finding:
    with progs.load(features.R0_IS_0 + features.EXIT, bpf.BPF_PROG_TYPE_RAW_TRACEPOINT, name="doctor") as program:
        result = program.test_run(ctx_in=bytes(8))
    return Finding(OK, "loads, and runs on test input") if result.retval == 0 else Finding(MISSING, "a wrong answer")


def _btf() -> Finding:
    from cygnet.btf import Btf

    found = Btf.kernel().find("task_struct")
    return Finding(OK) if found else Finding(MISSING, "without struct task_struct", _config("DEBUG_INFO_BTF"))


def _fentry() -> Finding:
    from cygnet.btf import FUNC, Btf

    function = Btf.kernel().find("do_unlinkat", FUNC) or Btf.kernel().find("vfs_read", FUNC)
    if function is None:
        return Finding(UNKNOWN, "no function to try it on")
    try:
        progs.load(
            features.R0_IS_0 + features.EXIT,
            bpf.BPF_PROG_TYPE_TRACING,
            expected_attach_type=bpf.BPF_TRACE_FENTRY,
            attach_btf_id=function.id,
        ).close()
    except CygnetError as error:
        if isinstance(error, PermissionDenied) and error.reason == "privilege":
            raise
        return Finding(MISSING, "", _config("DYNAMIC_FTRACE_WITH_DIRECT_CALLS") + " and kprobes")
    return Finding(OK)


# ── places to attach to ──────────────────────────────────────────────────────────────────────────────────


def _tracefs() -> Finding:
    place = tracefs.find()
    os.listdir(place + "/events")
    return Finding(OK, place)


def _tracepoints() -> Finding:
    subsys, event = ("sched", "sched_process_exec")
    if not tracefs.has_event(subsys, event):
        subsys, event = tracefs.events()[0].split(":")
    return _attach("tracepoint", bpf.BPF_PROG_TYPE_TRACEPOINT, subsys=subsys, event=event)


def _raw_tracepoints() -> Finding:
    return _attach("raw_tracepoint", bpf.BPF_PROG_TYPE_RAW_TRACEPOINT, event="sched_process_exec")


def _syscalls() -> Finding:
    if tracefs.has_event("syscalls", "sys_enter_openat"):
        return Finding(OK)
    return Finding(MISSING, "", _config("FTRACE_SYSCALLS"))


def _sampling() -> Finding:
    return _attach("perf_sample", bpf.BPF_PROG_TYPE_PERF_EVENT, unit="ns", value=1_000_000_000, cpus="one")


def _software() -> Finding:
    event = perf.PERF_COUNT_SW_PAGE_FAULTS
    return _attach("software", bpf.BPF_PROG_TYPE_PERF_EVENT, event=event, count=1 << 40, pid=os.getpid())


def _statistics() -> Finding:
    with progs.RunStats():
        return Finding(OK)


def _config(*names: str) -> str:
    return "a kernel built with " + " and ".join(f"CONFIG_{name}=y" for name in names)


def _language() -> Finding:
    wanted = ("may_goto", "loop", "for_each_map_elem", "map_lookup_percpu_elem", "atomic_fetch", "strncmp")
    absent = [name for name in wanted if not features.has(name)]
    if absent:
        return Finding(
            MISSING, f"without {', '.join(absent)}: some loops and functions are refused", "Linux 6.9 or newer"
        )
    return Finding(OK)


CHECKS: tuple[Check, ...] = (
    Check("kernel", "Linux", _kernel),
    Check("user", "privileges", _user, needed=True),
    Check("user_namespace", "the host's user namespace", _user_namespace, needed=True),
    Check("lockdown", "no lockdown", _lockdown, needed=True),
    Check("unprivileged_bpf", "bpf(2) for the privileged only", _unprivileged),
    Check("perf_event_paranoid", "perf events for this user", _paranoid),
    Check("kallsyms", "addresses of kernel functions", _kallsyms),
    Check("maps", "BPF maps", _maps, needed=True),
    Check("programs", "BPF programs", _programs, needed=True),
    Check("ringbuf", "ring buffer", _feature("ringbuf", "Linux 5.8 or newer"), needed=True),
    Check("batch", "whole maps in one call", _feature("batch", "Linux 5.6 or newer")),
    Check("language", "loops and helpers of the language", _language),
    Check("jit", "compiled programs (JIT)", _jit),
    Check("statistics", "run-time statistics", _statistics),
    Check("btf", "the kernel's types (BTF)", _btf),
    Check("tracefs", "tracefs", _tracefs, needed=True),
    Check("tracepoints", "tracepoints", _tracepoints, needed=True),
    Check("syscalls", "system call tracepoints", _syscalls),
    Check("raw_tracepoints", "raw tracepoints", _raw_tracepoints),
    Check("uprobes", "user functions (uprobes)", _feature("uprobe", _config("UPROBES"))),
    Check("uprobe_multi", "many user functions at once", _feature("uprobe_multi", "Linux 6.6 or newer")),
    Check("kprobes", "kernel functions (kprobes)", _feature("kprobe", _config("KPROBES"))),
    Check("kprobe_multi", "many kernel functions at once", _feature("kprobe_multi", _config("KPROBES", "FPROBE"))),
    Check("fentry", "kernel functions (fentry)", _fentry),
    Check("sampling", "sampling by the clock", _sampling),
    Check("software", "software events", _software),
    Check(
        "hardware",
        "hardware counters",
        _feature("hardware_events", "a machine that shows its counters (virtual ones often hide them)"),
    ),
)


def as_dict(results: list[Result]) -> dict[str, object]:
    """For JSON: stable names, no sentences to parse."""
    rows = [
        {
            "name": check.name,
            "title": check.title,
            "needed": check.needed,
            "status": finding.status,
            "detail": finding.detail,
            "mend": finding.mend,
        }
        for check, finding in results
    ]
    return {"ok": main_job_can_run(results), "checks": rows}
