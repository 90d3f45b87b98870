"""Packet files of skboutput(): the classic pcap format, raw IP (draft-ietf-opsawg-pcap)."""

from __future__ import annotations

from struct import pack, unpack_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from cygnet.session.state import State
    from cygnet.spec.actions import Action

_MAGIC, _VERSION, _LINKTYPE_RAW = 0xA1B2C3D4, (2, 4), 101
_MOST = 65535


def handler(state: State, action: Action) -> Callable[[memoryview], None]:
    """Writes each packet to the action's file, which is made anew when the first one comes."""
    files = state.files

    def handle(record: memoryview) -> None:
        if action.text not in files:
            files[action.text] = _create(state, action.text)
        file: BinaryIO | None = files[action.text]
        if file is not None:
            _, time, length, size = unpack_from("<QQQQ", record)
            seconds, rest = divmod(state.context.world.wall_ns("boot", time), 1_000_000_000)
            size = min(size, len(record) - 32)
            file.write(pack("<IIII", seconds, rest // 1000, size, max(size, length & 0xFFFFFFFF)))
            file.write(record[32 : 32 + size])

    return handle


def _create(state: State, path: str) -> BinaryIO | None:
    """A new file with its header; an error is said once, and packets for it are dropped."""
    try:
        file = open(path, "wb", buffering=0)  # noqa: SIM115
    except OSError as error:
        state.out.say(f"ERROR: skboutput(): cannot write {path}: {error.strerror}\n")
        return None
    file.write(pack("<IHHiIII", _MAGIC, *_VERSION, 0, 0, _MOST, _LINKTYPE_RAW))
    return file
