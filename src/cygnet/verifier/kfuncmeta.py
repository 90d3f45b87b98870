"""One kernel function, and what the arguments of one call of it said."""

from __future__ import annotations

from cygnet.verifier import args

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.btf.types import BtfType, Param


class Kfunc:
    """A kernel function: its prototype from BTF, its flags from facts.kfuncs."""

    __slots__ = ("flags", "id", "is_iter_next", "name", "params", "programs", "proto")

    def __init__(self, name: str, number: int, proto: BtfType) -> None:
        from cygnet.facts.kfuncs import kfunc

        row = kfunc(name)
        self.name = name
        self.id = number
        self.proto = proto
        self.params: tuple[Param, ...] = proto.params
        self.flags = row.flags if row is not None else frozenset()
        if "R" in self.flags:
            self.flags |= {"T"}
        self.programs = row.programs if row is not None else frozenset()
        self.is_iter_next = "x" in self.flags


class Meta(args.Call):
    """What the arguments of one call said."""

    __slots__ = (
        "arg_btf",
        "arg_btf_id",
        "constant",
        "dynptr_ref",
        "graph",
        "iter_frame",
        "iter_spi",
        "kfunc",
        "owning",
    )

    def __init__(self, kfunc: Kfunc) -> None:
        super().__init__(-1)
        self.kfunc = kfunc
        self.constant: int | None = None
        self.arg_btf: Any = None
        self.arg_btf_id = 0
        self.dynptr_ref = 0
        self.graph: Any = None
        self.iter_frame = 0
        self.iter_spi = -1
        self.owning = False
