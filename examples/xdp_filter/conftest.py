"""Loads the fixtures for tests of BPF programs."""

pytest_plugins = ["cygnet.testing.plugin"]
