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

    __slots__ = ("_memory", "_store", "_words", "control")

    def __init__(self, control: Control, store: MapStore) -> None:
        self.control = control
        self._store = store
        self._memory: Any = None
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
        """The pending bits, which are then 0. A bit that is set between the two is set again by the next event."""
        bits = self.get(PENDING)
        if bits:
            self.set(PENDING, 0)
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
            self._memory.close()
