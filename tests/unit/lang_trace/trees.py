"""Hypothesis strategies for every tree that the parser can make."""

from __future__ import annotations

from hypothesis import strategies as st

from cygnet.lang.trace import ast
from cygnet.lang.trace.lexer import KEYWORDS
from cygnet.lang.trace.parser_expr import PRECEDENCE
from cygnet.lang.trace.parser_type import TYPE_WORDS
from cygnet.source import Source, Span

SPAN = Span(Source("made", ""), 0, 0)
ASSIGNMENTS = ["=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="]


def node(cls, *parts, **named):
    return st.builds(lambda *a, **k: cls(SPAN, *a, **k), *parts, **named)


def is_plain(word: str) -> bool:
    return (
        word not in KEYWORDS
        and word not in TYPE_WORDS
        and not word.endswith("_t")
        and word not in ("const", "volatile")
    )


words = st.sampled_from(["a", "b", "pid", "comm", "args", "AF_INET", "retval", "_x1", "kstack", "hz"]) | st.from_regex(
    r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True
).filter(lambda word: is_plain(word) and word != "_")
fields = words | st.sampled_from(sorted(KEYWORDS))
variables = words.map("${}".format)
maps = st.just("@") | words.map("@{}".format)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12) | st.binary(max_size=8).map(
    lambda raw: raw.decode("utf-8", "surrogateescape")
)
idents = node(ast.Ident, words)
var_nodes = node(ast.Var, variables)
map_nodes = node(ast.MapRef, maps)
dims = st.lists(st.none() | st.integers(0, 99), max_size=2).map(tuple)
c_bases = st.sampled_from(["unsigned int", "unsigned long long", "char", "uint8", "string", "buffer", "u32", "size_t"])
plain_types = (
    node(ast.TypeName, st.just(""), words | c_bases, st.integers(0, 3), dims)
    | node(ast.TypeName, st.sampled_from(["struct", "union", "enum"]), words, st.integers(0, 2), dims)
)  # fmt: skip
leaves = (
    node(ast.IntLit, st.integers(0, 9) | st.integers(0, 2**64 - 1))
    | node(ast.StrLit, texts)
    | node(ast.BoolLit, st.booleans())
    | idents
    | node(ast.Ident, st.just("config"))
    | var_nodes
    | map_nodes
    | node(ast.Positional, st.integers(0, 30))
)


def surely(kind: ast.TypeName) -> bool:
    """Read as a type wherever an expression could stand, too."""
    word = kind.base.split(" ")[0]
    return bool(kind.keyword or kind.pointers or None in kind.dims) or word in TYPE_WORDS or word.endswith("_t")


def types_of(exprs):
    return plain_types | node(
        ast.TypeName, st.just(""), st.just(""), st.integers(0, 2), dims, exprs | plain_types.filter(surely)
    )


def places(exprs):
    return var_nodes | map_nodes | node(ast.MapIndex, map_nodes, st.lists(exprs, min_size=1, max_size=3).map(tuple))


def blocks(stmts, values=None):
    return node(ast.Block, st.lists(stmts, max_size=3), values if values is not None else st.none())


def not_map(expr):
    return not isinstance(expr, ast.MapRef)


def extend(exprs):
    """Expressions one level higher."""
    kinds = types_of(exprs)
    type_args = exprs | kinds.filter(lambda kind: surely(kind) or kind.of is not None)
    args = exprs | kinds.filter(lambda kind: kind.keyword or kind.of is not None)
    stmts = statements(exprs, leaf_blocks(exprs))
    valued = blocks(stmts, st.none() | exprs)
    record = st.lists(st.tuples(words, exprs), min_size=1, max_size=3)
    return st.one_of(
        places(exprs),
        node(ast.Unary, st.sampled_from("-!~*"), exprs),
        node(ast.Unary, st.sampled_from(["++", "--"]), places(exprs), st.booleans()),
        node(ast.AddressOf, exprs),
        node(ast.Binary, st.sampled_from(sorted(PRECEDENCE)), exprs, exprs),
        node(ast.Binary, st.sampled_from(sorted(PRECEDENCE)), exprs, exprs),
        node(ast.Ternary, exprs, st.none() | exprs, exprs),
        node(ast.Field, exprs, fields),
        node(ast.TupleIndex, exprs, st.integers(0, 20)),
        node(ast.Index, exprs.filter(not_map), exprs),
        node(ast.Cast, kinds, exprs),
        node(ast.Call, words, st.lists(args, max_size=3).map(tuple)),
        node(ast.SizeOf, type_args),
        node(ast.TypeInfo, type_args),
        node(ast.OffsetOf, type_args, st.lists(fields, min_size=1, max_size=3).map(tuple)),
        node(ast.TupleExpr, st.lists(exprs, max_size=3).map(tuple)),
        record.map(lambda pairs: ast.RecordExpr(SPAN, tuple(p[0] for p in pairs), tuple(p[1] for p in pairs))),
        if_chains(ast.IfExpr, exprs, valued, need_else=True),
        node(ast.BlockExpr, valued),
        node(ast.Comptime, exprs),
    )


