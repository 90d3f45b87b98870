"""Builtins about the task that runs: pid, comm, uid, curtask and their like."""

from __future__ import annotations

from cygnet.lang.trace import types as T
from cygnet.lang.trace.builtins.base import Builtin, Simple
from cygnet.lang.trace.lower.operands import Gen, Mem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.ir.core import Value
    from cygnet.lang.trace import ast
    from cygnet.lang.trace.builtins.base import Args, Operand
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.lower.core import Core
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.types import Type

COMM_BYTES = 16
NAME_BYTES = 64  # of comm(pid)


def pid_tgid(g: Core) -> Value:
    """tgid << 32 | tid, as the tracer's own PID namespace numbers them.

    The session hands over its namespace; in the initial one the number is 0, and the verifier drops the
    other branch."""
    return g.remember("pid_tgid", lambda: _pid_tgid(g))


def _pid_tgid(g: Core) -> Value:
    inode = g.session("pidns_ino")

    def of_namespace() -> Value:
        slot = g.new_slot(8, "nsdata")
        g.b.store(slot, g.const(0), 8)
        size = g.const(8)
        g.b.call("get_ns_current_pid_tgid", g.session("pidns_dev"), inode, slot, size)
        return g.b.load(slot, 8)  # struct bpf_pidns_info { u32 pid; u32 tgid; }: the thread is the lower half

    return g.select("eq", inode, g.const(0), lambda: g.b.call("get_current_pid_tgid"), of_namespace)


def thread_group(g: Core) -> Value:
    return g.b.binary("shr", pid_tgid(g), g.const(32))


def thread(g: Core) -> Value:
    return g.b.zext(pid_tgid(g), 4)


def uid_gid(g: Core) -> Value:
    return g.remember("uid_gid", lambda: g.b.call("get_current_uid_gid"))


def comm(g: Core) -> Gen:
    def store(pointer: Value, offset: int, type: Type, pad: bool) -> None:
        room = T.storage(type)
        g.b.call("get_current_comm", g.b.offset(pointer, offset), g.const(min(type.size, COMM_BYTES)))
        if room > COMM_BYTES and pad:
            g.b.memzero(pointer, room - COMM_BYTES, offset + COMM_BYTES)

    return Gen(T.string(COMM_BYTES), store)


class Ids(Builtin):
    """pid and tid; the argument names a PID namespace: curr_ns (ours) or init."""

    arity = (0, 1)
    bare = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        if args and getattr(args[0], "name", "") not in ("curr_ns", "init"):
            c.error(f"Invalid PID namespace mode for {self.name}(): curr_ns or init", args[0].span)
        return T.UINT32

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        if args and getattr(args[0], "name", "") == "init":
            both = g.remember("pid_tgid_init", lambda: g.b.call("get_current_pid_tgid"))
        else:
            both = pid_tgid(g)
        return g.b.binary("shr", both, g.const(32)) if self.name == "pid" else g.b.zext(both, 4)


class TaskField(Builtin):
    """A member of the current task's task_struct, reached by BTF."""

    bare = True
    arity = (0, 1)

    def __init__(self, name: str, path: tuple[str, ...]) -> None:
        super().__init__(name)
        self.path = path

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        if args:
            type = c.value(args[0])
            if type.kind not in ("ptr", "unknown"):
                c.error(f"{self.name}() takes a struct task_struct pointer, not '{T.name(type)}'", args[0].span)
        record = c.types.system("struct", "task_struct")
        if record is None:
            c.error(f"{self.name} needs the kernel's BTF, which this system has not got", node.span)
            return T.UNKNOWN
        return T.string(COMM_BYTES) if self.path[-1] == "comm" else T.UINT32

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        task = g.types.system("struct", "task_struct")
        assert task is not None
        address = g.scalar(args[0]) if args else current_task(g)
        for number, name in enumerate(self.path):
            member = task.extra.find(name)
            place = Mem(address, T.KERNEL, task, member.offset, root="task_struct", path=name)
            if number < len(self.path) - 1:
                address = g.read(place, 8, False)
        if self.path[-1] == "comm":
            place.type = T.string(COMM_BYTES)
            return place
        return g.read(place, 4, False)


