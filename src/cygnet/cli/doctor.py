"""`cygnet doctor`: what this machine, kernel and user can do, and what mends what they cannot."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.kernel.checks import Result

_HELP = """\
Tell what this machine, kernel and user can do, and what mends what they cannot.

Usage: cygnet doctor [--json]

  --json    the same for programs: {"ok": …, "checks": [{"name", "status", "detail", "mend", …}]}

Everything is tried, nothing stays attached. The exit status is 0 when `cygnet trace` can run.

Example: is there anything to mend on this machine?
  sudo cygnet doctor"""

_MARKS = {"ok": "✓", "missing": "✗", "unknown": "?"}
_PLAIN_MARKS = {"ok": "+", "missing": "-", "unknown": "?"}


def main(args: list[str]) -> int:
    """Give the exit status: 0 when the main job can run, 1 otherwise."""
    if any(arg in ("-h", "--help") for arg in args):
        print(_HELP)
        return 0
    unknown = [arg for arg in args if arg != "--json"]
    if unknown:
        print(f"ERROR: unknown option {unknown[0]}\nHINT: cygnet doctor [--json]", file=sys.stderr)
        return 1
    from cygnet.kernel import checks

    if "--json" in args:
        import json

        results = list(checks.examine())
        print(json.dumps(checks.as_dict(results), indent=2))
    else:
        results = []
        told: set[str] = set()
        for result in checks.examine():  # a line at a time: some take a tenth of a second
            results.append(result)
            print(line_of(result, told), flush=True)
        print("\n" + verdict(results))
    return 0 if checks.main_job_can_run(results) else 1


def line_of(result: Result, told: set[str]) -> str:
    """A check's line, and what mends it unless an earlier line said so (`told`, which grows)."""
    check, finding = result
    text = f"{_marks()[finding.status]} {check.title:<34}{finding.detail}".rstrip()
    if not finding.mend or finding.mend in told:
        return text
    told.add(finding.mend)
    return f"{text}\n    mend: {finding.mend}"


def verdict(results: list[Result]) -> str:
    """The last line: whether the main job can run, and if not, why."""
    lacking = [check.title for check, finding in results if check.needed and finding.status != "ok"]
    if lacking:
        return f"cygnet trace cannot run here yet; it needs: {', '.join(lacking)}"
    absent = sum(finding.status != "ok" for _, finding in results)
    return "cygnet trace can run here" + (f"; {absent} more could be had, see above" if absent else "")


def _marks() -> dict[str, str]:
    return _MARKS if (sys.stdout.encoding or "").lower().startswith("utf") else _PLAIN_MARKS


run = main
