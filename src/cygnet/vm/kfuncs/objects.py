"""Objects that programs make, and the lists and trees that hold them.

Heads and nodes are laid out as the kernel does (include/linux/btf.h, kernel/bpf/helpers.c): a list's head is
{next, prev}, its node {next, prev, owner}; a tree's root is {node, leftmost}, its node {parent, right, left, owner}.
The tree is not balanced, so it may be shaped otherwise than a kernel's; its order is the same. Programs that no
verifier saw may have changed any of these words, so each is looked up before it is followed.
"""

from __future__ import annotations

from errno import EINVAL

from cygnet.errors import HelperFault
from cygnet.maps.memory import load64, store64
from cygnet.vm.helpers.common import MASK32
from cygnet.vm.kfuncs.registry import kfunc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host

_NEXT, _PREV, _LIST_OWNER = 0, 8, 16
_NODE, _LEFTMOST = 0, 8
_PARENT, _RIGHT, _LEFT, _TREE_OWNER = 0, 8, 16, 24
_LIST_NODE_BYTES, _TREE_NODE_BYTES = 24, 32
_DEEPEST = 1 << 20  # nodes on a way through a tree: more is a circle


def _get(machine: Host, at: int) -> int:
    machine.check(at, 8, write=True, what="node")
    return load64(at)


def _put(machine: Host, at: int, word: int) -> None:
    machine.check(at, 8, write=True, what="node")
    store64(at, word)


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────


@kfunc("obj_new_impl")
def obj_new(machine: Host, type: int, meta: int) -> int:
    """An object of a type of the program's BTF, zeroed."""
    state = machine.kfuncs
    size = state.type_size(type & MASK32)
    if not size:
        raise HelperFault(f"bpf_obj_new of type {type & MASK32}: the object's maps have no BTF that tells its size")
    if size not in state.arenas:
        state.arenas[size] = machine.memory.arena(f"objects of {size} bytes", item=size)
    address = state.arenas[size].alloc()
    state.objects[address] = [1, size]
    return address


def _object(machine: Host, pointer: int) -> list[int]:
    found = machine.kfuncs.objects.get(pointer)
    if found is None:
        raise HelperFault(f"{pointer:#x} is no object that bpf_obj_new made")
    return found


@kfunc("obj_drop_impl")
def obj_drop(machine: Host, pointer: int, meta: int) -> int:
    found = _object(machine, pointer)
    found[0] -= 1
    if not found[0]:
        del machine.kfuncs.objects[pointer]
        machine.kfuncs.arenas[found[1]].free(pointer)
    return 0


@kfunc("refcount_acquire_impl")
def refcount_acquire(machine: Host, pointer: int, meta: int) -> int:
    _object(machine, pointer)[0] += 1
    return pointer


def _drop_around(machine: Host, node: int) -> None:
    """The object that a node lies in, which could not be put where it should go."""
    region = machine.regions.around(node)
    start = region.bounds(node)[0] if region else 0
    if start in machine.kfuncs.objects:
        obj_drop(machine, start, 0)


# ── lists ────────────────────────────────────────────────────────────────────────────────────────────────


def _push(machine: Host, head: int, node: int, *, front: bool) -> int:
    machine.check(head, 16, write=True, what="list")
    machine.check(node, _LIST_NODE_BYTES, write=True, what="node")
    if load64(node + _LIST_OWNER):
        _drop_around(machine, node)
        return -EINVAL & MASK32
    if not load64(head):  # zeros are an empty list
        store64(head + _NEXT, head)
        store64(head + _PREV, head)
    before = head if front else load64(head + _PREV)
    after = _get(machine, before + _NEXT)
    _put(machine, after + _PREV, node)
    store64(node + _NEXT, after)
    store64(node + _PREV, before)
    _put(machine, before + _NEXT, node)
    store64(node + _LIST_OWNER, head)
    return 0


def _end(machine: Host, head: int, word: int) -> int:
    """The first node or the last one; 0 when there is none."""
    machine.check(head, 16, write=True, what="list")
    node = load64(head + word)
    return node if node != head else 0


def _pop(machine: Host, head: int, word: int) -> int:
    node = _end(machine, head, word)
    if not node:
        return 0
    machine.check(node, _LIST_NODE_BYTES, write=True, what="node")
    before, after = load64(node + _PREV), load64(node + _NEXT)
    _put(machine, before + _NEXT, after)
    _put(machine, after + _PREV, before)
    for offset, value in ((_NEXT, node), (_PREV, node), (_LIST_OWNER, 0)):
        store64(node + offset, value)
    return node


@kfunc("list_push_front_impl")
def list_push_front(machine: Host, head: int, node: int, meta: int, offset: int) -> int:
    return _push(machine, head, node, front=True)


@kfunc("list_push_back_impl")
def list_push_back(machine: Host, head: int, node: int, meta: int, offset: int) -> int:
    return _push(machine, head, node, front=False)


