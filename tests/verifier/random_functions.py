"""Random programs of several functions: those of random_programs, with calls."""

from __future__ import annotations

from tests.verifier import random_programs

from cygnet.verifier.program import ProgramSpec


def program(seed: int) -> ProgramSpec:
    return random_programs.program(seed, 0.96, functions=True)
