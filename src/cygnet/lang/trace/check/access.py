"""The checker: members, elements, tuples and records."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.check.base import CheckBase, type_is_int
from cygnet.lang.trace.records import member_value_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cygnet.lang.trace.types import Type


class AccessChecker(CheckBase):
    """What lies within a value."""

    def expr_Field(self, node: ast.Field) -> Type:
        operand = node.operand
        if isinstance(operand, ast.Ident) and operand.name == "args":
            return self.argument(node)
        type = self.value(operand)
        if type.kind == "unknown":
            return type
        if isinstance(operand, ast.TypeInfo):
            return self._typeinfo_part(node, operand, node.name)
        if type.kind == "record":
            if node.name not in type.names:
                self._no_member(node, T.name(type), type.names)
                return T.UNKNOWN
            if isinstance(operand, ast.Ident) and operand.name == "config":
                from cygnet.lang.trace.builtins.settings import setting

                node.const = setting(self.config, node.name)
            result: Type = type.fields[type.names.index(node.name)]
            return result
        while type.kind == "ptr" and type.elem is not None and type.elem.kind == "ptr":
            type = type.elem
        space = type.space
        if type.kind == "ptr" and type.elem is not None:
            type = type.elem
        if type.kind != "struct":
            self.error(f"Can not access field '{node.name}' on expression of type '{T.name(type)}'", node.span)
            return T.UNKNOWN
        member = type.extra.find(node.name)
        if member is None:
            if not type.extra.size and not type.extra.flat():
                record = type.extra
                guess = self.types.similar(record.keyword, record.name) if self.final else None
                self.error(
                    f"Unknown type: '{T.name(type)}' is not defined, so its fields are not known",
                    node.span,
                    [f"did you mean {record.keyword} {guess}?"] if guess else [],
                )
            else:
                self._no_member(node, T.name(type), list(type.extra.flat()))
            return T.UNKNOWN
        return self.member_type(member.type, space)

    def member_type(self, type: Type, space: str) -> Type:
        """A member's type, with the address space it was reached through."""
        result = member_value_type(type)
        if result.kind == "ptr" and result.space == T.KERNEL and space and space != T.KERNEL:
            return result._replace(space=T.KERNEL if space == T.DIRECT else space)
        return result._replace(space=space) if result.kind in ("struct", "array") else result

    def _no_member(self, node: ast.Field, owner: str, names: Sequence[str]) -> None:
        from cygnet.lang.trace.suggest import did_you_mean

        guess = did_you_mean(node.name, names)
        self.error(
            f"{owner} does not contain a field named '{node.name}'",
            node.name_span,
            [f"did you mean {guess}?"] if guess else [],
        )

    def argument(self, node: ast.Field) -> Type:
        """``args.NAME``"""
        if self.depth:
            self.error("args can not be read inside a loop over a map", node.span, ["read it into a variable before"])
            return T.UNKNOWN
        arg = self.instance.argument(node.name)
        if arg is None:
            names = self.instance.argument_names()
            if not names:
                self.error(f"args is not available in {self.instance.match.probe}", node.operand.span)
            else:
                self._no_member(node, f"The probe {self.instance.match.probe}", names)
            return T.UNKNOWN
        if arg.data_loc and arg.type == "char":  # text, wherever in the record it lies
            return T.read_string(self.config["max_strlen"])
        return self.instance.argument_type(arg, self.types)

    def _typeinfo_part(self, node: ast.Field | ast.TupleIndex, operand: ast.TypeInfo, name: str | int) -> Type:
        from cygnet.lang.trace.check.addresses import PARTS, part_of

        index = name if isinstance(name, int) else PARTS.get(name, -1)
        if not 0 <= index < 3:
            self.error(f"typeinfo() has no part '{name}'", node.span, ["btf_id, base_type and full_type"])
            return T.UNKNOWN
        node.const = part_of(operand, index)
        result: Type = operand.type.fields[index]
        return result

    def expr_TupleIndex(self, node: ast.TupleIndex) -> Type:
        type = self.value(node.operand)
        if isinstance(node.operand, ast.TypeInfo) and type.kind == "record":
            return self._typeinfo_part(node, node.operand, node.index)
        return self._tuple_item(type, node.index, node)

    def _tuple_item(self, type: Type, index: int, node: ast.Index | ast.TupleIndex) -> Type:
        if type.kind == "unknown":
            return type
        if type.kind != "tuple":
            self.error(f"Can not access index {index} on expression of type '{T.name(type)}'", node.span)
            return T.UNKNOWN
        if not 0 <= index < len(type.fields):
            self.error(f"Invalid tuple index: {index}. Found {len(type.fields)} elements in tuple.", node.span)
            return T.UNKNOWN
        result: Type = type.fields[index]
        if isinstance(node.operand, ast.TupleExpr) and all(item.const is not None for item in node.operand.items):
            node.const = node.operand.items[index].const
        return result

    def expr_Index(self, node: ast.Index) -> Type:
        type, index = self.value(node.operand), self.value(node.index)
        const = node.index.const
        if type.kind == "unknown" or index.kind == "unknown":
            return T.UNKNOWN
        if type.kind == "tuple":
            if not type_is_int(const):
                self.error("A tuple is indexed by a literal", node.index.span)
                return T.UNKNOWN
            return self._tuple_item(type, const, node)
        if index.kind not in T.NUMERIC:
            self.error(f"The array index operator [] needs an integer, not '{T.name(index)}'", node.index.span)
            return T.UNKNOWN
        if index.signed and const is None and type.kind == "array" and self.final:
            self.warn(f"The index is signed ('{T.name(index)}'): a negative one is out of bounds", node.index.span)
        length = type.length if type.kind == "array" else type.size if type.kind == "str" else None
        if length == 0 and isinstance(node.operand, ast.Field):
            length = 1 << 63  # a struct's last member, as long as there is memory
        if length is not None and type_is_int(const) and not 0 <= const < length:
            self.error(f"the index {const} is out of bounds for array of size {length}", node.index.span)
            return T.UNKNOWN
        if type.kind == "str":
            return T.INT8
        if type.kind in ("array", "ptr") and type.elem is not None:
            return self.member_type(type.elem, type.space)
        if type.kind == "args":
            return T.UNKNOWN
        self.error(f"The array index operator [] can not be used on '{T.name(type)}'", node.span)
        return T.UNKNOWN

    def expr_TupleExpr(self, node: ast.TupleExpr) -> Type:
        return T.tuple_of(*map(self._item, node.items))

    def _item(self, node: ast.Expr) -> Type:
        type = self.value(node)
        if type.kind != "agg":
            return type
        if type.extra.kind not in T.CASTABLE:
            self.error(f"'{T.name(type)}' can only be printed by itself, not as a part", node.span)
            return T.UNKNOWN
        return T.as_int(type)

    def expr_RecordExpr(self, node: ast.RecordExpr) -> Type:
        fields = tuple(map(self._item, node.values))
        if len(set(node.names)) != len(node.names):
            self.error("A record's fields must have different names", node.span)
        return T.Type("record", sum(map(T.storage, fields)), fields=fields, names=node.names)
