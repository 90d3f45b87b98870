"""Iterator programs: walked once by a thread, while the loop handles what they send; or pinned, and left to others."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.session.loop import Loop
    from cygnet.spec.objects import ObjectSpec


def pins(spec: ObjectSpec) -> list[str]:
    """Where the object's iterators are pinned."""
    return [link.target["pin"] for link in spec.links if link.kind == "iter" and link.target.get("pin")]


def walk(loop: Loop, iterate: Callable[[], None]) -> None:
    """Let `iterate` run every iterator to its end, and handle the events meanwhile: there may be more than the ring
    holds. An interrupt ends the handling, not the walk, which is the kernel's; exit() ends neither."""
    from threading import Thread

    trouble: list[BaseException] = []
    done = os.eventfd(0)

    def work() -> None:
        try:
            iterate()
        except BaseException as error:  # it is raised again below, where it is seen
            trouble.append(error)
        finally:
            os.eventfd_write(done, 1)

    loop.watch_end(done)
    loop.state.walking = True
    thread = Thread(target=work)
    thread.start()
    try:
        loop.run()
    finally:
        thread.join()
        os.close(done)
    if trouble:
        raise trouble[0]
