"""The programs that are measured, in the spelling that every version of the language knows."""

from __future__ import annotations

HELLO = 'BEGIN { printf("hello\\n"); exit(); }'

# PID keeps the questions to one process, so that what else the machine does is not printed.
OPENSNOOP = """
BEGIN { printf("%-6s %-16s %4s %3s %s\\n", "PID", "COMM", "FD", "ERR", "PATH"); }
tracepoint:syscalls:sys_enter_open,
tracepoint:syscalls:sys_enter_openat
/pid == PID/
{ @name[tid] = args->filename; }
tracepoint:syscalls:sys_exit_open,
tracepoint:syscalls:sys_exit_openat
/@name[tid]/
{
  $ret = args->ret;
  $fd = $ret >= 0 ? $ret : -1;
  $errno = $ret >= 0 ? 0 : -$ret;
  printf("%-6d %-16s %4d %3d %s\\n", pid, comm, $fd, $errno, str(@name[tid]));
  delete(@name[tid]);
}
END { clear(@name); }
"""

TEN_PROBES = """
tracepoint:syscalls:sys_enter_read /pid == PID/ { @began[tid] = nsecs; @calls["read"] = count(); }
tracepoint:syscalls:sys_exit_read /@began[tid]/
{ @read_ns[comm] = hist(nsecs - @began[tid]); @read_bytes = sum(args->ret); delete(@began[tid]); }
tracepoint:syscalls:sys_enter_write /pid == PID/ { @calls["write"] = count(); @written[comm] = sum(args->count); }
tracepoint:syscalls:sys_enter_openat /pid == PID/ { @opened[str(args->filename)] = count(); }
tracepoint:syscalls:sys_enter_close /pid == PID/ { @closed[comm, args->fd] = count(); }
tracepoint:syscalls:sys_enter_mmap /pid == PID/ { @mapped = lhist(args->len / 4096, 0, 64, 4); }
tracepoint:syscalls:sys_enter_futex /pid == PID/ { @futexes[tid, args->op] = count(); }
tracepoint:sched:sched_process_exec /pid == PID/ { printf("exec %d %s\\n", pid, str(args->filename)); }
tracepoint:sched:sched_process_exit /pid == PID/ { printf("exit %d %s\\n", pid, comm); }
tracepoint:sched:sched_switch /args->prev_pid == PID/
{ @off_cpu[args->prev_comm] = count(); @state[args->prev_state] = count(); }
"""

BLOCK_LATENCY = """
tracepoint:block:block_rq_issue { @issued[args->dev, args->sector] = nsecs; }
tracepoint:block:block_rq_complete /@issued[args->dev, args->sector]/
{
  @us = hist((nsecs - @issued[args->dev, args->sector]) / 1000);
  delete(@issued[args->dev, args->sector]);
}
END { clear(@issued); }
"""

RUNQLAT = """
tracepoint:sched:sched_wakeup,
tracepoint:sched:sched_wakeup_new
{ @queued[args->pid] = nsecs; }
tracepoint:sched:sched_switch
{
  if (args->prev_state == 0) { @queued[args->prev_pid] = nsecs; }
  $began = @queued[args->next_pid];
  if ($began) { @us = hist((nsecs - $began) / 1000); }
  delete(@queued[args->next_pid]);
}
END { clear(@queued); }
"""

# Text to instructions, in one process: ten lines of what people write.
TEN_LINES = """
tracepoint:syscalls:sys_enter_read
{ @began[tid] = nsecs; }
tracepoint:syscalls:sys_exit_read /@began[tid] && args->ret > 0/
{
  $took = (nsecs - @began[tid]) / 1000;
  @us[comm] = hist($took);
  if ($took > 100000) { printf("%d %s took %d us\\n", pid, comm, $took); }
  delete(@began[tid]);
}
END { clear(@began); }
""".lstrip()

ENTER = "tracepoint:syscalls:sys_enter_getpgid"
EXIT = "tracepoint:syscalls:sys_exit_getpgid"
ENTER_PATH = "tracepoint:syscalls:sys_enter_rmdir"

PRINT_TWO = ENTER + ' { printf("%d %d\\n", args->pid, tid); }'
PRINT_ONE = ENTER + ' { printf("%d\\n", pid); }'


def for_pid(text: str, pid: int) -> str:
    return text.replace("PID/", f"{pid}/")
