"""The checker: types as written, sizes and casts."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.check.base import CheckBase, type_is_int
from cygnet.lang.trace.check.places import number_space

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.lang.trace.check.names import VarInfo
    from cygnet.lang.trace.types import Type


class CastChecker(CheckBase):
    """Types in the program's text."""

    def resolve_type(self, node: ast.TypeName) -> Type:
        """The type that is written; reports one that does not exist."""
        type = self._base_type(node)
        if type is None:
            self._unknown_type(node)
            return T.UNKNOWN
        space = self.instance.match.space if self.instance else T.KERNEL
        for _ in range(node.pointers):
            type = T.pointer(None if type is T.NONE else type, space)
        if node.base in ("string", "inet", "buffer") and not node.pointers:
            return type
        for dim in reversed(node.dims):
            type = T.Type("array", type.size * (dim or 0), elem=type, length=dim or 0)
        return type

    def _sized_string(self, node: ast.TypeName) -> Type:
        """``string[N]``: N counts the NUL."""
        size = node.dims[0] if node.dims else None
        if size == 0:
            self.error("A string has at least one byte, for its end", node.span)
            return T.UNKNOWN
        return T.string(size or self.config["max_strlen"])

    def declare_type(self, info: VarInfo, target: ast.TypeName) -> None:
        """A variable of a written type; `string` without a size is sized by inference, typeof(e) in each round."""
        if info.fixed and target.of is None:
            return
        declared = self.resolve_type(target)
        if declared.kind == "none":
            self.error(f"Invalid variable declaration type: {T.name(declared)}", target.span)
        elif declared.kind == "str" and not target.dims and target.of is None:
            if info.type is T.UNKNOWN:
                info.type = T.string(1)
        elif declared is not T.UNKNOWN:
            self.changed |= info.type != declared
            info.type, info.fixed = declared, True

    def _base_type(self, node: ast.TypeName) -> Type | None:
        if node.of is not None:
            known = isinstance(node.of, (ast.TypeName, ast.MapRef))
            self.refuse_assignments(node.of, "typeof")
            return self._type_or_expr(node.of) if known else self.expr(node.of)
        base = node.base
        if not node.keyword:
            if base == "string":
                return self._sized_string(node)
            dim = node.dims[0] if node.dims else None
            special = {
                "buffer": T.Type("buf", dim or 64),
                "inet": T.INET, "mac_address": T.MAC, "macaddr_t": T.MAC, "ksym_t": T.KSYM, "usym_t": T.USYM,
                "username": T.USERNAME,
            }.get(base)  # fmt: skip
            if special is not None:
                return special
        found = None
        if node.keyword and f"{node.keyword} {base}" not in self.types.own:
            found = self._of_binary(node.keyword, base)
        if found is None:
            found = self.types.find(node.keyword, base) or (None if node.keyword else self._of_binary("", base))
        if found is None and node.pointers and node.keyword and self.types.is_declared(base):
            return self.types.opaque(node.keyword, base)
        return found

    def _of_binary(self, keyword: str, base: str) -> Type | None:
        """A type of the program that is traced, in whose functions its own names hold before the kernel's."""
        made = self.instance.named_type(keyword, base) if self.instance else None
        return None if made is None else self.types.from_btf(made, T.USER)

    def _unknown_type(self, node: ast.TypeName) -> None:
        name = f"{node.keyword} {node.base}".strip()
        hints = [] if self.types.btf is not None else ["this kernel has no BTF: define the type in the program"]
        guess = self.types.similar(node.keyword, node.base) if self.final else None
        if guess:
            hints.append(f"did you mean {node.keyword} {guess}?".replace("  ", " "))
        self.error(f"Unknown type: '{name}'", node.span, hints)

    def expr_TypeName(self, node: ast.TypeName) -> Type:
        self.error("A type is no value", node.span, ["sizeof(), casts and let take types"])
        return T.UNKNOWN

    def refuse_assignments(self, arg: ast.Expr, what: str) -> None:
        """What only asks for a type is not run, so that an assignment to a map there would be lost."""
        if not isinstance(arg, (ast.BlockExpr, ast.Unary)):
            return
        for node in ast.walk(arg):
            if isinstance(node, ast.Assign) and isinstance(node.target, (ast.MapRef, ast.MapIndex)):
                self.error(f"Map assignments not allowed inside of {what}", node.span)

    def expr_SizeOf(self, node: ast.SizeOf) -> Type:
        self.refuse_assignments(node.arg, "sizeof")
        type = self._type_or_expr(node.arg)
        if type.kind != "unknown":
            node.const = T.natural_size(type)
        return T.UINT64

    def _type_or_expr(self, arg: ast.Expr) -> Type:
        if isinstance(arg, ast.TypeName):
            return self.resolve_type(arg)
        if isinstance(arg, ast.Ident):
            from cygnet.lang.trace.builtins import find

            if find(arg.name) is None and arg.name != "args":
                made = ast.TypeName(arg.span, "", arg.name)
                if self._base_type(made) is not None:
                    return self.resolve_type(made)
        return self._map_type(arg) if isinstance(arg, ast.MapRef) else self.value(arg)

    def _map_type(self, node: ast.MapRef) -> Type:
        """What ``typeof(@m)`` is: the type of a keyed map's key, known when another place uses the map."""
        info = self.map_info(node)
        if info.keyed is None and not self.final:
            return T.UNKNOWN
        if not info.keyed:
            return self.value(node)
        info.read_span = info.read_span or node.span
        return info.key

    def expr_OffsetOf(self, node: ast.OffsetOf) -> Type:
        self.refuse_assignments(node.arg, "offsetof")
        type = self._type_or_expr(node.arg)
        offset = 0
        for name in node.path:
            if type.kind != "struct":
                if type.kind != "unknown":
                    self.error(f"'{T.name(type)}' is not a c_struct type.", node.span)
                return T.UINT64
            member = type.extra.find(name)
            if member is None:
                self.error(f"{T.name(type)} does not contain a field named '{name}'", node.span)
                return T.UINT64
            offset += member.offset
            type = member.type
        node.const = offset
        return T.UINT64

    def expr_TypeInfo(self, node: ast.TypeInfo) -> Type:
        from cygnet.lang.trace.check.addresses import check_typeinfo

        return check_typeinfo(self.whole, node)

    def expr_Cast(self, node: ast.Cast) -> Type:
        operand = self.value(node.operand)
        target = self.resolve_type(node.target)
        # Told of only when the script wrote both: the types of arguments and fields are the program's and the kernel's,
        # and what a variable has of them is no reason to doubt a cast that makes sure.
        same = target._replace(space="") == operand._replace(space="") and isinstance(node.operand, ast.Cast)
        if self.final and same and target.kind != "ptr" and node.operand.const is None:
            self.warn(f"Cast from '{T.name(operand)}' to '{T.name(target)}' changes nothing", node.span)
        if operand.kind == "unknown" or target.kind == "unknown":
            return target
        if target.kind in T.NUMERIC:
            return self._cast_number(node, target, operand)
        if target.kind == "ptr":
            space = operand.space if operand.kind == "ptr" else number_space(self, node.operand) or target.space
            if operand.kind == "str":
                from cygnet.lang.trace.check.addresses import member_space

                place = member_space(node.operand)
                if place in (T.KERNEL, T.USER):  # a member such as char cb[48] lies somewhere, a string does not
                    return target._replace(space=place)
            if operand.kind not in ("ptr", "int", "bool", "enum", "array", "struct", "agg", "ksym"):
                self.error(f"Cannot cast from '{T.name(operand)}' to '{T.name(target)}'", node.span)
            return target._replace(space=space)
        if target.kind == "array" and (operand.kind in ("int", "array") or isinstance(node.operand.const, bytes)):
            return self._cast_array(node, target, operand)
        if target.kind == operand.kind == "str" and isinstance(node.operand.const, bytes):
            if len(node.operand.const) >= target.size:
                self.error(f"Cannot cast from '{T.name(operand)}' to '{T.name(target)}': the text is longer", node.span)
        if target.kind == operand.kind:
            return target
        if target.kind in ("ksym", "username") and operand.kind in ("int", "ptr"):
            return target
        self.error(f"Cannot cast from '{T.name(operand)}' to '{T.name(target)}'", node.span)
        return target

    def _cast_number(self, node: ast.Cast, target: Type, operand: Type) -> Type:
        allowed = ("int", "bool", "enum", "ptr", "agg", "array", "ksym", "timestamp", "str", "username", "cgroup")
        if operand.kind not in allowed or (operand.kind == "str" and target.kind != "bool"):
            self.error(f"Cannot cast from '{T.name(operand)}' to '{T.name(target)}'", node.span)
            return target
        if operand.kind == "agg" and operand.extra.kind not in T.CASTABLE:
            self.error(f"Cannot cast from '{T.name(operand)}' to '{T.name(target)}'", node.span)
        if operand.kind == "array" and T.natural_size(operand) != target.size:
            self.error(
                f"Cannot cast from '{T.name(operand)}' to '{T.name(target)}': the sizes differ "
                f"({T.natural_size(operand)} and {target.size} bytes)",
                node.span,
            )
        const = node.operand.const
        if target.kind == "enum" and type_is_int(const) and not any(v == const for v, _ in target.extra.pairs()):
            self.error(f"Enum: {target.extra.name} doesn't contain a variant value of {const}", node.span)
        if const is not None and not isinstance(const, bytes):
            if target.kind == "bool":
                node.const = bool(const)
            else:
                wrapped = int(const) & ((1 << target.size * 8) - 1)
                sign = target.signed and wrapped >> (target.size * 8 - 1)
                node.const = wrapped - (1 << target.size * 8) if sign else wrapped
        return target

    def _cast_array(self, node: ast.Cast, target: Type, operand: Type) -> Type:
        size = T.natural_size(operand)
        elem = target.elem.size
        if target.elem.kind not in T.NUMERIC and operand.kind != "array":
            self.error(f"Cannot cast from '{T.name(operand)}' to '{T.name(target)}'", node.span)
            return target
        if type_is_int(node.operand.const) and target.length and T.natural_size(target) <= 8:
            size = max(size, T.natural_size(target))  # a literal takes the size that is asked for
        if not target.length and elem:
            target = target._replace(length=size // elem, size=size)
        if T.natural_size(target) != size:
            self.error(
                f"Cannot cast from '{T.name(operand)}' to '{T.name(target)}': the sizes differ ({size} and "
                f"{T.natural_size(target)} bytes)",
                node.span,
            )
        return target
