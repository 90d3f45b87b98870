"""A verdict as JSON, for editors and scripts: docs/verify-output.schema.json describes it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from cygnet.verifier.explaining.case import Place
    from cygnet.verifier.explaining.story import Explanation


def document(
    program: str, accepted: bool, found: Explanation | None, warnings: Sequence[str] = (), **counts: Any
) -> dict[str, Any]:
    """The object for one program. `error` is null when it was accepted; lines and columns count from 1."""
    return {
        "type": "verdict",
        "program": program,
        "accepted": accepted,
        **counts,
        "warnings": list(warnings),
        "error": error(found) if found is not None else None,
    }


def error(found: Explanation) -> dict[str, Any]:
    """What an editor wants: where, what, why, and what to write."""
    return {
        **place(found.place),
        "class": found.kind,
        "title": found.title,
        "reason": found.reason,
        "verifier": found.verifier,
        "insn": found.insn,
        "instruction": found.text or None,
        "path": [{"role": note.role, "text": note.text, "insn": note.insn, **place(note.place)} for note in found.path],
        "suggestion": {"text": found.lead, "code": found.fix},
        "facts": found.more,
    }


def place(where: Place | None) -> dict[str, Any]:
    """file, line, column and end_column; null where they are not known."""
    if where is None:
        return {"file": None, "line": None, "column": None, "end_column": None}
    return {
        "file": where.file or None,
        "line": where.line or None,
        "column": where.column or None,
        "end_column": where.end or None,
    }
