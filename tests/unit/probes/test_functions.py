"""Functions of the kernel: what kprobe and fentry stand for on a made-up system that can trace some."""

from __future__ import annotations

from typing import Any

import pytest

from cygnet.btf import kinds
from cygnet.btf.builder import Builder
from cygnet.btf.reader import Btf
from cygnet.errors import NotSupported, ProbeError
from cygnet.probes import point
from cygnet.probes.model import Match, Options
from cygnet.uapi import bpf

FUNCTIONS = ["vfs_read", "vfs_write", "vfs_read_old", "strange", "disk:disk_done", "disk:vfs_disk", "net:disk_done"]


def kernel_types() -> bytes:
    b = Builder()
    file = b.struct("file", 8, [("pos", b.integer(8, True), 0)])
    pair = b.struct("pair", 16, [("a", b.integer(8, True), 0), ("b", b.integer(8, True), 64)])
    large = b.struct("large", 24, [("a", b.array(b.integer(8, True), 3), 0)])
    size, text = b.integer(8, False), b.ptr(b.char())
    proto = b.func_proto(b.integer(8, True), [("file", b.ptr(file)), ("buf", text), ("count", size)])
    for name in ("vfs_read", "vfs_write", "vfs_readv"):
        b.func(name, proto, kinds.GLOBAL)
    b.func("vfs_read_old", b.func_proto(0, [("p", pair), ("last", b.integer(4, True))]), kinds.GLOBAL)
    b.func("strange", b.func_proto(0, [("x", large)]), kinds.GLOBAL)
    b.func("variadic", b.func_proto(0, [("x", size), ("", 0)]), kinds.GLOBAL)
    return b.to_bytes()


def module_types() -> bytes:
    b = Builder()
    proto = b.func_proto(0, [("number", b.integer(4, False))])
    for name in ("disk_done", "vfs_disk"):
        b.func(name, proto, kinds.STATIC)
    return b.to_bytes()


class Target:
    """A kernel with a module disk that has BTF, and a module net that has none."""

    machine = "x86_64"

    def __init__(self, functions: list[str] = FUNCTIONS) -> None:
        self.functions = functions

    def traceable_functions(self) -> list[str]:
        return self.functions

    def bpf_functions(self) -> list[tuple[int, str]]:
        return [(7, "count"), (7, "inner"), (9, "count")]

    def btf(self) -> Any:
        return Btf(kernel_types())

    def module_btf(self, name: str) -> Any:
        if name != "disk":
            raise FileNotFoundError(name)
        return Btf(module_types())


def expand(text: str, **options: Any) -> list[Match]:
    return point.expand(point.parse_text(text), Target(), Options(**options))  # type: ignore[arg-type]


def names(text: str) -> list[str]:
    return [match.probe for match in expand(text)]


def test_a_kprobe() -> None:
    (match,) = expand("kprobe:vfs_read+4")
    assert match.targets == ({"function": "vfs_read", "offset": 4, "ret": False},)
    assert (match.kind, match.context, match.space, match.func) == ("kprobe", "regs", "kernel", "vfs_read")
    (match,) = expand("kr:disk:disk_done")
    assert match.targets == ({"function": "disk_done", "module": "disk", "offset": 0, "ret": True},)
    assert (match.kind, match.probe, match.probetype) == ("kretprobe", "kretprobe:disk:disk_done", "kretprobe")
    assert expand("kprobe:vmlinux:vfs_read")[0].targets[0]["function"] == "vfs_read"
    assert expand("kprobe:vfs_readv")  # in BTF, so it may exist, although it cannot be traced by ftrace


def test_kprobes_by_wildcard() -> None:
    assert names("kprobe:vfs_*") == [
        "kprobe:vfs_read", "kprobe:vfs_read_old", "kprobe:vfs_write", "kprobe:disk:vfs_disk",
    ]  # fmt: skip
    assert names("kprobe:vmlinux:*read") == ["kprobe:vfs_read"]
    assert names("kprobe:d*:*") == ["kprobe:disk:disk_done", "kprobe:disk:vfs_disk"]
    assert names("kprobe:*_done") == ["kprobe:disk:disk_done", "kprobe:net:disk_done"]


def test_an_address_wants_unsafe() -> None:
    with pytest.raises(ProbeError, match="may crash the kernel"):
        expand("kprobe:0xffff1234")
    assert expand("kprobe:0xffff1234", unsafe=True)[0].targets == ({"address": 0xFFFF1234, "ret": False},)


def test_typed_functions() -> None:
    (match,) = expand("fexit:vfs_read")
    assert (match.prog_type, match.attach_type) == (bpf.BPF_PROG_TYPE_TRACING, bpf.BPF_TRACE_FEXIT)
    assert (match.attach_to, match.probe, match.kind) == ("vfs_read", "fexit:vmlinux:vfs_read", "fexit")
    args = {arg.name: arg for arg in match.arguments(Target())}
    assert list(args) == ["file", "buf", "count", "$retval"]
    assert (args["count"].index, args["count"].type, args["count"].value_signed) == (2, "unsigned long long int", False)
    assert args["$retval"].index == 3 and args["file"].type == "struct file *"
    assert "$retval" not in {arg.name for arg in expand("kfunc:vfs_read")[0].arguments(Target())}


