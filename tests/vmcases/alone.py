"""Scenes that only the machine plays: helpers that no program of ours can call in the live kernel, each with the reason.

What is expected was read from the kernel's source, which each line names.
"""

from __future__ import annotations

import struct
from typing import Any

from tests.vmcases.helpers import call, store
from tests.vmcases.scenes import Place, Scene, keep, result, storage
from tests.vmcases.tasks import E2BIG, EFAULT, EINVAL, ENOENT

from cygnet.maps.kinds.events import PerfEvent
from cygnet.spec.objects import MapSpec
from cygnet.uapi import bpf
from cygnet.vm import contexts
from cygnet.vm.contexts import Context

EOPNOTSUPP = -95
_END = "out:\nr0 = 0\nexit\n"
KPROBES = "only kprobe programs may, on functions that allow errors: a kernel with CONFIG_BPF_KPROBE_OVERRIDE"
TRAMPOLINES = "fentry, fexit and LSM programs need a kernel whose functions can be patched"
INFRARED = "programs of infrared receivers need CONFIG_BPF_LIRC_MODE2 and a receiver"


def _did(machine: Any) -> list[Any]:
    return list(machine.world.did)


# ── kprobes: bpf_override_return (kernel/trace/bpf_trace.c) ──────────────────────────────────────────────

OVERRIDE = [
    Scene("override_return", bpf.BPF_PROG_TYPE_KPROBE, result(0, call("override_return", "ctx", -12)) + _END, (0,),
          context=lambda place: contexts.registers(), why=KPROBES,
          after=lambda machine: machine.world.overridden, expect_after=[-12 & 0xFFFFFFFFFFFFFFFF]),
]  # fmt: skip


# ── infrared (drivers/media/rc/bpf-lirc.c) ───────────────────────────────────────────────────────────────


def _infrared(name: str, *arguments: int, did: tuple[Any, ...]) -> Scene:
    shown = " ".join([name, *map(hex, arguments)])
    return Scene(shown, bpf.BPF_PROG_TYPE_LIRC_MODE2, result(0, call(name, "ctx", *arguments)) + _END, (0,), why=INFRARED,
                 context=lambda place: contexts.memory(bytes(4)), after=_did, expect_after=[(name.split()[0], did)])  # fmt: skip


REMOTE = [
    _infrared("rc_repeat", did=()),
    _infrared("rc_keydown", 4, 0x800F040C, 1, did=(4, 0x800F040C, 1)),
    _infrared("rc_keydown", 1 << 33 | 2, 7, 1 << 32, did=(2, 7, 0)),
    _infrared("rc_pointer_rel", 5, -3, did=(5, -3)),
]


# ── functions: bpf_get_func_arg … (kernel/trace/bpf_trace.c) ─────────────────────────────────────────────

_FENTRY = {"attach_type": bpf.BPF_TRACE_FENTRY, "attach_to": "do_unlinkat"}


def _function(name: str, text: str, expect: tuple[int | None, ...], returned: int | None = None) -> Scene:
    return Scene(name, bpf.BPF_PROG_TYPE_TRACING, store(-8, b"x" * 8) + text + _END, expect, why=TRAMPOLINES,
                 context=lambda place: contexts.function((11, -22, 33), returned), **_FENTRY)  # fmt: skip


def _argument(word: int, number: int) -> str:
    return call("get_func_arg", "ctx", number, "fp-8") + keep(word) + "r0 = *(u64 *)(r10 -8)\n" + keep(word + 1)


_RETURNED = call("get_func_ret", "ctx", "fp-8") + keep(0) + "r0 = *(u64 *)(r10 -8)\n" + keep(1)
FUNCTIONS = [
    _function("get_func_arg", _argument(0, 0) + _argument(2, 1) + _argument(4, 2), (0, 11, 0, -22, 0, 33)),
    _function("get_func_arg outside", _argument(0, 3), (EINVAL, int.from_bytes(b"x" * 8, "little"))),
    _function("get_func_arg_cnt", result(0, call("get_func_arg_cnt", "ctx")), (3,)),
    _function("get_func_ret of fexit", _RETURNED, (0, -5), -5),
    _function("get_func_ret of fentry", _RETURNED, (EOPNOTSUPP, None)),
    _function("get_func_ip of fentry", result(0, call("get_func_ip", "ctx")), (0,)),
]


# ── a packet of XDP in a tracing program: bpf_xdp_event_output (net/core/filter.c) ────────────────────────