def current_task(g: Core) -> Value:
    return g.remember("curtask", lambda: g.b.call("get_current_task"))


class CurTask(Builtin):
    bare = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        task = c.types.find("struct", "task_struct")
        return T.pointer(task, T.KERNEL)

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        return current_task(g)


class Comm(Builtin):
    """comm: the current task's name; comm(pid): that of another process, empty when there is none."""

    arity = (0, 1)
    bare = True
    FIND, RELEASE = "bpf_task_from_pid", "bpf_task_release"

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        if not args:
            return T.string(COMM_BYTES)
        c.number(args[0], "comm()'s process")
        return T.string(NAME_BYTES)

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        return _comm_of(g, node, args[0]) if args else comm(g)


def _comm_of(g: Lowerer, node: ast.Expr, pid: ast.Expr) -> Gen:
    """Another task's name: the kernel finds the task, and takes it back."""
    from cygnet.lang.trace.builtins.pointers import may_call

    number = g.scalar(pid)
    usable = may_call(g, Comm.FIND)

    def store(pointer: Value, offset: int, type: Type, pad: bool) -> None:
        g.b.memzero(pointer, T.storage(type), offset)
        if not usable:
            return
        task = g.b.kfunc(Comm.FIND, g.b.zext(number, 4), type="kernel?")

        def found() -> None:
            record = g.types.system("struct", "task_struct")
            member = record.extra.find("comm")
            place = Mem(task, T.KERNEL, record, member.offset, root="task_struct", path="comm")
            size = g.const(min(type.size, COMM_BYTES))
            g.b.call("probe_read_kernel_str", g.b.offset(pointer, offset), size, g.address(place))
            g.b.kfunc(Comm.RELEASE, task, type="none")

        g.choose("ne", task, g.const(0), found)

    if not usable:
        text = f"comm(pid) needs the kernel function {Comm.FIND}, which this kind of probe can not call here"
        g.emit("warnf", text=text, span=node.span)
    return Gen(node.type, store, once=True)


ROWS: dict[str, Builtin] = {
    "pid": Ids("pid"),
    "tid": Ids("tid"),
    "uid": Simple("uid", T.UINT64, lambda g: g.b.zext(uid_gid(g), 4)),
    "gid": Simple("gid", T.UINT64, lambda g: g.b.binary("shr", uid_gid(g), g.const(32))),
    "username": Simple("username", T.USERNAME, lambda g: g.b.zext(uid_gid(g), 4)),
    "comm": Comm("comm"),
    "cpu": Simple("cpu", T.UINT64, lambda g: g.b.call("get_smp_processor_id")),
    "numaid": Simple("numaid", T.UINT64, lambda g: g.b.call("get_numa_node_id")),
    "cgroup": Simple("cgroup", T.UINT64, lambda g: g.b.call("get_current_cgroup_id")),
    "rand": Simple("rand", T.UINT64, lambda g: g.b.call("get_prandom_u32")),
    "cpid": Simple("cpid", T.UINT64, lambda g: g.session("cpid")),
    "has_cpid": Simple("has_cpid", T.BOOL, lambda g: g.b.cmp("ne", g.session("cpid"), g.const(0))),
    "ncpus": Simple("ncpus", T.UINT64, lambda g: g.session("ncpus")),
    "curtask": CurTask("curtask"),
    "ppid": TaskField("ppid", ("real_parent", "pid")),
    "pcomm": TaskField("pcomm", ("real_parent", "comm")),
    "leader_tid": TaskField("leader_tid", ("group_leader", "pid")),
    "leader_comm": TaskField("leader_comm", ("group_leader", "comm")),
}