def test_a_struct_takes_two_words() -> None:
    args = expand("fentry:vfs_read_old")[0].arguments(Target())
    assert [(arg.name, arg.index) for arg in args] == [("p", 0), ("last", 2)]


def test_modules() -> None:
    for text in ("fentry:disk:disk_done", "fentry:disk_done"):  # the first module that has it
        (match,) = expand(text)
        assert (match.attach_to, match.probe) == ("disk:disk_done", "fentry:disk:disk_done")
        assert [arg.name for arg in match.arguments(Target())] == ["number"]
    assert names("fentry:*done") == ["fentry:disk:disk_done"]  # nothing is known of the types of net


def test_what_a_trampoline_cannot_do() -> None:
    for name, why in (("strange", "too large"), ("variadic", "variable number")):
        with pytest.raises(ProbeError, match=why):
            expand(f"fentry:{name}")
    assert names("fentry:*") == [
        "fentry:vmlinux:vfs_read", "fentry:vmlinux:vfs_read_old", "fentry:vmlinux:vfs_write",
        "fentry:disk:disk_done", "fentry:disk:vfs_disk",
    ]  # fmt: skip


def test_functions_of_bpf_programs() -> None:
    assert names("fentry:bpf:count") == ["fentry:bpf:7:count", "fentry:bpf:9:count"]
    assert names("fexit:bpf:7:*") == ["fexit:bpf:7:count", "fexit:bpf:7:inner"]
    (match,) = expand("fentry:bpf:9:count")
    assert match.attach_to == "bpf:9:count" and match.arguments(Target()) == ()
    with pytest.raises(ProbeError, match="no loaded BPF program has a function other"):
        expand("fentry:bpf:other")


@pytest.mark.parametrize("kind", ["kprobe", "fentry"])
def test_misspelt(kind: str) -> None:
    with pytest.raises(ProbeError, match="the kernel has no function vfs_raed") as caught:
        expand(f"{kind}:vfs_raed")
    assert caught.value.hints == (f"did you mean {kind}:vfs_read?",)
    with pytest.raises(ProbeError, match=r"no kernel function matches nothing\*"):
        expand(f"{kind}:nothing*")


def test_a_module_that_is_not_loaded() -> None:
    class Loaded(Target):
        def has_module(self, name: str) -> bool:
            return name == "disk"

    (match,) = point.expand(point.parse_text("kprobe:disk:disk_done"), Loaded())
    assert match.targets[0]["module"] == "disk"
    for text in ("kprobe:gone:disk_done", "fexit:gone:disk_done", "rawtracepoint:gone:event"):
        with pytest.raises(ProbeError, match=f"the module gone in {text} is not loaded"):
            point.expand(point.parse_text(text), Loaded())


def test_locks_that_a_return_probe_takes_itself() -> None:
    locks = Target(["_raw_spin_lock", "_raw_spin_lock_bh"])
    with pytest.raises(ProbeError, match="might lock up your system"):
        point.expand(point.parse_text("kretprobe:_raw_spin_lock"), locks)
    for text in ("kprobe:_raw_spin_lock", "kretprobe:_raw_spin_lock_bh"):
        assert len(point.expand(point.parse_text(text), locks)) == 1


#: a function that the compiler has copied, and two whose names became those of macros
LATER = ["end_switch.isra.0", "end_switch.part.1", "slab_take_noprof", "__send_packet", "send_packed"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("kprobe:end_switch", "the compiler made end_switch.isra.0 of it, whose arguments may differ: "
         "write kprobe:end_switch.isra.0"),
        ("kretprobe:slab_take", "did you mean kretprobe:slab_take_noprof?"),
        ("kprobe:send_packet", "did you mean kprobe:__send_packet?"),
        ("kprobe:___send_packet", "did you mean kprobe:__send_packet?"),
    ],
)  # fmt: skip
def test_what_became_of_a_function(text: str, hint: str) -> None:
    with pytest.raises(ProbeError, match="the kernel has no function") as caught:
        point.expand(point.parse_text(text), Target(LATER))
    assert caught.value.hints == (hint,)


def test_a_copy_is_no_hint_for_what_needs_types() -> None:
    with pytest.raises(ProbeError, match="the kernel has no function end_switch") as caught:
        point.expand(point.parse_text("fentry:end_switch"), Target(LATER))
    assert caught.value.hints == ()


@pytest.mark.parametrize("kind", ["kprobe", "fexit"])
def test_a_kernel_that_can_trace_none(kind: str) -> None:
    """A wildcard cannot be told from nothing there, and says so; a name is left to the attachment."""
    with pytest.raises(NotSupported, match="CONFIG_FUNCTION_TRACER"):
        point.expand(point.parse_text(f"{kind}:vfs_*"), Target([]))
    assert point.expand(point.parse_text(f"{kind}:vfs_read"), Target([]))
