"""The raw bpf(2) helper of the instruction-set tests serves here as well."""

import importlib.util
from pathlib import Path

_path = Path(__file__).parents[1] / "isa" / "conftest.py"
_spec = importlib.util.spec_from_file_location("rawbpf_helper", _path)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
rawbpf = _module.rawbpf
