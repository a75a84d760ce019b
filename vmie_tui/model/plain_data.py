"""Values of the model as plain JSON and back, by their declared types: the data never chooses what is made of it."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

_TAG, _FIELDS = "type", "fields"  # how a dataclass is written: which one of several matters where a union is declared


class UnfitError(ValueError):
    """Data that is not of the declared type."""


Encoder = Callable[[Any], Any]
Decoder = Callable[[Any, Any], Any]


def encode(value: Any, special: Encoder = lambda value: None) -> Any:
    """``value`` as JSON can hold it; ``special`` says how to write what is of no plain type, None for nothing known."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | str | int | float):
        return value
    if isinstance(value, Path | datetime):
        return str(value) if isinstance(value, Path) else value.isoformat()
    if isinstance(value, Mapping):
        return {str(encode(key)): encode(item, special) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [encode(item, special) for item in value]
    return _encoded(value, special)


def _encoded(value: Any, special: Encoder) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: encode(getattr(value, field.name), special) for field in dataclasses.fields(value)}
        return {_TAG: type(value).__name__, _FIELDS: fields}
    written = special(value)
    if written is None:
        raise TypeError(f"{type(value).__name__} is no plain data")
    return written


def decode(kind: Any, data: Any, special: Decoder = lambda kind, data: None) -> Any:
    """The value of the type ``kind`` that ``data`` stands for; ``special(kind, data)`` makes what is of no plain type.

    Raises `UnfitError`.
    """
    if kind is Any:
        return data
    if kind is None or kind is type(None):
        return _same(data, type(None))
    if get_origin(kind) is not None:
        return _compound(get_origin(kind), get_args(kind), data, special)
    if not isinstance(kind, type):
        raise TypeError(f"{kind} is no plain type")
    return _single(kind, data, special)


def _compound(origin: Any, inner: tuple[Any, ...], data: Any, special: Decoder) -> Any:
    if origin is Literal:
        if data not in inner:
            raise UnfitError(f"{data!r} is none of {inner}")
        return data
    if origin in {Union, types.UnionType}:
        return _one_of(inner, data, special)
    if origin in {dict, Mapping}:
        return {decode(inner[0], key): decode(inner[1], item, special) for key, item in _same(data, dict).items()}
    items = _same(data, list)
    if origin is tuple and inner[-1:] != (...,):
        if len(items) != len(inner):
            raise UnfitError(f"{len(items)} items instead of {len(inner)}")
        return tuple(decode(each, item, special) for each, item in zip(inner, items, strict=True))
    if origin not in {tuple, list, set, frozenset, Sequence}:
        raise TypeError(f"{origin} is no plain type")
    made = (decode(inner[0], item, special) for item in items)
    return tuple(made) if origin is Sequence else origin(made)


def _single(kind: type, data: Any, special: Decoder) -> Any:
    made = special(kind, data)
    if made is not None:
        return made
    if dataclasses.is_dataclass(kind):
        fields = _same(data, dict).get(_FIELDS)
        if data.get(_TAG) != kind.__name__ or not isinstance(fields, dict):
            raise UnfitError(f"no {kind.__name__}")
        hints = _hints(kind)
        if not fields.keys() <= hints.keys():
            raise UnfitError(f"unknown fields of {kind.__name__}")
        try:
            return kind(**{name: decode(hints[name], item, special) for name, item in fields.items()})
        except TypeError as error:
            raise UnfitError(f"{kind.__name__}: {error}") from error
    if issubclass(kind, Enum | Path | datetime):
        make: Any = datetime.fromisoformat if kind is datetime else kind
        try:
            return make(data)
        except (ValueError, TypeError) as error:
            raise UnfitError(f"{data!r} is no {kind.__name__}") from error
    if kind is float and type(data) is int:
        return float(data)
    if kind not in {str, int, float, bool}:
        raise TypeError(f"{kind} is no plain type")
    return _same(data, kind)


def _one_of(kinds: Sequence[Any], data: Any, special: Decoder) -> Any:
    """The first of the types that the data fits."""
    for kind in kinds:
        try:
            return decode(kind, data, special)
        except UnfitError:
            continue
    raise UnfitError(f"{type(data).__name__} is none of {kinds}")


def _same(data: Any, kind: type) -> Any:
    if type(data) is not kind:
        raise UnfitError(f"{type(data).__name__} instead of {kind.__name__}")
    return data


@functools.lru_cache(maxsize=256)
def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind) if field.init}
