"""NamedTuple for the way to the first event, where importing `typing` would cost more than the parser does.

`typing` pulls in `re`, `enum`, `contextlib` and `functools`: about 9 ms of a start that has 60. A module on that
way takes the class from here, and type checkers see the one they know::

    TYPE_CHECKING = False
    if TYPE_CHECKING:
        from typing import NamedTuple
    else:
        from cygnet.named import NamedTuple
"""

from __future__ import annotations

from _collections import _tuplegetter  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Maker(type):
    """Turns the body of a class with annotations into a subclass of tuple, as typing.NamedTuple does."""

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
        if not bases:
            return type.__new__(mcs, name, bases, body)
        fields = tuple(body.pop("__annotations__", ()))
        defaults = tuple([body.pop(field) for field in fields if field in body])
        names = ", ".join(fields)
        make = eval(f"lambda _cls, {names}: _new(_cls, ({names},))", {"_new": tuple.__new__})
        make.__defaults__ = defaults
        make.__name__ = "__new__"
        for index, field in enumerate(fields):
            body[field] = _tuplegetter(index, "")
        body.update(_METHODS, __slots__=(), _fields=fields, __match_args__=fields, __new__=make)
        body["_field_defaults"] = dict(zip(fields[len(fields) - len(defaults) :], defaults)) if defaults else {}
        return type.__new__(type, name, (tuple,), body)


def _replace(self: Any, **changes: Any) -> Any:
    values = dict(zip(self._fields, self))
    unknown = changes.keys() - values.keys()
    if unknown:
        raise ValueError(f"Got unexpected field names: {sorted(unknown)!r}")
    values.update(changes)
    return tuple.__new__(self.__class__, values.values())


def _repr(self: Any) -> str:
    inside = ", ".join([f"{name}={value!r}" for name, value in zip(self._fields, self)])
    return f"{self.__class__.__name__}({inside})"


def _make(cls: Any, values: Any) -> Any:
    made = tuple.__new__(cls, values)
    if len(made) != len(cls._fields):
        raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
    return made


_METHODS = {
    "_replace": _replace,
    "_asdict": lambda self: dict(zip(self._fields, self)),
    "_make": classmethod(_make),
    "__repr__": _repr,
    "__getnewargs__": lambda self: tuple(self),
}


class NamedTuple(metaclass=_Maker):
    """Derive from it as from typing.NamedTuple."""
