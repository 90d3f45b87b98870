"""Cygnet: the whole of BPF in one Python package."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.spec.objects import MapSpec as MapSpec
    from cygnet.verifier.program import ProgramSpec as ProgramSpec
    from cygnet.verifier.verify import Verdict as Verdict
    from cygnet.verifier.verify import verify as verify

__version__ = "0.1.0"
__all__ = ["MapSpec", "ProgramSpec", "Verdict", "__version__", "verify"]

# Names that are imported when they are first asked for: `import cygnet` alone stays free.
_HOMES = {
    "MapSpec": "cygnet.spec.objects",
    "ProgramSpec": "cygnet.verifier.program",
    "Verdict": "cygnet.verifier.verify",
    "verify": "cygnet.verifier.verify",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'cygnet' has no attribute {name!r}")
    from cygnet import lazy

    value: object = getattr(lazy.module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
