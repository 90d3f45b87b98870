"""Loads the fixtures for tests of BPF programs, from whichever folder pytest is started."""

from cygnet.testing.plugin import *  # noqa: F403
