"""How verdicts and explanations are printed."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.verifier.explaining.story import Explanation
    from cygnet.verifier.files import Judged
    from cygnet.verifier.verify import Verdict


def tell(program: Judged, verdict: Verdict) -> None:
    """A line for what is accepted, the explanation of what is not."""
    if verdict.error is None:
        depth = max(verdict.stack_depth, default=0)
        print(f"{program.name}: accepted ({verdict.insns_processed} instructions followed, {depth} bytes of stack)")
    else:
        explained(verdict.error.explanation, program.name)


def explained(found: Explanation, name: str) -> None:
    from cygnet.cli.failures import colour
    from cygnet.verifier.explaining.text import render

    sys.stdout.write(render(found, name, colour()))


def as_json(name: str, found: Explanation | None, verdict: Verdict | None = None) -> None:
    """The object for one program, on a line."""
    import json

    from cygnet.verifier.explaining.document import document

    counts: dict[str, Any] = {}
    if verdict is not None:
        counts = {"insns_processed": verdict.insns_processed, "stack_bytes": list(verdict.stack_depth)}
    print(json.dumps(document(name, found is None, found, verdict.warnings if verdict is not None else (), **counts)))


def recorded(
    program: Judged, verdict: Verdict, kernel: str, budget: int | None, states: bool, page: str | None
) -> None:
    """Follow the program once more, and show where that went: as a listing, as a page in a file."""
    from cygnet.verifier.explaining.record import record

    recorder = record(program.spec, kernel, budget)
    if states:
        from cygnet.verifier.explaining.listing import states_text

        found = verdict.error.explanation if verdict.error is not None else None
        sys.stdout.write("\n" + states_text(program.spec, recorder, found))
    if page is not None:
        from cygnet.errors import UsageError
        from cygnet.verifier.explaining.page import page as made

        try:
            with open(page, "w", encoding="utf-8", errors="replace") as file:
                file.write(made(program.name, program.spec, verdict, recorder))
        except OSError as error:
            raise UsageError(f"cannot write {page}: {error.strerror}") from None