@kfunc("list_pop_front")
def list_pop_front(machine: Host, head: int) -> int:
    return _pop(machine, head, _NEXT)


@kfunc("list_pop_back")
def list_pop_back(machine: Host, head: int) -> int:
    return _pop(machine, head, _PREV)


@kfunc("list_front")
def list_front(machine: Host, head: int) -> int:
    return _end(machine, head, _NEXT)


@kfunc("list_back")
def list_back(machine: Host, head: int) -> int:
    return _end(machine, head, _PREV)


# ── trees ────────────────────────────────────────────────────────────────────────────────────────────────


@kfunc("rbtree_add_impl")
def rbtree_add(machine: Host, root: int, node: int, less: int, meta: int, offset: int) -> int:
    """Where `less(node, other)` says; after those that are equal."""
    machine.check(root, 16, write=True, what="tree")
    machine.check(node, _TREE_NODE_BYTES, write=True, what="node")
    if load64(node + _TREE_OWNER):
        _drop_around(machine, node)
        return -EINVAL & MASK32
    parent, link, leftmost = 0, root + _NODE, True
    for _ in range(_DEEPEST):
        below = _get(machine, link)
        if not below:
            break
        parent = below
        if machine.call(less, node, parent) & 0xFF:  # a bool
            link = parent + _LEFT
        else:
            link, leftmost = parent + _RIGHT, False
    else:
        raise HelperFault(f"the tree at {root:#x} goes round in a circle")
    for word, value in ((_PARENT, parent), (_RIGHT, 0), (_LEFT, 0), (_TREE_OWNER, root)):
        store64(node + word, value)
    _put(machine, link, node)
    if leftmost:
        store64(root + _LEFTMOST, node)
    return 0


def _end_of(machine: Host, node: int, word: int) -> int:
    """The node at the end of the way that always goes left, or right."""
    for _ in range(_DEEPEST):
        below = _get(machine, node + word)
        if not below:
            return node
        node = below
    raise HelperFault(f"the tree around {node:#x} goes round in a circle")


def _put_instead(machine: Host, root: int, node: int, other: int) -> None:
    """`other`, or nothing, hangs where `node` hung."""
    parent = _get(machine, node + _PARENT)
    if not parent:
        _put(machine, root + _NODE, other)
    else:
        _put(machine, parent + (_LEFT if _get(machine, parent + _LEFT) == node else _RIGHT), other)
    if other:
        _put(machine, other + _PARENT, parent)


def _after(machine: Host, node: int) -> int:
    """The next node in order, or 0."""
    right = _get(machine, node + _RIGHT)
    if right:
        return _end_of(machine, right, _LEFT)
    for _ in range(_DEEPEST):
        parent = _get(machine, node + _PARENT)
        if not parent or _get(machine, parent + _LEFT) == node:
            return parent
        node = parent
    raise HelperFault(f"the tree around {node:#x} goes round in a circle")


@kfunc("rbtree_remove")
def rbtree_remove(machine: Host, root: int, node: int) -> int:
    """The node, which is the program's again; 0 when it is not in this tree."""
    machine.check(root, 16, write=True, what="tree")
    machine.check(node, _TREE_NODE_BYTES, write=True, what="node")
    if load64(node + _TREE_OWNER) != root:
        return 0
    if load64(root + _LEFTMOST) == node:
        store64(root + _LEFTMOST, _after(machine, node))
    left, right = load64(node + _LEFT), load64(node + _RIGHT)
    if left and right:
        heir = _end_of(machine, right, _LEFT)
        if heir != right:
            _put_instead(machine, root, heir, _get(machine, heir + _RIGHT))
            _put(machine, heir + _RIGHT, right)
            _put(machine, right + _PARENT, heir)
        _put_instead(machine, root, node, heir)
        _put(machine, heir + _LEFT, left)
        _put(machine, left + _PARENT, heir)
    else:
        _put_instead(machine, root, node, left or right)
    for word, value in ((_PARENT, node), (_RIGHT, 0), (_LEFT, 0), (_TREE_OWNER, 0)):
        store64(node + word, value)
    return node


@kfunc("rbtree_first")
def rbtree_first(machine: Host, root: int) -> int:
    return _get(machine, root + _LEFTMOST)


@kfunc("rbtree_root")
def rbtree_root(machine: Host, root: int) -> int:
    return _get(machine, root + _NODE)


def _child(machine: Host, root: int, node: int, word: int) -> int:
    machine.check(node, _TREE_NODE_BYTES, write=True, what="node")
    return load64(node + word) if load64(node + _TREE_OWNER) == root else 0


@kfunc("rbtree_left")
def rbtree_left(machine: Host, root: int, node: int) -> int:
    return _child(machine, root, node, _LEFT)


@kfunc("rbtree_right")
def rbtree_right(machine: Host, root: int, node: int) -> int:
    return _child(machine, root, node, _RIGHT)
