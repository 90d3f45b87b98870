"""What the kernel must have for an object's probes, asked before anything is made."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.spec.objects import ObjectSpec

_FENTRY = ("fentry", "a kernel with BPF trampolines (CONFIG_FUNCTION_TRACER=y with direct calls)")
_KPROBE = ("kprobe", "a kernel with CONFIG_KPROBES=y")
_HARDWARE = ("hardware_events", "a machine whose performance counters are visible (virtual machines often hide them)")
# kind of link → (feature, what brings it)
_NEEDS = {"kprobe": _KPROBE, "kretprobe": _KPROBE, "fentry": _FENTRY, "fexit": _FENTRY, "hardware": _HARDWARE}
#: without these the kernel does not even take the program
_TO_LOAD = frozenset(("fentry", "fexit"))


def check(spec: ObjectSpec, *, only_load: bool = False) -> None:
    """Raise NotSupported, with the probe's name and what it needs, for the first kind of probe that this kernel has
    not got. Nothing is attached to something else in its place. `only_load`: programs are loaded, not attached."""
    kinds = {link.kind: link for link in reversed(spec.links)}
    for kind, link in reversed(kinds.items()):
        if kind in _NEEDS and (not only_load or kind in _TO_LOAD):
            feature, needs = _NEEDS[kind]
            if not _has(feature):
                from cygnet.errors import NotSupported

                raise NotSupported(f"{link.probe}", f"{needs}; the same program works there", call="bpf")


def _has(feature: str) -> bool:
    from cygnet.kernel.features import has

    return has(feature)
