"""Which types of parameter a spec can write."""

from __future__ import annotations

import collections.abc
import enum
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from glidepath.registry.describe.fields import fields
from glidepath.registry.describe.parameters import type_text

_PLAIN = (str, Path, int, float, bool, object, Any, None, type(None))
_SEQUENCES = (tuple, list, collections.abc.Sequence)
_MAPPINGS = (dict, collections.abc.Mapping)


def unwritable(config: type[Any]) -> Mapping[str, str]:
    """The parameters of a config class whose types no spec can write, each with its type in words.

    Raises:
        NameError, TypeError, ...: an annotation that cannot be resolved.
    """
    return {
        name: type_text(field.hint)
        for name, field in fields(config).items()
        if field.slot is None and not _is_writable(field.hint)
    }


def _is_writable(hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is typing.Annotated:
        return _is_writable(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return any(_is_writable(argument) for argument in arguments if argument is not type(None))
    if origin in _SEQUENCES:
        return all(argument is Ellipsis or _is_writable(argument) for argument in arguments)
    if origin in _MAPPINGS:
        return all(map(_is_writable, arguments))
    if origin is typing.Literal or any(origin is plain for plain in _PLAIN):
        return True
    return isinstance(hint, type) and (attrs.has(hint) or issubclass(hint, enum.Enum))
