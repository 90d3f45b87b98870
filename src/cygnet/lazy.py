"""Importing by name: `importlib` would bring `warnings` along, which start-up can do without."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def module(name: str) -> Any:
    """The module of this dotted name, imported now. Raises ModuleNotFoundError as `import` does."""
    __import__(name)
    return sys.modules[name]
