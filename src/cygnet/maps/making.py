"""Making maps: the table of map types says which class implements each."""

from __future__ import annotations

from importlib import import_module

from cygnet.errors import NotSupported
from cygnet.facts.maptypes import map_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cygnet.maps.base import UserMap
    from cygnet.maps.fields import SpecialField
    from cygnet.maps.host import MapHost
    from cygnet.spec.objects import MapSpec


def implementation(which: int | str) -> type[UserMap]:
    """The class of a map type, by number or name. NotSupported for types that mean something in a kernel only."""
    try:
        row = map_type(which)
    except KeyError:
        raise NotSupported(f"map type {which}", "a newer version") from None
    if row.vm in (None, "kernel_only"):
        raise NotSupported(f"a {row.name} map outside of a kernel", "a kernel")
    module, name = row.vm.split(".")
    made: type[UserMap] = getattr(import_module(f"cygnet.maps.kinds.{module}"), name)
    return made


def create(
    host: MapHost,
    type: int,
    key_size: int,
    value_size: int,
    max_entries: int,
    flags: int = 0,
    name: str = "",
    *,
    map_extra: int = 0,
    inner: UserMap | None = None,
    fields: Sequence[SpecialField] = (),
) -> UserMap:
    """A map, as BPF_MAP_CREATE makes one. Sizes in bytes.

    `inner` is the template of a map of maps, `fields` are the special fields of the values
    (`cygnet.maps.fields.special_fields`). Raises what the kernel refuses: SystemCallError with EINVAL, MapFull for
    E2BIG, NotSupported.
    """
    kind = implementation(type)
    made = kind(host, type, key_size, value_size, max_entries, flags, name, map_extra=map_extra, fields=fields)
    made.take_template(inner)
    return made


def from_spec(
    host: MapHost, spec: MapSpec, *, inner: UserMap | None = None, fields: Sequence[SpecialField] = ()
) -> UserMap:
    """The map that a MapSpec describes, with its data, and frozen when it says so.

    `inner` and `fields` stand for what the spec says of them.
    """
    if inner is None and spec.inner is not None:
        inner = from_spec(host, spec.inner)  # it goes with the host
    made = create(
        host, spec.type, spec.key_size, spec.value_size, spec.max_entries, spec.flags, spec.name,
        inner=inner, fields=fields or fields_of(spec),
    )  # fmt: skip
    if spec.data:
        made.update(bytes(spec.key_size), spec.data)
    if spec.frozen:
        made.freeze()
    return made


def fields_of(spec: MapSpec) -> tuple[SpecialField, ...]:
    """The locks, timers and kernel pointers in a map's values, from its types, or as they are listed."""
    from cygnet.maps.fields import FIELD_BYTES, SpecialField, special_fields

    if spec.btf:
        from cygnet.btf.reader import Btf

        return special_fields(Btf(spec.btf).type(spec.value_type_id))
    listed = (SpecialField(kind, offset, FIELD_BYTES[kind]) for kind, offset in spec.fields)
    return tuple(sorted(listed, key=lambda field: field.offset))
