"""Many places in one link: which programs are loaded for it, and which links go together."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from cygnet.spec.objects import LinkSpec

#: kind of link → (kind of the multi link and name of the kernel's feature, the least number that is worth one). A multi
#: link of one uprobe is detached in a fifth of the time that a single uprobe takes. With kprobes it takes as long, and
#: a single one can be on functions that the multi link cannot reach.
_KINDS = {
    "uprobe": ("uprobe_multi", 1),
    "usdt": ("uprobe_multi", 1),
    "kprobe": ("kprobe_multi", 4),
    "kretprobe": ("kprobe_multi", 4),
}


def multi_programs(links: Sequence[LinkSpec], has_feature: Callable[[str], bool]) -> dict[str, str]:
    """Programs all of whose links fit a multi link that the kernel has → its kind."""
    found: dict[str, list[LinkSpec]] = {}
    for link in links:
        found.setdefault(link.program, []).append(link)
    return {program: kind for program, own in found.items() if (kind := _kind(own)) and has_feature(kind)}


def _kind(links: Sequence[LinkSpec]) -> str:
    kinds = {_KINDS.get(link.kind, ("", 0)) for link in links}
    kind, least = kinds.pop()
    if kinds or not kind or len(links) < least:
        return ""
    plain = kind == "uprobe_multi" or all(
        link.target.get("function") and not link.target.get("offset") for link in links
    )
    return kind if plain else ""


def _key(link: LinkSpec) -> tuple[Any, ...]:
    target = link.target
    return link.program, target.get("path"), target.get("ret", False), target.get("pid", -1)


def group(links: Iterable[LinkSpec], multi: dict[str, str]) -> Iterator[list[LinkSpec]]:
    """Links one by one, in order; those of a multi program that share binary and process go together."""
    groups: dict[Any, list[LinkSpec]] = {}
    for number, link in enumerate(links):
        key = _key(link) if link.program in multi else number
        groups.setdefault(key, []).append(link)
    return iter(groups.values())


def multi_target(kind: str, links: Sequence[LinkSpec]) -> dict[str, Any]:
    """The target of a multi link, of attach kind `kind`, for links of one group."""
    first = links[0].target
    target: dict[str, Any] = {"ret": first.get("ret", False)}
    if kind == "kprobe_multi":
        target["functions"] = [link.target["function"] for link in links]
    else:
        target["path"] = first["path"]
        target["offsets"] = [link.target["offset"] for link in links]
        target["pid"] = first.get("pid", -1)
        if any(link.target.get("ref_ctr_offset") for link in links):
            target["ref_ctr_offsets"] = [link.target.get("ref_ctr_offset", 0) for link in links]
    if any(link.target.get("cookie") for link in links):
        target["cookies"] = [link.target.get("cookie", 0) for link in links]
    return target
