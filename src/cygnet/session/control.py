"""The control map's words (spec.objects.Control): exit, pending actions, losses, and "the reader sleeps"."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.spec.objects import Control
    from cygnet.spec.protocols import MapStore

EXIT, PENDING, LOST, SLEEPS = 0, 1, 2, 3
_KEY = bytes(4)


class Words:
    """The words, through shared memory where the map offers it, else by look-up and update."""

    __slots__ = ("_memory", "_seen", "_store", "_total", "_words", "control")

    def __init__(self, control: Control, store: MapStore) -> None:
        self.control = control
        self._store = store
        self._memory: Any = None
        self._total = 0
        self._seen = [0] * control.pending_count
        self._words: memoryview | None = None
        share = getattr(store, "mmap", None)
        if share is not None:
            self._memory = share()
            self._words = memoryview(self._memory).cast("Q")

    def get(self, word: int) -> int:
        if self._words is not None:
            return self._words[word]
        value = self._store.lookup(_KEY) or b""
        return int.from_bytes(value[word * 8 : word * 8 + 8], "little")

    def set(self, word: int, value: int) -> None:
        if self._words is not None:
            self._words[word] = value
            return
        old = self._store.lookup(_KEY) or b""
        self._store.update(_KEY, old[: word * 8] + value.to_bytes(8, "little") + old[word * 8 + 8 :])

    def take_pending(self) -> int:
        """A bit for each action of control that has found the ring full since the last call."""
        total = self.get(PENDING)
        if total == self._total:
            return 0
        self._total = total
        bits = 0
        for number, seen in enumerate(self._seen):
            now = self.get(self.control.pending + number)
            if now != seen:
                self._seen[number] = now
                bits |= 1 << number
        return bits

    def drops(self) -> list[tuple[str, int]]:
        """(map, how many updates it refused because it was full) of each map that refused any."""
        first, names = self.control.drops, self.control.drop_maps
        counts = [(name, self.get(first + at)) for at, name in enumerate(names)]
        return [(name, count) for name, count in counts if count]

    def close(self) -> None:
        if self._words is not None:
            self._words.release()
            self._words = None
            close = getattr(self._memory, "close", None)  # of the kernel's maps; user space gives a plain view
            (close or self._memory.release)()
