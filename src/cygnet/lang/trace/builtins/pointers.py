"""Builtins on pointers and on what the kernel keeps: container_of, is_err, percpu_kaddr, sockets, kernel functions."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.builtins.base import Builtin, literal_text, needs_context, needs_unsafe
from cygnet.lang.trace.lower.addresses import as_integer
from cygnet.lang.trace.lower.operands import Gen, Mem
from cygnet.spec.relocs import CORE, KSYM, KVAR, RelocTemplate
from cygnet.uapi.bpf import BPF_PROG_TYPE_TRACING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.ir.core import Value
    from cygnet.lang.trace.builtins.base import Args, Operand
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.lang.trace.lower.stmts import Lowerer
    from cygnet.lang.trace.records import CTypes
    from cygnet.lang.trace.types import Type

_MAX_ERRNO = 4095


class ContainerOf(Builtin):
    """container_of(p, struct s, m.n): the struct in which `p` is the member."""

    arity = (3, 3)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        pointer = c.value(args[0])
        record = c._type_or_expr(args[1])
        args[1].type = record
        path = _path(args[2])
        if pointer.kind not in ("ptr", "int", "unknown"):
            c.error(f"container_of() expects a pointer, not '{T.name(pointer)}'", args[0].span)
        if record.kind != "struct":
            if record.kind != "unknown":
                c.error(f"container_of() expects a struct, not '{T.name(record)}'", args[1].span)
            return T.UNKNOWN
        if not path:
            c.error("container_of()'s third argument is the name of a member", args[2].span)
            return T.UNKNOWN
        if _offset(record, path) is None:
            c.error(f"{T.name(record)} does not contain a field named '{'.'.join(path)}'", args[2].span)
            return T.UNKNOWN
        space = pointer.space if pointer.kind == "ptr" else c.instance.match.space
        return T.pointer(record, T.memory(space))

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        record, path = args[1].type.extra, _path(args[2])
        offset = _offset(args[1].type, path) or 0
        pointer = g.scalar(args[0])
        if record.system and record.name and node.type.space == T.KERNEL:
            template = RelocTemplate(CORE, record.name, "imm", ("offset", ".".join(path), offset))
            return g.b.binary("sub", pointer, g.b.reloc(template))
        return g.b.offset(pointer, -offset)


def _path(node: ast.Expr) -> list[str]:
    """["a", "b"] of ``a.b``; empty for anything else."""
    names: list[str] = []
    while isinstance(node, ast.Field):
        names.insert(0, node.name)
        node = node.operand
    return [node.name, *names] if isinstance(node, ast.Ident) else []


def _offset(type: Type, path: list[str]) -> int | None:
    """Where a member lies."""
    total = 0
    for name in path:
        member = type.extra.find(name) if type.kind == "struct" else None
        if member is None:
            return None
        total += member.offset
        type = member.type
    return total


class IsErr(Builtin):
    """is_err(p): does a kernel pointer hold an error number?"""

    arity = (1, 1)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        type = c.value(args[0])
        if type.kind not in ("ptr", "int", "unknown"):
            c.error(f"is_err() expects a pointer, not '{T.name(type)}'", args[0].span)
        return T.BOOL

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        return g.b.cmp("uge", g.scalar(args[0]), g.const(-_MAX_ERRNO))


class PerCpuKAddr(Builtin):
    """percpu_kaddr("symbol"[, cpu]): where a CPU's own copy of a kernel variable lies; 0 for a CPU that cannot be."""

    arity = (1, 2)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        name = literal_text(c, args[0], "percpu_kaddr()'s argument")
        if name is not None and not c.has_ksym(name):
            hints = ["/proc/kallsyms lists no variables here (CONFIG_KALLSYMS_ALL)"]
            known = _known_to_btf(c.types, name)
            c.error(f"Failed to resolve kernel symbol: {name}", args[0].span, hints if known else [])
        if len(args) > 1:
            c.number(args[1], "percpu_kaddr()'s CPU")
        return T.pointer(T.UINT64, T.KERNEL)

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        name = args[0].const.decode()
        cpu = g.scalar(args[1]) if len(args) > 1 else g.b.call("get_smp_processor_id")
        if not _known_to_btf(g.types, name):
            return self._from_symbols(g, name, cpu)
        variable = g.b.reloc(RelocTemplate(KVAR, name, "imm64"))
        found = g.b.call("per_cpu_ptr", variable, g.b.zext(cpu, 4))
        return g.select("ne", found, g.const(0), lambda: as_integer(g, found), lambda: g.const(0))

    @staticmethod
    def _from_symbols(g: Lowerer, name: str, cpu: Value) -> Value:
        """The kernel keeps the distance of each CPU's area from the symbol in __per_cpu_offset."""
        symbol = g.b.reloc(RelocTemplate(KSYM, name, "imm64"))

        def address() -> Value:
            offsets = g.b.reloc(RelocTemplate(KSYM, "__per_cpu_offset", "imm64"))
            place = Mem(g.b.add(offsets, g.b.binary("mul", cpu, g.const(8))), "kernel", T.UINT64)
            return g.b.add(symbol, g.read(place, 8, False))

        return g.select("ult", cpu, g.session("possible_cpus"), address, lambda: g.const(0))


