"""Small programs that go through the tables: each context field, helper, kernel function, tracepoint, iterator."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from cygnet.facts.progtypes import ProgramType, program_types
from cygnet.isa.encode import encode
from cygnet.verifier.program import ProgramSpec

ALL = bool(os.environ.get("CYGNET_VERIFIER_ALL"))
SLEEPABLE = 16
_LEFT_OUT = ("unspec", "ext", "struct_ops", "lsm", "lirc_mode2")  # attach elsewhere, or are not built in everywhere
_TARGETS = {
    "TRACE_RAW_TP": ("sched_switch", "kfree_skb", "sys_enter"),
    "TRACE_ITER": (
        "task", "bpf_map", "task_file", "tcp", "bpf_map_elem", "cgroup", "sockmap", "task_vma", "bpf_sk_storage_map",
        "ksym", "netlink", "unix", "udp", "bpf_prog", "bpf_link", "ipv6_route",
    ),
}  # fmt: skip
_ENDS = {"pt_regs": 180, "__sk_buff": 200, "bpf_sock_ops": 240}
_FAR = (216, 224, 8184, 8192, 32760)
_SIZES = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
_EXIT = (0x95, 0, 0, 0, 0)


def kinds() -> Iterator[tuple[ProgramType, str, str]]:
    """(program type, attach type, the function it is for)."""
    for kind in program_types():
        if kind.name in _LEFT_OUT:
            continue
        if kind.name == "tracing":
            for attach, targets in _TARGETS.items():
                for target in targets:
                    yield kind, attach, target
            continue
        if not kind.expects_attach_type or not kind.attach_types:
            yield kind, "", ""
        for attach in kind.attach_types:
            yield kind, attach, ""


def _program(name: str, kind: ProgramType, attach: str, target: str, insns: Any, license: str = "GPL") -> ProgramSpec:
    result = 0 if attach == "TRACE_ITER" else 1
    flags = SLEEPABLE if kind.name == "syscall" else 0
    code = encode([*insns, (0xB7, 0, 0, 0, result), _EXIT])
    return ProgramSpec(kind.name, code, name, attach, flags, license=license, attach_to=target)


def fields(kind: ProgramType, attach: str, target: str) -> Iterator[ProgramSpec]:
    """Every access to a context: each offset and size, read and written."""
    # a tracepoint program of this kernel may read before its context, by mistake; ours may not
    first = 0 if kind.name == "tracepoint" else -8
    for off in (*range(first, _ENDS.get(kind.context, 120)), *_FAR):
        for size, bits in _SIZES.items():
            where = f"{kind.name} {attach} {target} {off}:{size}"
            yield _program(f"read {where}", kind, attach, target, [(0x61 | bits, 2, 1, off, 0)])
            store = [(0xB7, 2, 0, 0, 0), (0x63 | bits, 1, 2, off, 0)]
            yield _program(f"write {where}", kind, attach, target, store)


def helpers(kind: ProgramType, attach: str, target: str) -> Iterator[ProgramSpec]:
    """Every helper called at once, from programs under the GPL and others."""
    for number in range(215):
        for license in ("GPL", "MIT"):
            name = f"{kind.name} {attach} helper {number} {license}"
            yield _program(name, kind, attach, target, [(0x85, 0, 0, 0, number)], license)


def kfuncs(kind: ProgramType, attach: str, target: str, kernel: Any) -> Iterator[ProgramSpec]:
    """Every kernel function called at once, with the context and with null."""
    from cygnet.btf.kinds import DECL_TAG

    ids = sorted({tag.type_id for tag in kernel.types() if tag.kind == DECL_TAG and tag.name == "bpf_kfunc"})
    for number in ids:
        name = f"{kind.name} {attach} {kernel.type(number).name}"
        call = (0x85, 0, 2, 0, number)
        yield _program(name, kind, attach, target, [call])
        yield _program(f"{name} null", kind, attach, target, [(0xB7, 1, 0, 0, 0), call])


def arguments(kernel: Any, which: str) -> Iterator[ProgramSpec]:
    """Every argument of every raw tracepoint or iterator, read through."""
    from cygnet.btf.kinds import FUNC, TYPEDEF

    kind, prefix, attach = {
        "tracepoints": (TYPEDEF, "btf_trace_", "TRACE_RAW_TP"),
        "iterators": (FUNC, "bpf_iter_", "TRACE_ITER"),
    }[which]
    names = {each.name for each in kernel.types() if each.kind == kind and each.name.startswith(prefix)}
    for name in sorted(names):
        if name.endswith(("_new", "_next", "_destroy")):
            continue
        for off in range(0, 48, 8):
            insns = [(0x79, 6, 1, off, 0), (0x79, 7, 6, 0, 0), (0xB7, 0, 0, 0, 0), _EXIT]
            yield ProgramSpec("tracing", encode(insns), f"{name}+{off}", attach, attach_to=name.removeprefix(prefix))
