"""A verification as one HTML page: listing, states, paths that fold, the refused path lit. Nothing is loaded from elsewhere."""

from __future__ import annotations

from html import escape

from cygnet.verifier.explaining.listing import Row, rows
from cygnet.verifier.explaining.record import MOST_VISITS, Path, Recorder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.verifier.explaining.story import Explanation
    from cygnet.verifier.program import ProgramSpec
    from cygnet.verifier.verify import Verdict

_MOST_STATES = 20
_MOST_STEPS = 6_000  # of the tree of paths
_DEEPEST = 60

_STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1c1f23; --soft: #667; --line: #d8dce2; --lit: #fff3d6;
  --bad: #ffd9d6; --edge: #c0392b; --good: #1e7d43; --card: #f6f7f9; }
@media (prefers-color-scheme: dark) { :root { --back: #16181c; --text: #dfe3e8; --soft: #8b95a3; --line: #333842;
  --lit: #3a3117; --bad: #4d2120; --edge: #ff7b6b; --good: #6fcf97; --card: #1f2228; } }
body { background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 78rem;
  padding: 0 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
code, pre, .code { font: 13px/1.45 ui-monospace, monospace; }
.card { background: var(--card); border-left: 4px solid var(--edge); border-radius: 4px; padding: .8rem 1.2rem; }
.card.good { border-color: var(--good); }
.card pre { margin: .4rem 0; overflow-x: auto; }
.soft { color: var(--soft); }
.code { border: 1px solid var(--line); border-radius: 4px; overflow-x: auto; }
.row { display: flex; gap: .8rem; padding: 0 .6rem; border-left: 4px solid transparent; white-space: pre; }
.row .n { color: var(--soft); min-width: 3.5em; text-align: right; user-select: none; }
.row .t { min-width: 24em; }
.source { color: var(--soft); padding: .35rem .6rem 0 5.5em; white-space: pre; }
.lit { background: var(--lit); border-left-color: #d9a400; }
.bad { background: var(--bad); border-left-color: var(--edge); font-weight: 600; }
.never { opacity: .5; }
details > summary { cursor: pointer; list-style-position: inside; }
details details { margin-left: 1.2rem; }
.row details { flex: 1; } .row summary { color: var(--soft); }
.state { white-space: pre-wrap; overflow-wrap: anywhere; }
.why { list-style: none; padding: 0; } .why li { padding: .1rem 0; } .why b { display: inline-block; min-width: 6em; }
a { color: inherit; }
"""


def page(name: str, spec: ProgramSpec, verdict: Verdict, recorder: Recorder) -> str:
    """The whole page."""
    found = verdict.error.explanation if verdict.error is not None else None
    parts = [
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>",
        f"<title>{escape(name)}: {'accepted' if verdict.accepted else 'refused'}</title>",
        "<meta name='viewport' content='width=device-width'>",
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>{escape(name)}</h1>",
        *_head(verdict, found),
        "<h2>The program, and what was known before each instruction</h2>",
        "<p class='soft'>Open an instruction to see every state it was reached in."
        + (" The path that led to the refusal is lit." if found is not None else "")
        + "</p>",
        "<div class='code'>",
        *[_row(row) for row in rows(spec, recorder, found)],
        "</div><h2>The paths</h2><p class='soft'>Each branch that was followed apart folds.</p><div class='code'>",
        *_tree(recorder),
        "</div></body></html>\n",
    ]
    return "\n".join(parts)


def _head(verdict: Verdict, found: Explanation | None) -> Iterator[str]:
    counts = f"{verdict.insns_processed} instructions followed, {max(verdict.stack_depth, default=0)} bytes of stack"
    if found is None:
        yield f"<div class='card good'><b>Accepted.</b> <span class='soft'>{counts}</span></div>"
        return
    yield f"<div class='card'><b>Refused: {escape(found.title)}.</b><p>{escape(found.reason)}</p>"
    if found.place is not None:
        from cygnet.verifier.explaining.text import excerpt

        lines = "\n".join(excerpt(found.place))
        yield f"<p class='soft'>{escape(str(found.place))}</p><pre>{escape(lines)}</pre>"
    if found.path:
        yield "<ul class='why'>"
        for note in found.path:
            where = (
                "missing" if note.role == "missing" else f"insn {note.insn}" if note.insn is not None else "at first"
            )
            if note.place is not None and note.place.line and note.role != "missing":
                where = f"line {note.place.line}"
            link = f"<a href='#i{note.insn}'>{where}</a>" if note.insn is not None else where
            yield f"<li><b>{link}</b>{escape(note.text)}</li>"
        yield "</ul>"
    if found.lead:
        yield f"<p><b>What to do:</b> {escape(found.lead)}</p>"
    if found.fix:
        yield "<pre>" + escape("\n".join(found.fix)) + "</pre>"
    yield from [f"<p class='soft'>{escape(fact)}</p>" for fact in found.more]
    yield f"<p class='soft'>{counts}. The verifier's words:</p><pre class='soft'>{escape(found.verifier)}</pre></div>"


def _row(row: Row) -> str:
    source = f"<div class='source'>{escape(row.source)}</div>" if row.source and row.source != row.text else ""
    kind = "bad" if row.refused else "lit" if row.lit else "never" if not row.states else ""
    head = f"{source}<div class='row {kind}' id='i{row.insn}'><span class='n'>{row.insn}</span>"
    text = f"<span class='t'>{escape(row.text)}</span>"
    if not row.states:
        return f"{head}{text}<span class='soft'>never followed</span></div>"
    count = len(row.states)
    label = (
        _shortened(row.states[-1] if row.refused else row.states[0]) if count == 1 or row.refused else f"{count} states"
    )
    states = "".join([f"<div class='state'>{escape(state)}</div>" for state in row.states[:_MOST_STATES]])
    more = f"<div class='soft'>… and {count - _MOST_STATES} more</div>" if count > _MOST_STATES else ""
    opened = " open" if row.refused else ""
    return f"{head}{text}<details{opened}><summary>{escape(label)}</summary>{states}{more}</details></div>"


def _shortened(state: str) -> str:
    return state if len(state) <= 90 else state[:89] + "…"


# -- the tree of paths


def _tree(recorder: Recorder) -> Iterator[str]:
    lit: set[int] = set()
    path: Path | None = recorder.path if recorder.path.end == "refused" else None
    while path is not None:
        lit.add(id(path))
        path = path.parent[0] if path.parent is not None else None
    budget = [_MOST_STEPS]
    yield from _path(recorder, recorder.root, "from the beginning", lit, budget, 0)
    if budget[0] <= 0 or recorder.count > MOST_VISITS:
        yield "<p class='soft'>There are more paths than a page can hold; these are the first.</p>"


_ENDS = {
    "exit": "ends with exit",
    "safe": "covered by a state that was followed before",
    "refused": "refused",
    "cut": "not kept",
}


def _path(recorder: Recorder, path: Path, title: str, lit: set[int], budget: list[int], depth: int) -> Iterator[str]:
    """A path and, behind the instruction where each left, its branches."""
    if budget[0] <= 0 or depth > _DEEPEST:
        return
    bright = id(path) in lit
    opened = " open" if bright or depth == 0 else ""
    yield f"<details{opened}><summary>{title}: {len(path.visits)} instructions, {_ENDS[path.end]}</summary>"
    yield from _branches(recorder, path, -1, lit, budget, depth)
    until = _lit_until(path, lit)
    for index, visit in enumerate(path.visits):
        budget[0] -= 1
        if budget[0] <= 0:
            break
        last = bright and path.end == "refused" and index == len(path.visits) - 1
        kind = "bad" if last else "lit" if bright and index <= until else ""
        yield (
            f"<div class='row {kind}'><span class='n'><a href='#i{visit.insn}'>{visit.insn}</a></span>"
            f"<span class='t' title='{escape(visit.state)}'>{escape(recorder.texts.get(visit.insn, ''))}</span></div>"
        )
        yield from _branches(recorder, path, index, lit, budget, depth)
    yield "</details>"


def _lit_until(path: Path, lit: set[int]) -> int:
    """The last visit of a lit path that the refused path went over."""
    for index, branches in path.branches.items():
        if any(id(each) in lit for each in branches):
            return index
    return len(path.visits)


def _branches(
    recorder: Recorder, path: Path, index: int, lit: set[int], budget: list[int], depth: int
) -> Iterator[str]:
    for each in path.branches.get(index, ()):
        to = each.visits[0].insn if each.visits else "a place that was followed before"
        yield from _path(recorder, each, f"the other way, to {to}", lit, budget, depth + 1)
