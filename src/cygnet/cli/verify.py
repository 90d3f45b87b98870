"""`cygnet verify`: would Linux accept a program?"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from cygnet.verifier.files import Judged

HELP = "tell whether Linux would accept a program, and if not, why"
ACCEPTED, REFUSED, USAGE = 0, 1, 2
_EPILOG = """\
FILE is FILE.bt (the tracing language), FILE.s (as `cygnet asm` takes it), FILE.bin (raw instructions), or hex digits;
- is the standard input. Comments in assembly may say what the text cannot:
  # type: xdp
  # map: counts hash 4 8 1024      name, type, bytes of a key and of a value, entries; the first map is map[fd:0]
The exit status is 0 when all programs are accepted, 1 when one is refused, 2 when there was nothing to judge."""


def _options(argv: Sequence[str]) -> Namespace:
    from cygnet.cli.arguments import Parser

    parser = Parser("cygnet verify", HELP, _EPILOG, status=USAGE)
    parser.add_argument("files", nargs="*", metavar="FILE", help="what to judge")
    parser.add_argument("--hex", metavar="CODE", help="the instructions themselves, in hex")
    parser.add_argument("--type", metavar="TYPE", help="the program's type: xdp, kprobe, sched_cls …")
    parser.add_argument("--attach-type", metavar="TYPE", help="the expected attach type: CGROUP_INET4_BIND …")
    parser.add_argument("--kernel", metavar="VERSION", default="6.18", help="the Linux to be accepted by (6.18)")
    parser.add_argument("--budget", type=int, metavar="N", help="give up after following so many instructions")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print an object for each program")
    form.add_argument("--states", action="store_true", help="list the instructions with what was known before each")
    form.add_argument("--log", action="store_true", help="print what the kernel's verifier would log")
    parser.add_argument("--html", metavar="FILE", help="write a page: listing, states, paths (FILE-2 for the second)")
    options = parser.parse_args(argv)
    if not options.files and options.hex is None:
        parser.error("give a file or --hex CODE")
    if options.budget is not None and not 0 < options.budget < 1 << 31:
        parser.error(f"--budget wants a number of instructions above 0, not {options.budget}")
    return options


def run(argv: list[str]) -> int:
    """Judge programs; gives the exit status."""
    options = _options(argv)
    from cygnet.cli.failures import report
    from cygnet.cli.judged import each

    bad: list[Exception] = []
    refused = False
    programs = each(options.files, options.hex, options.type, options.attach_type, bad.append)
    for number, program in enumerate(programs):
        refused |= not _judged(program, options, number)
    for error in bad:
        report(error)
    return USAGE if bad else REFUSED if refused else ACCEPTED


def _judged(program: Judged, options: Namespace, number: int) -> bool:
    from cygnet.cli import verdicts
    from cygnet.verifier.verify import verify

    verdict = verify(program.spec, kernel=options.kernel, budget=options.budget, log_level=2 if options.log else 0)
    if options.log:
        sys.stdout.write(verdict.log)
    elif options.json:
        verdicts.as_json(program.name, verdict.error.explanation if verdict.error is not None else None, verdict)
    else:
        verdicts.tell(program, verdict)
    if options.states or options.html:
        page = _numbered(options.html, number)
        verdicts.recorded(program, verdict, options.kernel, options.budget, options.states, page)
    for warning in () if options.json else verdict.warnings:
        print(f"WARNING: {program.name}: {warning}", file=sys.stderr)
    return verdict.accepted


def _numbered(page: str | None, number: int) -> str | None:
    """``page.html``, and ``page-2.html`` for the second program."""
    if page is None or number == 0:
        return page
    from os.path import splitext

    stem, end = splitext(page)
    return f"{stem}-{number + 1}{end}"


def main(argv: list[str]) -> int:
    """Run; what cannot be judged ends as one line and status 2."""
    try:
        return run(argv)
    except Exception as error:
        from cygnet.cli.failures import report

        report(error)
        return USAGE
