"""Wheels with a compiled verifier: hatchling's hook, which does nothing unless CYGNET_MYPYC=1.

A plain build is pure Python and needs no compiler. With CYGNET_MYPYC=1 the wheel is for one Python and one platform, and
holds the native twins of the verifier's hot modules beside the modules themselves.
"""

from __future__ import annotations

import os
import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface  # type: ignore[import-not-found]

_TOOLS = ["mypy[mypyc]>=2.4"]  # 2.4 is what was tried


def wanted() -> bool:
    return os.environ.get("CYGNET_MYPYC", "") not in ("", "0")


class CompiledVerifier(BuildHookInterface):  # type: ignore[misc]
    """Named `custom` in pyproject.toml, as hatchling wants it."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What a build needs besides hatchling."""
        return _TOOLS if wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or not wanted():
            return
        compiler = runpy.run_path(str(Path(self.root, "scripts", "compile_verifier.py")))
        self.folder = tempfile.TemporaryDirectory(prefix="cygnet-core-")
        tree = compiler["compile_into"](Path(self.folder.name, "tree"))
        build_data["force_include"].update({str(path): name for path, name in compiler["natives"](tree).items()})
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()
