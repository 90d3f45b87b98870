"""Detaching many programs at once."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cygnet.kernel.links import Attachment

#: each detachment may wait for the kernel's grace period (about 10 ms); so many at once share one
THREADS = 64
FEW = 8


def close_all(attachments: Sequence[Attachment]) -> None:
    """Close them, the last first; many in threads, since they all wait for the same thing."""
    rest = list(attachments)
    if len(rest) <= FEW:
        while rest:
            rest.pop().close()
        return
    import threading

    def work() -> None:
        while True:
            try:
                attachment = rest.pop()
            except IndexError:
                return
            attachment.close()

    threads = [threading.Thread(target=work) for _ in range(min(THREADS, len(rest)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