def if_chains(cls, conds, bodies, need_else):
    def build(arms, last):
        for cond, then in reversed(arms):
            last = cls(SPAN, cond, then, last)
        return last

    arms = st.lists(st.tuples(conds, bodies), min_size=1, max_size=2)
    return st.builds(build, arms, bodies if need_else else st.none() | bodies)


def leaf_blocks(exprs):
    return blocks(node(ast.ExprStmt, exprs) | node(ast.Break))


def statements(exprs, bodies):
    kinds = types_of(exprs)
    return st.one_of(
        node(ast.ExprStmt, exprs),
        node(ast.Assign, places(exprs), st.sampled_from(ASSIGNMENTS), exprs),
        node(ast.Discard, exprs),
        node(ast.Let, var_nodes, st.none() | kinds, st.none() | exprs),
        if_chains(ast.If, exprs, bodies, need_else=False),
        node(ast.While, exprs, bodies),
        node(ast.Unroll, exprs, bodies),
        node(ast.ForMap, var_nodes, map_nodes, bodies),
        node(ast.ForRange, var_nodes, exprs, exprs, bodies),
        node(ast.Return, st.none() | exprs),
        node(ast.Break),
        node(ast.Continue),
        node(ast.Import, texts),
        bodies,
    )


expressions = st.recursive(leaves, extend, max_leaves=12)
small = st.recursive(leaves, extend, max_leaves=4)
bodies = st.recursive(leaf_blocks(small), lambda inner: blocks(statements(small, inner)), max_leaves=4)

raw_pieces = st.from_regex(r"[a-zA-Z_*?+.\-0-9]{1,8}", fullmatch=True)
quoted_pieces = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=10)


def merged(pieces):
    """No two texts side by side, and none that would lengthen the number of the parameter before it."""
    out = []
    for piece in pieces:
        if isinstance(piece, str) and out and isinstance(out[-1], str):
            out[-1] += piece
        elif isinstance(piece, str) and out and piece[0].isdigit():
            out.append("x" + piece)
        else:
            out.append(piece)
    return tuple(out)


def parts(pieces, quoted):
    made = st.lists(pieces | st.integers(1, 40), min_size=1, max_size=3).map(merged)
    if quoted:
        made = made.filter(lambda pieces: any(isinstance(piece, str) for piece in pieces))
    return node(ast.AttachPart, made, st.just(quoted))


paths = st.lists(raw_pieces, min_size=1, max_size=3).map(lambda names: "/" + "/".join(names))
path_parts = node(ast.AttachPart, st.tuples(paths), st.just(False))
any_part = parts(raw_pieces, False) | parts(quoted_pieces, True)
providers = st.sampled_from(["kprobe", "tracepoint", "BEGIN", "interval", "k", "software"])
path_providers = st.sampled_from(["uprobe", "u", "uretprobe", "ur", "usdt", "U"])


def provider_part(name):
    return ast.AttachPart(SPAN, (name,))


def attach_point(first, rest):
    return ast.AttachPoint(SPAN, (provider_part(first), *rest), "")


attach_points = st.builds(attach_point, providers, st.lists(any_part, max_size=3)) | st.builds(
    lambda first, path, rest: attach_point(first, [path, *rest]),
    path_providers,
    path_parts,
    st.lists(any_part, max_size=2),
)
probes = node(
    ast.Probe,
    st.none() | words,
    st.lists(attach_points, min_size=1, max_size=3).map(tuple),
    st.none() | small,
    bodies,
)
config_values = (
    node(ast.IntLit, st.integers(0, 99999))
    | node(ast.StrLit, texts)
    | node(ast.BoolLit, st.booleans())
    | idents
)  # fmt: skip
configs = node(ast.Config, st.lists(node(ast.ConfigEntry, fields, config_values), max_size=3).map(tuple))
c_types = words.map(lambda name: ast.CType(SPAN, "struct", name, f"struct {name} {{ int a; char b[4]; }};"))
defines = node(
    ast.CDefine, words, st.none() | st.lists(words, max_size=2).map(tuple), st.sampled_from(["", "1", "(a + 2)"])
)
directives = st.sampled_from(["#include <linux/sched.h>", "#ifdef X", "#endif"]).map(lambda t: ast.CDirective(SPAN, t))
params = st.lists(var_nodes | map_nodes | idents, max_size=3).map(tuple)
macros = node(ast.Macro, words, params, blocks(statements(small, bodies), st.none() | small))
fn_params = st.lists(node(ast.Param, var_nodes, types_of(leaves)), max_size=2).map(tuple)
fns = node(ast.Fn, words, fn_params, st.none() | types_of(leaves), bodies)
map_decls = node(ast.MapDecl, map_nodes, words, st.lists(leaves, max_size=2).map(tuple))
programs = node(
    ast.Program,
    st.sampled_from(["", "#!/usr/bin/env bpftrace"]),
    st.lists(c_types | defines | directives, max_size=2),
    st.none() | configs,
    st.lists(node(ast.Import, texts), max_size=2),
    st.lists(probes | macros | fns | map_decls, max_size=3),
)
