"""bzImage → the ELF vmlinux inside, which QEMU boots directly: nothing is decompressed under emulation.

    python3 scripts/vmlab/extract_vmlinux.py VMLINUZ VMLINUX

The boot protocol (Documentation/arch/x86/boot.rst) says where the payload lies: `payload_offset` counts from
the end of the set-up code, which has `setup_sects` sectors beside the boot sector.
"""

from __future__ import annotations

import lzma
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

SECTOR = 512
SETUP_SECTS, PAYLOAD = 0x1F1, 0x248


def _tool(*command: str) -> Callable[[bytes], bytes]:
    """By a program; a tail that belongs to the image (its size, which ends the payload) may annoy it."""
    return lambda data: subprocess.run(command, input=data[:-4], stdout=subprocess.PIPE, check=True).stdout


FORMATS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\xfd7zXZ\0": lambda data: lzma.LZMADecompressor().decompress(data),
    b"\x1f\x8b": lambda data: zlib.decompressobj(31).decompress(data),
    b"\x28\xb5\x2f\xfd": _tool("zstd", "-dcq"),
    b"\x02\x21\x4c\x18": _tool("lz4", "-dcq"),
}


def extract(image: bytes) -> bytes:
    """The uncompressed kernel. Raises ValueError for a payload that is packed otherwise."""
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    start = ((image[SETUP_SECTS] or 4) + 1) * SECTOR + offset
    payload = image[start : start + length]
    for magic, unpack in FORMATS.items():
        if payload.startswith(magic):
            kernel = unpack(payload)
            if kernel.startswith(b"\x7fELF"):
                return kernel
    raise ValueError(f"unknown payload {payload[:8].hex(' ')}")


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(extract(Path(sys.argv[1]).read_bytes()))
