"""The live kernel's opinion of a program: its maps are made, the program is loaded with a log, all is closed again."""

from __future__ import annotations

import os
import struct

from cygnet.facts.progtypes import attach_type, program_type
from cygnet.kernel import sys
from cygnet.kernel.btfload import KernelBtf
from cygnet.kernel.maps import KernelMap
from cygnet.kernel.progs import _Request
from cygnet.kernel.verifierlog import last_insn, reason
from cygnet.spec.objects import MapSpec
from cygnet.uapi import bpf
from cygnet.verifier.program import ProgramSpec


class Opinion:
    """`accepted` is None when the kernel gave no verdict (EPERM without a log)."""

    def __init__(self, result: int, log: str) -> None:
        self.errno = -result if result < 0 else 0
        self.log = log
        self.accepted: bool | None = result >= 0
        if result < 0 and not log.strip() and self.errno == 1:
            self.accepted = None
        self.reason = reason(log) if log.strip() else f"errno {self.errno}"
        self.insn = last_insn(log)
        self.processed = 0
        for line in log.splitlines():
            if line.startswith("processed "):
                self.processed = int(line.split()[1])


def _mapped(fd: int, size: int) -> None:
    """An arena gets its address in user space when it is mapped; the map forgets it no more."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
    libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    address = libc.mmap(None, size, 3, 1, fd, 0)
    assert address != ctypes.c_void_p(-1).value, os.strerror(ctypes.get_errno())
    libc.munmap(address, size)


class Judge:
    """Keeps maps of a shape open, for the next program that wants one."""

    def __init__(self) -> None:
        self.maps: dict[object, list[KernelMap]] = {}
        self.types: dict[bytes, KernelBtf] = {}
        self.targets: dict[tuple[str, str], int] = {}

    def close(self) -> None:
        for maps in self.maps.values():
            for each in maps:
                each.close()
        self.maps.clear()
        for btf in self.types.values():
            btf.close()

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def map_fd(self, spec: MapSpec, nth: int) -> int:
        have = self.maps.setdefault(spec, [])
        if spec.type in (3, 14, 16, 25) and nth == 0:  # maps of programs belong to the type of the first that used them
            for each in have:
                each.close()
            have.clear()
        while len(have) <= nth:
            have.append(self._make(spec))
        return have[nth].fd

    def _make(self, spec: MapSpec) -> KernelMap:
        inner = 0
        if spec.inner is not None or spec.type in (12, 13):
            inner = self.map_fd(spec.inner or MapSpec("inner", 2, 4, 4, 1), 0)
        btf_fd = value_id = key_id = 0
        if spec.btf is not None:
            btf_fd, value_id, key_id = self.btf_fd(spec.btf), spec.value_type_id, 1
        made_map = KernelMap.create(
            spec.type, spec.key_size, spec.value_size, spec.max_entries, spec.flags, spec.name, inner_map_fd=inner,
            btf_fd=btf_fd, btf_key_type_id=key_id, btf_value_type_id=value_id,
        )  # fmt: skip
        if spec.type == 33:
            _mapped(made_map.fd, spec.max_entries * 4096)
        if spec.data:
            made_map.update(b"\0\0\0\0", spec.data)
        if spec.frozen:
            sys.bpf_try(bpf.BPF_MAP_FREEZE, bytearray(made_map.fd.to_bytes(4, "little")))
        return made_map

    def load(self, spec: ProgramSpec, level: int = 1, attach_btf_id: int = 0, btf_fd: int = 0) -> Opinion:
        insns = bytearray(spec.insns)
        counts: dict[MapSpec, int] = {}
        given: dict[int, int] = {}
        for at, map_spec in spec.maps.items():
            if not isinstance(at, int):
                continue
            key = id(map_spec)
            if key not in given:
                nth = counts.get(map_spec, 0)
                counts[map_spec] = nth + 1
                given[key] = self.map_fd(map_spec, nth)
            struct.pack_into("<i", insns, at * 8 + 4, given[key])
        kind = program_type(spec.type)
        wanted = spec.expected_attach_type
        attach = wanted if isinstance(wanted, int) else attach_type(wanted) if wanted else 0
        request = _Request(
            bytes(insns), spec.license, spec.func_info, b"", b"", prog_type=kind.id, expected_attach_type=attach,
            attach_btf_id=attach_btf_id or self._target(spec), prog_btf_fd=btf_fd or self._btf(spec),
            prog_flags=spec.flags,
        )  # fmt: skip
        fd = request.load(level)
        if fd >= 0:
            os.close(fd)
        return Opinion(fd, request.log)

    def _btf(self, spec: ProgramSpec) -> int:
        return 0 if spec.btf is None else self.btf_fd(spec.btf)

    def btf_fd(self, data: bytes) -> int:
        """The same types are one object: pointers into two objects are of different types to the kernel."""
        if data not in self.types:
            self.types[data] = KernelBtf.load(data)
        return self.types[data].fd

    def _target(self, spec: ProgramSpec) -> int:
        if not spec.attach_to:
            return 0
        key = (str(spec.expected_attach_type), spec.attach_to)
        if key not in self.targets:
            self.targets[key] = self._find(*key)
        return self.targets[key]

    def _find(self, wanted: str, name: str) -> int:
        from cygnet.btf import FUNC, TYPEDEF, Btf

        btf = Btf.kernel()
        if wanted == "TRACE_RAW_TP":
            found = btf.find("btf_trace_" + name.removeprefix("btf_trace_"), TYPEDEF)
        else:
            prefix = {"TRACE_ITER": "bpf_iter_", "LSM_MAC": "bpf_lsm_", "LSM_CGROUP": "bpf_lsm_"}.get(wanted, "")
            found = btf.find(prefix + name.removeprefix(prefix), FUNC)
        return found.id if found is not None else 0
