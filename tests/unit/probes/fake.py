"""A made-up system for probes to be looked up on."""

from __future__ import annotations

from typing import Any

from cygnet.btf import kinds
from cygnet.btf.builder import Builder
from cygnet.btf.reader import Btf
from cygnet.errors import ProbeError
from cygnet.kernel.tracefs import TracepointFormat, parse_format

COMMON = """\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

"""
FORMATS = {
    "sched:sched_switch": """\tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;
\tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;
\tfield:long prev_state;\toffset:32;\tsize:8;\tsigned:1;
""",
    "sched:sched_wakeup": "\tfield:pid_t pid;\toffset:24;\tsize:4;\tsigned:1;\n",
    "irq:irq_handler_entry": """\tfield:int irq;\toffset:8;\tsize:4;\tsigned:1;
\tfield:__data_loc char[] name;\toffset:12;\tsize:4;\tsigned:0;
\tfield:__rel_loc char[] late;\toffset:16;\tsize:4;\tsigned:0;
""",
    "syscalls:sys_enter_openat": """\tfield:int dfd;\toffset:16;\tsize:8;\tsigned:0;
\tfield:const char * filename;\toffset:24;\tsize:8;\tsigned:0;
\tfield:umode_t mode;\toffset:40;\tsize:8;\tsigned:0;
""",
    "syscalls:sys_exit_openat": "\tfield:long ret;\toffset:16;\tsize:8;\tsigned:1;\n",
}


def kernel_types() -> bytes:
    """BTF with one raw tracepoint, one iterator, and one struct."""
    builder = Builder()
    task = builder.struct("task_struct", 4, [("pid", builder.integer(4, True), 0)])
    pointer, void = builder.ptr(task), builder.ptr(0)
    proto = builder.func_proto(0, [("", void), ("", builder.boolean()), ("", pointer)])
    named = builder.func_proto(
        builder.integer(4, True),
        [("__data", void), ("preempt", builder.typedef("bool", builder.boolean())), ("prev", pointer)],
    )
    builder.typedef("btf_trace_sched_switch", builder.ptr(proto))
    builder.func("__traceiter_sched_switch", named)
    builder.typedef("btf_trace_sched_wakeup", builder.ptr(builder.func_proto(0, [("", void), ("", pointer)])))
    builder.struct("bpf_iter__task", 16, [("meta", void, 0), ("task", pointer, 64)])
    builder.func("bpf_iter_task", builder.func_proto(0, []), kinds.GLOBAL)
    return builder.to_bytes()


class FakeTarget:
    """spec.protocols.TargetInfo without a machine; `asked` notes what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def tracepoint_events(self) -> list[str]:
        self.asked.append("events")
        return list(FORMATS)

    def tracepoint_format(self, subsys: str, event: str) -> TracepointFormat:
        self.asked.append(f"format {subsys}:{event}")
        try:
            return parse_format("ID: 7\nformat:\n" + COMMON + FORMATS[f"{subsys}:{event}"])
        except KeyError:
            raise ProbeError("no such event") from None

    def btf(self) -> Any:
        self.asked.append("btf")
        return Btf(kernel_types())
