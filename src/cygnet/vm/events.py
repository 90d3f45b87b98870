"""The reader of a ring buffer of a machine, for loops that wait on descriptors."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.maps.kinds.ringbuf import Batch, RingBuf


class RingReader:
    """What `cygnet.kernel.ringbuf.RingBuffer` offers, over a ring in user space.

    `fileno` is a descriptor that is readable while there is something: programs run only when Python calls them, so
    it is set when it is asked for and by `notice`.
    """

    __slots__ = ("_fd", "ring", "size")

    def __init__(self, ring: RingBuf) -> None:
        self.ring = ring
        self.size = ring.size
        self._fd = -1

    def fileno(self) -> int:
        if self._fd < 0:
            self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.notice()
        return self._fd

    def notice(self) -> None:
        """Let the descriptor say whether there are records."""
        if self._fd >= 0:
            try:
                os.eventfd_read(self._fd)
            except BlockingIOError:
                pass
            if self.ring.available():
                os.eventfd_write(self._fd, 1)

    def available(self) -> int:
        """Bytes that were not read."""
        return self.ring.available()

    def read_batch(self) -> Batch | None:
        """The records that are ready, in place, or None."""
        return self.ring.read_batch()

    def consume(self, end: int) -> None:
        """Give the room up to a batch's `end` back."""
        self.ring.consume(end)
        self.notice()

    def drain(self) -> list[bytes]:
        """Every record that is ready, taken out."""
        return self.ring.drain()

    def wait(self, timeout_ms: int = -1) -> bool:
        return self.ring.available() > 0

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
