"""Damages programs: tokens are deleted, doubled, exchanged or replaced by others of their kind."""

from __future__ import annotations

import random
import re

TOKEN = re.compile(
    r'"(?:\\.|[^"\\])*"|[@$]?\w+|\s+|==|!=|<=|>=|&&|\|\||<<|>>|\+\+|--|->|\.\.|.', re.S
)  # strings, names with their sigils, blanks, operators, the rest
OPERATORS = frozenset(
    ("+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "==", "!=", "<", ">", "<=", ">=", "&&", "||")
)
NUMBERS = ("0", "1", "63", "64", "4294967295", "4294967296", "9223372036854775807", "18446744073709551615")


def kind_of(token: str) -> str:
    first = token[0]
    if first in '"$@':
        return first
    if first.isdigit():
        return "number"
    if first.isalpha() or first == "_":
        return "name"
    return "operator" if token in OPERATORS else token


class Mutator:
    """Mutations of `programs`, from a seed."""

    def __init__(self, programs: list[str], seed: int) -> None:
        self.random = random.Random(seed)
        self.programs = programs
        self.tokens = [token for text in programs for token in TOKEN.findall(text) if not token.isspace()]
        self.by_kind: dict[str, list[str]] = {"number": list(NUMBERS) * 20}
        for token in self.tokens:
            self.by_kind.setdefault(kind_of(token), []).append(token)

    def program(self) -> str:
        tokens = TOKEN.findall(self.random.choice(self.programs))
        change = self.gently if self.random.random() < 0.7 else self.roughly
        for _ in range(self.random.choice((1, 1, 2, 3))):
            if tokens:
                change(tokens)
        return "".join(tokens)

    def gently(self, tokens: list[str]) -> None:
        """Replace a token by one of its kind; a variable or map by one of the same program."""
        at = self.random.randrange(len(tokens))
        kind = kind_of(tokens[at])
        here = [token for token in tokens if kind_of(token) == kind]
        tokens[at] = self.random.choice(here if kind in "$@" or tokens[at].isspace() else self.by_kind[kind])

    def roughly(self, tokens: list[str]) -> None:
        at, what = self.random.randrange(len(tokens)), self.random.random()
        if what < 0.3:
            del tokens[at]
        elif what < 0.5:
            tokens.insert(at, tokens[at])
        elif what < 0.8:
            tokens[at] = self.random.choice(self.tokens)
        else:
            other = self.random.randrange(len(tokens))
            tokens[at], tokens[other] = tokens[other], tokens[at]
