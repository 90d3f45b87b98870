"""`cygnet explain`: what a verifier's log means."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

HELP = "explain the log of a verifier that refused a program"
EXPLAINED, NOTHING, USAGE = 0, 1, 2

_EPILOG = """\
FILE is what the kernel's verifier said, as libbpf, bpftool, BCC or a journal wrapped it; without one, or for -, the
standard input. The source lines that the log quotes are used; --type names the context's fields.
The exit status is 0 when a refusal was explained, 1 when there was none, 2 when the text could not be read."""


def _options(argv: Sequence[str]) -> Namespace:
    from cygnet.cli.arguments import Parser

    parser = Parser("cygnet explain", HELP, _EPILOG, status=USAGE)
    parser.add_argument("file", nargs="?", metavar="FILE", default="-", help="the log; - is the standard input")
    parser.add_argument("--type", metavar="TYPE", default="", help="the program's type: xdp, kprobe, sched_cls …")
    parser.add_argument("--json", action="store_true", help="print an object for each program")
    return parser.parse_args(argv)


def _read(path: str) -> str:
    from cygnet.errors import UsageError

    if path == "-":
        return sys.stdin.buffer.read().decode(errors="replace")
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def run(argv: list[str]) -> int:
    """Explain every refusal in a text; gives the exit status."""
    options = _options(argv)
    kind = _type(options.type)
    text = _read(options.file)
    from cygnet.cli.verdicts import as_json, explained
    from cygnet.verifier.explaining.case import About
    from cygnet.verifier.explaining.logtext import sections
    from cygnet.verifier.explaining.story import of_log

    found = 0
    for section in sections(text):
        made = of_log(section.lines, About(kind))
        if made is None:
            continue
        if found and not options.json:
            print()
        found += 1
        name = section.program or ("stdin" if options.file == "-" else options.file)
        if options.json:
            as_json(name, made)
        else:
            explained(made, name)
    if found:
        return EXPLAINED
    print(f"ERROR: {_nothing(text)}", file=sys.stderr)
    return NOTHING


def _type(name: str) -> str:
    from cygnet.errors import UsageError
    from cygnet.facts.progtypes import program_type

    if not name:
        return ""
    try:
        return program_type(name).name
    except KeyError:
        raise UsageError(f"{name!r} is no program type") from None


def _nothing(text: str) -> str:
    if not text.strip():
        return "there is nothing to explain: the text is empty"
    if "processed " in text:
        return "there is nothing to explain: the log tells of no refusal"
    return "there is no verifier's log in this text"


def main(argv: list[str]) -> int:
    """Run; what cannot be read ends as one line and status 2."""
    try:
        return run(argv)
    except Exception as error:
        from cygnet.cli.failures import report

        report(error)
        return USAGE
