"""Fields with a meaning of their own, found in BTF: locks, timers, kernel pointers, lists and trees."""

from __future__ import annotations

from cygnet.verifier.env import Special

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from cygnet.btf.types import BtfType

_STRUCTS: Final = {
    "bpf_spin_lock": ("spin_lock", 4),
    "bpf_res_spin_lock": ("res_spin_lock", 4),
    "bpf_timer": ("timer", 16),
    "bpf_wq": ("wq", 16),
    "bpf_task_work": ("task_work", 8),
    "bpf_list_head": ("list_head", 16),
    "bpf_list_node": ("list_node", 24),
    "bpf_rb_root": ("rb_root", 16),
    "bpf_rb_node": ("rb_node", 32),
    "bpf_refcount": ("refcount", 4),
}
_TAGS: Final = {
    "kptr_untrusted": "kptr_untrusted",
    "kptr": "kptr",
    "percpu_kptr": "kptr_percpu",
    "uptr": "uptr",
}
_DEEPEST: Final = 4

_opened: dict[int, Any] = {}
_found: dict[tuple[int, int], list[Special]] = {}


def open_btf(given: Any) -> Any:
    """A Btf from bytes, or the Btf itself; the same object for the same bytes."""
    if not isinstance(given, (bytes, bytearray)):
        return given
    from cygnet.btf.reader import Btf
    from cygnet.errors import BtfError
    from cygnet.verifier.state import Reject

    key = hash(bytes(given))
    if key not in _opened:
        try:
            _opened[key] = Btf(bytes(given))
        except BtfError as error:
            raise Reject(f"the program's BTF is malformed: {error}") from None
    return _opened[key]


def fields_of(btf: Any, btf_id: int) -> list[Special]:
    """The special fields of a struct (or of a data section's variables), by offset."""
    if btf is None:
        return []
    key = (id(btf), btf_id)
    if key not in _found:
        from cygnet.btf import kinds as k
        from cygnet.btf.layout import resolve

        out: list[Special] = []
        type = resolve(btf.type(btf_id))
        if type.kind == k.DATASEC:
            for info in type.variables:
                _add(out, btf, resolve(btf.type(info.type_id).type), info.offset, btf.type(info.type_id), -1, 0)
        elif type.kind in (k.STRUCT, k.UNION):
            _scan(out, btf, type, 0, 0)
        _found[key] = sorted(out, key=lambda field: field.off)
    return _found[key]


def _scan(out: list[Special], btf: Any, type: BtfType, at: int, depth: int) -> None:
    for index, member in enumerate(type.members):
        if not member.bitfield_size:
            _add(out, btf, btf.type(member.type_id), at + member.byte_offset, type, index, depth)


def _add(out: list[Special], btf: Any, type: BtfType, at: int, owner: BtfType, index: int, depth: int) -> None:
    from cygnet.btf import kinds as k
    from cygnet.btf.layout import resolve, size_of, type_tags

    real = resolve(type)
    count, step = 1, 0
    while real.kind == k.ARRAY:
        count *= real.nelems
        real = resolve(real.type)
    if count > 1 and real.kind in (k.STRUCT, k.UNION, k.PTR):
        step = size_of(real)
    if count > 64 or count == 0:
        return
    for number in range(count):
        place = at + number * step
        if real.kind == k.PTR:
            tag = next((_TAGS[tag] for tag in type_tags(real.type) if tag in _TAGS), None)
            if tag is not None and resolve(real.type).kind in (k.STRUCT, k.UNION):
                field = Special(tag, place, 8)
                field.btf, field.btf_id = _pointee(btf, resolve(real.type))
                out.append(field)
        elif real.kind in (k.STRUCT, k.UNION):
            known = _STRUCTS.get(real.name)
            if known is not None:
                field = Special(known[0], place, known[1])
                if known[0] in ("list_head", "rb_root"):
                    _contains(field, btf, owner, index)
                out.append(field)
            elif depth < _DEEPEST:
                _scan(out, btf, real, place, depth + 1)


def _pointee(btf: Any, type: BtfType) -> tuple[Any, int]:
    """The kernel's type of that name, or the program's own where the kernel has none."""
    from cygnet.errors import CygnetError

    try:
        kernel = shared_kernel()
    except CygnetError:
        return btf, type.id
    found = kernel.find(type.name, type.kind if type.kind != 7 else None)
    return (kernel, found.id) if found is not None else (btf, type.id)


def use_kernel(btf: Any) -> None:
    """Another kernel's types than the running one's, from now on."""
    if btf is not None and _opened.get(0) is not btf:
        _opened[0] = btf
        _found.clear()


def shared_kernel() -> Any:
    """The running kernel's BTF, one object for all verifications. Raises NotSupported."""
    if 0 not in _opened:
        from cygnet.btf.reader import Btf

        _opened[0] = Btf.kernel()
    return _opened[0]


def _contains(field: Special, btf: Any, owner: BtfType, index: int) -> None:
    """``contains:struct:member`` on a list head or tree root: what hangs there."""
    from cygnet.btf import kinds as k

    for tag in btf.types():
        if tag.kind != k.DECL_TAG or tag.type_id != owner.id or not tag.name.startswith("contains:"):
            continue
        if index >= 0 and tag.component != index:
            continue
        _, name, member = tag.name.split(":")
        found = btf.find(name, k.STRUCT)
        if found is None:
            return
        field.btf, field.btf_id = btf, found.id
        for each in found.members:
            if each.name == member:
                field.node_offset = each.byte_offset


def kernel_btf() -> Any:
    """The kernel's BTF when it was needed for a pointer here."""
    return _opened.get(0)
