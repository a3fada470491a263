"""Dataclasses and named tuples that are cheap to define, for a process that makes few of them.

`dataclasses` writes the methods of a class as text and compiles them, which takes longer than a
hook has for all its work. Here the methods are shared closures: quick to define, slow to call.
An instance behaves alike; what differs is that no slots are made, and what tools look for in
`__dataclass_fields__`.
"""

from __future__ import annotations

from _operator import itemgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_NOTHING = object()


class Field:
    """What `field()` returns: how a value is made that was not given."""

    def __init__(self, default: Any = _NOTHING, default_factory: Any = None) -> None:
        self.default = default
        self.default_factory = default_factory


def field(*, default: Any = _NOTHING, default_factory: Any = None) -> Any:
    """Say how a field gets its value, as `dataclasses.field` does."""
    return Field(default, default_factory)


def dataclass(
    cls: type | None = None, /, *, frozen: bool = False, slots: bool = False
) -> Callable[[type], type] | type:
    """Give a class what `dataclasses.dataclass` gives it; `slots` is left out."""
    del slots

    def decorate(cls: type) -> type:
        for name, member in (_FROZEN_MEMBERS if frozen else _MEMBERS).items():
            setattr(cls, name, member)
        names = tuple(cls.__annotations__)
        cls._fields = names, *_take_defaults(cls, names)  # type: ignore[attr-defined]
        return cls

    return decorate if cls is None else decorate(cls)


def replace(value: Any, /, **changes: Any) -> Any:
    """Return an instance with other values in some fields, as `dataclasses.replace` does."""
    return type(value)(**{**value.__dict__, **changes})


def _init(self: Any, *arguments: Any, **named: Any) -> None:
    names, defaults, factories = self._fields
    values = self.__dict__
    if not named and len(arguments) == len(names):
        values.update(zip(names, arguments, strict=True))
        return
    values.update(defaults)
    values.update(zip(names, arguments, strict=False))
    values.update(named)
    if len(values) < len(names):
        values.update((name, make()) for name, make in factories.items() if name not in values)
    if len(arguments) > len(names) or values.keys() != set(names):
        raise TypeError(f"{type(self).__name__}() takes {', '.join(names)}")


def _eq(self: Any, other: object) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    is_equal: bool = self.__dict__ == other.__dict__
    return is_equal


def _repr(self: Any) -> str:
    texts = (f"{name}={getattr(self, name)!r}" for name in self._fields[0])
    return f"{type(self).__qualname__}({', '.join(texts)})"


def _hash(self: Any) -> int:
    return hash(tuple(getattr(self, name) for name in self._fields[0]))


def _refuse(_self: object, name: str, _value: object = None) -> None:
    raise AttributeError(f"cannot assign to or delete field {name!r}")


_MEMBERS: dict[str, Any] = {"__init__": _init, "__eq__": _eq, "__repr__": _repr, "__hash__": None}
_FROZEN_MEMBERS = {
    **_MEMBERS,
    "__hash__": _hash,
    "__setattr__": _refuse,
    "__delattr__": _refuse,
}


def _take_defaults(
    cls: type, names: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Callable[[], Any]]]:
    defaults: dict[str, Any] = {}
    factories: dict[str, Callable[[], Any]] = {}
    for name in names:
        default = cls.__dict__.get(name, _NOTHING)
        if isinstance(default, Field):
            delattr(cls, name)
            if default.default_factory is not None:
                factories[name] = default.default_factory
            default = default.default
        if default is not _NOTHING:
            defaults[name] = default
    return defaults, factories


class _NamedTupleMeta(type):
    """Makes a class with annotations a subclass of tuple."""

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
        if not bases:
            return super().__new__(cls, name, bases, body)
        names = tuple(body.get("__annotations__", ()))
        defaults = {one: body.pop(one) for one in names if one in body}
        members = {one: property(itemgetter(i)) for i, one in enumerate(names)}
        made = {"_fields": names, "_field_defaults": defaults, "__slots__": (), **members, **body}
        return type(name, (tuple,), {**_TUPLE_MEMBERS, **made})


def _new_tuple(kind: Any, *arguments: Any, **named: Any) -> Any:
    names = kind._fields
    given = dict(zip(names, arguments, strict=False))
    values = {**kind._field_defaults, **given, **named}
    if len(arguments) > len(names) or values.keys() != set(names):
        raise TypeError(f"{kind.__name__}() takes {', '.join(names)}")
    return tuple.__new__(kind, [values[name] for name in names])


def _replace(self: Any, **changes: Any) -> Any:
    return type(self)(**{**dict(zip(self._fields, self, strict=True)), **changes})


def _repr_tuple(self: Any) -> str:
    texts = (f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
    return f"{type(self).__name__}({', '.join(texts)})"


_TUPLE_MEMBERS = {"__new__": _new_tuple, "_replace": _replace, "__repr__": _repr_tuple}


class NamedTuple(metaclass=_NamedTupleMeta):
    """The base that stands for `typing.NamedTuple`."""
