"""The types that the corpus's programs share: one BTF object with structures, map values and functions."""

from __future__ import annotations

from cygnet.btf import kinds as k
from cygnet.btf.builder import Builder

# Structures that the kernel knows by name: bytes, alignment
_OPAQUE = {
    "bpf_spin_lock": (4, 4), "bpf_res_spin_lock": (4, 4), "bpf_timer": (16, 8), "bpf_wq": (16, 8),
    "bpf_task_work": (8, 8), "bpf_list_head": (16, 8), "bpf_list_node": (24, 8), "bpf_rb_root": (16, 8),
    "bpf_rb_node": (32, 8), "bpf_refcount": (4, 4), "bpf_dynptr": (16, 8),
}  # fmt: skip
# Contexts and kernel structures: known by their names
_NAMED = (
    "__sk_buff", "xdp_md", "bpf_raw_tracepoint_args", "bpf_perf_event_data", "task_struct", "cgroup", "bpf_cpumask",
    "sk_buff", "prog_test_ref_kfunc",
)  # fmt: skip
# name: members; a member is "name type"; types: u8 … u64, a structure, "*structure", "tag *structure", "type[n]"
_STRUCTS = {
    "listnode": "data u64; node bpf_list_node; more u64",
    "treenode": "key u64; node bpf_rb_node; value u64",
    "both": "refs bpf_refcount; data u32; list bpf_list_node; tree bpf_rb_node",
    "plain": "a u64; b u32; c u32",
    "counted": "refs bpf_refcount; data u32; x u64",
    "held": "plain kptr *plain; x u64",
    "v_lock": "lock bpf_spin_lock; count u32; data u64",
    "v_lock8": "data u64; lock bpf_spin_lock; count u32",
    "v_res": "lock bpf_res_spin_lock; count u32; data u64",
    "v_timer": "timer bpf_timer; data u64",
    "v_timer_lock": "lock bpf_spin_lock; pad u32; timer bpf_timer; data u64",
    "v_wq": "work bpf_wq; data u64",
    "v_task_work": "work bpf_task_work; data u64",
    "v_kptr": "task kptr *task_struct; loose kptr_untrusted *task_struct; mask kptr *bpf_cpumask; data u64",
    "v_cgrp": "group kptr *cgroup; data u64",
    "v_local": "plain kptr *plain; node kptr *listnode; data u64",
    "v_percpu": "plain percpu_kptr *plain; data u64",
    "v_list": "lock bpf_spin_lock; pad u32; head bpf_list_head; other bpf_list_head",
    "v_tree": "lock bpf_spin_lock; pad u32; root bpf_rb_root; other bpf_rb_root",
    "v_both": "lock bpf_spin_lock; pad u32; head bpf_list_head; root bpf_rb_root",
    "v_two": "lock bpf_spin_lock; pad u32; head bpf_list_head; data u64",
    "v_plain": "a u64; b u64; c u32; d u32; e u8[8]",
    "v_refs": "held kptr *both; data u64",
}
_CONTAINS = {
    ("v_list", "head"): "listnode:node", ("v_list", "other"): "listnode:node", ("v_tree", "root"): "treenode:node",
    ("v_tree", "other"): "treenode:node", ("v_both", "head"): "both:list", ("v_both", "root"): "both:tree",
    ("v_two", "head"): "listnode:node",
}  # fmt: skip
# name: result, parameters ("name type" with tags in front), linkage
_FUNCS = {
    "main": ("int", "ctx *void", k.GLOBAL),
    "callback": ("int", "a *void; b *void; c *void; d *void", k.STATIC),
    "static0": ("int", "", k.STATIC),
    "static_void": ("void", "", k.STATIC),
    "static1": ("int", "a u64", k.STATIC),
    "static2": ("int", "a u64; b u64", k.STATIC),
    "g0": ("int", "", k.GLOBAL),
    "g0_long": ("u64", "", k.GLOBAL),
    "g_void": ("void", "", k.GLOBAL),
    "g_scalar": ("int", "a u64", k.GLOBAL),
    "g_scalars": ("int", "a u32; b u64; c u8; d u64; e u64", k.GLOBAL),
    "g_six": ("int", "a u32; b u64; c u8; d u64; e u64; f u64", k.GLOBAL),
    "g_skb": ("int", "ctx *__sk_buff", k.GLOBAL),
    "g_skb_n": ("int", "ctx *__sk_buff; n u64", k.GLOBAL),
    "g_xdp": ("int", "ctx *xdp_md", k.GLOBAL),
    "g_ctx_tag": ("int", "arg:ctx ctx *void", k.GLOBAL),
    "g_mem": ("int", "p *plain", k.GLOBAL),
    "g_int": ("int", "p *int", k.GLOBAL),
    "g_u64": ("int", "p *u64; n u64", k.GLOBAL),
    "g_nonnull": ("int", "arg:nonnull p *plain", k.GLOBAL),
    "g_dynptr": ("int", "d *bpf_dynptr", k.GLOBAL),
    "g_trusted": ("int", "arg:trusted t *task_struct", k.GLOBAL),
    "g_trusted_null": ("int", "arg:trusted arg:nullable t *task_struct", k.GLOBAL),
    "g_untrusted": ("int", "arg:untrusted t *task_struct", k.GLOBAL),
    "g_untrusted_mem": ("int", "arg:untrusted t *u64", k.GLOBAL),
    "g_arena": ("int", "arg:arena t *void", k.GLOBAL),
    "g_ptr_void": ("int", "t *void", k.GLOBAL),
    "g_struct_ret": ("*plain", "", k.GLOBAL),
    "g_list": ("int", "t *listnode", k.GLOBAL),
}


