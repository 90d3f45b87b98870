"""Many uprobes in one link: which programs are loaded for it, and which links go together."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from cygnet.spec.objects import LinkSpec

#: with fewer links than this of one program, single ones are as good
LEAST = 4


def multi_programs(links: Sequence[LinkSpec], has_feature: Callable[[str], bool]) -> set[str]:
    """Names of the programs that have many uprobes and no other links, where the kernel has uprobe_multi."""
    uprobes: dict[str, int] = {}
    for link in links:
        if link.kind == "uprobe":
            uprobes[link.program] = uprobes.get(link.program, 0) + 1
    found = {name for name, number in uprobes.items() if number >= LEAST}
    if found:
        found -= {link.program for link in links if link.kind != "uprobe"}
    return found if found and has_feature("uprobe_multi") else set()


def _key(link: LinkSpec) -> tuple[Any, ...]:
    target = link.target
    return link.program, target["path"], target.get("ret", False), target.get("pid", -1)


def group(links: Iterable[LinkSpec], multi: set[str]) -> Iterator[list[LinkSpec]]:
    """Links one by one, in order; those of a multi program that share binary and process go together."""
    groups: dict[Any, list[LinkSpec]] = {}
    for number, link in enumerate(links):
        key = _key(link) if link.program in multi else number
        groups.setdefault(key, []).append(link)
    return iter(groups.values())


def multi_target(links: Sequence[LinkSpec]) -> dict[str, Any]:
    """The target of attach kind uprobe_multi for links of one group."""
    first = links[0].target
    target: dict[str, Any] = {
        "path": first["path"],
        "offsets": [link.target["offset"] for link in links],
        "ret": first.get("ret", False),
        "pid": first.get("pid", -1),
    }
    if any(link.target.get("ref_ctr_offset") for link in links):
        target["ref_ctr_offsets"] = [link.target.get("ref_ctr_offset", 0) for link in links]
    if any(link.target.get("cookie") for link in links):
        target["cookies"] = [link.target.get("cookie", 0) for link in links]
    return target
