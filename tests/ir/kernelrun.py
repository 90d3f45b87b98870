"""Compile a module and run it on the live kernel as a raw tracepoint program, with maps by name."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from cygnet.codegen.pipeline import compile_module
from cygnet.ir.core import Module
from cygnet.kernel import progs
from cygnet.kernel.btfload import KernelBtf
from cygnet.kernel.maps import KernelMap
from cygnet.loader.debuginfo import DebugInfo
from cygnet.spec.objects import ProgramSpec
from cygnet.spec.relocs import MAP, MAP_VALUE, MAY_GOTO
from cygnet.uapi import bpf

RAW_TRACEPOINT = bpf.BPF_PROG_TYPE_RAW_TRACEPOINT


def patched(spec: ProgramSpec, maps: dict[str, KernelMap]) -> bytes:
    """The instructions with the maps' descriptors: all the relocation that these tests need."""
    data = bytearray(spec.insns)
    for reloc in spec.relocs:
        at = 8 * reloc.insn
        if reloc.kind in (MAP, MAP_VALUE):
            data[at + 4 : at + 8] = struct.pack("<i", maps[reloc.name].fd)
        if reloc.kind == MAP_VALUE:
            data[at + 12 : at + 16] = struct.pack("<i", reloc.data)
        assert reloc.kind in (MAP, MAP_VALUE, MAY_GOTO), reloc
    return bytes(data)


@contextmanager
def open_maps(
    scratch_bytes: int = 0, out_bytes: int = 512, pools: dict[str, int] | None = None
) -> Iterator[dict[str, KernelMap]]:
    """out: an array of one value; hash: u64 → 2 u64; scratch, and pools of it, when they are needed."""
    with ExitStack() as stack:
        maps = {
            "out": KernelMap.create(bpf.BPF_MAP_TYPE_ARRAY, 4, out_bytes, 1, 0, "out"),
            "hash": KernelMap.create(bpf.BPF_MAP_TYPE_HASH, 8, 16, 64, 0, "hash"),
        }
        if scratch_bytes:
            maps["scratch"] = KernelMap.create(bpf.BPF_MAP_TYPE_PERCPU_ARRAY, 4, scratch_bytes, 1, 0, "scratch")
        for name, size in (pools or {}).items():
            maps[name] = KernelMap.create(bpf.BPF_MAP_TYPE_ARRAY, 4, size, 1, 0, name[:15])
        for each in maps.values():
            stack.callback(each.close)
        yield maps


@contextmanager
def loaded(spec: ProgramSpec, maps: dict[str, KernelMap]) -> Iterator[progs.Program]:
    """The program in the kernel, with BTF for its functions and lines (callbacks need it)."""
    info = DebugInfo([spec])
    functions, lines = info.infos[spec.name]
    with KernelBtf.load(info.data) as btf:
        options = {"btf_fd": btf.fd, "func_info": functions, "line_info": lines}
        with progs.load(patched(spec, maps), RAW_TRACEPOINT, name=spec.name, **options) as program:
            yield program


class Outcome:
    def __init__(self, retval: int, out: bytes, entries: dict[bytes, bytes]) -> None:
        self.retval = retval
        self.out = out
        self.entries = entries


def run(module: Module, args: list[int], entries: dict[int, tuple[int, int]] | None = None, **options: Any) -> Outcome:
    """Compile, load, run once with `args` in the context; what came back and what lies in the maps."""
    out_bytes = options.pop("out_bytes", 512)
    out = options.pop("out", b"")
    spec, scratch_bytes = compile_module(module, name="test", prog_type=RAW_TRACEPOINT, **options)
    with open_maps(scratch_bytes, out_bytes) as maps:
        if out:
            maps["out"].update(bytes(4), out)
        for key, pair in (entries or {}).items():
            maps["hash"].update(struct.pack("<Q", key), struct.pack("<qq", *pair))
        with loaded(spec, maps) as program:
            result = program.test_run(ctx_in=struct.pack(f"<{len(args)}Q", *[arg & (1 << 64) - 1 for arg in args]))
        value = maps["out"].lookup(bytes(4))
        assert value is not None
        return Outcome(result.retval, value, dict(maps["hash"].items()))