def _known_to_btf(types: CTypes, name: str) -> bool:
    from cygnet.btf import kinds

    return types.btf is not None and types.btf.find(name, kinds.VAR) is not None


class KfuncExist(Builtin):
    """kfunc_exist("name"): has the kernel such a function? Answered when the program is compiled."""

    arity = (1, 1)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        name = literal_text(c, args[0], f"{self.name}()'s argument")
        node.const = name is not None and self.answer(c, name)
        return T.BOOL

    def answer(self, c: Checker, name: str) -> bool:
        from cygnet.btf import kinds

        return c.types.btf is not None and c.types.btf.find(name, kinds.FUNC) is not None


class KfuncAllowed(KfuncExist):
    """kfunc_allowed("name"): may this kind of probe call it?"""

    def answer(self, c: Checker, name: str) -> bool:
        return super().answer(c, name) and may_call(c, name)


def may_call(c: Checker | Lowerer, name: str) -> bool:
    """Whether the probe at hand may call a kernel function; no where that cannot be asked."""
    ask = getattr(c.instance.target, "kfunc_allowed", None)
    match = c.instance.match
    return ask is not None and bool(ask(name, match.prog_type, match.attach_type, match.attach_to))


def needs_helper(c: Checker, node: ast.Expr, name: str, helper: str) -> None:
    """Report a builtin whose helper this kernel does not let the probe at hand call."""
    match = c.instance.match
    ask = getattr(c.instance.target, "helper_allowed", None)
    if ask is not None and not ask(helper, match.prog_type, match.attach_type, match.attach_to):
        c.error(f"{name}() is not possible in '{match.probetype}' probes on this system", node.span,
                [f"the kernel, as it is built or locked down, does not let them call bpf_{helper}"])  # fmt: skip


class Tracing(Builtin):
    """What only programs with typed arguments can call: their pointers come straight from the context. `raw`: the
    kernel allows it in raw tracepoints, too."""

    raw = False

    def usable(self, c: Checker, node: ast.Expr, pointer: ast.Expr, helper: str) -> None:
        from cygnet.lang.trace.lower.typed import is_typed

        match = c.instance.match
        if self.raw and match.kind == "raw_tracepoint" and is_typed(pointer):
            from cygnet.probes.rawtracepoint import make_typed

            make_typed(match)
        if match.prog_type != BPF_PROG_TYPE_TRACING:
            places = "fentry, fexit, rawtracepoint" if self.raw else "fentry, fexit"
            c.error(
                f"{self.name}() can not be used with '{match.provider.name}' probes", node.span,
                [f"the kernel allows it in {places} and iter probes"],
            )  # fmt: skip
        elif not is_typed(pointer):
            c.error(f"{self.name}() takes an argument of the probe, or a member of one", pointer.span,
                    ["args.x, ctx.x or args.x->y: the kernel wants a pointer whose type it knows"])  # fmt: skip
        elif not self.allowed(c, helper):
            c.error(f"helper bpf_{helper} not allowed in probe", node.span,
                    [f"the kernel does not allow {self.name}() in {match.probe}"])  # fmt: skip
        needs_context(c, node, f"{self.name}()")

    @staticmethod
    def allowed(c: Checker, helper: str) -> bool:
        match = c.instance.match
        ask = getattr(c.instance.target, "helper_allowed", None)
        return ask is None or bool(ask(helper, match.prog_type, match.attach_type, match.attach_to))


class SocketCookie(Tracing):
    """socket_cookie(sk): a number that the kernel gives a socket for its life."""

    arity = (1, 1)
    raw = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        type = c.value(args[0])
        self.usable(c, node, args[0], "get_socket_cookie")
        if type.kind != "unknown" and not (type.kind == "ptr" and type.elem is not None and type.elem.kind == "struct"):
            c.error(f"socket_cookie() expects a pointer to a struct sock, not '{T.name(type)}'", args[0].span)
        return T.UINT64

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        from cygnet.lang.trace.lower.typed import with_typed

        result = object()
        g.b.write(result, g.const(0))
        with_typed(g, args[0], lambda sk: g.b.write(result, g.b.call("get_socket_cookie", sk)))
        return g.b.read(result)


