"""BTF made for tests, by our own builder."""

from __future__ import annotations

from cygnet.btf import kinds as k
from cygnet.btf.builder import Builder


def sample() -> Builder:
    """A little of everything: what each id is called stands in the tests that use it."""
    b = Builder()
    int32, u64, char = b.integer(4, True), b.integer(8), b.char()
    u8 = b.typedef("u8", b.integer(1))
    node = b.reserve()
    link = b.ptr(node)
    point = b.struct("point", 8, [("x", int32, 0), ("y", int32, 32)])
    anonymous = b.struct("", 8, [("whole", u64, 0), ("low", int32, 0)], union=True)
    deep = b.struct("", 16, [("", anonymous, 0), ("points", b.array(point, 1), 64)])
    b.struct(
        "node",
        64,
        [
            ("next", link, 0),
            ("name", b.array(char, 16), 64),
            ("", deep, 192),
            ("grid", b.array(b.array(b.typedef("point_t", point), 2), 1), 320),
        ],
        at=node,
    )
    b.struct("flags", 4, [("a", u8, 0, 3), ("b", u8, 3, 5), ("c", int32, 8, 20)])
    b.enum("colour", [("RED", 0), ("GREEN", 1)])
    b.enum("level", [("LOW", -1), ("HIGH", 1)])
    b.enum("wide", [("BIG", 1 << 40), ("MINUS", -2)], size=8)
    proto = b.func_proto(int32, [("node", b.const(link)), ("text", b.ptr(b.type_tag("user", b.const(char))))])
    b.func("walk", proto)
    b.func("print", b.func_proto(0, [("text", b.ptr(char)), ("", 0)]), k.STATIC)
    variable = b.var("counter", b.volatile(u64))
    b.datasec(".data", 8, [(variable, 0, 8)])
    b.decl_tag("guarded", node, 1)
    b.fwd("later")
    b.fwd("either", union=True)
    b.floating(8, "double")
    b.boolean()
    b.restrict(link)
    return b