class Kit:
    """`data` are the bytes; `structs` and `funcs` ids by name, `sizes` bytes of structures."""

    def __init__(self) -> None:
        self.builder = Builder()
        self.key = self.builder.integer(4, True)  # id 1: the key of every map
        self.structs: dict[str, int] = {}
        self.sizes: dict[str, int] = {}
        self.aligns: dict[str, int] = {}
        self.funcs: dict[str, int] = {}
        for name, (size, align) in _OPAQUE.items():
            words = [(f"w{at}", self.builder.integer(align), at * 8) for at in range(0, size, align)]
            self._made(name, size, align, words)
        for name in _NAMED:
            self._made(name, 4, 4, [("w", self.builder.integer(4), 0)])
        for name, members in _STRUCTS.items():
            self._struct(name, members)
        for name, (result, params, linkage) in _FUNCS.items():
            self._func(name, result, params, linkage)
        self.data = self.builder.to_bytes()

    def _made(self, name: str, size: int, align: int, members: list[tuple[str, int, int]]) -> None:
        self.structs[name] = self.builder.struct(name, size, members)
        self.sizes[name], self.aligns[name] = size, align

    def type(self, text: str) -> tuple[int, int, int]:
        """(id, bytes, alignment) of a type's text."""
        build = self.builder
        if text.endswith("]"):
            inner, _, count = text[:-1].partition("[")
            of, size, align = self.type(inner)
            return build.array(of, int(count)), size * int(count), align
        *tags, name = text.split()
        if name.startswith("*"):
            target = 0 if name == "*void" else self.type(name[1:])[0]
            for tag in tags:
                target = build.type_tag(tag, target)
            return build.ptr(target), 8, 8
        if name == "void":
            return 0, 0, 1
        if name == "int":
            return build.integer(4, True), 4, 4
        if name in ("u8", "u16", "u32", "u64"):
            size = int(name[1:]) // 8
            return build.integer(size), size, size
        return self.structs[name], self.sizes.get(name, 0), self.aligns.get(name, 1)

    def _struct(self, name: str, text: str) -> None:
        at, most, members = 0, 1, []
        for member in text.split(";"):
            label, _, kind = member.strip().partition(" ")
            of, size, align = self.type(kind)
            at = (at + align - 1) // align * align
            members.append((label, of, at * 8))
            at, most = at + size, max(most, align)
        self._made(name, (at + most - 1) // most * most, most, members)
        for index, (label, _, _) in enumerate(members):
            contains = _CONTAINS.get((name, label))
            if contains:
                self.builder.decl_tag(f"contains:{contains}", self.structs[name], index)

    def _func(self, name: str, result: str, params: str, linkage: int) -> None:
        made, tags = [], []
        for index, param in enumerate(params.split(";") if params else ()):
            words = param.split()
            marks = [word for word in words if word.startswith("arg:")]
            label, kind = [word for word in words if not word.startswith("arg:")]
            made.append((label, self.type(kind)[0]))
            tags += [(mark, index) for mark in marks]
        func = self.builder.func(name, self.builder.func_proto(self.type(result)[0], made), linkage)
        self.funcs[name] = func
        for mark, index in tags:
            self.builder.decl_tag(mark, func, index)


_kits: list[Kit] = []


def kit() -> Kit:
    if not _kits:
        _kits.append(Kit())
    return _kits[0]
