"""BTF: the types of the running kernel, read lazily; types for our own programs, built.

`Btf.kernel()` opens the running kernel's. `btf.find("task_struct", STRUCT)` costs about a millisecond and needs no
index; `btf.type(id)` walks the type section only as far as that id.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.btf.kinds import (
        ALIASES,
        ARRAY,
        COMPOSITES,
        CONST,
        DATASEC,
        DECL_TAG,
        ENUM,
        ENUM64,
        ENUMS,
        EXTERN,
        FLOAT,
        FUNC,
        FUNC_PROTO,
        FWD,
        GLOBAL,
        INT,
        INT_BOOL,
        INT_CHAR,
        INT_SIGNED,
        MODIFIERS,
        PTR,
        RESTRICT,
        STATIC,
        STRUCT,
        TYPE_TAG,
        TYPEDEF,
        UNION,
        VAR,
        VOID,
        VOLATILE,
        kind_name,
    )
    from cygnet.btf.layout import (
        MemberPath,
        Step,
        align_of,
        all_members,
        find_member,
        is_user_ptr,
        member_path,
        pointer_tags,
        resolve,
        size_of,
        strip_modifiers,
        type_tags,
    )
    from cygnet.btf.reader import Btf
    from cygnet.btf.types import BtfType, Member, Param, SecInfo

__all__ = [
    "ALIASES",
    "ARRAY",
    "COMPOSITES",
    "CONST",
    "DATASEC",
    "DECL_TAG",
    "ENUM",
    "ENUM64",
    "ENUMS",
    "EXTERN",
    "FLOAT",
    "FUNC",
    "FUNC_PROTO",
    "FWD",
    "GLOBAL",
    "INT",
    "INT_BOOL",
    "INT_CHAR",
    "INT_SIGNED",
    "MODIFIERS",
    "PTR",
    "RESTRICT",
    "STATIC",
    "STRUCT",
    "TYPEDEF",
    "TYPE_TAG",
    "UNION",
    "VAR",
    "VOID",
    "VOLATILE",
    "Btf",
    "BtfType",
    "Member",
    "MemberPath",
    "Param",
    "SecInfo",
    "Step",
    "align_of",
    "all_members",
    "find_member",
    "is_user_ptr",
    "kind_name",
    "member_path",
    "pointer_tags",
    "resolve",
    "size_of",
    "strip_modifiers",
    "type_tags",
]

# Names are found on first use: whoever needs only the builder does not pay for the reader.
_LAYOUT = frozenset(
    (
        "MemberPath",
        "Step",
        "align_of",
        "all_members",
        "find_member",
        "is_user_ptr",
        "member_path",
        "pointer_tags",
        "resolve",
        "size_of",
        "strip_modifiers",
        "type_tags",
    )
)
_TYPES = frozenset(("BtfType", "Member", "Param", "SecInfo"))


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "reader" if name == "Btf" else "layout" if name in _LAYOUT else "types" if name in _TYPES else "kinds"
    value = getattr(__import__(f"{__name__}.{home}", fromlist=[name]), name)
    globals()[name] = value
    return value
