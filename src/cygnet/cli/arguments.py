"""argparse for the commands that use it: a mistake is one line, as everywhere else."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_RETURN_2 = "b7000000020000009500000000000000"
# what the help of each command ends with: what for, and the command
_EXAMPLES = {
    "cygnet asm": ("the bytes of a program that returns 2", "-e 'r0 = 2' -e exit"),
    "cygnet debug": ("one step, then the registers", f"--hex {_RETURN_2} -e step -e registers"),
    "cygnet disasm": ("what the bytes say", f"-e {_RETURN_2}"),
    "cygnet explain": ("the log that loading a program printed", "--type xdp load.log"),
    "cygnet run": ("the first byte of the memory", "--hex 71100000000000009500000000000000 --memory 2a"),
    "cygnet verify": ("may an XDP program end like this?", f"--type xdp --hex {_RETURN_2}"),
}


class Parser(ArgumentParser):
    """`prog` has a row in _EXAMPLES; `status` is what a command line that makes no sense ends with."""

    def __init__(self, prog: str, description: str, epilog: str = "", *, status: int = 1) -> None:
        what, arguments = _EXAMPLES[prog]
        epilog = f"{epilog}\n\nExample: {what}\n  {prog} {arguments}".lstrip()
        super().__init__(prog, description=description, epilog=epilog, formatter_class=RawDescriptionHelpFormatter)
        self.status = status

    def error(self, message: str) -> NoReturn:
        print(f"ERROR: {plain(message)}\nHINT: {self.prog} --help tells more", file=sys.stderr)
        raise SystemExit(self.status)


def plain(message: str) -> str:
    """argparse's own sentences, said as the other commands say them."""
    name, colon, rest = message.removeprefix("argument ").partition(": ")
    if message.startswith("argument ") and colon:
        said = rest.removesuffix(")").replace("invalid choice: ", "not ").replace(" (choose from", ": one of")
        if said.startswith("invalid int value: "):
            said = f"wants a number, not {said.removeprefix('invalid int value: ')}"
        elif said == "expected one argument":
            said = "wants a value"
        elif said.startswith("not allowed with argument "):
            return f"{name} and {said.removeprefix('not allowed with argument ')} cannot be used together"
        elif said.startswith("not "):
            said = f"cannot be {said.removeprefix('not ')}"
        return f"{name} {said}"
    if message.startswith("unrecognized arguments: "):
        word = message.removeprefix("unrecognized arguments: ").split(" ")[0]
        return f"unknown option {word}" if word.startswith("-") else f"one argument too many: {word}"
    return message