class Path(Tracing):
    """path(struct path *[, size]): the whole path of a file, from the kernel's bpf_d_path."""

    arity = (1, 2)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        type = c.value(args[0])
        self.usable(c, node, args[0], "d_path")
        record = type.elem if type.kind == "ptr" else type
        fits = record is not None and record.kind == "struct" and record.extra.name == "path"
        if type.kind != "unknown" and not fits:
            c.error(f"path() expects a pointer to a struct path, not '{T.name(type)}'", args[0].span)
        size: int = c.config["max_strlen"]
        if len(args) > 1:
            c.number(args[1], "path()'s size")
            given = args[1].const
            if given.__class__ is not int or given < 1:
                c.error("path()'s size is a positive literal", args[1].span)
            else:
                size = min(size, given)
        return T.string(size)

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        from cygnet.lang.trace.lower.typed import with_typed

        size = node.type.size

        def store(place: Value, offset: int, wanted: Type, pad: bool) -> None:
            g.b.memzero(place, T.storage(wanted), offset)
            to = g.b.offset(place, offset)
            with_typed(g, args[0], lambda path: g.b.call("d_path", path, to, g.const(size)))

        return Gen(node.type, store, once=True)


class Override(Builtin):
    """override(rc): the probed function is not run, and returns `rc`."""

    arity = (1, 1)
    statement_only = True

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        needs_unsafe(c, node, "override")
        c.number(args[0], "override()'s value")
        if c.instance.match.probetype != "kprobe":
            c.error(f"override() can not be used with '{c.instance.match.provider.name}' probes", node.span,
                    ["only kprobe can"])  # fmt: skip
        else:
            needs_helper(c, node, "override", "override_return")
        needs_context(c, node, "override()")
        return T.NONE

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        return g.b.call("override_return", g.ctx(), g.scalar(args[0]))


class WriteUser(Builtin):
    """write_user(dst, src, len): write to the process's own memory. 0, or a negative error number."""

    arity = (3, 3)

    def check(self, c: Checker, node: ast.Expr, args: Args) -> Type:
        needs_unsafe(c, node, "write_user")
        target = c.value(args[0])
        source = c.value(args[1])
        c.number(args[2], "write_user()'s length")
        if target.kind not in ("ptr", "int", "unknown"):
            c.error(f"write_user() expects an address, not '{T.name(target)}'", args[0].span)
        if source.kind not in ("ptr", "str", "buf", "array", "struct", "unknown"):
            c.error(f"write_user() expects a pointer, a string or a buffer to write, not '{T.name(source)}'",
                    args[1].span)  # fmt: skip
        needs_helper(c, node, "write_user", "probe_write_user")
        length = args[2].const
        if length.__class__ is int and not 1 <= length <= c.config["max_strlen"]:
            c.error(f"write_user()'s length is 1 to {c.config['max_strlen']}, not {length}", args[2].span)
        return T.INT64

    def lower(self, g: Lowerer, node: ast.Expr, args: Args) -> Operand:
        from cygnet.lang.trace.builtins.text import pointer_space
        from cygnet.lang.trace.lower.core import READ

        address, source = g.scalar(args[0]), args[1]
        size = self._room(g, source.type, args[2].const)
        length = g._limited(g.scalar(args[2]), size)
        if source.type.kind in ("ptr", "int"):
            slot = g.new_slot(size, "written")
            g.b.memzero(slot, size + 7 & ~7)
            g.fetch(READ[pointer_space(g, source.type)], slot, length, g.scalar(source))
        else:
            slot = g.place(source, source.type, True)
            if source.type.kind == "buf":
                slot = g.b.offset(slot, 4)
        return g.b.call("probe_write_user", address, slot, length)

    @staticmethod
    def _room(g: Lowerer, type: Type, length: int | None) -> int:
        size: int = g.unit.config["max_strlen"]
        if type.kind in ("str", "buf"):
            size = type.size
        elif type.kind in ("array", "struct"):
            size = T.natural_size(type)
        return size if length is None else max(1, min(size, length))


ROWS: dict[str, Builtin] = {
    "container_of": ContainerOf("container_of"),
    "is_err": IsErr("is_err"),
    "percpu_kaddr": PerCpuKAddr("percpu_kaddr"),
    "kfunc_exist": KfuncExist("kfunc_exist"),
    "kfunc_allowed": KfuncAllowed("kfunc_allowed"),
    "socket_cookie": SocketCookie("socket_cookie"),
    "path": Path("path"),
    "override": Override("override"),
    "write_user": WriteUser("write_user"),
}
