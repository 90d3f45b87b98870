"""Which form of a tool a machine can run."""

from __future__ import annotations

from cygnet.errors import CygnetError, ProbeError
from cygnet.tools import path
from cygnet.tools.header import Tool, Variant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: providers that a kernel may lack as a whole → the feature that tells
_FEATURES = {"kprobe": "kprobe", "kretprobe": "kprobe", "fentry": "fentry", "fexit": "fentry"}


def choose(tool: Tool, target: Any) -> tuple[str, str]:
    """(file, why) of the first form whose probe exists. ProbeError when there is none, naming what was looked for."""
    if not tool.variants:
        return path(tool.name), "its only form"
    for variant in tool.variants:
        if usable(variant, target):
            return path(variant.script), variant.probe
    needs = " or ".join(variant.probe for variant in tool.variants)
    raise ProbeError(
        f"{tool.name} needs {needs}, and there is none here", None, ["cygnet doctor tells what is missing"]
    )


def usable(variant: Variant, target: Any) -> bool:
    """Whether the probe exists, has the fields, and is of a kind that the kernel lets attach."""
    from cygnet.kernel import features
    from cygnet.probes.point import expand, parse_text

    feature = _FEATURES.get(variant.probe.partition(":")[0])
    if feature is not None and feature in features.names() and not target.has(feature):
        return False
    try:
        matches = expand(parse_text(variant.probe), target)
        fields = {arg.name for arg in matches[0].arguments(target)} if variant.fields else set()
    except CygnetError:
        return False
    return fields.issuperset(variant.fields)
