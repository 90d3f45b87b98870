"""Detaching many programs at once."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cygnet.kernel.links import Attachment

#: each detachment may wait for the kernel's grace period (about 20 ms); so many at once share one
THREADS = 64


def detach_all(attachments: Sequence[Attachment]) -> list[Attachment]:
    """Detach them, the last first; gives those that have something left to close.

    Older kernels take a program off a perf event without waiting for the CPUs that run it just then; so we wait.
    """
    _each(list(attachments), lambda attachment: attachment.detach())
    rest = [attachment for attachment in attachments if attachment.events]
    if rest:
        from cygnet.kernel.rlimit import kernel_version

        if kernel_version() < (6, 14):  # from then on perf_event_detach_bpf_prog() waits itself
            from cygnet.kernel.sys import wait_for_programs

            wait_for_programs()
    return rest


def close_all(attachments: Sequence[Attachment]) -> None:
    """Close them, the last first."""
    _each(list(attachments), lambda attachment: attachment.close())


def _each(rest: list[Attachment], act: Callable[[Attachment], None]) -> None:
    """Do it with each; several in threads, since they all wait for the same thing."""
    if len(rest) <= 1:
        while rest:
            act(rest.pop())
        return
    import threading

    def work() -> None:
        while True:
            try:
                attachment = rest.pop()
            except IndexError:
                return
            act(attachment)

    threads = [threading.Thread(target=work) for _ in range(min(THREADS, len(rest)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
