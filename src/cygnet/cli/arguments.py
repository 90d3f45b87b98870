"""argparse for the commands that use it: a mistake is one line, as everywhere else."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Parser(ArgumentParser):
    """`status` is what a command line that makes no sense ends with."""

    def __init__(self, prog: str, description: str, epilog: str = "", *, status: int = 1) -> None:
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