def _events(runtime: Any, place: Place, kernel: bool) -> None:
    event = place["event"] = PerfEvent()
    runtime.map("events").update(bytes(4), struct.pack("=I", runtime.host.map_host.add("perf_event", event)))


def _xdp_output(word: int, flags: int) -> str:
    text = (
        f"r1 = *(u64 *)(r6 +0)\nr2 = map[fd:2]\nr3 = {flags:#x} ll\nr4 = r10\nr4 += -8\nr5 = 8\ncall bpf_xdp_output\n"
    )
    return store(-8, b"abcdefgh") + text + keep(word)


def _records(machine: Any) -> list[bytes]:
    return machine.map("events").event(0).drain()  # type: ignore[no-any-return]


XDP = [
    Scene("xdp_output", bpf.BPF_PROG_TYPE_TRACING, _xdp_output(0, 0) + _xdp_output(1, 4 << 32) + _xdp_output(2, 21 << 32)
          + _xdp_output(3, 1 << 52) + _xdp_output(4, 1) + _xdp_output(5, 2) + _END, (0, 0, EFAULT, EINVAL, ENOENT, E2BIG),
          (MapSpec("events", bpf.BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 2),), bpf.BPF_TRACE_FEXIT, "do_unlinkat", fill=_events,
          context=lambda place: Context("function", bytes(8), packet=bytes(range(20))), why=TRAMPOLINES,
          after=_records, expect_after=[b"abcdefgh", b"abcdefgh\0\1\2\3"]),
]  # fmt: skip


# ── security hooks: storage of inodes (kernel/bpf/bpf_inode_storage.c), bpf_bprm_opts_set (kernel/bpf/bpf_lsm.c) ──

_STORE = (storage("store", bpf.BPF_MAP_TYPE_INODE_STORAGE),)
_LSM = {"attach_type": bpf.BPF_LSM_MAC, "attach_to": "file_open"}


def _inodes(place: Place) -> Context:
    return Context("function", struct.pack("<QQ", 0xFFFF888000100000, 0xFFFF888000200000))


def _get(word: int, flags: int, value: str = "0", add: int = 0) -> str:
    text = "r1 = map[fd:2]\nr2 = r7\n" + (f"r3 = r10\nr3 += {value}\n" if value != "0" else "r3 = 0\n")
    text += f"r4 = {flags}\ncall bpf_inode_storage_get\nr8 = 0\nif r0 == 0 goto +3\nr8 = *(u64 *)(r0 +0)\n"
    return text + f"r8 += {add}\n*(u64 *)(r0 +0) = r8\n" + keep(word, "r8")


def _delete(word: int) -> str:
    return result(word, "r1 = map[fd:2]\nr2 = r7\ncall bpf_inode_storage_delete\n")


def _inode(name: str, text: str, expect: tuple[int | None, ...]) -> Scene:
    return Scene(name, bpf.BPF_PROG_TYPE_LSM, "r7 = *(u64 *)(r6 +0)\n" + text + _END, expect, _STORE, why=TRAMPOLINES,
                 context=_inodes, **_LSM)  # fmt: skip


_OTHER = "r7 = *(u64 *)(r6 +8)\n"
HOOKS = [
    _inode("inode_storage_get create", store(-8, b"\x2a") + _get(0, 0) + _get(1, 1, "-8", 1) + _get(2, 0) + _get(3, 2)
           + _get(4, 3), (0, 43, 43, 0, 0)),
    _inode("inode_storage_get of another", _get(0, 1, add=5) + _OTHER + _get(1, 0) + _get(2, 1, add=6), (5, 0, 6)),
    _inode("inode_storage_get of nobody", "r7 = 0\n" + _get(0, 1) + _delete(1), (0, EINVAL)),
    _inode("inode_storage_delete", _delete(0) + _get(1, 1, add=5) + _delete(2) + _get(3, 0) + _delete(4),
           (ENOENT, 5, 0, 0, ENOENT)),
    Scene("bprm_opts_set", bpf.BPF_PROG_TYPE_LSM, "r7 = *(u64 *)(r6 +0)\n" + "".join(
        result(n, f"r1 = r7\nr2 = {flags}\ncall bpf_bprm_opts_set\n") for n, flags in enumerate((1, 2, 3))) + _END,
        (0, EINVAL, EINVAL), context=_inodes, why=TRAMPOLINES, after=_did, expect_after=[("bprm_opts_set", (1,))], **_LSM),
]  # fmt: skip

SCENES = [*OVERRIDE, *REMOTE, *FUNCTIONS, *XDP, *HOOKS]
